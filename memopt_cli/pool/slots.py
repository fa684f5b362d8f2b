"""The bookkeeping of a pool: which object is in which slot, idle since when, held by whom."""

from __future__ import annotations

from array import array
from typing import Final, Generic, TypeVar

from memopt_cli.errors import ForeignHandle, PoolExhausted, StaleHandle
from memopt_cli.pool import handles
from memopt_cli.pool.handles import GENERATION_MASK, MAX_SLOTS, SLOT_BITS, SLOT_MASK, TAG_SHIFT

T = TypeVar("T")

NO_SLOT: Final = 0xFFFF_FFFF


class SlotTable(Generic[T]):
    """
    Slots in columns: 17 bytes each, for a reference, a generation, a link and a flag.

    A slot is in use, idle (in the queue), vacant (on the stack, without an object) or retired.
    Slots are never given back. Not safe for threads: the pool that inherits from this locks.
    """

    __slots__ = (
        "_available",
        "_fresh",
        "_generations",
        "_newest",
        "_next",
        "_objects",
        "_oldest",
        "_tag",
        "_vacant",
    )

    def __init__(self) -> None:
        self._tag = handles.next_tag()
        self._objects: list[T | None] = []
        self._generations = array("I")
        # Idle slots form a queue and vacant slots a stack through the same array of links:
        # 4 bytes per slot, where a deque of ints takes 40.
        self._next = array("I")
        self._oldest = self._newest = self._vacant = NO_SLOT
        # One where nobody has used the object yet.
        self._fresh = bytearray()
        self._available = 0

    def _slot_of(self, handle: int) -> int:
        """Return the slot of a handle that is in use, or refuse it."""
        try:
            slot = handle & SLOT_MASK
            known = handle >> TAG_SHIFT == self._tag and slot < len(self._generations)
        except TypeError:
            raise ForeignHandle(f"{handle!r} is not a handle of any pool") from None
        if not known:
            raise ForeignHandle(
                f"handle {handle:#x} was not given out by this pool",
                hint="Release it to the pool that it was acquired from.",
            )
        generation = (handle >> SLOT_BITS) & GENERATION_MASK
        current = self._generations[slot]
        if generation == current and generation & 1:
            return slot
        if generation > current or not generation & 1:
            raise ForeignHandle(f"handle {handle:#x} was never given out by this pool")
        raise StaleHandle(
            f"handle {handle:#x} was released before",
            hint="Forget a handle when it is released; its slot may have another owner.",
        )

    def _handle(self, slot: int) -> int:
        """Open the next generation of an idle slot and return its handle."""
        generation = self._generations[slot] + 1
        self._generations[slot] = generation
        return self._tag << TAG_SHIFT | generation << SLOT_BITS | slot

    def _usable(self, slot: int) -> int:
        """Return *slot*, or the slot its object has moved to if its generations are used up."""
        if self._generations[slot] <= handles.LAST_GENERATION:
            return slot
        successor = self._take_vacant()
        self._objects[successor], self._objects[slot] = self._objects[slot], None
        return successor

    def _take_vacant(self) -> int:
        """Return a slot without an object, a new one if there is none."""
        slot = self._vacant
        if slot != NO_SLOT:
            self._vacant = self._next[slot]
            return slot
        slot = len(self._objects)
        if slot == MAX_SLOTS:
            raise PoolExhausted(f"all {MAX_SLOTS:,} slots of the pool are taken")
        self._objects.append(None)
        self._generations.append(0)
        self._next.append(NO_SLOT)
        self._fresh.append(0)
        return slot

    def _vacate(self, slot: int) -> None:
        """Let the object of *slot* go; a slot without generations left is not used again."""
        self._fresh[slot] = 0
        if self._generations[slot] <= handles.LAST_GENERATION:
            self._next[slot] = self._vacant
            self._vacant = slot
        # Last, because the object's finaliser may call the pool.
        self._objects[slot] = None

    def _link_newest(self, slot: int) -> None:
        """Put *slot* at the end of the idle queue."""
        self._next[slot] = NO_SLOT
        if self._newest == NO_SLOT:
            self._oldest = slot
        else:
            self._next[self._newest] = slot
        self._newest = slot
        self._available += 1

    def _unlink_oldest(self) -> None:
        """Take the first slot out of the idle queue."""
        self._oldest = self._next[self._oldest]
        if self._oldest == NO_SLOT:
            self._newest = NO_SLOT
        self._available -= 1
