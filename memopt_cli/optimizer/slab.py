"""Records of a fixed size that are taken and given back one at a time."""

from __future__ import annotations

from memopt_cli.errors import PoolExhausted
from memopt_cli.optimizer.books import WORD_BYTES, Books
from memopt_cli.optimizer.records import (
    CONTROL,
    HOLDS,
    METADATA,
    RECORD_BYTES,
    WORDS,
    end_record,
    fill_record,
)
from memopt_cli.pool.handles import SLOT_BITS, SLOT_MASK


class Slab(Books):
    """
    Records of 56 bytes that are taken and given back by handle, the latest given back first.

    Last in, first out, because a population that shrinks then leaves the end of the memory
    unused, which can be returned, and because the record is still in the processor's cache.
    """

    __slots__ = ()

    def acquire(self) -> int:
        """
        Return the handle of an empty record.

        Raises:
            PoolExhausted: As many records are in use as the limit allows.
        """
        # Not `with`, which costs twice as much. The lock is taken within the `try`, so that
        # Ctrl-C cannot fall between the two and leave it locked.
        try:
            self._lock_taken()
            idle = self._idle
            if idle <= self._least_idle:
                handle = self._use_new()
            else:
                self._idle = idle = idle - 1
                self._reused += 1
                slot = self._stack[idle]
                words, at = self.words, slot * WORDS
                words[at] = key = words[at] + 1
                handle = key << SLOT_BITS | slot
            return handle
        finally:
            # Not ours if Ctrl-C came while it was waited for.
            try:  # noqa: SIM105 - another call, before which Ctrl-C could come
                self._lock_left()
            except RuntimeError:
                pass

    def acquire_filled(self, control: int, content: bytes) -> int:
        """
        Return the handle of a record with a control word and what follows it in the record.

        Args:
            control: The control word.
            content: First 4 bytes that are ignored, in the control word's place; then the
                bytes behind it, at most to the end of the record.

        Raises:
            PoolExhausted: As many records are in use as the limit allows.
            struct.error: The content is no bytes; no record is acquired.
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
            try:
                fill_record(self.memory, slot * RECORD_BYTES + WORD_BYTES, content)
                self.words[at + CONTROL] = control
            except BaseException:
                # What was filled in is no control word.
                self.words[at + CONTROL] = 0
                self.release(handle)
                raise
            return handle
        finally:
            try:  # noqa: SIM105
                self._lock_left()
            except RuntimeError:
                pass

    def release(self, handle: int) -> None:
        """
        Empty the record of *handle* and make it available.

        Raises:
            StaleHandle: The handle was released before; nothing has changed.
            ForeignHandle: This pool never gave it out; nothing has changed.
            StateError: Somebody else has released what the record held a share of; the record
                is released all the same.
        """
        shared = None
        try:
            self._lock_taken()
            words = self.words
            try:
                key, slot = handle >> SLOT_BITS, handle & SLOT_MASK
                at = slot * WORDS
                if words[at] != key or not key & 1:
                    raise self.refusal(handle)
            except (TypeError, IndexError):
                key, at = self.find(handle)
                slot = at // WORDS
            control, reference = words[at + CONTROL], words[at + METADATA]
            if control & HOLDS or reference or key == self._last_key:
                shared = self._release_with_care(key, at, control, reference)
            else:
                idle = self._idle
                self._stack[idle] = slot
                self._idle = idle + 1
                end_record(self.memory, slot * RECORD_BYTES, key + 1)
        finally:
            try:  # noqa: SIM105
                self._lock_left()
            except RuntimeError:
                pass
        if shared is not None:
            self._give_back(shared)

    def _let_go(self, at: int, control: int, reference: int) -> object:  # noqa: ARG002
        """Give up what a record refers to; return what of it others keep, or None."""
        return None

    def _give_back(self, shared: object) -> None:
        """Give back what others keep, outside the lock: they have their own."""

    def _use_new(self) -> int:
        """Return the handle of a record that nobody has used."""
        made = self._made
        if made - self._retired - self._idle < self._limit and made < self._capacity:
            self._made = made + 1
            self._created += 1
            key = self._first_key
            self.words[made * WORDS] = key
            return key << SLOT_BITS | made
        raise self._exhausted(1)

    def _exhausted(self, count: int) -> PoolExhausted:
        """Return the error for *count* records that cannot be had."""
        most = min(self._limit, self._capacity - self._retired)
        return PoolExhausted(
            f"{len(self):,} records are in use, {count:,} more are asked for, and the limit is "
            f"{most:,}",
            hint="Release records sooner, or raise the limit with configure(limit=...).",
        )

    def _release_with_care(self, key: int, at: int, control: int, reference: int) -> object:
        """Release a record that refers to something, or whose slot has no generation left."""
        # Ended before anything else: a finaliser that releases the same handle finds it stale.
        self.words[at] = key + 1
        try:
            shared = self._let_go(at, control, reference)
            return shared  # noqa: RET504 - after a call, it is still guarded
        finally:
            if key == self._last_key:
                self._retired += 1
                if self._least_idle:
                    self._least_idle -= 1
            else:
                idle = self._idle
                self._stack[idle] = at // WORDS
                self._idle = idle + 1
            end_record(self.memory, at * WORD_BYTES, key + 1)
