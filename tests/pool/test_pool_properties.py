"""Whatever is done in whatever order, a pool agrees with a plain model of it."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from memopt_cli.errors import ForeignHandle, PoolExhausted, StaleHandle
from memopt_cli.pool import BufferPool, ConnectionPool, ObjectPool, PoolStats, handles

if TYPE_CHECKING:
    from memopt_cli.pool import Buffer

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


class Owner:
    """Somebody who may die."""


class ObjectPoolMachine(RuleBasedStateMachine):
    """Compares a pool with two queues of boxes and a dict of who holds which."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[Box] = []
        self.fresh: deque[Box] = deque()
        self.idle: deque[Box] = deque()
        self.held: dict[int, Box] = {}
        self.stale: list[int] = []
        self.expected = PoolStats()
        self.other = ObjectPool(Box, size=1)

    @initialize(size=SIZES, idle=SIZES, live=SIZES)
    def start(self, size: int, idle: int, live: int) -> None:
        """Begin with any bounds that do not contradict each other."""
        self.max_size, self.limit = size + idle, size + live
        self.pool = self.new_pool(size)
        self.fresh.extend(self.made)
        self.count(allocated=size)

    def new_pool(self, size: int) -> ObjectPool[Box]:
        """Return the pool under test."""
        return ObjectPool(self.make, Box.clear, size=size, max_size=self.max_size, limit=self.limit)

    def make(self) -> Box:
        """Remember what the factory makes."""
        self.made.append(Box())
        return self.made[-1]

    def count(self, **more: int) -> None:
        """Add to the counters of the model."""
        self.expected = self.expected + PoolStats(**more)

    def live(self) -> int:
        """Return how many boxes there are in the model."""
        return len(self.fresh) + len(self.idle) + len(self.held)

    def take(self) -> Box | None:
        """Return the box that the model hands out next, or None for a new one."""
        if self.fresh:
            self.count(created=1)
            return self.fresh.popleft()
        if self.idle:
            self.count(reused=1)
            return self.idle.popleft()
        self.count(created=1, allocated=1)
        return None

    def hold(self, handle: int, expected: Box | None) -> None:
        """Note who has the box, after checking that it is the right one and nobody has it."""
        box = self.pool[handle]
        assert box is (expected or self.made[-1])
        assert box.holder == 0
        assert handle not in self.stale
        box.holder = handle
        self.held[handle] = box

    def give_back(self, box: Box) -> None:
        """Put a box into the model, and let it go if that is one too many."""
        self.idle.append(box)
        if len(self.fresh) + len(self.idle) > self.max_size or self.live() > self.limit:
            self.idle.pop()
            self.count(dropped=1)

    @rule()
    def acquire(self) -> None:
        """An acquire gives the box that waited longest, or is refused at the limit."""
        if self.fresh or self.idle or self.live() < self.limit:
            expected = self.take()
            self.hold(self.pool.acquire(), expected)
        else:
            with pytest.raises(PoolExhausted):
                self.pool.acquire()

    @rule()
    def adopt(self) -> None:
        """A box from elsewhere is counted and bounded like the others."""
        box = Box()
        if self.live() < self.limit:
            self.count(created=1, allocated=1)
            self.hold(self.pool.adopt(box), box)
        else:
            with pytest.raises(PoolExhausted):
                self.pool.adopt(box)

    @rule(count=st.integers(0, 5))
    def acquire_many(self, count: int) -> None:
        """Either all are acquired, or nothing has changed."""
        new = max(0, count - len(self.fresh) - len(self.idle))
        if new and self.live() + new > self.limit:
            with pytest.raises(PoolExhausted):
                self.pool.acquire_many(count)
            return
        expected = [self.take() for _ in range(count)]
        taken = self.pool.acquire_many(count)
        made = iter(self.made[len(self.made) - new :])
        for handle, box in zip(taken, expected, strict=True):
            self.hold(handle, box or next(made))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), cursed=st.booleans())
    def release(self, data: st.DataObject, cursed: bool) -> None:
        """A release ends the handle, whether the reset works or not."""
        handle = data.draw(st.sampled_from(sorted(self.held)))
        box = self.held.pop(handle)
        self.stale.append(handle)
        box.cursed = cursed
        if cursed:
            self.count(discarded=1)
            with pytest.raises(ResetError):
                self.pool.release(handle)
        else:
            self.give_back(box)
            self.pool.release(handle)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), spoil=st.sampled_from(["nothing", "double", "stale", "foreign"]))
    def release_many(self, data: st.DataObject, spoil: str) -> None:
        """One bad handle among good ones, and nothing has changed."""
        subset = st.lists(st.sampled_from(sorted(self.held)), unique=True)
        taken = data.draw(subset)
        bad = {"double": taken[:1], "stale": self.stale[-1:], "foreign": [7]}.get(spoil, [])
        if bad:
            with pytest.raises((StaleHandle, ForeignHandle)):
                self.pool.release_many(taken + bad)
            return
        for handle in taken:
            self.idle.append(self.held.pop(handle))
        self.stale += taken
        while len(self.idle) and (
            len(self.fresh) + len(self.idle) > self.max_size or self.live() > self.limit
        ):
            self.idle.pop()
            self.count(dropped=1)
        self.pool.release_many(taken)

    @precondition(lambda self: self.stale)
    @rule(data=st.data())
    def release_stale(self, data: st.DataObject) -> None:
        """A stale handle neither reads nor releases."""
        handle = data.draw(st.sampled_from(self.stale))
        with pytest.raises(StaleHandle):
            self.pool.release(handle)
        with pytest.raises(StaleHandle):
            self.pool[handle]

    @rule(bits=st.integers(0, 2**44 - 1))
    def release_foreign(self, bits: int) -> None:
        """A handle with another pool's tag is refused."""
        with pytest.raises(ForeignHandle):
            self.pool.release(self.other._tag << handles.TAG_SHIFT | bits)

    @rule(slot=st.integers(0, 20), generation=st.integers(0, 40))
    def release_forged(self, slot: int, generation: int) -> None:
        """A handle that was made up is refused, even the one that comes next."""
        handle = self.pool._tag << handles.TAG_SHIFT | generation << handles.SLOT_BITS | slot
        if handle not in self.held:
            with pytest.raises((ForeignHandle, StaleHandle)):
                self.pool.release(handle)
            with pytest.raises((ForeignHandle, StaleHandle)):
                self.pool[handle]

    @rule(size=SIZES, idle=SIZES, live=SIZES)
    def configure(self, size: int, idle: int, live: int) -> None:
        """New bounds hold at once: boxes are made, or those idle longest are dropped."""
        self.max_size, self.limit = size + idle, size + live
        before = len(self.made)
        missing = max(0, size - self.live())
        self.pool.configure(size=size, max_size=self.max_size, limit=self.limit)
        assert before + missing == len(self.made)
        self.fresh.extend(self.made[before:])
        self.count(allocated=missing)
        while self.live() > size and (self.fresh or self.idle):
            (self.fresh or self.idle).popleft()
            self.count(dropped=1)

    @invariant()
    def counters_agree(self) -> None:
        """Every counter is the model's, and the sums hold."""
        if not hasattr(self, "pool"):
            return
        stats = self.pool.stats()
        idle = len(self.fresh) + len(self.idle)
        assert replace(self.expected, in_use=len(self.held), available=idle) == stats
        assert stats.in_use + stats.available == stats.total == self.live()
        assert stats.available <= self.max_size
        assert stats.reuse_ratio is None or 0 <= stats.reuse_ratio <= 1

    @invariant()
    def holders_keep_their_objects(self) -> None:
        """Each handle still leads to the box it was given for, and no box has two holders."""
        for handle, box in self.held.items():
            assert box is self.pool[handle]
            assert handle == box.holder


