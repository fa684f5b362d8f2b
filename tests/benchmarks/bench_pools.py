"""
What a pool costs: each call with 100,000 objects alive, its lock, its order, its memory.

Percentiles are of single calls, less what reading the clock costs; the rest is CPU time per
call over batches of 1,000 calls on handles in random order, which is what a server sees.
"""

from __future__ import annotations

import gc
import inspect
import random
import statistics
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from memopt_cli.pool import BufferPool, ConnectionPool, ObjectPool, objects
from tests.benchmarks.pairs import ratio

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.pool.stats import PoolStats

ALIVE = 100_000
BATCH = 1_000
PAIRS = 12
THREADS = 10


class Record:
    """A small pooled object."""

    __slots__ = ("a", "b", "c", "d")

    def __init__(self) -> None:
        self.a = self.b = self.c = self.d = None

    def clear(self) -> None:
        """Forget everything."""
        self.a = self.b = self.c = self.d = None


class LifoPool(ObjectPool[Record]):
    """The same pool in the other order, which is that of buffers."""

    __slots__ = ()

    _newest_first = True


def without_lock() -> type[ObjectPool[Record]]:
    """Return a pool whose release is the source of the real one without its lock."""
    source = textwrap.dedent(inspect.getsource(ObjectPool.release))
    assert source.count("self._enter()") == 1
    assert source.count("self._leave()") == 2
    unlocked = source.replace("self._enter()", "pass").replace("self._leave()", "pass")
    names: dict[str, object] = dict(vars(objects))
    exec(unlocked, names)  # noqa: S102 - our own source
    return type("UnlockedPool", (ObjectPool,), {"__slots__": (), "release": names["release"]})


