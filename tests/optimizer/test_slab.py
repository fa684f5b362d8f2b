"""A slab gives each record to one holder, and refuses every handle that is not its holder's."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memopt_cli.errors import ForeignHandle, PoolError, PoolExhausted, StaleHandle
from memopt_cli.optimizer import StatePool, books, bulk, decode, encode
from memopt_cli.optimizer.forking import Locked, one_at_a_time
from memopt_cli.optimizer.records import RECORD_BYTES, WORDS
from memopt_cli.optimizer.slab import Slab
from memopt_cli.pool import PoolInfo, PoolStats

if TYPE_CHECKING:
    from collections.abc import Callable

SLOT = 1
GENERATION = 1 << 24
"""What a handle grows by when its slot, or its generation, does by one."""

NOT_HANDLES = [None, 1.5, "7", b"7", (), [], object(), float("nan")]
STRANGE = [0, 1, -1, True, False, 7, 2**60, 10**40, -(10**40), 0xFF_FFFF, 1 << 24, (1 << 24) - 1]

LOOKUPS: dict[str, Callable[[StatePool, Any], object]] = {
    "getitem": StatePool.__getitem__,
    "release": StatePool.release,
    "encode": encode,
    "release_many": lambda pool, handle: pool.release_many([handle]),
    "column": lambda pool, handle: pool.column("number", [handle]),
    "note_received_many": lambda pool, handle: pool.note_received_many([handle], [1], 1.0),
}


@pytest.fixture(params=LOOKUPS)
def look_up(request: pytest.FixtureRequest) -> Callable[[StatePool, Any], object]:
    """Return each way in which a handle is given to a pool."""
    return LOOKUPS[request.param]


def slot_of(handle: int) -> int:
    """Return the slot of a handle."""
    return int(handle) & 0xFF_FFFF


def test_the_first_acquire_is_no_reuse_and_the_next_is() -> None:
    """What was made ready beforehand is available, and becomes created when it is used."""
    pool = StatePool(size=2)
    assert PoolStats(available=2, allocated=2) == pool.stats()

    first = pool.acquire()
    assert PoolStats(in_use=1, available=1, allocated=2, created=1) == pool.stats()
    pool.release(first)
    pool.acquire()
    taken = [pool.acquire(), pool.acquire()]

    assert PoolStats(in_use=3, allocated=3, created=3, reused=1) == pool.stats()
    pool.release_many(taken)
    assert PoolStats(in_use=1, available=2, allocated=3, created=3, reused=1) == pool.stats()
    assert len(pool) == 1


def test_the_latest_released_record_is_the_next() -> None:
    """So a population that shrinks leaves the end of the memory unused."""
    pool = StatePool()
    handles = [pool.acquire() for _ in range(3)]
    pool.release(handles[2])
    pool.release(handles[0])

    assert [slot_of(handles[0]), slot_of(handles[2]), 3] == [slot_of(pool.acquire()) for _ in "abc"]


@pytest.mark.parametrize("numpy_type", [None, np.uint64, np.int64])
def test_batches_and_singles_take_from_the_same_records(numpy_type: type | None) -> None:
    """Handles of a batch work one by one, as numpy's integers or Python's."""
    pool = StatePool()
    handles = pool.acquire_many(5)
    assert handles.dtype == np.uint64
    first = handles[0].item() if numpy_type is None else numpy_type(handles[0])

    pool[first].received += 2
    assert pool[first].handle == first
    assert pool[first] == pool[decode(encode(pool, first), pool)]
    pool.release(first)
    with pytest.raises(StaleHandle):
        pool.release(first)

    assert (5, slot_of(first)) == (len(pool), slot_of(pool.acquire()))


@pytest.mark.parametrize("handle", NOT_HANDLES)
def test_what_is_no_integer_is_foreign(
    handle: object, look_up: Callable[[StatePool, Any], object]
) -> None:
    """A value that cannot be a handle changes nothing."""
    pool = StatePool(capacity=4)
    pool.acquire()
    before = pool.stats()

    with pytest.raises(ForeignHandle):
        look_up(pool, handle)

    assert before == pool.stats()


@pytest.mark.parametrize("capacity", [4, None])
@pytest.mark.parametrize("handle", STRANGE)
def test_no_other_integer_is_a_handle(
    handle: int, capacity: int | None, look_up: Callable[[StatePool, Any], object]
) -> None:
    """Negative, huge, boolean and beyond the last slot: foreign, and never another error."""
    pool = StatePool(capacity=capacity)
    pool.acquire()
    before = pool.stats()

    with pytest.raises(ForeignHandle):
        look_up(pool, handle)

    assert before == pool.stats()


def test_only_the_latest_handle_of_a_slot_opens_it(
    look_up: Callable[[StatePool, Any], object],
) -> None:
    """Earlier ones are stale; those of later holders, other slots and other pools are foreign."""
    pool, other = StatePool(capacity=4), StatePool(capacity=4)
    first = pool.acquire()
    pool.release(first)
    current = pool.acquire()
    before = pool.stats()

    with pytest.raises(StaleHandle) as stale:
        look_up(pool, first)
    for handle in (
        current + GENERATION,
        current + 2 * GENERATION,
        current + SLOT,
        current + 100 * SLOT,
        other.acquire(),
        current | 1 << 63,
    ):
        with pytest.raises(ForeignHandle) as foreign:
            look_up(pool, handle)
        assert foreign.value.hint

    assert stale.value.hint
    assert before == pool.stats()


def test_an_even_generation_is_nobodys(look_up: Callable[[StatePool, Any], object]) -> None:
    """The key of a record that is idle opens nothing."""
    pool = StatePool()
    handle = pool.acquire()
    pool.release(handle)

    with pytest.raises(ForeignHandle):
        look_up(pool, handle + GENERATION)


def test_a_batch_with_one_bad_handle_releases_nothing() -> None:
    """A stale, a foreign or a repeated handle leaves all others with their holders."""
    pool = StatePool()
    handles = pool.acquire_many(2000)
    stale, kept = handles[0], handles[1:]
    pool.release(stale)
    before = pool.stats()

    for bad, error in (
        (np.append(kept, stale), StaleHandle),
        (np.append(kept, kept[700]), StaleHandle),
        (np.append(kept[::-1], kept[-1]), StaleHandle),
        (np.append(kept, kept + np.uint64(GENERATION)), ForeignHandle),
        (kept.reshape(1, -1), ForeignHandle),
        (kept.astype(float), ForeignHandle),
        ([*kept.tolist(), None], ForeignHandle),
        ([*kept.tolist(), 2**70], ForeignHandle),
        ([kept.tolist(), [1]], ForeignHandle),
    ):
        with pytest.raises(error):
            pool.release_many(bad)
        assert before == pool.stats()

    pool.release_many(iter(kept.tolist()))
    pool.release_many([])
    assert (0, 2000) == (len(pool), pool.stats().available)


@pytest.mark.parametrize("apart", [1, 1 << 14, 1 << 15])
def test_repeats_are_found_whatever_looks_alike(apart: int) -> None:
    """Slots that share their lowest bits are no repeats, and do not hide one."""
    pool = StatePool(capacity=apart * 40)
    handles = pool.acquire_many(apart * 40)[::apart][:40]

    with pytest.raises(StaleHandle, match="is there twice"):
        pool.release_many(np.concatenate([handles[:5], handles, handles[20:21]]))

    pool.release_many(handles)
    assert len(pool) == apart * 40 - 40


@pytest.mark.parametrize("name", ["size", "limit", "capacity"])
@pytest.mark.parametrize("value", [-1, 1 << 25, 1.5, "7", True, float("nan"), [1]])
def test_bounds_are_integers_in_range(name: str, value: Any) -> None:
    """Anything else is refused, when the pool is made and later, and changes nothing."""
    with pytest.raises(PoolError, match=name) as caught:
        StatePool(**{name: value})
    assert caught.value.hint
    if name != "capacity":
        pool = StatePool(size=1, limit=2, capacity=3)
        with pytest.raises(PoolError, match=name):
            pool.configure(**{name: value})
        assert PoolInfo(1, None, 2, PoolStats(available=1, allocated=1)) == pool.info()


def test_bounds_do_not_contradict_each_other() -> None:
    """No more records are made ready than may be in use, and none beyond the capacity."""
    with pytest.raises(PoolError, match="size 3 is above limit 2"):
        StatePool(size=3, limit=2)
    with pytest.raises(PoolError, match="limit is 5"):
        StatePool(limit=5, capacity=4)
    with pytest.raises(PoolError, match="capacity is 0"):
        StatePool(capacity=0)
    pool = StatePool(size=2, limit=3, capacity=4)
    with pytest.raises(PoolError, match="size 4 is above limit 3"):
        pool.configure(size=4)
    with pytest.raises(TypeError):
        pool.configure(max_size=3)  # type: ignore[call-arg] # refused: that is tested

    assert (2, 3) == (pool.info().size, pool.info().limit)


def test_a_full_slab_refuses_until_one_is_released() -> None:
    """At the limit nothing is acquired, singly, in batches or by decoding."""
    pool = StatePool(capacity=3)
    taken = pool.acquire_many(3)
    data = encode(pool, int(taken[0]))
    before = pool.stats()

    for acquire in (
        pool.acquire,
        lambda: pool.acquire_many(1),
        lambda: pool.acquire_many(10**18),
        lambda: decode(data, pool),
    ):
        with pytest.raises(PoolExhausted) as caught:
            acquire()
        assert caught.value.hint
    assert before == pool.stats()

    pool.release(taken[1])
    with pytest.raises(PoolExhausted, match=r"2 records are in use, 2 more .* limit is 3"):
        pool.acquire_many(2)
    assert slot_of(taken[1]) == slot_of(decode(data, pool))


@pytest.mark.parametrize("count", [-1, 1.5, None, "3", True])
def test_a_batch_has_a_size(count: Any) -> None:
    """What is no number of records is refused, and none is acquired for zero."""
    pool = StatePool()

    if count is None:
        assert [] == pool.acquire_many(0).tolist()
    else:
        with pytest.raises(PoolError, match="count"):
            pool.acquire_many(count)

    assert PoolStats() == pool.stats()


def test_a_limit_below_what_is_in_use_takes_nothing_away() -> None:
    """Holders keep their records; until enough are released, nobody acquires."""
    pool = StatePool()
    taken = [pool.acquire() for _ in range(5)]
    pool.release(taken.pop())
    pool.configure(limit=2)

    for handle in taken[:2]:
        with pytest.raises(PoolExhausted):
            pool.acquire()
        with pytest.raises(PoolExhausted):
            pool.acquire_many(1)
        pool.release(handle)
    for acquire in (pool.acquire, lambda: pool.acquire_filled(0, b"")):
        with pytest.raises(PoolExhausted):
            acquire()
    pool.release(taken[2])
    again = pool.acquire()

    assert PoolStats(in_use=2, available=3, allocated=5, created=5, reused=1) == pool.stats()
    pool.configure(limit=3)
    assert slot_of(again) != slot_of(pool.acquire())


def test_size_grows_and_shrinks() -> None:
    """What is made ready is available; less of it is let go of, and counted."""
    pool = StatePool(size=5, capacity=10_000)
    taken = pool.acquire_many(2)
    pool.configure(size=9000)
    assert PoolStats(in_use=2, available=8998, allocated=9000, created=2) == pool.stats()

    pool.configure(size=1)

    assert PoolStats(2, 0, 9000, created=2, dropped=8998) == pool.stats()
    pool.release_many(taken)
    assert pool.acquire() < GENERATION << 20 << 12


def test_making_ready_does_not_touch_what_is_in_use() -> None:
    """Memory is provided behind the records that somebody has."""
    pool = StatePool()
    handle = pool.acquire()
    pool[handle].received = 7

    pool.configure(size=100_000)

    assert (7, 99_999) == (pool[handle].received, pool.stats().available)


def test_trim_returns_what_is_behind_the_last_record_in_use() -> None:
    """Idle records before it stay; handles of those behind are stale, whatever comes there."""
    pool = StatePool(size=1000)
    handles = pool.acquire_many(300)
    for handle in handles.tolist():
        pool[handle].number = 7
    pool.release_many(np.concatenate([handles[5:10], handles[100:]]))

    assert (900, 0) == (pool.trim(), pool.trim())

    assert PoolStats(95, 5, 1000, created=300, dropped=900) == pool.stats()
    assert pool.info().size == 100
    for handle in handles[100:].tolist():
        for look_up in LOOKUPS.values():
            with pytest.raises(StaleHandle):
                look_up(pool, handle)
    again = pool.acquire_many(205)
    assert set() == set(again.tolist()) & set(handles.tolist())
    assert {0} == set(pool.column("number", again).tolist())
    assert {7} == set(pool.column("number", np.delete(handles, np.r_[5:10, 100:300])).tolist())
    for handle in handles[100:].tolist():
        with pytest.raises(StaleHandle):
            pool[handle]


def test_a_pool_that_was_never_used_can_be_trimmed() -> None:
    """What was made ready is given back."""
    pool = StatePool(size=10)

    assert 10 == pool.trim()

    assert PoolStats(allocated=10, dropped=10) == pool.stats()
    assert (0, 1) == (pool.info().size, pool.acquire() & 1 << 24 and 1)


def test_a_used_up_slot_is_retired(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last handle is stale like all before, its memory is never another's, and it counts."""
    monkeypatch.setattr(books, "LAST_GENERATION", 5)
    monkeypatch.setattr(bulk, "WORN", 3)
    pool = StatePool(limit=2, capacity=4)
    used = []
    for _ in range(6):
        used.append(pool.acquire())
        pool[used[-1]].number = 7
        pool.release(used[-1])

    assert [0, 0, 0, 1, 1, 1] == [slot_of(handle) for handle in used]
    assert PoolStats(allocated=2, created=2, reused=4, discarded=2) == pool.stats()
    for handle in used:
        with pytest.raises(StaleHandle):
            pool[handle]
    assert 0 == pool.trim()
    pool.acquire_many(2)
    with pytest.raises(PoolExhausted):
        pool.acquire()
    assert len(used) == len(set(used))


