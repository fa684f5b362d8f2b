"""Records of a fixed size that are taken and given back one at a time."""

from __future__ import annotations

from memopt_cli.errors import PoolExhausted
from memopt_cli.optimizer.books import WORD_BYTES, Books
from memopt_cli.optimizer.forking import one_at_a_time
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

    An acquire of an idle record takes no lock, and waits for nobody.
    """

    __slots__ = ()

    @one_at_a_time
    def acquire(self) -> int:
        """
        Return the handle of an empty record.

        Raises:
            PoolExhausted: As many records are in use as the limit allows.
        """
        # Between an idle record's being found and its having an owner there is no call, so
        # no lock is needed: see `Locked`.
        while True:
            idle = self._idle
            if idle > self._least_idle:
                self._idle = idle = idle - 1
                slot = self._stack[idle]
                words, at = self.words, slot * WORDS
                words[at] = key = words[at] + 1
                return key << SLOT_BITS | slot
            if handle := self._use_new():
                return handle

    @one_at_a_time
    def acquire_filled(self, control: int, content: bytes) -> int:
        """
        Return the handle of a record with a control word and what follows it in the record.

        Args:
            control: The control word, which refers to nothing.
            content: The bytes behind it, at most to the end of the record.

        Raises:
            PoolExhausted: As many records are in use as the limit allows.
            struct.error: The content is no bytes; no record is acquired.
        """
        while True:
            idle = self._idle
            if idle > self._least_idle:
                self._idle = idle = idle - 1
                slot = self._stack[idle]
                key = self.words[slot * WORDS] + 1
                handle = key << SLOT_BITS | slot
                break
            if handle := self._use_new():
                key, slot = handle >> SLOT_BITS, handle & SLOT_MASK
                break
        try:
            # One call for all of it, so that nobody sees a record that is half filled.
            fill_record(self.memory, slot * RECORD_BYTES, key, control, content)
        except BaseException:
            self.release(handle)
            raise
        return handle

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
        # Not `with`, which costs twice as much. The lock is taken within the `try`, so that
        # Ctrl-C cannot fall between the two and leave it locked.
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
                self._ended += 1
                end_record(self.memory, slot * RECORD_BYTES, key + 1)
        finally:
            # Not ours if Ctrl-C came while it was waited for.
            try:  # noqa: SIM105 - another call, before which Ctrl-C could come
                self._lock_left()
            except RuntimeError:
                pass
        if shared is not None:
            self._give_back(shared)

    def _let_go(self, at: int, control: int, reference: int) -> object:  # noqa: ARG002 - as overrides need them
        """Give up what a record refers to; return what of it others keep, or None."""
        return None

    def _give_back(self, shared: object) -> None:
        """Give back what others keep, outside the lock: they have their own."""

    def _use_new(self) -> int:
        """Return the handle of a record that nobody has used, or 0 if others are idle by now."""
        try:
            self._lock_taken()
            made = self._made
            if self._idle > self._least_idle:
                handle = 0
            elif made - self._retired - self._idle < self._limit and made < self._capacity:
                self._made = made + 1
                self._created += 1
                self.words[made * WORDS] = key = self._first_key
                handle = key << SLOT_BITS | made
            else:
                raise self._exhausted(1)
            return handle
        finally:
            try:  # noqa: SIM105 - another call, before which Ctrl-C could come
                self._lock_left()
            except RuntimeError:
                pass

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
            self._ended += 1
            end_record(self.memory, at * WORD_BYTES, key + 1)