class Crowd:
    """A pool with 100,000 objects in use and 2,000 idle ones, and the handles in random order."""

    def __init__(self, pool: ObjectPool[Record]) -> None:
        self.pool = pool
        self.taken = [pool.acquire() for _ in range(ALIVE)]
        random.Random(1).shuffle(self.taken)
        self.at = 0

    def churn(self) -> tuple[float, float, float]:
        """Release, acquire and look up a batch; return CPU nanoseconds of one call of each."""
        acquire, release, pool = self.pool.acquire, self.pool.release, self.pool
        batch = self.taken[self.at : self.at + BATCH]
        clock = time.process_time_ns
        start = clock()
        for handle in batch:
            release(handle)
        released = clock()
        batch = [acquire() for _ in batch]
        acquired = clock()
        for handle in batch:
            pool[handle]
        done = clock()
        self._keep(batch)
        return (acquired - released) / BATCH, (released - start) / BATCH, (done - acquired) / BATCH

    def churn_many(self) -> tuple[float, float]:
        """Release and acquire a batch at once; return CPU nanoseconds per object of each."""
        batch = self.taken[self.at : self.at + BATCH]
        start = time.process_time_ns()
        self.pool.release_many(batch)
        released = time.process_time_ns()
        batch = self.pool.acquire_many(BATCH)
        done = time.process_time_ns()
        self._keep(batch)
        return (done - released) / BATCH, (released - start) / BATCH

    def pair_ns(self) -> float:
        """Return what an acquire and a release cost together, over ten batches."""
        return statistics.median(sum(self.churn()[:2]) for _ in range(10))

    def each(self) -> tuple[list[int], list[int], list[int]]:
        """Return the nanoseconds of 20,000 single releases, acquires and look-ups, sorted."""
        clock, pool = time.perf_counter_ns, self.pool
        idle = sorted(-clock() + clock() for _ in range(10_000))
        cost_ns = idle[len(idle) // 2]
        released, acquired, read = [], [], []
        for place in range(20_000):
            handle = self.taken[place]
            start = clock()
            pool.release(handle)
            released.append(clock() - start - cost_ns)
            start = clock()
            handle = pool.acquire()
            acquired.append(clock() - start - cost_ns)
            self.taken[place] = handle
            other = self.taken[-1 - place]
            start = clock()
            pool[other]
            read.append(clock() - start - cost_ns)
        return sorted(acquired), sorted(released), sorted(read)

    def _keep(self, batch: list[int]) -> None:
        """Put a new batch in the place of the old one, and go on to the next."""
        self.taken[self.at : self.at + BATCH] = batch
        self.at = (self.at + BATCH) % ALIVE


def print_calls() -> None:
    """Print what each call costs, alone and in a batch."""
    print(f"{'pool, reset':34}{'acquire':>22}{'release':>22}{'pool[handle]':>22}")
    print(f"{'':34}" + f"{'cpu   p50    p99 ns':>22}" * 3)
    for name, pool in (
        ("ObjectPool, none", ObjectPool(Record, size=ALIVE + 2 * BATCH)),
        ("ObjectPool, four fields", ObjectPool(Record, Record.clear, size=ALIVE + 2 * BATCH)),
        ("ConnectionPool, four fields", ConnectionPool(Record, Record.clear, size=ALIVE + 2000)),
    ):
        crowd = Crowd(pool)
        cpu = [
            statistics.median(each)
            for each in zip(*(crowd.churn() for _ in range(300)), strict=True)
        ]
        line = "".join(
            f"{mean:10.0f}{single[len(single) // 2]:6.0f}{single[len(single) * 99 // 100]:6.0f}"
            for mean, single in zip(cpu, crowd.each(), strict=True)
        )
        print(f"{name:34}{line}")


def print_batches() -> None:
    """Print what a batch saves."""
    crowd = Crowd(ObjectPool(Record, Record.clear, size=ALIVE + 2 * BATCH))
    for place, name in enumerate(("acquire_many(1000)", "release_many(1000)")):
        found = ratio(
            lambda: statistics.median(crowd.churn_many()[place] for _ in range(10)),  # noqa: B023 - called at once
            lambda: statistics.median(crowd.churn()[place] for _ in range(10)),  # noqa: B023 - called at once
            pairs=PAIRS,
        )
        print(f"{name} over single calls, CPU per object: {found}")


def print_alternatives() -> None:
    """Print what the lock costs, and what the other order would."""
    size = ALIVE + 2 * BATCH
    real = Crowd(ObjectPool(Record, Record.clear, size=size))
    unlocked = Crowd(without_lock()(Record, Record.clear, size=size))
    lifo = Crowd(LifoPool(Record, Record.clear, size=size))
    print(f"acquire + release: {real.pair_ns():.0f} ns, without lock {unlocked.pair_ns():.0f} ns")
    print(f"with the lock over without: {ratio(real.pair_ns, unlocked.pair_ns, pairs=PAIRS)}")
    print(f"first in first out over last: {ratio(real.pair_ns, lifo.pair_ns, pairs=PAIRS)}")


def print_memory() -> None:
    """Print what the pool itself takes, and what a smaller maximum gives back after a burst."""
    pool = ObjectPool(Record, size=ALIVE)
    idle = sys.getsizeof(pool._fresh) / ALIVE
    taken = [pool.acquire() for _ in range(ALIVE)]
    columns = (pool._objects, pool._current, pool._vacant)
    print(
        f"bytes per slot {sum(map(sys.getsizeof, columns)) / len(taken):.1f}, "
        f"per idle object {idle:.1f} more"
    )
    for order in ("fifo", "lifo"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.bench_pools", order],
            check=True,
            capture_output=True,
            text=True,
        )
        print(done.stdout, end="")


def burst(order: str) -> None:
    """Print the memory of a pool in a burst of 100,000, after it, and when made smaller."""
    pool = (ObjectPool if order == "fifo" else LifoPool)(Record, Record.clear)
    before = anonymous_bytes()
    taken = [pool.acquire() for _ in range(ALIVE)]
    top = anonymous_bytes() - before
    random.Random(1).shuffle(taken)
    for handle in taken:
        pool.release(handle)
    del taken, handle
    first = pool._idle[0]
    for _ in range(150):
        pool.release_many(pool.acquire_many(BATCH))
    used = "some" if pool._idle[0] is first else "all"
    pool.configure(max_size=BATCH)
    gc.collect()
    left = anonymous_bytes() - before
    print(
        f"{order}: burst {top / 1e6:.1f} MB; 150 batches of 1,000 used {used} of the objects; "
        f"{left / 1e6:.1f} MB left with 1,000 idle"
    )


def anonymous_bytes() -> int:
    """Return the process's anonymous memory."""
    text = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    return 1024 * int(text.split("Anonymous:")[1].split()[0])


def print_threads() -> None:
    """Run ten threads of 100,000 acquires and releases on each kind of pool, and check it."""

    def hold_buffers(pool: BufferPool) -> None:
        for _ in range(ALIVE):
            pool.release(pool.acquire(1000))

    def hold(pool: ObjectPool[Record]) -> None:
        for _ in range(ALIVE):
            pool.release(pool.acquire())

    buffers = BufferPool()
    pools = (ObjectPool(Record, Record.clear), ConnectionPool(Record, Record.clear))
    works: list[tuple[str, Callable[[], None], Callable[[], PoolStats]]] = [
        *((type(pool).__name__, lambda pool=pool: hold(pool), pool.stats) for pool in pools),
        ("BufferPool", lambda: hold_buffers(buffers), buffers.stats),
    ]
    for name, work, stats in works:
        start = time.process_time()
        threads = [Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        cpu_s = time.process_time() - start
        found = stats()
        assert (found.in_use, THREADS * ALIVE) == (0, found.created + found.reused)
        assert found.available == found.total == found.allocated - found.dropped
        print(f"{name}: {THREADS} x {ALIVE:,} pairs in {cpu_s:.2f} CPU s, every count exact")


def print_buffers() -> None:
    """Print what a 64 KiB buffer costs."""
    pool = BufferPool()

    def batch() -> float:
        start = time.process_time_ns()
        for _ in range(BATCH):
            pool.release(pool.acquire())
        return (time.process_time_ns() - start) / BATCH

    print(
        f"64 KiB buffer, acquire + release: {statistics.median(batch() for _ in range(100)):.0f} ns"
    )


def main() -> None:
    """Print all of it."""
    gc.disable()
    print_calls()
    print_batches()
    print_alternatives()
    print_buffers()
    print_memory()
    print_threads()


if __name__ == "__main__":
    if sys.argv[1:]:
        burst(sys.argv[1])
    else:
        main()