def test_retired_slots_are_found_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch may use up some of its slots, with the same end, and a lowered limit holds."""
    monkeypatch.setattr(books, "LAST_GENERATION", 3)
    pool = StatePool(capacity=20)
    pool.release_many(pool.acquire_many(3))
    taken = pool.acquire_many(6)
    pool.configure(limit=4)

    pool.release_many(taken)

    assert PoolStats(0, 3, 6, created=6, reused=3, discarded=3) == pool.stats()
    assert [3, 4, 5] == sorted(slot_of(handle) for handle in pool.acquire_many(3).tolist())
    assert 6 == slot_of(pool.acquire())
    with pytest.raises(PoolExhausted):
        pool.acquire()


def test_worn_slots_are_not_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots that begin where a worn one ended would be used up at once, so it stays."""
    monkeypatch.setattr(bulk, "WORN", 10)
    pool = StatePool()
    first, worn, fresh = (pool.acquire() for _ in range(3))
    for _ in range(6):
        pool.release(worn)
        worn = pool.acquire()
    pool.release(worn)
    pool.release(fresh)

    assert 1 == pool.trim()
    pool.release(first)
    assert 0 == pool.trim()

    assert PoolStats(0, 2, 3, created=3, reused=6, dropped=1) == pool.stats()


