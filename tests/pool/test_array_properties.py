"""Whatever is done in whatever order, no byte has two owners and the counters add up."""

from __future__ import annotations

import sys
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from memopt_cli.errors import ForeignHandle, PoolError, StaleHandle
from memopt_cli.pool.arrays import ArrayPool
from memopt_cli.pool.linear_algebra import matmul
from memopt_cli.pool.scratch import ScratchSpace
from memopt_cli.pool.tiers import Tier

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

KINDS = st.sampled_from(
    [(6, "u1"), ((6,), np.uint8), ((2, 3), "u1"), ((2, 3), "f4"), ((2, 3), np.float32), (24, "u1")]
)
BOUNDS = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 100))
VIEWS: list[Callable[[NDArray[Any]], NDArray[Any]]] = [
    lambda array: array[1:],
    lambda array: array[...],
    lambda array: array.T,
    lambda array: array[1:][:1],
    lambda array: np.asarray(array.data),
]


class ArrayPoolMachine(RuleBasedStateMachine):
    """Everybody writes a number of his own into what he holds, and must find it again."""

    def __init__(self) -> None:
        super().__init__()
        self.lent: list[tuple[NDArray[Any], int]] = []
        self.kept: list[tuple[NDArray[Any], int]] = []
        self.acquired = self.dropped_by_holder = 0
        self.seen = [0] * 6

    @initialize(bounds=BOUNDS)
    def start(self, bounds: tuple[int, int, int]) -> None:
        """Begin with any bounds that do not contradict each other."""
        self.pool = ArrayPool(**self.options(bounds))
        self.other = ArrayPool()

    def options(self, bounds: tuple[int, int, int]) -> dict[str, Any]:
        """Return options of a pool that keeps few arrays, so that all bounds are met."""
        small, large, self.max_idle_bytes = bounds
        tiers = (Tier(10, small, small), Tier(None, 0, large))
        return {"tiers": tiers, "max_idle_bytes": self.max_idle_bytes}

    @rule(kind=KINDS, zero=st.booleans())
    def acquire(self, kind: tuple[Any, Any], zero: bool) -> None:
        """An array is zeroed if it was asked for, and nobody else's."""
        array = self.pool.acquire(*kind, zero=zero)
        assert not zero or not array.any()
        self.acquired += 1
        number = self.acquired % 250 + 1
        array.fill(number)
        self.lent.append((array, number))

    @precondition(lambda self: self.lent)
    @rule(data=st.data(), keep=st.booleans(), view=st.sampled_from(VIEWS))
    def release(
        self, data: st.DataObject, keep: bool, view: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> None:
        """A release ends the loan once; what its holder keeps stays the holder's."""
        array, number = self.lent.pop(data.draw(st.integers(0, len(self.lent) - 1)))
        if keep:
            self.kept.append((view(array), number))
        self.pool.release(array)
        before = self.pool.stats()
        # Foreign where the pool kept nothing of it, and so knows nothing of it.
        with pytest.raises((StaleHandle, ForeignHandle)):
            self.pool.release(array)
        assert before == self.pool.stats()

    @precondition(lambda self: self.lent)
    @rule(data=st.data(), view=st.sampled_from(VIEWS))
    def release_a_view(
        self, data: st.DataObject, view: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> None:
        """A view of an array on loan ends no loan."""
        # By its place, because hypothesis keeps what it draws.
        array, _ = self.lent[data.draw(st.integers(0, len(self.lent) - 1))]
        before = self.pool.stats()
        with pytest.raises(ForeignHandle):
            self.pool.release(view(array))
        with pytest.raises(ForeignHandle):
            self.other.release(array)
        assert before == self.pool.stats()

    @precondition(lambda self: self.lent)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        """An array that its holder forgot is lent until the next sweep."""
        self.lent.pop(data.draw(st.integers(0, len(self.lent) - 1)))
        self.dropped_by_holder += 1

    @rule()
    def sweep(self) -> None:
        """A sweep takes back exactly what was forgotten."""
        assert self.dropped_by_holder == self.pool.sweep()
        self.dropped_by_holder = 0

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def let_go(self, data: st.DataObject) -> None:
        """A holder lets go of a view that outlived its release."""
        self.kept.pop(data.draw(st.integers(0, len(self.kept) - 1)))

    @rule(kind=KINDS, count=st.integers(0, 4))
    def prepare(self, kind: tuple[Any, Any], count: int) -> None:
        """As many are available as were asked for, or it is refused."""
        before = self.pool.stats()
        try:
            self.pool.prepare(*kind, count)
        except PoolError:
            assert before == self.pool.stats()

    @rule()
    def trim(self) -> None:
        """Nothing is idle after a trim."""
        self.pool.trim()
        assert self.pool.idle_bytes == self.pool.stats().available == 0

    @rule(bounds=BOUNDS)
    def configure(self, bounds: tuple[int, int, int]) -> None:
        """New bounds hold at once."""
        self.pool.configure(**self.options(bounds))

    @invariant()
    def nobody_writes_to_anothers_memory(self) -> None:
        """Everybody finds his number in all he holds."""
        for array, number in self.lent + self.kept:
            assert (array == number).all()

    @invariant()
    def counters_add_up(self) -> None:
        """They agree with what is really held, never fall, and are the sum over the shapes."""
        if not hasattr(self, "pool"):
            return
        stats = self.pool.stats()
        least = len(self.lent) + self.dropped_by_holder
        assert least <= stats.in_use <= least + len(self.kept)
        assert stats.in_use + stats.available == stats.total
        assert stats.allocated - stats.dropped - stats.discarded == stats.total
        assert self.acquired == stats.created + stats.reused
        assert stats.reuse_ratio is None or 0 <= stats.reuse_ratio <= 1
        seen = [stats.allocated, stats.created, stats.reused, stats.dropped, stats.discarded]
        seen.append(stats.reclaimed)
        assert all(now >= then >= 0 for now, then in zip(seen, self.seen, strict=True))
        self.seen = seen

    @invariant()
    def bounds_hold(self) -> None:
        """Idle arrays are few enough of each shape, and small enough together."""
        if not hasattr(self, "pool"):
            return
        available_bytes = 0
        for (shape, dtype), info in self.pool.info().items():
            assert info.max_size is not None
            assert info.stats.available <= info.max_size
            assert min(info.stats.in_use, info.stats.available) >= 0
            assert info.stats.total > 0
            available_bytes += info.stats.available * int(np.prod(shape)) * dtype.itemsize
        assert available_bytes <= self.pool.idle_bytes <= self.max_idle_bytes


TestArrayPool = ArrayPoolMachine.TestCase
TestArrayPool.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


class Guarded:
    """Passes everything on, and fails if that is done by a thread that does not hold *lock*."""

    def __init__(self, inner: object, lock: Any) -> None:
        self.inner, self.lock = inner, lock
        self.uses = 0

    def __getattr__(self, name: str) -> Any:
        assert self.lock._is_owned()
        self.uses += 1
        return getattr(self.inner, name)

    def __iter__(self) -> Any:
        return self.__getattr__("__iter__")()

    def __len__(self) -> Any:
        return self.__getattr__("__len__")()


ARRAY_POOL_USES: dict[str, Callable[[ArrayPool], object]] = {
    "acquire": lambda pool: pool.acquire(5),
    "release": lambda pool: pool.release(pool.acquire(5)),
    "prepare": lambda pool: pool.prepare(5),
    "sweep": lambda pool: (pool.acquire(5) is None, pool.sweep()),
    "trim": ArrayPool.trim,
    "stats": ArrayPool.stats,
    "info": ArrayPool.info,
    "idle_bytes": lambda pool: pool.idle_bytes,
    "configure": lambda pool: pool.configure(max_idle_bytes=5),
}


@pytest.mark.parametrize("use", ARRAY_POOL_USES.values(), ids=ARRAY_POOL_USES)
def test_an_array_pool_touches_its_shelves_under_the_lock(
    use: Callable[[ArrayPool], object],
) -> None:
    """Certainly, where threads would show it only now and then."""
    pool = ArrayPool()
    guarded: Any = Guarded(pool._rack, pool._lock)
    pool._rack = guarded

    use(pool)

    assert guarded.uses


def test_a_scratch_space_touches_its_buffers_under_the_lock() -> None:
    """Certainly, where threads would show it only now and then."""
    scratch = ScratchSpace()
    guarded: Any = Guarded(scratch._idle, scratch._lock)
    scratch._idle = guarded

    for _ in range(2):
        with scratch.lease(5):
            assert scratch.kept_bytes == 0
    scratch.configure(max_kept_bytes=10_000)
    assert scratch.stats().available == 1
    assert scratch.trim() == 4096

    assert guarded.uses


def run_in_threads(work: Callable[[int], None], threads: int = 10) -> None:
    """Run *work* in threads that start together and switch often; fail if one of them fails."""
    failures: list[BaseException] = []
    together = Barrier(threads)

    def run(number: int) -> None:
        together.wait()
        try:
            work(number)
        except BaseException as exc:  # noqa: BLE001 - reported in the main thread
            failures.append(exc)

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        running = [Thread(target=run, args=(number,)) for number in range(1, threads + 1)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    finally:
        sys.setswitchinterval(interval_s)
    assert failures == []


def test_ten_threads_share_an_array_pool() -> None:
    """Ten thousand leases by ten threads: zeroed at first, then each its own number."""
    pool = ArrayPool(tiers=(Tier(None, 2, 4),), max_idle_bytes=40_000)

    def work(number: int) -> None:
        for turn in range(1000):
            with pool.lease(100 + turn % 3 * 700, "u1") as array:
                assert not array.any()
                array.fill(number)
                assert (array == number).all()
            if turn % 100 == 50:
                pool.configure(max_idle_bytes=10_000 + 100 * turn)
                pool.trim()
                pool.sweep()

    run_in_threads(work)

    stats = pool.stats()
    assert (stats.in_use, stats.created + stats.reused) == (0, 10_000)
    assert stats.allocated - stats.dropped - stats.discarded == stats.total
    assert stats.reused > 0


def test_ten_threads_multiply_into_one_pool() -> None:
    """Each finds the product of its own operands, whoever had the array before."""
    pool = ArrayPool()
    identity = np.eye(8)

    def work(number: int) -> None:
        mine = np.full((8, 8), float(number))
        for _ in range(1000):
            result = matmul(mine, identity, out=pool)
            assert np.array_equal(mine, result)
            pool.release(result)

    run_in_threads(work)

    assert (pool.stats().in_use, pool.stats().created + pool.stats().reused) == (0, 10_000)
