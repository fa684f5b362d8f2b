"""An object pool gives each object to one holder, and refuses everything else."""

from __future__ import annotations

import sys
from contextlib import suppress
from itertools import count

import pytest

from memopt_cli.errors import ForeignHandle, PoolError, PoolExhausted, StaleHandle
from memopt_cli.pool import ObjectPool, PoolStats, handles


class Record:
    """A pooled object with something to forget."""

    def __init__(self) -> None:
        self.owner = ""

    def clear(self) -> None:
        """Forget the owner."""
        self.owner = ""


def pool_of(size: int = 0, **bounds: int | None) -> ObjectPool[Record]:
    """Return a pool of records that are cleared on release."""
    return ObjectPool(Record, Record.clear, size=size, **bounds)


def test_preallocated_objects_are_available() -> None:
    """After the start, as many objects are available as were asked for."""
    assert PoolStats(available=5, allocated=5) == pool_of(5).stats()


def test_one_acquire_beyond_the_preallocated_makes_exactly_one() -> None:
    """The factory is called when, and only when, nothing is idle."""
    pool = pool_of(5)

    for _ in range(6):
        pool.acquire()

    assert PoolStats(in_use=6, allocated=6, created=6) == pool.stats()


def test_the_object_idle_longest_comes_first() -> None:
    """Objects are handed out in the order of their release."""
    numbers = count()
    pool: ObjectPool[int] = ObjectPool(lambda: next(numbers), size=3)
    taken = [pool.acquire() for _ in range(3)]
    order = [pool[handle] for handle in taken]

    for handle in (taken[1], taken[2], taken[0]):
        pool.release(handle)

    assert order == [0, 1, 2]
    assert [pool[pool.acquire()] for _ in range(3)] == [1, 2, 0]


def test_a_released_object_is_reused_and_empty() -> None:
    """The next holder gets the same object, without anything of the last one."""
    pool = pool_of()
    first = pool.acquire()
    record = pool[first]
    record.owner = "alice"
    pool.release(first)

    second = pool.acquire()

    assert record is pool[second]
    assert not pool[second].owner
    assert (pool.stats().created, pool.stats().reused) == (1, 1)


def test_the_reset_happens_on_release() -> None:
    """An idle object holds nothing either."""
    pool = pool_of()
    handle = pool.acquire()
    record = pool[handle]
    record.owner = "alice"

    pool.release(handle)

    assert not record.owner


def test_first_use_of_a_preallocated_object_is_not_reuse() -> None:
    """Only an object that somebody had before counts as reused."""
    pool = pool_of(2)

    for _ in range(3):
        pool.release(pool.acquire())

    assert (pool.stats().created, pool.stats().reused) == (2, 1)
    assert pool.stats().reuse_ratio == pytest.approx(1 / 3)


def test_idle_objects_beyond_the_maximum_are_dropped_on_release() -> None:
    """The maximum is enforced when objects come back."""
    pool = pool_of(max_size=2)

    for handle in [pool.acquire() for _ in range(5)]:
        pool.release(handle)

    assert PoolStats(available=2, allocated=5, created=5, dropped=3) == pool.stats()


def test_the_limit_refuses_and_changes_nothing() -> None:
    """An acquire beyond the limit is an error with a hint, and no counter moves."""
    pool = pool_of(limit=2)
    pool.acquire()
    pool.acquire()
    before = pool.stats()

    with pytest.raises(PoolExhausted, match="all 2 objects are in use") as caught:
        pool.acquire()

    assert "configure(limit=...)" in caught.value.hint
    assert before == pool.stats()


def test_a_second_release_is_stale() -> None:
    """Releasing twice is refused and changes no counter."""
    pool = pool_of()
    handle = pool.acquire()
    pool.release(handle)
    before = pool.stats()

    with pytest.raises(StaleHandle):
        pool.release(handle)

    assert before == pool.stats()


def test_a_stale_handle_reads_nothing() -> None:
    """The old handle stays refused when its slot has another holder."""
    pool = pool_of()
    old = pool.acquire()
    pool.release(old)
    new = pool.acquire()

    with pytest.raises(StaleHandle):
        pool[old]
    with pytest.raises(StaleHandle):
        pool.release(old)

    assert isinstance(pool[new], Record)


@pytest.mark.parametrize("garbage", [-1, 0, 1, True, 2**59, 2**64, 2**200, "7", None, 1.5])
def test_garbage_is_foreign(garbage: object) -> None:
    """What is no handle at all is refused and changes no counter."""
    pool = pool_of(2)
    pool.acquire()
    before = pool.stats()

    with pytest.raises(ForeignHandle):
        pool.release(garbage)  # type: ignore[arg-type] # refused: that is tested

    assert before == pool.stats()


