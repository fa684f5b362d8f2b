"""Records of a fixed size in one stretch of memory: which are in use, and by whom."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, Final

from memopt_cli.errors import ForeignHandle, PoolError, PoolExhausted, StaleHandle
from memopt_cli.optimizer.memory import give_back, reserve
from memopt_cli.optimizer.records import (
    CONTROL,
    HOLDS,
    METADATA,
    RECORD_BYTES,
    TAG_BITS,
    WORDS,
    empty_record,
    fill_record,
)
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
    import numpy as np
    from numpy.typing import NDArray

WORD_BYTES: Final = 4


class Slab:
    """
    Slots of 56 bytes that are taken and given back by handle, the latest given back first.

    Last in, first out, because a population that shrinks then leaves the end of the memory
    unused, which `trim` can return, and because the record is still in the processor's cache.

    Address space is reserved once, so that growing moves nothing and views stay valid; the
    system provides memory a page at a time, when a slot is first used.
    """

    __slots__ = (
        "__weakref__",
        "_capacity",
        "_created",
        "_dropped",
        "_first_generation",
        "_idle",
        "_last_key",
        "_least_idle",
        "_limit",
        "_lock",
        "_lock_left",
        "_lock_taken",
        "_made",
        "_retired",
        "_reused",
        "_size",
        "_stack",
        "_stack_memory",
        "_tag",
        "memory",
        "times",
        "words",
    )

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
        capacity = MAX_SLOTS if capacity is None else capacity
        if not 1 <= capacity <= MAX_SLOTS:
            raise PoolError(
                f"capacity is {capacity:,}", hint=f"Give a number from 1 to {MAX_SLOTS:,}."
            )
        self._capacity = capacity
        self.memory = reserve(capacity * RECORD_BYTES)
        self.words: memoryview[int] = memoryview(self.memory).cast("I")
        self.times: memoryview[float] = memoryview(self.memory).cast("d")
        # Released slots, as a stack: four bytes for each that was ever idle at once.
        self._stack_memory = reserve(capacity * WORD_BYTES)
        self._stack: memoryview[int] = memoryview(self._stack_memory).cast("I")
        self._tag = next_tag() % ((1 << TAG_BITS) - 1) + 1
        self._last_key = self._tag << GENERATION_BITS | GENERATION_MASK
        self._lock = RLock()
        self._lock_taken, self._lock_left = self._lock.acquire, self._lock.release
        self._idle = self._made = self._created = self._reused = 0
        self._retired = self._dropped = self._first_generation = 0
        # So many idle records may not be used, because as many as the limit allows are in use.
        self._least_idle = 0
        self._size, self._limit = 0, capacity
        self.configure(size=size, limit=limit)

    def acquire(self) -> int:
        """
        Return the handle of an empty record.

        Raises:
            PoolExhausted: As many records are in use as the limit allows.
        """
        # Not `with`, which costs twice as much. The lock is taken inside the `try`, so that
        # Ctrl-C cannot fall between the two and leave it locked.
        try:
            self._lock_taken()
            idle = self._idle
            if idle <= self._least_idle:
                return self._use_new()
            self._idle = idle = idle - 1
            self._reused += 1
            slot = self._stack[idle]
            words, at = self.words, slot * WORDS
            words[at] = key = words[at] + 1
            return key << SLOT_BITS | slot
        finally:
            self._lock_left()

    def acquire_filled(self, control: int, content: bytes) -> int:
        """
        Return the handle of a record with a control word and what follows it in the record.

        Args:
            control: The control word.
            content: First 4 bytes that are ignored, in the control word's place; then the
                bytes behind it, at most to the end of the record.

        Raises:
            PoolExhausted: As many records are in use as the limit allows.
        """
        try:
            self._lock_taken()
            idle = self._idle
            if idle <= self._least_idle:
                handle = self._use_new()
                slot = handle & SLOT_MASK
                at = slot * WORDS
            else:
                self._idle = idle = idle - 1
                self._reused += 1
                slot = self._stack[idle]
                at = slot * WORDS
                self.words[at] = key = self.words[at] + 1
                handle = key << SLOT_BITS | slot
            fill_record(self.memory, slot * RECORD_BYTES + WORD_BYTES, content)
            self.words[at + CONTROL] = control
            return handle
        finally:
            self._lock_left()

    def release(self, handle: int) -> None:
        """
        Empty the record of *handle* and make it available.

        Raises:
            StaleHandle: The handle was released before; nothing has changed.
            ForeignHandle: This pool never gave it out; nothing has changed.
        """
        try:
            self._lock_taken()
            words = self.words
            try:
                key, slot = handle >> SLOT_BITS, handle & SLOT_MASK
                at = slot * WORDS
                if words[at] != key or not key & 1:
                    raise self.refusal(handle)
            except (TypeError, IndexError):
                raise self.refusal(handle) from None
            control, reference = words[at + CONTROL], words[at + METADATA]
            empty_record(self.memory, slot * RECORD_BYTES + WORD_BYTES)
            if key == self._last_key:
                self._retire(at, key)
            else:
                words[at] = key + 1
                self._stack[self._idle] = slot
                self._idle += 1
            if control & HOLDS or reference:
                self._let_go(at, control, reference)
        finally:
            self._lock_left()

    def acquire_many(self, count: int) -> NDArray[np.uint64]:
        """
        Return the handles of *count* empty records, or acquire none.

        Raises:
            PoolExhausted: The limit does not allow as many more.
        """
        import numpy as np

        with self._lock:
            self._require_room(count)
            again = min(count, self._idle)
            slots = np.empty(count, np.uint32)
            slots[:again] = self._stack[self._idle - again : self._idle]
            slots[again:] = np.arange(self._made, self._made + count - again, dtype=np.uint32)
            keys = self._table()[:, 0]
            keys[slots[again:]] = self._tag << GENERATION_BITS | self._first_generation
            opened = keys[slots] + np.uint32(1)
            keys[slots] = opened
            self._idle -= again
            self._made += count - again
            self._created += count - again
            self._reused += again
            return opened.astype(np.uint64) << np.uint64(SLOT_BITS) | slots

    def release_many(self, handles: NDArray[np.uint64]) -> None:
        """
        Empty the records of *handles* and make them available, or none of them.

        Raises:
            StaleHandle: A handle was released before, or is there twice.
            ForeignHandle: This pool never gave one of them out.
        """
        import numpy as np

        with self._lock:
            slots, keys = self._slots_of(handles)
            table = self._table()
            # Each slot is given its place in the batch: one that is there twice keeps one.
            places = np.arange(len(slots), dtype=np.uint32)
            table[slots, 0] = places
            twice = table[slots, 0] != places
            table[slots, 0] = keys
            if twice.any():
                raise StaleHandle(f"handle {int(handles[twice.argmax()]):#x} is there twice")
            used_up = keys == self._last_key
            held = (table[slots, CONTROL] & np.uint32(HOLDS) | table[slots, METADATA]) != 0
            single = held | used_up
            if single.any():
                for handle in handles[single].tolist():
                    self.release(handle)
                slots, keys = slots[~single], keys[~single]
            table[slots, 1:] = 0
            table[slots, 0] = keys + np.uint32(1)
            self._stack_array()[self._idle : self._idle + len(slots)] = slots
            self._idle += len(slots)

    def stats(self) -> PoolStats:
        """Return the counters as they are now."""
        with self._lock:
            fresh = max(self._size - self._made, 0)
            return PoolStats(
                in_use=self._made - self._retired - self._idle,
                available=self._idle + fresh,
                allocated=self._created + fresh,
                created=self._created,
                reused=self._reused,
                dropped=self._dropped,
                discarded=self._retired,
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
        nobody acquires. To make the pool smaller, `trim` it.

        Raises:
            PoolError: The numbers contradict each other; nothing has changed.
        """
        with self._lock:
            new_size = self._size if size is None else size
            new_limit = self._limit if limit is None else limit
            for name, value in (("size", new_size), ("limit", new_limit)):
                if not 0 <= value <= self._capacity:
                    raise PoolError(
                        f"{name} is {value:,}",
                        hint=f"Give a number from 0 to the capacity, {self._capacity:,}.",
                    )
            if new_size > new_limit:
                raise PoolError(
                    f"size {new_size:,} is above limit {new_limit:,}",
                    hint=f"Raise limit as well, or give a size of at most {new_limit:,}.",
                )
            self._size, self._limit = new_size, new_limit
            self._bound_idle()
            self._provide(new_size)

    def trim(self) -> int:
        """
        Return the memory behind the last record in use to the system.

        Records in use stay where they are, so one at the end holds all before it: a pool that
        has shrunk and is used on fills from its latest released records, not from its front.

        Returns:
            Records that were idle and are not kept any more.
        """
        import numpy as np

        with self._lock:
            keys = self._table()[: self._made, 0]
            in_use = np.flatnonzero(keys & np.uint32(1))
            kept = int(in_use[-1]) + 1 if len(in_use) else 0
            gone = keys[kept:]
            # A slot that is used again must begin above every generation it has had.
            highest = int((gone & np.uint32(GENERATION_MASK)).max(initial=0))
            if not len(gone) or highest + 1 >= GENERATION_MASK:
                return 0
            self._first_generation = max(self._first_generation, highest + (highest & 1))
            stack = self._stack_array()[: self._idle]
            left = stack[stack < kept]
            dropped = self._idle - len(left)
            self._stack_array()[: len(left)] = left
            self._retired -= len(gone) - dropped
            self._idle, self._made = len(left), kept
            self._dropped += dropped
            self._size = min(self._size, kept)
            self._bound_idle()
            self._table()[kept : kept + len(gone), 0] = 0
            give_back(self.memory, kept * RECORD_BYTES)
            give_back(self._stack_memory, len(left) * WORD_BYTES)
            return dropped

    def __len__(self) -> int:
        """Return how many records are in use."""
        with self._lock:
            return self._made - self._retired - self._idle

    def handles(self) -> NDArray[np.uint64]:
        """Return the handles of all records in use, by slot."""
        import numpy as np

        with self._lock:
            keys = self._table()[: self._made, 0]
            slots = np.flatnonzero(keys & np.uint32(1)).astype(np.uint64)
            return keys[slots].astype(np.uint64) << np.uint64(SLOT_BITS) | slots

    def refusal(self, handle: object) -> PoolError:
        """Return the error for a handle that is not one of a record in use."""
        if not isinstance(handle, int):
            return ForeignHandle(f"{handle!r} is not a handle of any pool")
        slot, key = handle & SLOT_MASK, handle >> SLOT_BITS
        ours = key >> GENERATION_BITS == self._tag and key & 1 and slot < self._capacity
        current = self.words[slot * WORDS] if ours else 0
        # Slots that were given back to the system have no word, but a first generation.
        latest = max(current & GENERATION_MASK, self._first_generation)
        if not ours or (key & GENERATION_MASK) > latest:
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

    def _let_go(self, at: int, control: int, reference: int) -> None:
        """Give back what a record referred to, after the record itself is empty."""

    def _use_new(self) -> int:
        """Return the handle of a record that nobody has used."""
        self._require_room(1)
        slot = self._made
        self._made += 1
        self._created += 1
        key = (self._tag << GENERATION_BITS | self._first_generation) + 1
        self.words[slot * WORDS] = key
        return key << SLOT_BITS | slot

    def _require_room(self, count: int) -> None:
        in_use = self._made - self._retired - self._idle
        new = count - self._idle
        if in_use + count > self._limit or self._made + new > self._capacity:
            raise PoolExhausted(
                f"{in_use:,} records are in use, {count:,} more are asked for, and the limit "
                f"is {min(self._limit, self._capacity - self._retired):,}",
                hint="Release records sooner, or raise the limit with configure(limit=...).",
            )

    def _retire(self, at: int, key: int) -> None:
        """Never use a slot again whose generations are used up: 56 bytes per 524,288 uses."""
        self.words[at] = key - 1
        self._retired += 1
        self._bound_idle()

    def _bound_idle(self) -> None:
        self._least_idle = max(self._made - self._retired - self._limit, 0)

    def _provide(self, size: int) -> None:
        """Have the system provide the memory of the first *size* records."""
        start = self._made * RECORD_BYTES
        if size * RECORD_BYTES > start:
            self.memory[start : size * RECORD_BYTES] = bytes(size * RECORD_BYTES - start)

    def _slots_of(
        self, handles: NDArray[np.uint64]
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Return slots and keys of handles that are all in use, or refuse the first that is not."""
        import numpy as np

        slots = (handles & np.uint64(SLOT_MASK)).astype(np.uint32)
        keys = handles >> np.uint64(SLOT_BITS)
        # A slot beyond the capacity is looked up as the last one, whose key cannot be its.
        known = self._table()[np.minimum(slots, self._capacity - 1), 0] == keys
        wrong = ~(known & (keys & np.uint64(1)).astype(bool) & (slots < self._capacity))
        if wrong.any():
            raise self.refusal(int(handles[wrong.argmax()]))
        return slots, keys.astype(np.uint32)

    def _table(self) -> NDArray[np.uint32]:
        """Return all words as a table: a row per slot."""
        import numpy as np

        return np.frombuffer(self.memory, np.uint32).reshape(-1, WORDS)

    def _stack_array(self) -> NDArray[np.uint32]:
        import numpy as np

        return np.frombuffer(self._stack_memory, np.uint32)
