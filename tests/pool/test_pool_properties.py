"""Whatever is done in whatever order, an object has one holder and the counters add up."""

from __future__ import annotations

import sys
from threading import Barrier, Thread
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from memopt_cli.errors import ForeignHandle, PoolExhausted, StaleHandle
from memopt_cli.pool import BufferPool, ConnectionPool, ObjectPool, handles

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = st.integers(0, 6)


class ResetError(Exception):
    """Raised by a reset that was told to fail."""


class Box:
    """A pooled object that knows its holder, and whether its reset fails."""

    def __init__(self) -> None:
        self.holder = 0
        self.cursed = False

    def clear(self) -> None:
        """Forget the holder, or fail."""
        if self.cursed:
            raise ResetError
        self.holder = 0


class PoolMachine(RuleBasedStateMachine):
    """Compares a pool with a plain dict of who holds what."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0
        self.held: dict[int, Box] = {}
        self.stale: list[int] = []
        self.other = ObjectPool(Box, size=1)

    @initialize(size=SIZES, idle=SIZES, live=SIZES)
    def start(self, size: int, idle: int, live: int) -> None:
        """Begin with any bounds that do not contradict each other."""
        self.max_size = size + idle
        self.limit = size + live
        self.pool = ObjectPool(
            self.make, Box.clear, size=size, max_size=self.max_size, limit=self.limit
        )

    def make(self) -> Box:
        """Count what the factory makes."""
        self.made += 1
        return Box()

    @rule()
    def acquire(self) -> None:
        """An acquire gives an object that nobody holds, or is refused at the limit."""
        before = self.pool.stats()
        try:
            handle = self.pool.acquire()
        except PoolExhausted:
            assert before.total >= self.limit
            assert before == self.pool.stats()
            return
        box = self.pool[handle]
        assert box.holder == 0
        assert all(box is not other for other in self.held.values())
        assert handle not in self.stale
        box.holder = handle
        self.held[handle] = box

    @precondition(lambda self: self.held)
    @rule(data=st.data(), cursed=st.booleans())
    def release(self, data: st.DataObject, cursed: bool) -> None:
        """A release ends the handle, whether the reset works or not."""
        handle = data.draw(st.sampled_from(sorted(self.held)))
        box = self.held.pop(handle)
        box.cursed = cursed
        if cursed:
            with pytest.raises(ResetError):
                self.pool.release(handle)
        else:
            self.pool.release(handle)
        self.stale.append(handle)

    @precondition(lambda self: self.stale)
    @rule(data=st.data())
    def release_stale(self, data: st.DataObject) -> None:
        """A stale handle neither reads nor releases, and changes nothing."""
        handle = data.draw(st.sampled_from(self.stale))
        before = self.pool.stats()
        with pytest.raises(StaleHandle):
            self.pool.release(handle)
        with pytest.raises(StaleHandle):
            self.pool[handle]
        assert before == self.pool.stats()

    @rule(bits=st.integers(0, 2**44 - 1))
    def release_foreign(self, bits: int) -> None:
        """A handle with another pool's tag is refused and changes nothing."""
        handle = self.other._tag << handles.TAG_SHIFT | bits
        before = self.pool.stats()
        with pytest.raises(ForeignHandle):
            self.pool.release(handle)
        assert before == self.pool.stats()

    @rule(size=SIZES, idle=SIZES, live=SIZES)
    def configure(self, size: int, idle: int, live: int) -> None:
        """New bounds hold at once."""
        self.max_size, self.limit = size + idle, size + live
        self.pool.configure(size=size, max_size=self.max_size, limit=self.limit)
        stats = self.pool.stats()
        assert max(size, stats.in_use) == stats.total

    @invariant()
    def counters_add_up(self) -> None:
        """The counters agree with what was really made, held and let go."""
        if not hasattr(self, "pool"):
            return
        stats = self.pool.stats()
        assert len(self.held) == stats.in_use
        assert stats.in_use + stats.available == stats.total
        assert self.made == stats.allocated
        assert stats.allocated - stats.dropped - stats.discarded == stats.total
        assert stats.available <= self.max_size
        assert stats.created <= stats.allocated
        assert stats.reuse_ratio is None or 0 <= stats.reuse_ratio <= 1

    @invariant()
    def holders_keep_their_objects(self) -> None:
        """Each handle still leads to the object it was given for."""
        for handle, box in self.held.items():
            assert box is self.pool[handle]
            assert handle == box.holder


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


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


def hold(pool: ObjectPool[Box], handle: int, number: int) -> None:
    """Use the object of *handle*, and fail if somebody else uses it too."""
    box = pool[handle]
    assert box.holder == 0
    box.holder = number
    assert number == box.holder
    pool.release(handle)


def test_ten_threads_share_an_object_pool() -> None:
    """Ten thousand operations by ten threads never give an object to two of them."""
    pool = ObjectPool(Box, Box.clear, size=4, max_size=6)

    def work(number: int) -> None:
        for _ in range(1000):
            hold(pool, pool.acquire(), number)

    run_in_threads(work)

    stats = pool.stats()
    assert (stats.in_use, stats.created + stats.reused) == (0, 10_000)
    assert stats.available <= 6
    assert stats.allocated - stats.dropped == stats.total


def test_ten_threads_share_a_connection_pool() -> None:
    """Owners that die in one thread are swept in another, each once."""
    pool = ConnectionPool(Box, Box.clear, size=4)

    class Owner:
        pass

    def work(number: int) -> None:
        for turn in range(1000):
            if turn % 2:
                pool.acquire(Owner())
                pool.sweep()
            else:
                hold(pool, pool.acquire(), number)

    run_in_threads(work)
    pool.sweep()

    stats = pool.stats()
    assert (stats.in_use, stats.reclaimed, stats.created + stats.reused) == (0, 5000, 10_000)
    assert stats.allocated == stats.total


def test_ten_threads_share_a_buffer_pool() -> None:
    """What a thread writes into its buffer is what it reads there."""
    pool = BufferPool(size=4, max_per_class=6)

    def work(number: int) -> None:
        for turn in range(1000):
            with pool.lease(1000 + turn * 20) as view:
                view[:] = bytes([number]) * len(view)
                assert view.tobytes().count(number) == len(view)

    run_in_threads(work)

    assert (pool.stats().in_use, pool.stats().created + pool.stats().reused) == (0, 10_000)