class ConnectionPoolMachine(RuleBasedStateMachine):
    """Compares a pool with a dict of owners, some of whom die."""

    def __init__(self) -> None:
        super().__init__()
        self.owners: dict[int, Owner | None] = {}
        self.orphans: set[int] = set()
        self.stale: list[int] = []
        self.reclaimed = self.acquired = 0

    @initialize(size=SIZES, idle=SIZES, live=SIZES)
    def start(self, size: int, idle: int, live: int) -> None:
        """Begin with any bounds that do not contradict each other."""
        self.max_size, self.limit = size + idle, size + live
        self.pool = ConnectionPool(
            Box, Box.clear, size=size, max_size=self.max_size, limit=self.limit
        )

    def taken(self) -> list[int]:
        """Return the handles in use, those of dead owners included."""
        return sorted([*self.owners, *self.orphans])

    @rule(owned=st.booleans(), same=st.booleans())
    def acquire(self, owned: bool, same: bool) -> None:
        """Acquire for nobody, for a new owner, or for one who has a connection already."""
        known = [owner for owner in self.owners.values() if owner is not None]
        owner = (known[0] if same and known else Owner()) if owned else None
        known.clear()
        before = self.pool.stats()
        if before.available == 0 and before.total >= self.limit:
            with pytest.raises(PoolExhausted):
                self.pool.acquire(owner)
            assert before == self.pool.stats()
            return
        handle = self.pool.acquire(owner)
        box = self.pool[handle]
        assert box.holder == 0
        box.holder = handle
        self.owners[handle] = owner
        self.acquired += 1

    @precondition(lambda self: any(self.owners.values()))
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """All connections of an owner who dies are orphans until the next sweep."""
        owned = sorted(handle for handle, owner in self.owners.items() if owner is not None)
        owner = self.owners[data.draw(st.sampled_from(owned))]
        mine = {handle for handle, other in self.owners.items() if other is owner}
        for handle in mine:
            del self.owners[handle]
        self.orphans |= mine
        del owner

    @precondition(lambda self: self.owners or self.orphans)
    @rule(data=st.data(), many=st.booleans(), cursed=st.booleans())
    def release(self, data: st.DataObject, many: bool, cursed: bool) -> None:
        """Whoever has the handle may release it, also a dead owner's, until the sweep."""
        handle = data.draw(st.sampled_from(self.taken()))
        self.pool[handle].cursed = cursed
        try:
            if many:
                self.pool.release_many([handle])
            else:
                self.pool.release(handle)
        except (ResetError, ExceptionGroup):
            assert cursed
        else:
            assert not cursed
        self.owners.pop(handle, None)
        self.orphans.discard(handle)
        self.stale.append(handle)

    @precondition(lambda self: self.owners and self.stale)
    @rule()
    def refused_together(self) -> None:
        """A refused batch leaves all owners in place."""
        before = self.pool.stats()
        with pytest.raises(StaleHandle):
            self.pool.release_many([*self.owners, self.stale[0]])
        assert before == self.pool.stats()

    @precondition(lambda self: self.stale)
    @rule(data=st.data())
    def release_stale(self, data: st.DataObject) -> None:
        """A stale handle changes nothing, and takes no owner away from the slot's next one."""
        before = self.pool.stats()
        with pytest.raises(StaleHandle):
            self.pool.release(data.draw(st.sampled_from(self.stale)))
        assert before == self.pool.stats()

    @rule(cursed=st.booleans())
    def sweep(self, cursed: bool) -> None:
        """One sweep takes back all orphans, and nothing else."""
        for handle in self.orphans:
            self.pool[handle].cursed = cursed
        if cursed and self.orphans:
            with pytest.raises(ExceptionGroup):
                self.pool.sweep()
        else:
            assert len(self.orphans) == self.pool.sweep()
        assert self.pool.sweep() == 0
        self.reclaimed += len(self.orphans)
        self.stale += self.orphans
        self.orphans.clear()

    @rule(size=SIZES, idle=SIZES, live=SIZES)
    def configure(self, size: int, idle: int, live: int) -> None:
        """New bounds hold at once."""
        self.max_size, self.limit = size + idle, size + live
        self.pool.configure(size=size, max_size=self.max_size, limit=self.limit)
        stats = self.pool.stats()
        assert max(size, stats.in_use) == stats.total

    @invariant()
    def counters_add_up(self) -> None:
        """The counters agree with who has what."""
        if not hasattr(self, "pool"):
            return
        stats = self.pool.stats()
        assert len(self.owners) + len(self.orphans) == stats.in_use
        assert stats.in_use + stats.available == stats.total
        assert stats.allocated - stats.dropped - stats.discarded == stats.total
        assert stats.available <= self.max_size
        assert self.acquired == stats.created + stats.reused
        assert stats.created <= stats.allocated
        assert self.reclaimed == stats.reclaimed

    @invariant()
    def holders_keep_their_objects(self) -> None:
        """Each handle in use leads to its box; no box has two."""
        for handle in self.taken():
            assert handle == self.pool[handle].holder


