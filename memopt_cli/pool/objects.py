"""A pool that hands out real objects by handle, the one that has been idle longest first."""

from __future__ import annotations

from enum import Enum
from threading import get_ident
from typing import TYPE_CHECKING, Final, TypeVar

from memopt_cli.errors import PoolError
from memopt_cli.pool.handles import SLOT_MASK
from memopt_cli.pool.leases import ObjectLease
from memopt_cli.pool.slots import NEXT_USE, NO_SLOT
from memopt_cli.pool.stock import Stock, check_bounds, popped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

T = TypeVar("T")


class Unchanged(Enum):
    """The type of a setting that was not given."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


class ObjectPool(Stock[T]):
    """
    A pool of objects that are expensive to make or that the collector should not see die.

    Every method may be called from any thread, also from a finaliser or a signal handler. An
    acquire of an idle object takes no lock: it is one pop of a slot and one of an object, each
    of which the interpreter does for one thread only. All else is under one re-entrant lock,
    *reset* included, so a reset should be short; *create* runs outside it, except in
    `configure`. The lock is about 17 % of an acquire and release, too little to offer a pool
    without it, which would give one object to two owners if it were ever shared.

    A child after a fork has a pool of its own; what other threads of its parent held stays in
    use there.

    It costs 20 bytes per slot, of which there are as many as objects were ever in use at once,
    and 8 more per idle object. `tests/benchmarks/bench_pools.py` measures all of this.
    """

    __slots__ = ("_create", "_reset")

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
            create: Makes a new object, never None.
            reset: Empties a released object, before anybody else can have it.
            size: Objects made at once.
            max_size: Most idle objects kept; a release beyond it drops the object.
            limit: Most live objects; an acquire beyond it is refused.

        Raises:
            PoolError: The numbers contradict each other.
        """
        super().__init__(size, max_size, limit)
        self._create = create
        self._reset = reset
        self._add_fresh([self._made() for _ in range(size)])
        self._vacant.extend(reversed(self._grow(size)))

    def acquire(self) -> int:
        """
        Return the handle of the object that was idle longest, or of a new one.

        Raises:
            PoolExhausted: As many objects are live as the limit allows.
        """
        slot = NO_SLOT
        try:
            slot = self._vacant.pop()
            self._objects[slot] = self._front.popleft()
        except IndexError:
            return self._acquire_slowly(1, [] if slot == NO_SLOT else [slot])[0]
        return self._current[slot]

    def release(self, handle: int) -> None:
        """
        Reset the object of *handle* and make it available, or drop it if the pool is full.

        When the reset fails, the object is never handed out again and the error is the caller's.

        Raises:
            StaleHandle: The handle was released before; nothing has changed.
            ForeignHandle: This pool never gave it out; nothing has changed.
        """
        try:
            # Within the try, so that no interrupt can come between this and the leaving.
            self._enter()
            try:
                slot = handle & SLOT_MASK
                item = self._objects[slot]
                if self._current[slot] != handle:
                    item = None
            except (TypeError, IndexError):
                item = None
            if item is None:
                raise self._refusal(handle)  # noqa: TRY301 - a call would cost every release
            # Stale from here on, also for a reset that calls back into this pool.
            self._objects[slot] = None
            self._current[slot] = handle + NEXT_USE
            if handle < self._last:
                self._vacant.append(slot)
            if self._reset is not None:
                try:
                    self._reset(item)
                except BaseException:
                    self._discarded += 1
                    raise
            self._ended += 1
            self._idle.append(item)
            if len(self._idle) > self._keep:
                self._trim()
        except BaseException:
            # Not ours if the interrupt came while waiting. No call but this one, which could
            # be interrupted before it.
            try:  # noqa: SIM105 - another call
                self._leave()
            except RuntimeError:
                pass
            raise
        self._leave()

    def acquire_many(self, count: int) -> list[int]:
        """
        Return the handles of *count* objects, those that were idle longest first.

        All or none, which is its use: *count* calls of `acquire` take a sixth less time.

        Raises:
            PoolExhausted: The limit allows fewer; nothing has changed.
            PoolError: The count is negative.
        """
        if count < 0:
            raise PoolError(f"{count:,} objects", hint="Ask for 0 objects or more.")
        return self._acquire_slowly(count, [])

    def release_many(self, taken: Iterable[int]) -> None:
        """
        Release all of *taken*, or none if one of them is not to be released.

        It takes two thirds of the time of as many calls of `release`. All are reset before a
        failure is reported; those whose reset failed are discarded.

        Raises:
            StaleHandle: One was released before, or is there twice; nothing has changed.
            ForeignHandle: This pool never gave one out; nothing has changed.
            ExceptionGroup: The errors of resets that failed.
        """
        failures: list[Exception] = []
        kept: list[T] = []
        with self._lock:
            items = self._claim(list(taken))
            try:
                self._reset_all(items, kept, failures)
            finally:
                ended, discarded = len(kept), len(items) - len(kept)
                self._discarded += discarded
                self._ended += ended
                self._idle.extend(kept)
                if len(self._idle) > self._keep:
                    self._trim()
        if failures:
            raise ExceptionGroup(f"{len(failures):,} of {len(items):,} resets failed", failures)

    def adopt(self, item: T) -> int:
        """
        Take in *item*, made elsewhere, as one that is in use, and return its handle.

        Raises:
            PoolExhausted: As many objects are live as the limit allows.
            PoolError: The item is None.
        """
        _require_object(item)
        with self._lock:
            self._check_limit(1)
            return self._put_in_use(self._take_slots(1), [item], made=1)[0]

    def lease(self) -> AbstractContextManager[T]:
        """Acquire an object for the length of a `with`, and release it however that ends."""
        return ObjectLease(self)

    def configure(
        self,
        *,
        size: int | Unchanged = UNCHANGED,
        max_size: int | Unchanged | None = UNCHANGED,
        limit: int | Unchanged | None = UNCHANGED,
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
            check_bounds(new_size, max_size=new_max, limit=new_limit)
            missing = 0 if size is UNCHANGED else size - self._live() - len(self._making)
            # All are made before anything changes, because making one may fail.
            made = [self._made() for _ in range(missing)]
            self._size, self._max_size, self._limit = new_size, new_max, new_limit
            self._add_fresh(made)
            surplus = 0 if size is UNCHANGED else self._live() - size
            self._drop_oldest(max(surplus, self._surplus()))

    def _acquire_slowly(self, count: int, slots: list[int]) -> list[int]:
        """Acquire *count* objects, all or none, into *slots* and as many more as it takes."""
        with self._lock:
            fresh = popped(count, self._fresh)
            used = popped(count - len(fresh), self._idle)
            missing = count - len(fresh) - len(used)
            try:
                self._check_limit(missing)
                slots += self._take_slots(count - len(slots))
            except BaseException:
                self._give_back(slots, fresh, used)
                raise
            if not missing:
                return self._put_in_use(slots, fresh + used)
            self._making += [get_ident()] * missing
        try:
            made = [self._made() for _ in range(missing)]
        except BaseException:
            with self._lock:
                self._forget_making(missing)
                self._give_back(slots, fresh, used)
            raise
        with self._lock:
            self._forget_making(missing)
            return self._put_in_use(slots, fresh + used + made, made=missing)

    def _put_in_use(self, slots: list[int], items: list[T], *, made: int = 0) -> list[int]:
        """Give each of *items* a slot, count those that were *made*, and return the handles."""
        self._allocated += made
        for slot, item in zip(slots, items, strict=True):
            self._objects[slot] = item
        self._front = self._fresh or self._idle
        return [self._current[slot] for slot in slots]

    def _forget_making(self, count: int) -> None:
        """Note that this thread is done with *count* creates."""
        for _ in range(count):
            self._making.remove(get_ident())

    def _made(self) -> T:
        """Return a new object."""
        item = self._create()
        _require_object(item)
        return item

    def _reset_all(self, items: list[T], kept: list[T], failures: list[Exception]) -> None:
        """Reset *items* one by one, into *kept* or *failures*."""
        if self._reset is None:
            kept += items
            return
        for item in items:
            try:
                self._reset(item)
            except Exception as exc:  # noqa: BLE001 - raised after all are reset
                failures.append(exc)
            else:
                kept.append(item)


def _require_object(item: object) -> None:
    """Refuse None, which a slot holds when it is vacant."""
    if item is None:
        raise PoolError("None was made for a pool", hint="Let create return an object.")
