"""
What one connection state costs, in eight ways to keep it: memory, time, and the collector.

    python -m tests.benchmarks.bench_states [--million] [--pairs 5] [--quick]

The record of why the state pool is laid out as it is. Every figure is of a fresh process. The
whole takes about ten minutes; ``--million`` adds idle memory at a million connections, and
``--quick`` is a smoke run whose figures are too small to quote. Needs the extra ``bench``.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from tests.benchmarks.candidates import CANDIDATES, LARGE, OURS
from tests.benchmarks.goals import Goal, head, print_goals, row
from tests.benchmarks.pairs import ratio
from tests.benchmarks.state_memory import IDLE, KINDS, SHARED, UNIQUE, Memory, memory_of
from tests.benchmarks.state_times import Times, Work, work_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.benchmarks.pairs import Ratio

FIRST, WIDTH = 44, 17
NONE = "-"
MEMORY_LABELS = {
    IDLE: "idle",
    UNIQUE: "active, own metadata",
    SHARED: "active, shared metadata",
}
OPERATIONS = {
    "acquire": "acquire",
    "release": "release",
    "read": "read a count, always the same",
    "read_held": "  of an object looked up before",
    "write": "write a count, always the same",
    "message": "message, random connection",
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many connections there are where."""

    memory: int
    work: int
    large: int
    large_ways: tuple[str, ...]
    """Which candidates are also measured with so many more."""

    most: int | None = None
    """Idle memory only; None to leave it out."""


FULL = Sizes(memory=100_000, work=100_000, large=1_000_000, large_ways=LARGE)
QUICK = Sizes(memory=4_000, work=1_000, large=2_000, large_ways=(OURS,))


@dataclass(slots=True)
class Found:
    """All that was measured of one candidate."""

    memory: dict[str, Memory] = field(default_factory=dict)
    most: Memory | None = None
    work: Work | None = None
    large: Work | None = None


def measure_all(sizes: Sizes, *, together: int) -> dict[str, Found]:
    """Measure all candidates, so many *together*: one, if the times are to mean anything."""
    with ThreadPoolExecutor(together) as threads:
        found = threads.map(partial(measured, sizes=sizes), CANDIDATES)
        return dict(zip(CANDIDATES, found, strict=True))


def measured(name: str, sizes: Sizes) -> Found:
    """Measure one candidate."""
    found = Found({kind: memory_of(name, kind, sizes.memory) for kind in KINDS})
    found.work = work_of(name, sizes.work)
    if name in sizes.large_ways:
        found.large = work_of(name, sizes.large)
        found.most = memory_of(name, IDLE, sizes.most) if sizes.most else None
    return found


def print_table(found: dict[str, Found], sizes: Sizes) -> None:
    """Print a column per candidate."""

    def line(label: str, cell: Callable[[Found], str]) -> None:
        print(row(label, [cell(each) for each in found.values()], first=FIRST, width=WIDTH))

    print(head(list(found), first=FIRST, width=WIDTH))
    print(f"bytes per connection at {sizes.memory:,}, the table to find it by included")
    for kind, label in MEMORY_LABELS.items():
        line(f"  {label}", lambda each, kind=kind: bytes_cell(each.memory[kind]))  # type: ignore[misc] # of a default
    if sizes.most:
        line(f"  idle, at {sizes.most:,}", lambda each: bytes_cell(each.most))
    print("objects per connection that the collector looks at")
    for kind in (IDLE, UNIQUE):
        label = f"  tracked, {MEMORY_LABELS[kind]}"
        line(label, lambda each, kind=kind: f"{max(each.memory[kind].tracked, 0):.2f}")  # type: ignore[misc] # of a default
    print("ns: p50 and p99 of single calls, and in a loop")
    for key, label in OPERATIONS.items():
        line(f"  {label}", lambda each, key=key: times_cell(each.work, key))  # type: ignore[misc] # of a default
    line(f"  message, {sizes.large:,} alive", lambda each: times_cell(each.large, "message"))
    print("ns per state in batches of 1,000")
    for key in ("acquire", "release", "message"):
        line(f"  {key}, in a batch", lambda each, key=key: batch_cell(each.work, key))  # type: ignore[misc] # of a default
    print("the collector, CPU ms")
    for label, count, work in (
        ("full collection", sizes.work, "work"),
        ("full collection", sizes.large, "large"),
    ):
        line(f"  {label} at {count:,}", partial(collection_cell, work))
    for count, work in ((sizes.work, "work"), (sizes.large, "large")):
        line(f"  longest pause, all {count:,} replaced", partial(churn_cell, work))
    for count, work in ((sizes.work, "work"), (sizes.large, "large")):
        line(f"  in the collector to build {count:,}", partial(build_cell, work))


def bytes_cell(found: Memory | None) -> str:
    """Return a slope with its interval."""
    if found is None:
        return NONE
    return f"{found.state_bytes:,.1f} ±{found.half_width_bytes:,.1f}"


def times_cell(work: Work | None, operation: str) -> str:
    """Return three times."""
    if work is None or operation not in work.operations:
        return NONE
    times = work.operations[operation]
    return f"{times.p50_ns:.0f} {times.p99_ns:.0f} {times.loop_ns:.0f}"


def batch_cell(work: Work | None, operation: str) -> str:
    """Return the time of a state in a batch."""
    return f"{work.batches_ns[operation]:,.1f}" if work and operation in work.batches_ns else NONE


def collection_cell(which: str, each: Found) -> str:
    """Return the time of a full collection, and of one before there were states."""
    work: Work | None = getattr(each, which)
    return f"{work.full_collection_ms:,.2f} ({work.bare_collection_ms:,.2f})" if work else NONE


