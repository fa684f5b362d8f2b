"""The bookkeeping of a pool: which handle opens which slot, and the lock that guards it."""

from __future__ import annotations

import os
from array import array
from contextlib import suppress
from itertools import repeat
from operator import index
from threading import RLock, get_ident
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from weakref import WeakSet

from memopt_cli.errors import ForeignHandle, PoolError, PoolExhausted, StaleHandle
from memopt_cli.pool import handles
from memopt_cli.pool.handles import GENERATION_BITS, SLOT_BITS, SLOT_MASK, TAG_SHIFT

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

NO_SLOT: Final = -1
NEXT_USE: Final = 2 << SLOT_BITS
"""What is added to a handle when it is released: one generation for the end, one to begin."""


class SlotTable(Generic[T]):
    """
    Slots in columns: 20 bytes each, for a reference, a handle and a place among the vacant.

    A slot is in use while it has an object. Its handle is then the one given out, otherwise
    the one that the next holder will get, which opens nothing yet: so one comparison tells a
    good handle from all others. Idle objects have no slot. Slots are never given back.
    """

    __slots__ = (
        "__weakref__",
        "_current",
        "_enter",
        "_last",
        "_leave",
        "_lock",
        "_making",
        "_objects",
        "_slots",
        "_tag",
        "_vacant",
    )

    _enter: Callable[[], bool]
    _leave: Callable[[], None]

    def __init__(self) -> None:
        self._tag = handles.next_tag()
        # From this handle on, a released slot is retired.
        self._last = self._tag << TAG_SHIFT | handles.LAST_GENERATION << SLOT_BITS
        self._slots = 0
        self._objects: list[T | None] = []
        self._current = array("Q")
        self._vacant = array("I")
        # The thread of each create that is running: what it makes is counted when it is there.
        self._making: list[int] = []
        self._renew_lock()
        _TABLES.add(self)

    def __getitem__(self, handle: int) -> T:
        """
        Return the object of *handle*.

        Raises:
            StaleHandle: The handle was released.
            ForeignHandle: This pool never gave it out.
        """
        try:
            slot = handle & SLOT_MASK
            item = self._objects[slot]
            if self._current[slot] == handle and item is not None:
                return item
        except (TypeError, IndexError):
            pass
        raise self._refusal(handle)

    def _renew_lock(self) -> None:
        """Make the lock, and keep its two methods: calling them is half the price of `with`."""
        self._lock = RLock()
        self._enter, self._leave = self._lock.acquire, self._lock.release

    def _after_fork(self) -> None:
        """
        Free the child from a lock whose holder stayed in the parent.

        What that thread was doing is left as it was: every step of a pool is one store, after
        which the counters agree, and the object in its hands stays in use like all others
        whose holders stayed behind.
        """
        if self._lock.acquire(blocking=False):
            self._lock.release()
        else:
            self._renew_lock()
        self._making[:] = [thread for thread in self._making if thread == get_ident()]

    def _grow(self, count: int) -> range:
        """Add slots and return them, for the caller to use; or refuse. Needs the lock."""
        first = self._tag << TAG_SHIFT | 1 << SLOT_BITS
        while True:
            start = self._slots
            stop = start + count
            if stop > handles.MAX_SLOTS:
                raise PoolExhausted(f"all {handles.MAX_SLOTS:,} slots of the pool are taken")
            self._objects.extend([None] * (stop - len(self._objects)))
            added = array("Q", range(first + start, first + stop))
            # A finaliser may have come here during a call above. From here to the end of the
            # extension there is none but that.
            if start == self._slots:
                self._slots = stop
                self._current.extend(added)
                return range(start, stop)

    def _take_slots(self, count: int) -> list[int]:
        """Return vacant slots, new ones if there are not enough. Needs the lock."""
        slots: list[int] = []
        # What was popped before there were no more stays in the list.
        with suppress(IndexError):
            slots.extend(map(self._vacant.pop, repeat(-1, count)))
        try:
            return slots + list(self._grow(count - len(slots)))
        except PoolExhausted:
            self._vacant.extend(reversed(slots))
            raise

    def _claim(self, taken: list[int]) -> list[T]:
        """Vacate the slots of *taken* and return their objects; or refuse, and vacate none."""
        objects, current, last = self._objects, self._current, self._last
        items: list[T] = []
        vacant: list[int] = []
        for handle in taken:
            try:
                slot = handle & SLOT_MASK
                item = objects[slot]
                if current[slot] != handle:
                    item = None
            except (TypeError, IndexError):
                item = None
            if item is None:
                refusal = self._refusal(handle)
                self._restore(taken, items)
                raise refusal
            objects[slot] = None
            current[slot] = handle + NEXT_USE
            items.append(item)
            if handle < last:
                vacant.append(slot)
        self._vacant.extend(vacant)
        return items

    def _restore(self, taken: list[int], items: list[T]) -> None:
        """Undo the claim of the first of *taken*, whose objects were *items*."""
        for handle, item in zip(taken, items, strict=False):
            self._current[handle & SLOT_MASK] = handle
            self._objects[handle & SLOT_MASK] = item

    def _refusal(self, handle: object) -> PoolError:
        """Say why *handle* opens no slot."""
        try:
            number = index(handle)  # type: ignore[arg-type] # that is the question
        except TypeError:
            return ForeignHandle(f"{handle!r} is not a handle of any pool")
        slot = number & SLOT_MASK
        if number >> TAG_SHIFT != self._tag or slot >= len(self._current):
            return ForeignHandle(
                f"handle {number:#x} was not given out by this pool",
                hint="Release it to the pool that it was acquired from.",
            )
        own = self._tag << GENERATION_BITS
        generation = (number >> SLOT_BITS) - own
        if generation >= (self._current[slot] >> SLOT_BITS) - own or not generation & 1:
            return ForeignHandle(f"handle {number:#x} was never given out by this pool")
        return StaleHandle(
            f"handle {number:#x} was released before",
            hint="Forget a handle when it is released; its slot may have another owner.",
        )


_TABLES: WeakSet[SlotTable[Any]] = WeakSet()


def _after_fork_in_child() -> None:
    """Let no pool of the child wait for a thread that it does not have."""
    for table in list(_TABLES):
        table._after_fork()  # noqa: SLF001 - the same module


os.register_at_fork(after_in_child=_after_fork_in_child)
