"""
What connection states cost in time: each operation, and the collector, in a fresh process.

All durations are CPU time, so that a busy machine does not show as a slow program; only single
calls are timed by the wall clock, which is the finer one. The collector is on, as it comes.
"""

from __future__ import annotations

import gc
import json
import random
import statistics
import subprocess
import sys
from array import array
from dataclasses import asdict, dataclass
from time import perf_counter_ns, process_time, thread_time, thread_time_ns
from timeit import Timer
from typing import TYPE_CHECKING, Any

from memopt_cli.optimizer.gc_pauses import GcPauses
from tests.benchmarks.candidate import BATCH, MESSAGE_BYTES
from tests.benchmarks.candidates import CANDIDATES

if TYPE_CHECKING:
    from tests.benchmarks.candidate import Candidate

ROUNDS = 7
CALLS = 10_000
BURST = 1000
"""How many connections arrive before as many leave."""

COLLECTIONS = 5
MESSAGE_BATCHES = 10


@dataclass(frozen=True, slots=True)
class Times:
    """Of one operation, in nanoseconds; medians of seven rounds."""

    p50_ns: float
    """Of single calls, the cost of the timer subtracted."""

    p99_ns: float
    loop_ns: float
    """Of one in a loop, the cost of the loop subtracted."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the states of one candidate cost in time, so many alive."""

    operations: dict[str, Times]
    batches_ns: dict[str, float]
    """Acquire, release and message of one state, in batches of 1,000."""

    timer_ns: float
    """What was subtracted from single calls."""

    build_s: float
    """CPU time to build the population."""

    build_collector_s: float
    """Of which in the collector."""

    build_collections: int
    bare_collection_ms: float
    """A full collection of the process before there were states."""

    full_collection_ms: float
    """A full collection with all of them alive, median of five."""

    churn_pause_ms: float
    """The longest pause while each was replaced once; 0 if there was none."""

    churn_collections: int