class BufferPoolMachine(RuleBasedStateMachine):
    """Compares a pool of three classes with what was written into each buffer."""

    classes = (4, 16, 64)

    def __init__(self) -> None:
        super().__init__()
        self.held: list[tuple[Buffer, bytes]] = []
        self.parts: list[tuple[memoryview, bytes]] = []
        self.released: list[Buffer] = []
        self.written = self.discarded = 0

    @initialize(size=SIZES, more=SIZES, zero=st.booleans())
    def start(self, size: int, more: int, zero: bool) -> None:
        """Begin with any bounds that do not contradict each other."""
        self.size, self.most, self.zero = size, size + more, zero
        self.pool = BufferPool(
            default_size=16, classes=self.classes, size=size, max_per_class=self.most, zero=zero
        )
        self.other = BufferPool(default_size=16, classes=self.classes)

    @rule(size=st.one_of(st.none(), st.integers(1, 80)))
    def acquire(self, size: int | None) -> None:
        """A buffer has the length asked for, and is nobody else's."""
        buffer = self.pool.acquire(size)
        wanted = 16 if size is None else size
        capacity = next((each for each in self.classes if each >= wanted), wanted)
        assert (wanted, capacity) == (len(buffer.view), buffer.capacity_bytes)
        assert all(buffer.view.obj is not other.view.obj for other, _ in self.held)
        assert all(buffer.view.obj is not part.obj for part, _ in self.parts)
        if self.zero:
            assert bytes(wanted) == buffer.view.tobytes()
        self.written += 1
        content = bytes([self.written % 255 + 1]) * wanted
        buffer.view[:] = content
        self.held.append((buffer, content))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), keep=st.booleans())
    def release(self, data: st.DataObject, keep: bool) -> None:
        """A buffer of which a part is kept is discarded, any other comes back."""
        buffer, content = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        if keep:
            self.parts.append((buffer.view[:2], content[:2]))
            self.discarded += 1
        self.pool.release(buffer)
        self.released.append(buffer)

    @precondition(lambda self: self.released)
    @rule(data=st.data())
    def release_again(self, data: st.DataObject) -> None:
        """A second release changes nothing."""
        before = self.pool.stats()
        with pytest.raises(StaleHandle):
            self.pool.release(data.draw(st.sampled_from(self.released)))
        assert before == self.pool.stats()

    @rule(size=st.integers(1, 80))
    def release_foreign(self, size: int) -> None:
        """Another pool's buffer is refused, and stays valid."""
        before = self.pool.stats()
        with self.other.lease(size) as view:
            buffer = self.other.acquire(size)
            with pytest.raises(ForeignHandle):
                self.pool.release(buffer)
            assert size == len(buffer.view) == len(view)
            self.other.release(buffer)
        assert before == self.pool.stats()

    @rule(size=SIZES, more=SIZES, zero=st.booleans())
    def configure(self, size: int, more: int, zero: bool) -> None:
        """New bounds hold at once, and are visible."""
        self.size, self.most, self.zero = size, size + more, zero
        self.pool.configure(size=size, max_per_class=self.most, zero=zero)
        info = self.pool.info()[16]
        assert (size, self.most) == (info.size, info.max_size)
        assert max(size, info.stats.in_use) == info.stats.total

    @invariant()
    def counters_add_up(self) -> None:
        """The counters agree with who has what, in all classes together and in each."""
        if not hasattr(self, "pool"):
            return
        stats = self.pool.stats()
        assert len(self.held) == stats.in_use
        assert self.written == stats.created + stats.reused
        assert self.discarded == stats.discarded
        assert stats.allocated - stats.dropped - stats.discarded == stats.total
        for info in self.pool.info().values():
            assert info.stats.available <= self.most
        assert self.pool.oversize_stats().available == 0

    @invariant()
    def bytes_stay_as_written(self) -> None:
        """Nobody else writes into a buffer in use, nor into a part that was kept."""
        for buffer, content in self.held:
            assert content == buffer.view.tobytes()
        for part, content in self.parts:
            assert content == part.tobytes()


TestObjectPool = ObjectPoolMachine.TestCase
TestConnectionPool = ConnectionPoolMachine.TestCase
TestBufferPool = BufferPoolMachine.TestCase
