"""A connection whose owner dies comes back with the next sweep."""

from __future__ import annotations

import gc

import pytest

from memopt_cli.errors import PoolError, StaleHandle
from memopt_cli.pool import ConnectionPool, PoolStats


class Owner:
    """Somebody who holds a connection."""

    def __init__(self) -> None:
        self.friend: Owner | None = None


def pool_of_lists(**bounds: int) -> ConnectionPool[list[str]]:
    """Return a pool of lists that are emptied on release."""
    return ConnectionPool(list, list.clear, **bounds)


def test_a_dead_owner_is_swept_once() -> None:
    """One sweep reclaims the object, empties it, and makes the handle stale."""
    pool = pool_of_lists()
    owner = Owner()
    handle = pool.acquire(owner)
    content = pool[handle]
    content.append("secret")

    assert pool.sweep() == 0
    del owner
    assert (pool.sweep(), pool.sweep()) == (1, 0)

    assert content == []
    with pytest.raises(StaleHandle):
        pool.release(handle)
    assert PoolStats(available=1, allocated=1, created=1, reclaimed=1) == pool.stats()


def test_owners_that_died_in_a_cycle_are_swept() -> None:
    """An owner that only the collector can find is reclaimed after the collection."""
    pool = pool_of_lists()
    owner = Owner()
    owner.friend = Owner()
    owner.friend.friend = owner
    pool.acquire(owner)
    pool.acquire(owner.friend)

    del owner
    gc.collect()

    assert pool.sweep() == 2


def test_a_released_connection_is_not_swept() -> None:
    """The next holder of the slot keeps it when the last owner dies."""
    pool = pool_of_lists()
    first, second = Owner(), Owner()
    pool.release(pool.acquire(first))
    handle = pool.acquire(second)

    del first

    assert pool.sweep() == 0
    assert pool[handle] == []


def test_a_release_between_death_and_sweep_is_kept() -> None:
    """Whoever still has a dead owner's handle may release it; the next holder is not swept."""
    pool = pool_of_lists()
    handle = pool.acquire(Owner())

    pool.release(handle)
    kept = pool.acquire()

    assert pool.sweep() == 0
    assert pool[kept] == []


def test_an_owner_may_have_several_connections() -> None:
    """All of them come back, and nobody else's."""
    pool = pool_of_lists()
    other = Owner()
    kept = pool.acquire(other)
    owner = Owner()
    for _ in range(3):
        pool.acquire(owner)

    del owner

    assert pool.sweep() == 3
    assert pool.stats().in_use == 1
    pool.release(kept)


def test_connections_need_no_owner() -> None:
    """Without an owner nothing is swept."""
    pool = pool_of_lists()
    pool.acquire()

    assert (pool.sweep(), pool.stats().in_use) == (0, 1)


def test_a_stale_release_leaves_the_new_owner_alone() -> None:
    """A refused release does not make the slot's new connection ownerless."""
    pool = pool_of_lists()
    old = pool.acquire(Owner())
    pool.sweep()
    owner = Owner()
    pool.acquire(owner)

    with pytest.raises(StaleHandle):
        pool.release(old)
    del owner

    assert pool.sweep() == 1


def test_an_owner_without_weak_references_is_refused() -> None:
    """Nothing is acquired for somebody whose death could not be noticed."""
    pool = pool_of_lists(size=1)

    with pytest.raises(PoolError, match="type int cannot own a connection") as caught:
        pool.acquire(7)

    assert "__weakref__" in caught.value.hint
    assert PoolStats(available=1, allocated=1) == pool.stats()


def test_a_reset_that_fails_does_not_stop_the_sweep() -> None:
    """All dead owners are swept before the failures are reported together."""

    def reset(content: list[str]) -> None:
        if content:
            raise ValueError("not empty")

    pool = ConnectionPool[list[str]](list, reset)
    owners = [Owner() for _ in range(3)]
    pool[pool.acquire(owners[0])].append("x")
    pool.acquire(owners[1])
    pool[pool.acquire(owners[2])].append("x")

    owners.clear()
    with pytest.raises(ExceptionGroup, match="2 of 3 resets failed"):
        pool.sweep()

    assert PoolStats(available=1, allocated=3, created=3, discarded=2, reclaimed=3) == pool.stats()


def test_a_lease_has_no_owner() -> None:
    """A lease is bounded by its `with`, and works as in any pool."""
    pool = pool_of_lists()

    with pool.lease() as content:
        content.append("x")

    assert content == []