def test_a_handle_of_another_pool_is_foreign() -> None:
    """A pool knows its own handles, even for the same slot and generation."""
    pool, other = pool_of(), pool_of()
    pool.acquire()
    before = pool.stats()

    with pytest.raises(ForeignHandle):
        pool.release(other.acquire())

    assert before == pool.stats()


@pytest.mark.parametrize("ahead", [1, 2, 3])
def test_a_handle_not_given_out_yet_is_foreign(ahead: int) -> None:
    """Guessing a later generation of a slot does not help."""
    pool = pool_of()
    handle = pool.acquire()

    with pytest.raises(ForeignHandle):
        pool[handle + (ahead << handles.SLOT_BITS)]


def test_the_next_handle_of_an_idle_slot_is_foreign() -> None:
    """Nobody can use a handle before it is given out."""
    pool = pool_of()
    handle = pool.acquire()
    pool.release(handle)
    before = pool.stats()

    with pytest.raises(ForeignHandle, match="never given out"):
        pool[handle + (2 << handles.SLOT_BITS)]
    with pytest.raises(ForeignHandle, match="never given out"):
        pool.release(handle + (2 << handles.SLOT_BITS))

    assert before == pool.stats()
    assert handle + (2 << handles.SLOT_BITS) == pool.acquire()


def test_a_handle_fits_sixty_bits() -> None:
    """The largest handle there can be is a positive int of 60 bits."""
    assert handles.SLOT_BITS + handles.GENERATION_BITS + handles.TAG_BITS == 60
    assert 0 < pool_of().acquire() < 2**60


def test_a_slot_without_generations_left_is_retired(monkeypatch: pytest.MonkeyPatch) -> None:
    """No generation is ever used twice, and the object moves to a fresh slot."""
    monkeypatch.setattr(handles, "LAST_GENERATION", 3)
    pool = pool_of()
    record = None
    seen = set()

    for _ in range(20):
        handle = pool.acquire()
        record = record or pool[handle]
        assert record is pool[handle]
        seen.add(handle)
        pool.release(handle)

    assert len(seen) == 20
    assert PoolStats(available=1, allocated=1, created=1, reused=19) == pool.stats()
    for handle in seen:
        with pytest.raises(StaleHandle):
            pool[handle]


def test_a_retired_slot_of_a_dropped_object_stays_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dropped object's slot is used again only while it has generations."""
    monkeypatch.setattr(handles, "LAST_GENERATION", 1)
    pool = pool_of(max_size=0)

    slots = set()
    for _ in range(3):
        handle = pool.acquire()
        slots.add(handle & handles.SLOT_MASK)
        pool.release(handle)

    assert {0, 1, 2} == slots


def test_an_object_whose_reset_fails_is_discarded() -> None:
    """It is never handed out again, the counters are exact, and the error is the caller's."""

    def fail(_: Record) -> None:
        raise RuntimeError("half reset")

    pool = ObjectPool(Record, fail)
    handle = pool.acquire()
    record = pool[handle]

    with pytest.raises(RuntimeError, match="half reset"):
        pool.release(handle)
    with pytest.raises(StaleHandle):
        pool.release(handle)

    assert PoolStats(allocated=1, created=1, discarded=1) == pool.stats()
    assert record is not pool[pool.acquire()]


def test_a_factory_that_fails_changes_nothing() -> None:
    """An acquire whose object could not be made counts as nothing."""

    def fail() -> Record:
        raise OSError("no more descriptors")

    pool = ObjectPool(fail, limit=1)

    for _ in range(2):
        with pytest.raises(OSError, match="no more descriptors"):
            pool.acquire()

    assert PoolStats() == pool.stats()


def test_a_reset_may_use_its_pool() -> None:
    """The handle is stale while its reset runs, and the pool is in order."""
    pool: ObjectPool[list[int]] = ObjectPool(list)
    inner: list[int] = []

    def reset(_: list[int]) -> None:
        if not inner:
            inner.append(pool.acquire())

    pool._reset = reset
    handle = pool.acquire()
    pool.release(handle)

    assert pool[inner[0]] is not None
    assert (pool.stats().in_use, pool.stats().available, pool.stats().allocated) == (1, 1, 2)


