"""
What it takes to make bytes of a connection state, and a state of the bytes: length and time.

    python -m tests.benchmarks.bench_codec [--pairs 9] [--quick]

Of an idle state, an active one, and an active one with retained payloads. A codec has a row
only if 200 states of each kind come back equal. Takes a minute; needs the extra ``bench``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import dataclass
from functools import partial
from threading import RLock
from time import process_time
from timeit import Timer
from typing import TYPE_CHECKING, Any

from tests.benchmarks.goals import Goal, head, print_goals, row
from tests.benchmarks.pairs import ratio
from tests.benchmarks.state_codecs import CODECS, Memopt
from tests.benchmarks.state_fields import ACTIVE, IDLE, KINDS, RETAINED, fields_of

if TYPE_CHECKING:
    from tests.benchmarks.state_codecs import Codec

ROUNDS = 7
FIRST, WIDTH = 20, 12
LIMITS = {IDLE: (48, 0.7, 0.7), ACTIVE: (512, 50, 8)}
"""Bytes, and microseconds to encode and to decode, at most."""


@dataclass(frozen=True, slots=True)
class Case:
    """A codec and a state of one kind, ready to be timed."""

    codec: Codec
    subject: Any
    data: bytes

    def encode_ns(self, calls: int) -> float:
        """Return the CPU time of one encoding, in a loop whose own time is subtracted."""
        return self._spent_ns(self.codec.encode, calls)

    def decode_ns(self, calls: int) -> float:
        """Return that of one decoding; what is decoded is let go after the time was taken."""
        return self._spent_ns(self.codec.decode, calls)

    def _spent_ns(self, expression: str, calls: int) -> float:
        return (self._timed_s(expression, calls) - self._timed_s("None", calls)) / calls * 1e9

    def _timed_s(self, expression: str, calls: int) -> float:
        made: list[Any] = []
        names = {**self.codec.names, "data": self.data, "subject": self.subject}
        names["keep"] = made.append
        setup = "\n".join(f"{name} = _{name}" for name in names)
        hidden = {f"_{name}": value for name, value in names.items()}
        spent_s = Timer(f"keep({expression})", setup, process_time, hidden).timeit(calls)
        if expression == self.codec.decode:
            self.codec.forget(made)
        return spent_s


def case_of(codec: Codec, kind: str, states: int, others: int) -> Case | None:
    """Return a state of a kind and its bytes, or `None` if not all come back equal."""
    codec.learn([fields_of(kind, states + number) for number in range(others)])
    for number in range(states):
        fields = fields_of(kind, number)
        subject = codec.subject(fields)
        data: bytes = evaluated(codec.encode, codec, subject=subject)
        decoded = evaluated(codec.decode, codec, data=data)
        # By what they look like: 1 and 1.0 are equal.
        if repr(codec.content(decoded)) != repr(fields):
            return None
        codec.forget([decoded])
    return Case(codec, subject, data)


def evaluated(expression: str, codec: Codec, **names: object) -> Any:
    """Return what an expression of a codec makes."""
    return eval(expression, {**codec.names, **names})  # noqa: S307 - one of our own


def cases_of(states: int, others: int) -> dict[str, dict[str, Case]]:
    """Return the cases of all codecs that lose nothing, and name the others on stderr."""
    found = {}
    for each in CODECS:
        cases = {kind: case_of(each(), kind, states, others) for kind in KINDS}
        whole = {kind: case for kind, case in cases.items() if case is not None}
        if len(whole) == len(KINDS):
            found[each.name] = whole
        else:
            lost = ", ".join(cases.keys() - whole.keys())
            print(f"{each.name} has no row, it loses something of: {lost}", file=sys.stderr)
    return found


def measured(case: Case, calls: int) -> tuple[float, float]:
    """Return the times of encoding and decoding, medians of seven rounds."""
    rounds = [(case.encode_ns(calls), case.decode_ns(calls)) for _ in range(ROUNDS)]
    encodes, decodes = zip(*rounds, strict=True)
    return statistics.median(encodes), statistics.median(decodes)


def print_table(cases: dict[str, dict[str, Case]], calls: int) -> None:
    """Print a row per codec, and the goals."""
    groups = [label for kind in KINDS for label in (kind, "", "")]
    print(head(groups, first=FIRST, width=WIDTH))
    print(head(["bytes", "encode, ns", "decode, ns"] * len(KINDS), first=FIRST, width=WIDTH))
    goals: list[Goal] = []
    for name, found in cases.items():
        cells = []
        for kind, case in found.items():
            encode_ns, decode_ns = measured(case, calls)
            cells += [f"{len(case.data):,}", f"{encode_ns:,.0f}", f"{decode_ns:,.0f}"]
            if name == Memopt.name and kind != RETAINED:
                goals += goals_of(kind, len(case.data), encode_ns, decode_ns)
        print(row(name, cells, first=FIRST, width=WIDTH), flush=True)
    print()
    for each in CODECS:
        print(f"{each.name:<17} {each.note}")
    print(
        f"CPU time in a loop, medians of {ROUNDS} rounds of {calls:,} calls, the collector off;"
        " to free what\nwas made is not in it. A row is there only if all states came back equal."
        f"\nSo fast is this machine: `with RLock(): pass` takes {lock_ns(calls):,.0f} ns."
    )
    print_goals(goals)


def lock_ns(calls: int) -> float:
    """Return the time of entering and leaving a lock, the loop's own time subtracted."""
    entered = Timer("with lock: pass", "lock = _lock", process_time, {"_lock": RLock()})
    rounds = [
        entered.timeit(calls) - Timer(timer=process_time).timeit(calls) for _ in range(ROUNDS)
    ]
    return statistics.median(rounds) / calls * 1e9


def goals_of(kind: str, size_bytes: int, encode_ns: float, decode_ns: float) -> list[Goal]:
    """Return what memopt's codec sets out to reach for a state of a kind."""
    most_bytes, encode_us, decode_us = LIMITS[kind]
    return [
        Goal(f"{kind} state, encoded", size_bytes, most_bytes, "B"),
        Goal(f"{kind} state, encode", encode_ns / 1e3, encode_us, "us"),
        Goal(f"{kind} state, decode", decode_ns / 1e3, decode_us, "us"),
    ]


def compare(name: str, kind: str, theirs: Case, ours: Case, calls: int, pairs: int) -> str:
    """Return the times of a codec over those of memopt, in alternating pairs."""
    words = [f"{name + ' / memopt':<26} {kind:<14} bytes {len(theirs.data) / len(ours.data):6.2f}"]
    for label in ("encode", "decode"):
        first, second = (getattr(case, f"{label}_ns") for case in (theirs, ours))
        found = ratio(partial(first, calls), partial(second, calls), pairs=pairs)
        words.append(f"{label} {found.value:7.2f} ({found.low:.2f} to {found.high:.2f})")
    return "   ".join(words)


def main() -> None:
    """Print the table, the goals, and the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    calls, pairs = (100, 2) if options.quick else (4000, options.pairs)
    cases = cases_of(20, 200) if options.quick else cases_of(200, 1000)
    print_table(cases, calls)
    print(f"\nAnother way over memopt, {pairs} alternating pairs, 95 %")
    ours = cases[Memopt.name]
    for name, found in cases.items():
        for kind, case in found.items():
            if case is not ours[kind]:
                print(compare(name, kind, case, ours[kind], calls, pairs), flush=True)
    sys.exit(len(cases) != len(CODECS))


if __name__ == "__main__":
    main()
