"""A pool that takes its objects back from owners that died without releasing them."""

from __future__ import annotations

import weakref
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from memopt_cli.errors import PoolError
from memopt_cli.pool.handles import SLOT_MASK
from memopt_cli.pool.objects import ObjectPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.pool.stats import PoolStats

T = TypeVar("T")


class _OwnerRef(weakref.ref[object]):
    """A weak reference to an owner that knows what it owns."""

    __slots__ = ("handle",)
    handle: int


class ConnectionPool(ObjectPool[T]):
    """
    An `ObjectPool` whose objects may have owners, for example the task that serves a peer.

    The owner is held weakly. When it dies, its object waits for the next `sweep`: the death
    may be noticed in any thread, in the middle of anything, so nothing is done there but to
    note it. An object that refers to its owner keeps it alive, and is never swept.

    Every method may be called from any thread. An owner costs 8 bytes per slot, and a weak
    reference while it owns something.
    """

    __slots__ = ("_dead", "_owners", "_reclaimed")

    def __init__(
        self,
        create: Callable[[], T],
        reset: Callable[[T], None] | None = None,
        *,
        size: int = 0,
        max_size: int | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__(create, reset, size=size, max_size=max_size, limit=limit)
        # By slot, as far as there were owners.
        self._owners: list[_OwnerRef | None] = []
        self._dead: deque[_OwnerRef] = deque()
        self._reclaimed = 0

    def acquire(self, owner: object | None = None) -> int:
        """
        Return the handle of an object, owned by *owner* if one is given.

        Raises:
            PoolExhausted: As many objects are live as the limit allows.
            PoolError: The owner cannot be referred to weakly; nothing was acquired.
        """
        if owner is None:
            # Not by `super()`, which costs half as much as the acquire.
            return ObjectPool.acquire(self)
        try:
            ref = _OwnerRef(owner, self._dead.append)
        except TypeError:
            raise PoolError(
                f"an object of type {type(owner).__name__} cannot own a connection",
                hint="Its class must allow weak references: add '__weakref__' to its __slots__.",
            ) from None
        ref.handle = ObjectPool.acquire(self)
        with self._lock:
            self._set_owner(ref.handle & SLOT_MASK, ref)
        return ref.handle

    def release(self, handle: int) -> None:
        """
        Release as `ObjectPool.release` does, and forget the owner.

        Raises:
            StaleHandle: The handle was released or swept before; nothing has changed.
            ForeignHandle: This pool never gave it out; nothing has changed.
        """
        if not self._owners:
            ObjectPool.release(self, handle)
            return
        with self._lock:
            self._disown(handle)
            ObjectPool.release(self, handle)

    def sweep(self) -> int:
        """
        Release what dead owners had not released, and return how many objects that was.

        All are released before a failure is reported; their handles are stale from then on.

        Raises:
            ExceptionGroup: The errors of resets that failed; their objects are discarded.
        """
        reclaimed = 0
        failures: list[Exception] = []
        while self._reclaim_next(failures):
            reclaimed += 1
        if failures:
            raise ExceptionGroup(f"{len(failures):,} of {reclaimed:,} resets failed", failures)
        return reclaimed

    def stats(self) -> PoolStats:
        """Return the counters as they are now."""
        with self._lock:
            return replace(super().stats(), reclaimed=self._reclaimed)

    def _reclaim_next(self, failures: list[Exception]) -> bool:
        """Release the object of the next dead owner that still had one; say if there was any."""
        with self._lock:
            while self._dead:
                ref = self._dead.popleft()
                # The object may have been released before its owner died.
                if self._owners[ref.handle & SLOT_MASK] is not ref:
                    continue
                self._reclaimed += 1
                try:
                    self.release(ref.handle)
                except Exception as exc:  # noqa: BLE001 - raised after all are released
                    failures.append(exc)
                return True
        return False

    def _set_owner(self, slot: int, ref: _OwnerRef) -> None:
        """Note the owner of *slot*, in a list that grows with the slots."""
        missing = slot + 1 - len(self._owners)
        if missing > 0:
            self._owners.extend([None] * missing)
        self._owners[slot] = ref

    def _disown(self, handle: int) -> None:
        """Forget who owned what *handle* opens. Needs the lock."""
        with suppress(TypeError, IndexError):
            slot = handle & SLOT_MASK
            ref = self._owners[slot]
            if ref is not None and ref.handle == handle:
                self._owners[slot] = None

    def _claim(self, taken: list[int]) -> list[T]:
        """Claim as `SlotTable._claim` does, and forget the owners."""
        items = super()._claim(taken)
        for handle in taken:
            self._disown(handle)
        return items
