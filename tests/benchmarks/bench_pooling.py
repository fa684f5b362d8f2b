"""
Where pooling helps in CPython and where it costs: by kind of object, size and pattern.

One table: CPU time per object fresh and pooled, their ratio with its 95 % interval, and the
word that follows from the interval. The reading patterns take their bytes from a file in
memory, which costs the kernel what a receive does. The rows of the collector are of whole
processes with 100,000 objects alive, in ticks of 1,000 messages, 1,000 arrivals and 1,000
departures.
"""

from __future__ import annotations

import gc
import json
import os
import random
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memopt_cli.pool import BufferPool, ObjectPool
from tests.benchmarks.pairs import Ratio, ratio

if TYPE_CHECKING:
    from collections.abc import Callable

KIB = 1024
BURST = 1_000
PAIRS = 12
RUNS = 5
ALIVE = 100_000
TICKS = 200
SIZES = ((256, "256 B"), (4 * KIB, "4 KiB"), (64 * KIB, "64 KiB"), (1024 * KIB, "1 MiB"))


class Record:
    """A small object, as a connection keeps one."""

    __slots__ = ("number", "pending", "received", "user")

    def __init__(self) -> None:
        self.number = self.received = 0
        self.user: str | None = None
        self.pending: list[int] | None = None

    def clear(self) -> None:
        """Forget everything."""
        self.number = self.received = 0
        self.user = self.pending = None


Document = dict[str, Any]


def new_document() -> Document:
    """Return a state of nested dicts, as many servers keep one."""
    return {
        "number": 0,
        "received": 0,
        "user": None,
        "pending": {},
        "metadata": {"agent": None, "version": None},
        "capabilities": {"tools": {"listChanged": True}, "resources": {"subscribe": False}},
    }