def test_a_lease_releases_after_an_exception() -> None:
    """However the `with` ends, the object comes back, reset."""
    pool = pool_of()

    with suppress(ZeroDivisionError), pool.lease() as record:
        record.owner = "alice"
        raise ZeroDivisionError

    assert not record.owner
    assert PoolStats(available=1, allocated=1, created=1) == pool.stats()


def test_an_adopted_object_is_one_of_the_pools() -> None:
    """What was made elsewhere is counted, bounded and reused like the others."""
    pool = pool_of(limit=1)
    record = Record()

    handle = pool.adopt(record)
    with pytest.raises(PoolExhausted):
        pool.adopt(Record())
    pool.release(handle)

    assert record is pool[pool.acquire()]


def test_growing_makes_objects_at_once() -> None:
    """A larger size is real as soon as it is configured, and visible."""
    pool = pool_of(2)
    pool.acquire()

    pool.configure(size=10)

    info = pool.info()
    assert (info.size, info.stats.total, info.stats.available) == (10, 10, 9)


def test_shrinking_drops_idle_objects_at_once() -> None:
    """A smaller size lets idle objects go, and leaves the others with their holders."""
    pool = pool_of(10)
    held = [pool.acquire() for _ in range(4)]

    pool.configure(size=2)

    assert (pool.stats().in_use, pool.stats().available, pool.stats().dropped) == (4, 0, 6)
    assert all(isinstance(pool[handle], Record) for handle in held)


def test_a_smaller_maximum_and_limit_hold_at_once_and_later() -> None:
    """New bounds apply to what is idle now and to what comes back."""
    pool = pool_of(4)
    held = [pool.acquire() for _ in range(3)]

    pool.configure(size=0, max_size=2, limit=2)
    for handle in held:
        pool.release(handle)

    assert (pool.stats().in_use, pool.stats().available, pool.stats().dropped) == (0, 2, 2)


def test_an_unknown_key_is_an_error() -> None:
    """A misspelled setting is refused, not ignored."""
    with pytest.raises(TypeError, match="maxsize"):
        pool_of().configure(maxsize=3)  # type: ignore[call-arg] # refused: that is tested


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": -1}, "size is -1"),
        ({"max_size": -1}, "max_size is -1"),
        ({"limit": 2**24 + 1}, "limit is 16,777,217"),
        ({"size": 9}, "size 9 is above max_size 8"),
        ({"limit": 3}, "size 4 is above limit 3"),
    ],
)
def test_impossible_settings_change_nothing(change: dict[str, int], message: str) -> None:
    """Bounds that contradict each other are refused with a hint."""
    pool = pool_of(4, max_size=8)
    before = pool.info()

    with pytest.raises(PoolError, match=message) as caught:
        pool.configure(**change)

    assert caught.value.hint
    assert before == pool.info()


def test_a_factory_that_fails_while_growing_changes_nothing() -> None:
    """Either all new objects are made, or the pool is as it was."""
    budget = iter([Record(), Record(), Record()])
    pool: ObjectPool[Record] = ObjectPool(lambda: next(budget), size=2)
    before = pool.info()

    with pytest.raises(StopIteration):
        pool.configure(size=5)

    assert before == pool.info()


def test_a_bound_can_be_removed() -> None:
    """None given is no bound; nothing given is no change."""
    pool = pool_of(max_size=1, limit=3)

    pool.configure(max_size=None)

    assert (pool.info().max_size, pool.info().limit) == (None, 3)


def test_unused_objects_come_before_released_ones() -> None:
    """What configure makes has nobody's traces, and is handed out first."""
    numbers = count()
    pool: ObjectPool[int] = ObjectPool(lambda: next(numbers), size=1)
    pool.release(pool.acquire())

    pool.configure(size=3)

    assert [1, 2, 0] == [pool[pool.acquire()] for _ in range(3)]
    assert (3, 1) == (pool.stats().created, pool.stats().reused)


def test_shrinking_drops_those_idle_longest() -> None:
    """What was released last is what stays."""
    numbers = count()
    pool: ObjectPool[int] = ObjectPool(lambda: next(numbers), size=3)
    for handle in reversed(pool.acquire_many(3)):
        pool.release(handle)

    pool.configure(size=1)

    assert pool[pool.acquire()] == 0


def test_shrinking_drops_unused_objects_before_released_ones() -> None:
    """They would have been handed out first."""
    numbers = count()
    pool: ObjectPool[int] = ObjectPool(lambda: next(numbers), size=2)
    pool.release(pool.acquire())

    pool.configure(size=1)

    assert pool[pool.acquire()] == 0
    assert PoolStats(in_use=1, allocated=2, created=1, reused=1, dropped=1) == pool.stats()


