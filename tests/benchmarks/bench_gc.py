"""
What each collector profile costs and saves: pauses, time in the collector, operations/s.

Each figure is of a fresh process that builds a population in steps of 1 %, calls `settle`,
and then replaces it twice over, in steps of 1 % (arrivals, messages, departures) and with two
bursts of 20 %, with `quiet` after each step. Beside the profiles stand settings that are often
advised. All durations are CPU time, so that a busy machine does not show as a pause.

``python -m tests.benchmarks.bench_gc [UNITS...]``
"""

from __future__ import annotations

import gc
import json
import random
import resource
import statistics
import subprocess
import sys
from dataclasses import dataclass
from time import process_time, thread_time_ns
from typing import TYPE_CHECKING, Any

from memopt_cli.optimizer.gc_pauses import GcPauses
from memopt_cli.optimizer.gc_tuning import GcProfile, GcTuning
from memopt_cli.units import Dimension, format_duration, format_quantity, format_size
from tests.benchmarks.pairs import ratio

if TYPE_CHECKING:
    from collections.abc import Callable

PAIRS = 5
SIZES = (10_000, 100_000)
ADVISED = {
    "threshold 10,000": (10_000, 10, 10),
    "threshold 50,000": (50_000, 10, 10),
    "threshold 100,000": (100_000, 10, 10),
    "old threshold 1,000": (700, 10, 1000),
}
YOUNG_BY_HAND = "off, young by hand"
ARMS = (*GcProfile, *ADVISED, YOUNG_BY_HAND)


class Plain:
    """A connection of plain slots."""

    __slots__ = ("checksum", "last_seen", "name", "opened_at", "peer", "phase", "received")

    def __init__(self, number: int) -> None:
        self.name, self.phase = f"connection-{number}", "ready"
        self.opened_at = self.last_seen = float(number)
        self.received, self.checksum = 0, number
        self.peer: Plain | None = None

    def message(self) -> tuple[list[int], ...]:
        """Work on one message."""
        self.received += 1
        self.last_seen += 1.0
        return ([self.received],)


class Cyclic(Plain):
    """A connection that refers to itself through its peer: only the collector frees it."""

    __slots__ = ()

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.peer = Plain(number)
        self.peer.peer = self


def naive(number: int) -> dict[str, Any]:
    """Return a connection of nested dictionaries."""
    return {
        "name": f"connection-{number}",
        "phase": "ready",
        "last_seen": float(number),
        "capabilities": {"tools": {"list": True, "id": number}, "resources": {"of": [1, 2]}},
        "metadata": {},
        "pending": [],
        "stats": {"received": 0, "checksum": number},
    }


def naive_message(record: dict[str, Any]) -> tuple[list[int], ...]:
    """Work on one message."""
    stats, pending = record["stats"], record["pending"]
    stats["received"] += 1
    record["last_seen"] += 1.0
    pending.append(stats["received"])
    del pending[:-3]
    return ([stats["received"]],)


KINDS: dict[str, tuple[Callable[[int], Any], Callable[[Any], object]]] = {
    "naive": (naive, naive_message),
    "slots": (Plain, Plain.message),
    "cyclic": (Cyclic, Plain.message),
}


class Service:
    """A population under load, whose collector is tuned."""

    def __init__(self, kind: str, units: int, tuning: GcTuning, *, by_hand: bool) -> None:
        self._make, self._message = KINDS[kind]
        self._units = units
        self._tuning = tuning
        self._by_hand = by_hand
        self._alive: list[Any] = []
        self._random = random.Random(1)
        self.operations = 0

    def run(self) -> None:
        """Build the population, and replace it twice."""
        step = self._units // 100
        for _ in range(100):
            self._step(step, 0)
        self._tuning.settle()
        for number in range(200):
            self._step(step, step)
            if number % 100 == 50:
                self._step(20 * step, 0)
                self._step(0, 20 * step)

    def _step(self, arrivals: int, departures: int) -> None:
        alive, draw = self._alive, self._random.randrange
        for number in range(arrivals):
            alive.append(self._make(number))
        for _ in range(2 * arrivals):
            self._message(alive[draw(len(alive))])
        for _ in range(departures):
            slot = draw(len(alive))
            alive[slot] = alive[-1]
            alive.pop()
        self.operations += 3 * arrivals + departures
        self._tuning.quiet(len(alive))
        if self._by_hand:
            gc.collect(0)


@dataclass(frozen=True, slots=True)
class Served:
    """What one process has found."""

    pauses: int
    p50_s: float
    p99_s: float
    max_s: float
    share: float
    operations_per_s: float
    peak_bytes: int


def serve(arm: str, kind: str, units: int) -> Served:
    """Serve in this process."""
    gc.collect()
    by_hand = arm == YOUNG_BY_HAND
    if arm in ADVISED:
        gc.set_threshold(*ADVISED[arm])
    profile = "off" if by_hand else "default" if arm in ADVISED else arm
    with GcPauses(clock=thread_time_ns) as pauses:
        began_s = process_time()
        with GcTuning(profile, count_pauses=False) as tuning:
            service = Service(kind, units, tuning, by_hand=by_hand)
            service.run()
            # Leaving ``off`` lets a collection happen that is no part of serving.
            found, busy_s = pauses.statistics(), process_time() - began_s
    every = found.all
    return Served(
        pauses=every.count,
        p50_s=every.p50_s or 0.0,
        p99_s=every.p99_s or 0.0,
        max_s=every.max_s or 0.0,
        share=found.share or 0.0,
        operations_per_s=service.operations / busy_s,
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def in_child(arm: str, kind: str, units: int) -> Served:
    """Serve in a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_gc", "--serve", arm, kind, str(units)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Served(**json.loads(told))


def compare(arm: str, kind: str, units: int) -> str:
    """Return one row of the table."""
    runs: list[Served] = []

    def tuned() -> float:
        runs.append(in_child(arm, kind, units))
        return runs[-1].operations_per_s

    def default() -> float:
        return in_child("default", kind, units).operations_per_s

    if arm == "default":
        for _ in range(PAIRS):
            tuned()
        speed = "1"
    else:
        found = ratio(tuned, default, pairs=PAIRS)
        speed = f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
    median = {
        name: statistics.median(getattr(run, name) for run in runs)
        for name in ("pauses", "p50_s", "p99_s", "share", "peak_bytes")
    }
    durations = (median["p50_s"], median["p99_s"], max(run.max_s for run in runs))
    return (
        f"{kind:7}{units:>8,}  {arm:20}{median['pauses']:>8,.0f}"
        + "".join(f"{format_duration(each):>10}" for each in durations)
        + f"{format_quantity(median['share'], Dimension.RATIO):>9}"
        + f"{format_size(median['peak_bytes']):>10}  {speed}"
    )


def main(arguments: list[str]) -> None:
    """Print the table, or serve as a child and print what was found."""
    if arguments[:1] == ["--serve"]:
        found = serve(arguments[1], arguments[2], int(arguments[3]))
        print(json.dumps({name: getattr(found, name) for name in Served.__slots__}))
        return
    print("medians of 5 processes; max of all; ratio of operations/s to default in 5 pairs, 95 %")
    print(
        f"{'kind':7}{'units':>8}  {'setting':20}{'pauses':>8}{'p50':>10}{'p99':>10}{'max':>10}"
        f"{'of CPU':>9}{'peak':>10}  operations/s"
    )
    for units in [int(argument) for argument in arguments] or SIZES:
        for kind in KINDS:
            for arm in ARMS:
                print(compare(arm, kind, units), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