def work_of(name: str, count: int) -> Work:
    """Measure in a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.state_times", name, str(count)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    told["operations"] = {key: Times(**times) for key, times in told["operations"].items()}
    return Work(**told)


def measure(name: str, count: int) -> Work:
    """Measure in this process."""
    population = CANDIDATES[name]()
    bare_ms = full_collection_ms()
    began_s = process_time()
    with GcPauses(clock=thread_time_ns) as pauses:
        population.grow(count)
        building = pauses.statistics().all
    build_s = process_time() - began_s
    full_ms = full_collection_ms()
    with GcPauses(clock=thread_time_ns) as pauses:
        replace_all(population)
        churning = pauses.statistics().all
    gc.collect()
    stopwatch = Stopwatch(population)
    return Work(
        operations=stopwatch.operations(),
        batches_ns=stopwatch.batches(),
        timer_ns=stopwatch.timer_ns,
        build_s=build_s,
        build_collector_s=building.total_s,
        build_collections=building.count,
        bare_collection_ms=bare_ms,
        full_collection_ms=full_ms,
        churn_pause_ms=(churning.max_s or 0.0) * 1e3,
        churn_collections=churning.count,
    )


def full_collection_ms() -> float:
    """Return the CPU time of a full collection, after one that tidies up."""
    gc.collect()
    found = []
    for _ in range(COLLECTIONS):
        began_s = thread_time()
        gc.collect()
        found.append((thread_time() - began_s) * 1e3)
    return statistics.median(found)


def replace_all(population: Candidate) -> None:
    """Replace each connection once, in random order, in bursts."""
    numbers = list(range(population.count))
    random.Random(1).shuffle(numbers)
    for start in range(0, len(numbers), BURST):
        population.replace(numbers[start : start + BURST])


class Stopwatch:
    """Times the statements of a candidate whose population is there."""

    def __init__(self, population: Candidate) -> None:
        self._population = population
        self._statements = population.statements
        self._calls = min(CALLS, population.count)
        self.timer_ns = statistics.median(self._single("pass", "pass", {})[0] for _ in range(7))

    def operations(self) -> dict[str, Times]:
        """Return the times of all operations on single states."""
        rounds: dict[str, list[Times]] = {}
        for number in range(ROUNDS):
            for name, times in self._round(random.Random(number)):
                rounds.setdefault(name, []).append(times)
        return {name: median_of(found) for name, found in rounds.items()}

    def batches(self) -> dict[str, float]:
        """Return the time per state of the calls for many, where there are any."""
        acquire, release = self._statements.acquire_many, self._statements.release_many
        if acquire is None or release is None:
            return {}
        found: dict[str, list[float]] = {"acquire": [], "release": []}
        # The first round makes new records.
        for _ in range(ROUNDS + 1):
            batches: list[Any] = []
            names = {"many": BATCH, "keep": batches.append, "take": batches.pop}
            times = self._calls // BATCH or 1
            acquired_s = self._timed(f"{acquire}\nkeep(batch)", names, times)
            released_s = self._timed(f"batch = take()\n{release}", names, times)
            found["acquire"].append(acquired_s / times / BATCH * 1e9)
            found["release"].append(released_s / times / BATCH * 1e9)
        if self._statements.message_many is not None:
            found["message"] = self._messages(self._statements.message_many)
        return {name: statistics.median(each[1:]) for name, each in found.items()}

    def _messages(self, statement: str) -> list[float]:
        """Return the time per message of batches on random connections, in each round."""
        import numpy as np

        places = self._population.places
        assert isinstance(places, memoryview)
        table = np.frombuffer(places, np.uint64)
        draw = np.random.default_rng(1)
        found = []
        for _ in range(ROUNDS + 1):
            spent_s = 0.0
            for _ in range(MESSAGE_BATCHES):
                handles = table[draw.integers(0, self._population.count, BATCH)]
                names = {"handles": handles, "sizes": np.full(BATCH, MESSAGE_BYTES)}
                spent_s += self._timed(statement, names, 1)
            found.append(spent_s / MESSAGE_BATCHES / BATCH * 1e9)
        return found

    def _round(self, draw: random.Random) -> list[tuple[str, Times]]:
        """Time each operation once; what is acquired is released again."""
        statements, places = self._statements, self._population.places
        # Numbers that are already there: making them would be timed.
        numbers = [draw.randrange(self._population.count) for _ in range(self._calls)]
        at_hand = [places[numbers[0]]] * self._calls
        message = f"r = places[i]\n{statements.message}"
        found = [
            ("acquire", self._acquired()),
            ("release", self._released()),
            ("read", self._each(at_hand, "r", statements.read)),
            ("write", self._each(at_hand, "r", statements.write)),
            ("message", self._each(numbers, "i", message)),
        ]
        if statements.read_held is not None:
            held = [self._population.held(at_hand[0])] * self._calls
            found.append(("read_held", self._each(held, "r", statements.read_held)))
        return found

    def _each(self, items: list[Any], variable: str, statement: str) -> Times:
        """Time a statement on each of *items*."""

        def names() -> dict[str, Any]:
            return {"advance": iter(items).__next__}

        before = f"{variable} = advance()"
        loop_s = self._timed(f"{before}\n{statement}", names()) - self._timed(before, names())
        return self._times(self._single(before, statement, names()), loop_s)

    def _acquired(self) -> Times:
        """Time acquiring; what is acquired is kept for `_released`."""
        self._held: list[Any] = []
        names = {"keep": self._held.append}
        loop_s = self._timed(f"{self._statements.acquire}\nkeep(r)", names)
        loop_s -= self._timed("keep(None)", {"keep": [].append})
        single = self._single("pass", self._statements.acquire, names, after="keep(r)")
        return self._times(single, loop_s)

    def _released(self) -> Times:
        """Time releasing all that was acquired: half in a loop, half one by one."""
        names = {"take": self._held.pop}
        loop_s = self._timed(f"r = take()\n{self._statements.release}", names)
        loop_s -= self._timed("r = take()", {"take": ([None] * self._calls).pop})
        return self._times(self._single("r = take()", self._statements.release, names), loop_s)

    def _times(self, single: tuple[float, float], loop_s: float) -> Times:
        p50_ns, p99_ns = (each - self.timer_ns for each in single)
        return Times(p50_ns, p99_ns, loop_s / self._calls * 1e9)

    def _timed(self, statement: str, names: dict[str, Any], times: int | None = None) -> float:
        """Return the CPU time of a statement in a loop."""
        timer = Timer(statement, self._setup(names), process_time, globals=self._names(names))
        return timer.timeit(times or self._calls)

    def _single(
        self, before: str, timed: str, names: dict[str, Any], *, after: str = "pass"
    ) -> tuple[float, float]:
        """Return the median and the 99th percentile of single calls, timer included."""
        spent_ns = array("q")
        names = {"clock": perf_counter_ns, "note": spent_ns.append, **names}
        statement = f"{before}\nt = clock()\n{timed}\nd = clock() - t\nnote(d)\n{after}"
        timer = Timer(statement, self._setup(names), globals=self._names(names))
        timer.timeit(self._calls)
        found = sorted(spent_ns)
        return found[len(found) // 2], found[len(found) * 99 // 100]

    def _names(self, names: dict[str, Any]) -> dict[str, Any]:
        population = self._population
        given = {**population.names, "places": population.places, **names}
        return {f"_{name}": value for name, value in given.items()}

    def _setup(self, names: dict[str, Any]) -> str:
        """Return statements that make all names local, and the collector run as it comes."""
        known = [*self._population.names, "places", *names]
        return "\n".join(["import gc", "gc.enable()", *(f"{name} = _{name}" for name in known)])


def median_of(rounds: list[Times]) -> Times:
    """Return the median of each figure."""
    return Times(
        *(
            statistics.median(getattr(each, name) for each in rounds)
            for name in ("p50_ns", "p99_ns", "loop_ns")
        )
    )


if __name__ == "__main__":
    print(json.dumps(asdict(measure(sys.argv[1], int(sys.argv[2])))))