def test_many_are_acquired_in_order_and_released_together() -> None:
    """A batch is what as many single calls would have given."""
    numbers = count()
    pool: ObjectPool[int] = ObjectPool(lambda: next(numbers), size=3)

    taken = pool.acquire_many(4)
    assert [0, 1, 2, 3] == [pool[handle] for handle in taken]
    pool.release_many(reversed(taken))

    assert PoolStats(available=4, allocated=4, created=4) == pool.stats()
    assert [3, 2, 1, 0] == [pool[handle] for handle in pool.acquire_many(4)]


def test_too_many_at_once_are_refused_and_nothing_changes() -> None:
    """At the limit, not even those that are idle are taken, and their order stays."""
    numbers = count()
    pool: ObjectPool[int] = ObjectPool(lambda: next(numbers), size=2, limit=3)
    pool.release(pool.acquire())
    before = pool.stats()

    with pytest.raises(PoolExhausted):
        pool.acquire_many(4)
    with pytest.raises(PoolError, match="-1 objects"):
        pool.acquire_many(-1)

    assert before == pool.stats()
    assert [1, 0] == [pool[handle] for handle in pool.acquire_many(2)]


@pytest.mark.parametrize("bad", ["twice", "stale", "foreign", "garbage"])
def test_one_bad_handle_refuses_the_batch(bad: str) -> None:
    """None of the good ones is released, and each can be afterwards."""
    pool = pool_of(3)
    good = pool.acquire_many(2)
    stale = pool.acquire()
    pool.release(stale)
    spoilt = {"twice": good[0], "stale": stale, "foreign": pool_of().acquire(), "garbage": "x"}
    before = pool.stats()

    with pytest.raises((StaleHandle, ForeignHandle)):
        pool.release_many([*good, spoilt[bad]])  # type: ignore[list-item] # refused: that is tested

    assert before == pool.stats()
    pool.release_many(good)
    assert pool.stats().in_use == 0


def test_a_factory_that_fails_in_the_middle_gives_everything_back() -> None:
    """A batch of which one object cannot be made leaves the pool as it was."""
    budget = iter([Record(), Record()])
    pool: ObjectPool[Record] = ObjectPool(lambda: next(budget), size=1, max_size=1, limit=3)
    before = pool.stats()

    with pytest.raises(StopIteration):
        pool.acquire_many(3)

    assert before == pool.stats()
    assert isinstance(pool[pool.acquire()], Record)


def test_resets_that_fail_in_a_batch_are_reported_together() -> None:
    """The others are available, those that failed are discarded."""

    def reset(record: Record) -> None:
        if record.owner:
            raise ValueError(record.owner)

    pool = ObjectPool(Record, reset)
    taken = pool.acquire_many(3)
    pool[taken[1]].owner = "alice"

    with pytest.raises(ExceptionGroup, match="1 of 3 resets failed"):
        pool.release_many(taken)

    assert PoolStats(available=2, allocated=3, created=3, discarded=1) == pool.stats()


def test_a_full_table_refuses_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """When every slot is taken the next acquire is refused, until one is given back."""
    monkeypatch.setattr(handles, "MAX_SLOTS", 3)
    pool = pool_of(2)
    taken = pool.acquire_many(3)
    before = pool.stats()

    for attempt in (pool.acquire, lambda: pool.acquire_many(2), lambda: pool.adopt(Record())):
        with pytest.raises(PoolExhausted, match="all 3 slots"):
            attempt()

    assert before == pool.stats()
    pool.release(taken[0])
    with pytest.raises(PoolExhausted):
        pool.acquire_many(2)
    assert isinstance(pool[pool.acquire()], Record)


def test_a_pool_of_nothing_is_refused() -> None:
    """None is no object, whether made or adopted."""
    with pytest.raises(PoolError, match="None was made"):
        ObjectPool(lambda: None).acquire()
    with pytest.raises(PoolError, match="None was made"):
        ObjectPool[Record | None](Record).adopt(None)


def test_a_slot_costs_twenty_bytes_and_an_idle_object_eight() -> None:
    """What the docstring says of 100,000 objects, give or take a tenth."""
    pool = ObjectPool(object, size=100_000)

    def per_object_bytes(*parts: object) -> float:
        return sum(map(sys.getsizeof, parts)) / 100_000

    assert per_object_bytes(pool._fresh) == pytest.approx(8, rel=0.1)
    pool.acquire_many(100_000)
    slots = (pool._objects, pool._current, pool._vacant)
    assert per_object_bytes(*slots) == pytest.approx(20, rel=0.1)
