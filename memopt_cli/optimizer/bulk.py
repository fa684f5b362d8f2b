"""Records that are taken and given back by the thousand, with numpy."""

from __future__ import annotations

import mmap
import sys
from typing import TYPE_CHECKING, Final

from memopt_cli.errors import StaleHandle
from memopt_cli.optimizer.books import WORD_BYTES, checked_count
from memopt_cli.optimizer.columns import ColumnSlab
from memopt_cli.optimizer.memory import whole_pages
from memopt_cli.optimizer.records import CONTROL, HOLDS, METADATA, RECORD_BYTES, WORDS
from memopt_cli.optimizer.views import handle_array, repeated
from memopt_cli.pool.handles import GENERATION_BITS, GENERATION_MASK, SLOT_BITS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from memopt_cli.optimizer.views import Handles

WORN: Final = GENERATION_MASK // 2
"""A slot that has used half of its generations is not given back: the slots that would begin
where it ended would be used up soon."""


class BulkSlab(ColumnSlab):
    """
    A slab whose records can be used in batches.

    A finaliser or a signal handler may use the slab in the middle of a batch. So each method
    works out what to write, looks whether the counters are still those that it had read, and
    then writes without a call in between, not even of `min` or `max`.

    Other threads may acquire meanwhile, since that takes no lock: at any call, and while numpy
    copies, for which it lets them run. So what is on the stack is written by a memoryview, and
    the keys that numpy writes are of slots that are not on it. A try that has to be repeated
    found fewer idle, and releases wait for the lock, so there is an end to it.
    """

    __slots__ = ()

    def acquire_many(self, count: int) -> NDArray[np.uint64]:
        """
        Return the handles of *count* empty records, or acquire none.

        Raises:
            PoolExhausted: The limit does not allow as many more.
            PoolError: The count is not 0 or more.
        """
        import numpy as np

        count = checked_count("count", count, 0, high=sys.maxsize)
        views = self.views()
        with self._lock:
            while True:
                idle, made = self._idle, self._made
                created, ended = self._created, self._ended
                again = min(count, idle)
                new = count - again
                if len(self) + count > self._limit or made + new > self._capacity:
                    raise self._exhausted(count)
                slots, keys = np.empty(count, np.uint32), np.empty(count, np.uint32)
                slots[:again] = views.stack[idle - again : idle]
                slots[again:] = np.arange(made, made + new, dtype=np.uint32)
                keys[:again] = views.keys[slots[:again]] + np.uint32(1)
                keys[again:] = self._first_key
                handles = keys.astype(np.uint64) << np.uint64(SLOT_BITS) | slots
                if (
                    self._idle == idle
                    and self._made == made
                    and self._created == created
                    and self._ended == ended
                ):
                    self._idle = idle - again
                    self._made = made + new
                    self._created = created + new
                    views.keys[slots] = keys
                    return handles

    def release_many(self, handles: Handles) -> None:
        """
        Empty the records of *handles* and make them available, or none of them.

        Raises:
            StaleHandle: A handle was released before, or is there twice; nothing has changed.
            ForeignHandle: This pool never gave one of them out; nothing has changed.
            ExceptionGroup: Somebody else has released what some records held a share of; all
                records are released.
        """
        given = handle_array(handles)
        shared: list[object] = []
        with self._lock:
            self._release_all(given, shared)
        failures: list[Exception] = []
        for one in shared:
            try:
                self._give_back(one)
            except Exception as exc:  # noqa: BLE001 - raised after all are given back
                failures.append(exc)
        if failures:
            raise ExceptionGroup(f"{len(failures):,} of {len(given):,} releases failed", failures)

    def trim(self) -> int:
        """
        Return the memory behind the last record in use to the system.

        Records in use stay where they are, so one at the end holds all before it: a pool that
        has shrunk and is used on fills from its latest released records, not from its front.
        What was made ready beforehand is returned as well, and the pool's size lowered to what
        is left.

        Returns:
            Records that were available and are not any more.
        """
        import numpy as np

        with self._lock:
            made, kept = self._set_tail_apart()
            gone = made - kept
            first, left = whole_pages(self._idle * WORD_BYTES, self._capacity * WORD_BYTES)
            if left and self._idle * WORD_BYTES <= first:
                self._stack_memory.madvise(mmap.MADV_DONTNEED, first, left)
            first, left = whole_pages(kept * RECORD_BYTES, self._capacity * RECORD_BYTES)
            again = np.arange(kept, made, dtype=np.uint32)
            if self._made != made:
                # A finaliser has used records behind these.
                self._push(again, retired=-gone, ended=0)
                return 0
            fresh = self._size - made if self._size > made else 0
            self._made = kept
            self._retired -= gone
            self._dropped += gone + fresh
            self._size = kept if self._size > kept else self._size
            if left:
                self.memory.madvise(mmap.MADV_DONTNEED, first, left)
            return gone + fresh

    def _release_all(self, handles: NDArray[np.uint64], shared: list[object]) -> None:
        """Release *handles*, or refuse them all; add to *shared* what others keep of them."""
        import numpy as np

        views = self.views()
        slots, ended, holding = self._end_all(handles)
        try:
            for slot in holding:
                at = slot * WORDS
                kept = self._let_go(at, self.words[at + CONTROL], self.words[at + METADATA])
                if kept is not None:
                    shared.append(kept)
        finally:
            again = slots[ended <= np.uint32(self._last_key)]
            views.rows[slots] = np.zeros((), views.rows.dtype)
            views.keys[slots] = ended
            self._push(again.astype(np.uint32), retired=len(slots) - len(again), ended=len(slots))

    def _end_all(
        self, handles: NDArray[np.uint64]
    ) -> tuple[NDArray[np.intp], NDArray[np.uint32], list[int]]:
        """
        Make *handles* stale, or refuse them all; their slots are not available yet.

        Returns:
            Their slots, the keys they have now, and the slots whose records refer to something.
        """
        import numpy as np

        views = self.views()
        while True:
            turn = self._ended
            slots, keys = self.slots_of(handles)
            twice = repeated(slots)
            if len(twice):
                raise StaleHandle(f"handle {int(handles[twice[0]]):#x} is there twice")
            held = views.controls[slots] & np.uint32(HOLDS) | views.references[slots]
            ended, holding = keys + np.uint32(1), slots[held != 0].tolist()
            if self._ended == turn:
                views.keys[slots] = ended
                return slots, ended, holding

    def _push(self, slots: NDArray[np.uint32], *, retired: int, ended: int) -> None:
        """Make slots available, the last of them to be used first, and count retired ones."""
        count, copied = len(slots), slots.data
        while True:
            idle, surplus = self._idle, self._least_idle - retired
            above = slice(idle, idle + count)
            if self._idle == idle:
                self._stack[above] = copied
                self._idle = idle + count
                self._retired += retired
                self._ended += ended
                self._least_idle = surplus if surplus > 0 else 0
                return

    def _set_tail_apart(self) -> tuple[int, int]:
        """
        Take the idle slots behind the last one that is not idle, as if they were retired.

        Returns:
            How many slots there are, and how many of them have to stay.
        """
        import numpy as np

        views = self.views()
        while True:
            idle, made, retired = self._idle, self._made, self._retired
            created, ended = self._created, self._ended
            generations = views.keys[:made] & np.uint32(GENERATION_MASK)
            stays = generations > WORN
            # Those that are not on the stack are in use, retired, or on the way to or from it.
            stays |= np.bincount(views.stack[:idle], minlength=made) == 0
            kept = int(stays.nonzero()[0][-1]) + 1 if stays.any() else 0
            highest = int(generations[kept:].max(initial=0))
            # Whoever has one of these slots next begins above all who had any of them.
            first_key = max(self._first_key, (self._tag << GENERATION_BITS) + highest + 1)
            left = views.stack[:idle][views.stack[:idle] < kept]
            count, gone = len(left), made - kept
            below, copied, surplus = slice(count), left.data, self._least_idle - gone
            if (
                self._idle == idle
                and self._made == made
                and self._retired == retired
                and self._created == created
                and self._ended == ended
            ):
                self._stack[below] = copied
                self._idle = count
                self._retired = retired + gone
                self._least_idle = surplus if surplus > 0 else 0
                self._first_key = first_key
                return made, kept