def churn_cell(which: str, each: Found) -> str:
    """Return the longest pause, and how many there were."""
    work: Work | None = getattr(each, which)
    return f"{work.churn_pause_ms:,.2f} ({work.churn_collections:,})" if work else NONE


def build_cell(which: str, each: Found) -> str:
    """Return the time in the collector, and how many collections there were."""
    work: Work | None = getattr(each, which)
    return f"{work.build_collector_s * 1e3:,.2f} ({work.build_collections:,})" if work else NONE


def print_legend(found: dict[str, Found]) -> None:
    """Say what the columns and the figures are."""
    print()
    for name in found:
        print(f"{name:<14} {CANDIDATES[name].note}")
    timers = [each.work.timer_ns for each in found.values() if each.work]
    print(
        "±: half the 95 % interval of the slope, eight plateaus. Idle is after the handshake;\n"
        "active has four values of 14 characters, three pending ids and counts besides. Loops\n"
        "and the collector in CPU time, single calls by the wall clock, less the timer's own\n"
        f"{min(timers):,.0f}-{max(timers):,.0f} ns; medians of seven rounds. Collections: in "
        "brackets that of the process\nbefore there were states. Pauses and building: in brackets"
        " how many collections."
    )


def goals_of(ours: Found, sizes: Sizes) -> list[Goal]:
    """Return what the state pool sets out to reach, with what was measured."""

    def most_bytes(kind: str) -> float:
        return ours.memory[kind].state_bytes + ours.memory[kind].half_width_bytes

    assert ours.work is not None
    assert ours.large is not None
    acquire, release = (ours.work.operations[name] for name in ("acquire", "release"))
    batches = ours.work.batches_ns
    large = ours.large
    return [
        Goal("idle, upper end of the interval", most_bytes(IDLE), 72, "B"),
        Goal("idle, the stretch", most_bytes(IDLE), 64, "B"),
        Goal("active, own metadata", most_bytes(UNIQUE), 160, "B"),
        Goal("active, shared metadata", most_bytes(SHARED), 80, "B"),
        *time_goals("acquire", acquire, 0.5),
        *time_goals("release", release, 0.7),
        *(Goal(f"{name} in batches", batches[name], 60, "ns") for name in ("acquire", "release")),
        Goal(f"full collection, {sizes.large:,} alive", large.full_collection_ms, 5, "ms"),
        Goal(f"longest pause, {sizes.work:,} replaced", ours.work.churn_pause_ms, 0.3, "ms"),
        Goal(f"longest pause, {sizes.large:,} replaced", large.churn_pause_ms, 0.3, "ms"),
        Goal(f"in the collector to build {sizes.large:,}", large.build_collector_s, 0, "s"),
    ]


def time_goals(name: str, times: Times, p50_us: float) -> list[Goal]:
    """Return the goals of one operation."""
    return [
        Goal(f"{name}, p50", times.p50_ns / 1e3, p50_us, "us"),
        Goal(f"{name}, p99", times.p99_ns / 1e3, 3, "us"),
    ]


def compare(name: str, sizes: Sizes, pairs: int) -> list[str]:
    """Return what another candidate is, over the state pool, in alternating pairs of processes."""
    memory: tuple[list[float], list[float]] = ([], [])
    works: tuple[list[Work], list[Work]] = ([], [])
    for number in range(pairs):
        # The order changes every time.
        for which in (0, 1) if number % 2 else (1, 0):
            of = OURS if which else name
            memory[which].append(memory_of(of, IDLE, sizes.memory).state_bytes)
            works[which].append(work_of(of, sizes.work))
    figures: dict[str, Callable[[Work], float]] = {
        "acquire and release, loop": turnover_ns,
        "message, loop": lambda work: work.operations["message"].loop_ns,
        "full collection": lambda work: work.full_collection_ms,
    }
    lines = [in_words(name, "bytes, idle", ratio_of(*memory))]
    for label, figure in figures.items():
        sides = ([figure(work) for work in side] for side in works)
        lines.append(in_words(name, label, ratio_of(*sides)))
    return lines


def turnover_ns(work: Work) -> float:
    """Return the time to acquire a state and to release it."""
    return work.operations["acquire"].loop_ns + work.operations["release"].loop_ns


def ratio_of(theirs: Sequence[float], ours: Sequence[float]) -> Ratio:
    """Return the ratio of what was measured in pairs."""
    return ratio(partial(next, iter(theirs)), partial(next, iter(ours)), pairs=len(ours))


def in_words(name: str, label: str, found: Ratio) -> str:
    """Say what a ratio shows."""
    if found.low > 1:
        shown = f"{OURS} costs less"
    else:
        shown = f"{OURS} costs MORE" if found.high < 1 else "no difference shown"
    return (
        f"{name + ' / ' + OURS:<26} {label:<26} {found.value:9.3f} "
        f"({found.low:.3f} to {found.high:.3f})  {shown}"
    )


def main() -> None:
    """Print the table, the goals, and, unless it is a smoke run, the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    sizes = QUICK if options.quick else FULL
    if options.million:
        sizes = replace(sizes, most=1_000_000)
    if options.quick:
        print("Smoke run: too few connections for figures to quote.\n")
    found = measure_all(sizes, together=4 if options.quick else 1)
    print_table(found, sizes)
    print_legend(found)
    print_goals(goals_of(found[OURS], sizes))
    if options.quick:
        return
    print(f"\nAnother way over {OURS}, {options.pairs} alternating pairs of processes, 95 %")
    for name in CANDIDATES:
        if name != OURS:
            print("\n".join(compare(name, sizes, options.pairs)), flush=True)


if __name__ == "__main__":
    main()