def clear_document(state: Document) -> None:
    """Empty a state without letting go of its dicts."""
    state["number"] = state["received"] = 0
    state["user"] = None
    state["pending"].clear()
    state["metadata"].update(agent=None, version=None)


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison, by two functions that each return nanoseconds of CPU per object."""

    kind: str
    pattern: str
    fresh: Callable[[], float]
    pooled: Callable[[], float]

    def print(self, pairs: int) -> None:
        """Measure and print it."""
        self.fresh(), self.pooled()
        fresh: list[float] = []
        pooled: list[float] = []
        found = ratio(noting(self.pooled, pooled), noting(self.fresh, fresh), pairs=pairs)
        print(
            f"{self.kind:12} {self.pattern:34}{statistics.median(fresh):14,.0f}"
            f"{statistics.median(pooled):14,.0f}  {found.value:7.3f} "
            f"({found.low:.3f} to {found.high:.3f})".ljust(110)
            + word(found)
        )


def word(found: Ratio) -> str:
    """Say what the interval of pooled over fresh shows."""
    if found.high < 1:
        return "helps"
    return "costs" if found.low > 1 else "no difference shown"


def noting(measure: Callable[[], float], into: list[float]) -> Callable[[], float]:
    """Return *measure*, which then also adds to *into* what it found."""

    def noted() -> float:
        into.append(measure())
        return into[-1]

    return noted


def timed(work: Callable[[], None], objects: int) -> Callable[[], float]:
    """Return a function that does *work* for 20 ms or more and gives nanoseconds per object."""

    def measure() -> float:
        start = end = time.process_time_ns()
        turns = 0
        while end - start < 20_000_000:
            work()
            turns += 1
            end = time.process_time_ns()
        return (end - start) / (turns * objects)

    return measure


def object_rows() -> list[Row]:
    """Return the rows of small objects and of nested dicts."""
    kinds: list[tuple[str, Callable[[], Any], Callable[[Any], None]]] = [
        ("slots object", Record, Record.clear),
        ("nested dicts", new_document, clear_document),
    ]
    rows = []
    for kind, create, clear in kinds:
        pool = ObjectPool(create, clear, size=BURST)

        def fresh_steady(create: Callable[[], Any] = create) -> None:
            for _ in range(BURST):
                create()

        def pooled_steady(pool: ObjectPool[Any] = pool) -> None:
            for _ in range(BURST):
                pool.release(pool.acquire())

        def fresh_burst(create: Callable[[], Any] = create) -> None:
            taken = [create() for _ in range(BURST)]
            del taken

        def pooled_burst(pool: ObjectPool[Any] = pool) -> None:
            for handle in [pool.acquire() for _ in range(BURST)]:
                pool.release(handle)

        def pooled_many(pool: ObjectPool[Any] = pool) -> None:
            pool.release_many(pool.acquire_many(BURST))

        rows += [
            Row(kind, "one at a time", timed(fresh_steady, BURST), timed(pooled_steady, BURST)),
            Row(kind, "burst of 1,000", timed(fresh_burst, BURST), timed(pooled_burst, BURST)),
            Row(
                kind,
                "burst of 1,000 by one call",
                timed(fresh_burst, BURST),
                timed(pooled_many, BURST),
            ),
        ]
    return rows


class Buffers:
    """What is done with buffers of one size, fresh and from a pool."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        # A thousand of the largest would be a gigabyte.
        self.burst = min(BURST, 64 * 1024 * KIB // size_bytes)
        self._pool = BufferPool(max_per_class=None)
        self._payload = random.Random(1).randbytes(size_bytes)
        self._file = os.memfd_create("payload")
        os.write(self._file, self._payload)

    def fresh_steady(self) -> None:
        """Make buffers one after the other."""
        size_bytes = self.size_bytes
        for _ in range(100):
            bytearray(size_bytes)

    def pooled_steady(self) -> None:
        """Borrow buffers one after the other."""
        pool, size_bytes = self._pool, self.size_bytes
        for _ in range(100):
            pool.release(pool.acquire(size_bytes))

    def fresh_burst(self) -> None:
        """Make many buffers, and let go of them together."""
        taken = [bytearray(self.size_bytes) for _ in range(self.burst)]
        del taken

    def pooled_burst(self) -> None:
        """Borrow many buffers, and release all."""
        for buffer in [self._pool.acquire(self.size_bytes) for _ in range(self.burst)]:
            self._pool.release(buffer)

    def fresh_read(self) -> None:
        """Receive into new buffers."""
        file, size_bytes = self._file, self.size_bytes
        for _ in range(100):
            os.preadv(file, [bytearray(size_bytes)], 0)

    def pooled_read(self) -> None:
        """Receive into borrowed buffers."""
        pool, file, size_bytes = self._pool, self._file, self.size_bytes
        for _ in range(100):
            buffer = pool.acquire(size_bytes)
            os.preadv(file, [buffer.view], 0)
            pool.release(buffer)

    def fresh_copy(self) -> None:
        """Copy a payload that is there already into new buffers."""
        payload = self._payload
        for _ in range(100):
            bytearray(payload)

    def pooled_copy(self) -> None:
        """Copy a payload that is there already into borrowed buffers."""
        pool, payload, size_bytes = self._pool, self._payload, self.size_bytes
        for _ in range(100):
            buffer = pool.acquire(size_bytes)
            buffer.view[:] = payload
            pool.release(buffer)


def buffer_rows(size_bytes: int, kind: str) -> list[Row]:
    """Return the rows of buffers of one size."""
    do = Buffers(size_bytes)
    burst = f"burst of {do.burst:,}"
    return [
        Row(kind, "one at a time", timed(do.fresh_steady, 100), timed(do.pooled_steady, 100)),
        Row(kind, burst, timed(do.fresh_burst, do.burst), timed(do.pooled_burst, do.burst)),
        Row(kind, "target of recv_into", timed(do.fresh_read, 100), timed(do.pooled_read, 100)),
        Row(
            kind, "payload copied in anyway", timed(do.fresh_copy, 100), timed(do.pooled_copy, 100)
        ),
    ]


MEASURES = ("CPU per arrival", "longest collection", "all collections, per arrival")


def collector_rows() -> list[Row]:
    """Return the rows of 100,000 objects alive with the collector on, each run a new process."""
    rows = []
    for kind in ("slots object", "nested dicts"):
        runs: dict[str, list[list[float]]] = {"fresh": [], "pooled": [], "frozen": []}
        for turn in range(RUNS + 1):
            for variant in sorted(runs, reverse=bool(turn % 2)):
                runs[variant].append(churned(kind, variant))
        for variant, name in (("pooled", ""), ("frozen", ", gc.freeze")):
            for place, measure in enumerate(MEASURES):
                fresh = iter([run[place] for run in runs["fresh"]])
                pooled = iter([run[place] for run in runs[variant]])
                rows.append(Row(kind, f"{measure}{name}", fresh.__next__, pooled.__next__))
    return rows


def churned(kind: str, variant: str) -> list[float]:
    """Return what a process of its own found, in nanoseconds."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.bench_pooling", kind, variant],
        check=True,
        capture_output=True,
        text=True,
    )
    found: list[float] = json.loads(done.stdout)
    return found


def churn(kind: str, variant: str) -> list[float]:
    """Hold 100,000 objects and replace 1,000 in each tick; return the three measures."""
    create: Callable[[], Any] = Record if kind == "slots object" else new_document
    clear: Callable[[Any], None] = Record.clear if kind == "slots object" else clear_document
    pool = ObjectPool(create, clear, size=0 if variant == "fresh" else ALIVE + BURST)
    alive = [create() if variant == "fresh" else pool.acquire() for _ in range(ALIVE)]
    gc.collect()
    if variant == "frozen":
        gc.freeze()
    pauses = Pauses()
    places = random.Random(1)
    start = time.process_time_ns()
    for _ in range(TICKS):
        messages = [{"id": number, "method": "ping"} for number in range(BURST)]
        arrived = [create() if variant == "fresh" else pool.acquire() for _ in messages]
        for handle in arrived:
            place = places.randrange(ALIVE)
            if variant != "fresh":
                pool.release(alive[place])
            alive[place] = handle
    cpu_ns = time.process_time_ns() - start
    arrivals = TICKS * BURST
    return [cpu_ns / arrivals, max(pauses.longest_ns, 1), max(pauses.all_ns / arrivals, 0.01)]


class Pauses:
    """How long collections took, by CPU time."""

    def __init__(self) -> None:
        self.longest_ns = self.all_ns = self._start_ns = 0
        gc.callbacks.append(self)

    def __call__(self, phase: str, _: object) -> None:
        """Note a collection's start or end, as `gc.callbacks` asks."""
        now_ns = time.process_time_ns()
        if phase == "start":
            self._start_ns = now_ns
        else:
            self.all_ns += now_ns - self._start_ns
            self.longest_ns = max(self.longest_ns, now_ns - self._start_ns)


def main() -> None:
    """Print the table."""
    print(f"{'kind':12} {'pattern':34}{'fresh ns':>14}{'pooled ns':>14}  pooled / fresh (95 %)")
    gc.disable()
    rows = [*object_rows(), *(row for size, kind in SIZES for row in buffer_rows(size, kind))]
    for row in rows:
        row.print(PAIRS)
    for row in collector_rows():
        row.print(RUNS)


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(churn(sys.argv[1], sys.argv[2])))
    else:
        main()