def test_handles_are_those_in_use() -> None:
    """By slot, as an array that the batches take."""
    pool = StatePool()
    taken = [pool.acquire() for _ in range(10)]
    for handle in taken[::2]:
        pool.release(handle)

    assert taken[1::2] == pool.handles().tolist()
    pool.release_many(pool.handles())
    assert [] == pool.handles().tolist()


class Torn:
    """Keys of which the first half is copied, then something happens, then the rest is."""

    def __init__(self, keys: Any, between: Callable[[], object]) -> None:
        self.keys, self.between = keys, between

    def __getitem__(self, where: slice) -> Torn:
        return Torn(self.keys[where], self.between)

    def astype(self, kind: type) -> Any:
        """Copy them."""
        half = len(self.keys) // 2
        first = self.keys[:half].astype(kind)
        self.between()
        return np.concatenate([first, self.keys[half:].astype(kind)])


def test_handles_are_those_of_one_moment() -> None:
    """Numpy lets other threads run while it copies: no later acquire is there without the first."""
    pool, taken = StatePool(), list[int]()
    handles = pool.acquire_many(4).tolist()
    pool.release_many([*handles[1:], handles[0]])

    def acquire_two() -> None:
        if not taken:
            taken.extend([pool.acquire(), pool.acquire()])

    pool._views = pool.views()._replace(keys=Torn(pool.views().keys, acquire_two))  # type: ignore[arg-type] # a stand-in

    assert taken == pool.handles().tolist()
    assert [0, 3] == [slot_of(handle) for handle in taken]


