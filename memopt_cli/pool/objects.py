"""A pool that hands out real objects by handle, the one that has been idle longest first."""

from __future__ import annotations

from contextlib import contextmanager
from enum import Enum
from threading import RLock
from typing import TYPE_CHECKING, Final, TypeVar

from memopt_cli.errors import PoolError, PoolExhausted
from memopt_cli.pool.handles import MAX_SLOTS
from memopt_cli.pool.slots import NO_SLOT, SlotTable
from memopt_cli.pool.stats import PoolInfo, PoolStats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


class _Unchanged(Enum):
    UNCHANGED = "unchanged"


UNCHANGED: Final = _Unchanged.UNCHANGED


class ObjectPool(SlotTable[T]):
    """
    A pool of objects that are expensive to make or that the collector should not see die.

    Every method may be called from any thread. One re-entrant lock guards them, held also
    while *create* and *reset* run; a switch to leave it out would save nothing, because a
    `with` on anything but a C lock costs more than the lock. Do not release from a finaliser:
    it may run in the middle of another release. Give the object an owner instead
    (`ConnectionPool`).
    """

    __slots__ = (
        "__weakref__",
        "_allocated",
        "_create",
        "_created",
        "_discarded",
        "_dropped",
        "_in_use",
        "_limit",
        "_lock",
        "_max_size",
        "_reset",
        "_reused",
        "_size",
    )

    def __init__(
        self,
        create: Callable[[], T],
        reset: Callable[[T], None] | None = None,
        *,
        size: int = 0,
        max_size: int | None = None,
        limit: int | None = None,
    ) -> None:
        """
        Args:
            create: Makes a new object.
            reset: Empties a released object, before anybody else can have it.
            size: Objects made at once.
            max_size: Most idle objects kept; a release beyond it drops the object.
            limit: Most live objects; an acquire beyond it is refused.

        Raises:
            PoolError: The numbers contradict each other.
        """
        super().__init__()
        _check_bounds(size, max_size, limit)
        self._create = create
        self._reset = reset
        self._size = size
        self._max_size = max_size
        self._limit = limit
        self._lock = RLock()
        self._in_use = 0
        self._allocated = self._created = self._reused = self._dropped = self._discarded = 0
        self._add_idle([create() for _ in range(size)])

    def acquire(self) -> int:
        """
        Return the handle of the object that was idle longest, or of a new one.

        Raises:
            PoolExhausted: As many objects are live as the limit allows.
        """
        with self._lock:
            slot = self._oldest
            if slot == NO_SLOT:
                self._reserve()
                return self._put_in_use(self._create)
            self._unlink_oldest()
            self._in_use += 1
            if self._fresh[slot]:
                self._fresh[slot] = 0
                self._created += 1
            else:
                self._reused += 1
            return self._handle(slot)

    def adopt(self, item: T) -> int:
        """
        Take in *item*, made elsewhere, as one that is in use, and return its handle.

        Raises:
            PoolExhausted: As many objects are live as the limit allows.
        """
        with self._lock:
            self._reserve()
            return self._put_in_use(lambda: item)

    def __getitem__(self, handle: int) -> T:
        """
        Return the object of *handle*.

        Raises:
            StaleHandle: The handle was released.
            ForeignHandle: This pool never gave it out.
        """
        return self._objects[self._slot_of(handle)]  # type: ignore[return-value] # in use: has one

    def release(self, handle: int) -> None:
        """
        Reset the object of *handle* and make it available, or drop it if the pool is full.

        When the reset fails, the object is never handed out again and the error is the caller's.

        Raises:
            StaleHandle: The handle was released before; nothing has changed.
            ForeignHandle: This pool never gave it out; nothing has changed.
        """
        with self._lock:
            slot = self._slot_of(handle)
            # Stale from here on, also for a reset that calls back into this pool.
            self._generations[slot] += 1
            if self._reset is not None:
                self._run_reset(self._reset, slot)
            self._in_use -= 1
            if self._has_room():
                self._link_newest(self._usable(slot))
            else:
                self._dropped += 1
                self._vacate(slot)

    @contextmanager
    def lease(self) -> Iterator[T]:
        """Acquire an object for the length of a `with`, and release it however that ends."""
        handle = self.acquire()
        try:
            yield self[handle]
        finally:
            self.release(handle)

    def stats(self) -> PoolStats:
        """Return the counters as they are now."""
        with self._lock:
            return PoolStats(
                in_use=self._in_use,
                available=self._available,
                allocated=self._allocated,
                created=self._created,
                reused=self._reused,
                dropped=self._dropped,
                discarded=self._discarded,
            )

    def info(self) -> PoolInfo:
        """Return the configuration and the counters as they are now."""
        with self._lock:
            return PoolInfo(self._size, self._max_size, self._limit, self.stats())

    def configure(
        self,
        *,
        size: int | _Unchanged = UNCHANGED,
        max_size: int | _Unchanged | None = UNCHANGED,
        limit: int | _Unchanged | None = UNCHANGED,
    ) -> None:
        """
        Change the bounds, and make or drop idle objects until they hold.

        A new *size* is reached exactly, unless more than that are in use. Objects in use stay
        with their holders; those above the bounds are dropped when they are released.

        Raises:
            PoolError: The numbers contradict each other; nothing has changed.
        """
        with self._lock:
            new_size = self._size if size is UNCHANGED else size
            new_max = self._max_size if max_size is UNCHANGED else max_size
            new_limit = self._limit if limit is UNCHANGED else limit
            _check_bounds(new_size, new_max, new_limit)
            missing = 0 if size is UNCHANGED else size - self._in_use - self._available
            # All are made before anything changes, because making one may fail.
            made = [self._create() for _ in range(missing)]
            self._size, self._max_size, self._limit = new_size, new_max, new_limit
            self._add_idle(made)
            room = self._available if size is UNCHANGED else size - self._in_use
            room = room if new_max is None else min(room, new_max)
            self._drop_idle(room if new_limit is None else min(room, new_limit - self._in_use))

    def _reserve(self) -> None:
        """Count one more object in use, before it is made, or refuse."""
        total = self._in_use + self._available
        if self._limit is not None and total >= self._limit:
            raise PoolExhausted(
                f"all {self._in_use:,} objects are in use, and the limit is {self._limit:,}",
                hint="Release objects sooner, or raise the limit with configure(limit=...).",
            )
        self._in_use += 1

    def _put_in_use(self, create: Callable[[], T]) -> int:
        """Give a reserved place to what *create* makes, and undo the reservation if it fails."""
        try:
            item = create()
            slot = self._take_vacant()
        except BaseException:
            self._in_use -= 1
            raise
        self._objects[slot] = item
        self._allocated += 1
        self._created += 1
        return self._handle(slot)

    def _run_reset(self, reset: Callable[[T], None], slot: int) -> None:
        """Reset the object of *slot*, or discard it and pass the error on."""
        try:
            reset(self._objects[slot])  # type: ignore[arg-type] # in use: the slot has an object
        except BaseException:
            self._in_use -= 1
            self._discarded += 1
            self._vacate(slot)
            raise

    def _has_room(self) -> bool:
        """Say whether one more idle object is within the bounds."""
        return (self._max_size is None or self._available < self._max_size) and (
            self._limit is None or self._in_use + self._available < self._limit
        )

    def _add_idle(self, made: list[T]) -> None:
        """Make new objects available, each in a slot of its own."""
        for item in made:
            slot = self._take_vacant()
            self._objects[slot] = item
            self._fresh[slot] = 1
            self._allocated += 1
            self._link_newest(slot)

    def _drop_idle(self, room: int) -> None:
        """Drop the objects that were idle longest until at most *room* are left."""
        while self._available > max(room, 0):
            slot = self._oldest
            self._unlink_oldest()
            self._dropped += 1
            self._vacate(slot)


def _check_bounds(size: int, max_size: int | None, limit: int | None) -> None:
    """Refuse bounds that no pool can keep."""
    for name, value in (("size", size), ("max_size", max_size), ("limit", limit)):
        if value is not None and not 0 <= value <= MAX_SLOTS:
            raise PoolError(f"{name} is {value:,}", hint=f"Give a number from 0 to {MAX_SLOTS:,}.")
    for name, bound in (("max_size", max_size), ("limit", limit)):
        if bound is not None and size > bound:
            raise PoolError(
                f"size {size:,} is above {name} {bound:,}",
                hint=f"Raise {name} as well, or give a size of at most {bound:,}.",
            )
