"""The books of a slab: its memory, its bounds, its counters, and which handles are good."""

from __future__ import annotations

import mmap
from operator import index
from typing import TYPE_CHECKING, Final

from memopt_cli.errors import ForeignHandle, PoolError, StaleHandle
from memopt_cli.optimizer.forking import Locked
from memopt_cli.optimizer.memory import reserve, whole_pages
from memopt_cli.optimizer.records import RECORD_BYTES, TAG_BITS, WORDS
from memopt_cli.pool.handles import (
    GENERATION_BITS,
    GENERATION_MASK,
    MAX_SLOTS,
    SLOT_BITS,
    SLOT_MASK,
    next_tag,
)
from memopt_cli.pool.stats import PoolInfo, PoolStats

if TYPE_CHECKING:
    from collections.abc import Callable

WORD_BYTES: Final = 4

LAST_GENERATION: Final = GENERATION_MASK - 2
"""After the release of this one a slot is retired: 56 bytes per 524,287 uses."""


class Books(Locked):
    """
    Address space for records of 56 bytes, reserved once: growing moves nothing, views stay valid.

    The system provides memory a page at a time, when a record is first used.
    """

    __slots__ = (
        "_capacity",
        "_created",
        "_dropped",
        "_ended",
        "_first_key",
        "_idle",
        "_last_key",
        "_least_idle",
        "_limit",
        "_lock_left",
        "_lock_taken",
        "_made",
        "_retired",
        "_size",
        "_stack",
        "_stack_memory",
        "_tag",
        "memory",
        "times",
        "words",
    )

    _lock_taken: Callable[[], bool]
    _lock_left: Callable[[], None]

    def __init__(self, *, size: int, limit: int | None, capacity: int | None) -> None:
        """
        Args:
            size: Records made ready at once.
            limit: Most records in use; None is the capacity.
            capacity: Most records ever, for which address space is reserved; None is
                16,777,216.

        Raises:
            PoolError: The numbers contradict each other, or the address space is not there.
        """
        super().__init__()
        self._capacity = checked_count("capacity", capacity, MAX_SLOTS, low=1, high=MAX_SLOTS)
        self.memory = reserve(self._capacity * RECORD_BYTES)
        self.words: memoryview[int] = memoryview(self.memory).cast("I")
        self.times: memoryview[float] = memoryview(self.memory).cast("d")
        # Released slots, as a stack: four bytes for each that was ever idle at once.
        self._stack_memory = reserve(self._capacity * WORD_BYTES)
        self._stack: memoryview[int] = memoryview(self._stack_memory).cast("I")
        self._tag = next_tag() % ((1 << TAG_BITS) - 1) + 1
        self._first_key = (self._tag << GENERATION_BITS) + 1
        self._last_key = self._tag << GENERATION_BITS | LAST_GENERATION
        self._idle = self._made = self._created = self._ended = self._retired = self._dropped = 0
        # So many idle records may not be used, because as many as the limit allows are in use.
        self._least_idle = 0
        self._size, self._limit = 0, self._capacity
        self.configure(size=size, limit=limit)

    def __len__(self) -> int:
        """Return how many records are in use."""
        return self._made - self._retired - self._idle

    def stats(self) -> PoolStats:
        """Return the counters as they are now."""
        with self._lock:
            # All at one moment: a finaliser or another thread may acquire at the next one.
            made, idle, retired, dropped, size, created, ended = (
                self._made,
                self._idle,
                self._retired,
                self._dropped,
                self._size,
                self._created,
                self._ended,
            )
        in_use, fresh = made - retired - idle, max(size - made, 0)
        return PoolStats(
            in_use=in_use,
            available=idle + fresh,
            allocated=made + fresh + dropped,
            created=created,
            # Each acquire has ended, or is in use.
            reused=ended + in_use - created,
            dropped=dropped,
            discarded=retired,
        )

    def info(self) -> PoolInfo:
        """Return the configuration and the counters as they are now."""
        with self._lock:
            return PoolInfo(self._size, None, self._limit, self.stats())

    def configure(self, *, size: int | None = None, limit: int | None = None) -> None:
        """
        Change the bounds; None leaves one as it is.

        A larger *size* provides memory for as many records at once. Records in use stay with
        their holders when there are more of them than a new *limit*: until enough are released,
        nobody acquires. To make the pool smaller, trim it.

        Raises:
            PoolError: The numbers contradict each other; nothing has changed.
        """
        with self._lock:
            new_size = checked_count("size", size, self._size, high=self._capacity)
            new_limit = checked_count("limit", limit, self._limit, high=self._capacity)
            if new_size > new_limit:
                raise PoolError(
                    f"size {new_size:,} is above limit {new_limit:,}",
                    hint=f"Raise limit as well, or give a size of at most {new_limit:,}.",
                )
            self._provide(new_size)
            # From here on without a call: see `Locked`.
            made, old_size = self._made, self._size
            if made < old_size > new_size:
                least = made if made > new_size else new_size
                self._dropped += old_size - least
            self._size, self._limit = new_size, new_limit
            surplus = made - self._retired - new_limit
            self._least_idle = surplus if surplus > 0 else 0

    def find(self, handle: object) -> tuple[int, int]:
        """
        Return the key and the first word of the record of *handle*, which may be any integer.

        Raises:
            StaleHandle: The handle was released.
            ForeignHandle: This pool never gave it out.
        """
        try:
            number = index(handle)  # type: ignore[arg-type] # that is the question
        except TypeError:
            raise ForeignHandle(f"{handle!r} is not a handle of any pool") from None
        key, slot = number >> SLOT_BITS, number & SLOT_MASK
        if slot < self._capacity and self.words[slot * WORDS] == key and key & 1:
            return key, slot * WORDS
        raise self.refusal(number)

    def refusal(self, handle: int) -> PoolError:
        """Return the error for a handle that is not one of a record in use."""
        slot, key = handle & SLOT_MASK, handle >> SLOT_BITS
        ours = key >> GENERATION_BITS == self._tag and key & 1 and slot < self._capacity
        current = self.words[slot * WORDS] if ours else 0
        # A slot that was given back to the system has no key, but begins where it had ended.
        if not ours or (key > current and key >= self._first_key):
            return ForeignHandle(
                f"handle {handle:#x} was not given out by this pool",
                hint="Release it to the pool that it was acquired from.",
            )
        return StaleHandle(
            f"handle {handle:#x} was released before",
            hint="Forget a handle when it is released; its slot may have another owner.",
        )

    def handle_at(self, at: int, key: int) -> int:
        """Return the handle of a record by its first word and its key."""
        return key << SLOT_BITS | at // WORDS

    def _provide(self, size: int) -> None:
        """Have the system provide the memory of the first *size* records."""
        first, left = whole_pages(self._made * RECORD_BYTES, size * RECORD_BYTES)
        for start in range(first, first + left, mmap.PAGESIZE):
            # One byte makes a page; a finaliser may have used its records by now.
            if start >= self._made * RECORD_BYTES:
                self.memory[start] = 0

    def _renew_lock(self) -> None:
        """Make the lock, and keep its two methods: calling them is half the price of `with`."""
        super()._renew_lock()
        self._lock_taken, self._lock_left = self._lock.acquire, self._lock.release


def checked_count(name: str, value: object, default: int, *, low: int = 0, high: int) -> int:
    """
    Return *value* if it is an integer from *low* to *high*, or *default* for None.

    Raises:
        PoolError: It is anything else.
    """
    if value is None:
        return default
    try:
        number = index(value)  # type: ignore[arg-type] # that is the question
    except TypeError:
        number = low - 1
    if not low <= number <= high or type(value) is bool:
        shown = f"{value:,}" if type(value) is int else repr(value)
        raise PoolError(f"{name} is {shown}", hint=f"Give a number from {low:,} to {high:,}.")
    return number