def test_address_space_that_is_not_there_is_an_error() -> None:
    """With a hint, and without a pool."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 29, before[1]))
    try:
        with pytest.raises(PoolError, match="address space cannot be reserved") as caught:
            StatePool()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)

    assert caught.value.hint


def test_a_slab_alone_holds_nothing_beside_its_records() -> None:
    """What a record refers to is the business of those that know what is in it."""
    slab = Slab(size=0, limit=None, capacity=8)
    handle = slab.acquire_filled(1 << 4, bytes(range(52)))
    assert bytes(range(48)) == slab.memory[8:RECORD_BYTES]

    slab.release(handle)

    assert bytes(52) == slab.memory[4:RECORD_BYTES]
    assert (0, 1) == (len(slab), slab.stats().available)


def test_content_that_is_no_bytes_acquires_nothing() -> None:
    """The record goes back before the error is raised."""
    slab = Slab(size=0, limit=None, capacity=8)

    with pytest.raises(Exception, match="argument for 's' must be a bytes object"):
        slab.acquire_filled(0, memoryview(bytes(40)))  # type: ignore[arg-type] # that is tested

    assert (0, 1) == (len(slab), slab.stats().available)


def test_an_idle_record_is_all_zero_but_its_key() -> None:
    """Whatever the last holder had written, singly or in batches."""
    pool = StatePool(capacity=100)
    handles = pool.acquire_many(100)
    pool.memory[:] = b"".join(
        pool.memory[56 * slot : 56 * slot + 4] + bytes(4) + b"\xff" * 44 + bytes(4)
        for slot in range(100)
    )

    pool.release(handles[0])
    pool.release_many(handles[1:])

    words = np.frombuffer(pool.memory, np.uint32).reshape(-1, WORDS)
    assert not words[:, 1:].any()
    assert {int(words[0, 0])} == set(words[:, 0].tolist())
    assert 0 == words[0, 0] & 1


def test_a_trimmed_record_reads_as_zeros() -> None:
    """Its memory is the system's: see `test_state_pool` for how much that is."""
    pool = StatePool()
    handles = pool.acquire_many(1000)
    pool.release_many(handles[1:])

    pool.trim()

    assert bytes(900 * RECORD_BYTES) == pool.memory[100 * RECORD_BYTES : 1000 * RECORD_BYTES]
    assert pool.memory[0:4] != bytes(4)


def test_threads_that_run_at_once_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes no lock elsewhere takes it in a free-threaded interpreter."""

    def has_lock(owner: Locked) -> bool:
        """Say whether the caller has the lock."""
        owned: bool = owner._lock._is_owned()  # type: ignore[attr-defined] # for `Condition`
        return owned

    pool = Slab(size=0, limit=None, capacity=8)
    assert not one_at_a_time(has_lock)(pool)

    monkeypatch.setattr(sys, "_is_gil_enabled", bool, raising=False)

    assert one_at_a_time(has_lock)(pool)


def test_pools_come_and_go() -> None:
    """A pool that nobody refers to returns its memory, its views included."""
    before = sys.getallocatedblocks()
    for _ in range(300):
        pool = StatePool(size=100)
        pool.release_many(pool.acquire_many(5))
        del pool

    assert sys.getallocatedblocks() - before < 3000
