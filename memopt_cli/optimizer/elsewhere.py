"""What the records of connection states have elsewhere: long counts, ids, metadata, payloads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.optimizer.bulk import BulkSlab
from memopt_cli.optimizer.capabilities import CapabilityTable
from memopt_cli.optimizer.fields import check_integer
from memopt_cli.optimizer.metadata import NO_ENTRY, MetadataTable
from memopt_cli.optimizer.records import (
    CHECKSUM,
    CONTROL,
    COUNT_ELSEWHERE,
    DOCUMENT_SHIFT,
    ELSEWHERE,
    METADATA,
    METADATA_SHARED,
    NUMBER,
    PENDING_ELSEWHERE,
    RETAINS,
    empty_record,
)
from memopt_cli.optimizer.retention import packed
from memopt_cli.optimizer.sizes import deep_size_bytes, table_share_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypeAlias

    from memopt_cli.optimizer.capabilities import Capabilities
    from memopt_cli.optimizer.fields import MetadataValue, RequestId
    from memopt_cli.optimizer.retention import PayloadStore

    Shares: TypeAlias = tuple[tuple[bytes, ...], Capabilities | None]
    """Payloads and a document, one reference to each of which is to be given back."""

_NO_DOCUMENT = (1 << DOCUMENT_SHIFT) - 1
"""Of a control word: all but the number of the document."""


class StateSlab(BulkSlab):
    """
    A slab of connection states, with what does not fit their records or is shared by some.

    Methods that take a record's first word do not check that somebody has the record: that is
    done by `CompactState`, which calls them.
    """

    __slots__ = ("_counts", "_payloads", "_pending", "_retained", "documents", "metadata")

    def __init__(
        self, *, size: int, limit: int | None, capacity: int | None, payloads: PayloadStore | None
    ) -> None:
        self.metadata = MetadataTable()
        self.documents = CapabilityTable()
        # By the record's first word, counts by their own; records that fit are in none of these.
        self._pending: dict[int, tuple[RequestId, ...]] = {}
        self._counts: dict[int, int] = {}
        self._retained: dict[int, tuple[bytes, ...]] = {}
        self._payloads = payloads
        super().__init__(size=size, limit=limit, capacity=capacity)

    def clear(self, at: int) -> None:
        """Empty the record whose first word is *at*, and give back what it holds."""
        with self._lock:
            words = self.words
            control, reference = words[at + CONTROL], words[at + METADATA]
            empty_record(self.memory, 4 * at + 4)
            shared = self._let_go(at, control, reference)
        if shared is not None:
            self._give_back(shared)

    def wide(self, at: int, word: int) -> int:
        """Return the count whose word says that it is elsewhere."""
        if not self.words[at + CONTROL] & COUNT_ELSEWHERE:
            return ELSEWHERE
        return self._counts.get(at + word, ELSEWHERE)

    def set_wide(self, at: int, word: int, value: int) -> None:
        """Keep a count that does not fit its word."""
        if not self.words[at + CONTROL] & COUNT_ELSEWHERE:
            self._forget_counts(at)
        self._counts[at + word] = check_integer("count", value)
        self.words[at + CONTROL] |= COUNT_ELSEWHERE
        self.words[at + word] = ELSEWHERE

    def wide_counts(self, at: int) -> dict[int, int]:
        """Return the counts that are kept elsewhere, by their word."""
        words, counts = self.words, self._counts
        return {
            word: counts[at + word]
            for word in range(NUMBER, CHECKSUM + 1)
            if words[at + word] == ELSEWHERE and counts.get(at + word, ELSEWHERE) != ELSEWHERE
        }

    def wide_bytes(self, at: int) -> int:
        """Return what the counts that are kept elsewhere occupy."""
        held = [
            self._counts[at + word]
            for word in range(NUMBER, CHECKSUM + 1)
            if at + word in self._counts
        ]
        share = table_share_bytes(self._counts) if held else 0
        return sum(share + deep_size_bytes(count, set()) for count in held)

    def pending_at(self, at: int) -> tuple[RequestId, ...]:
        """Return request ids that are not in the record."""
        return self._pending[at]

    def pending_elsewhere(self, at: int) -> tuple[RequestId, ...]:
        """Return request ids that are not in the record, none if they are."""
        return self._pending[at] if self.words[at + CONTROL] & PENDING_ELSEWHERE else ()

    def pending_bytes(self, at: int) -> int:
        """Return what request ids occupy that are not in the record."""
        return table_share_bytes(self._pending) + deep_size_bytes(self._pending[at], set())

    def set_pending(self, at: int, ids: tuple[RequestId, ...]) -> None:
        """Keep request ids that the record cannot hold."""
        self._pending[at] = ids

    def forget_pending(self, at: int) -> None:
        """Forget request ids that the record holds itself by now."""
        self._pending.pop(at, None)

    def write_metadata(self, at: int, content: Mapping[str, MetadataValue]) -> None:
        """Replace the metadata of a record by a private entry."""
        with self._lock:
            words, metadata = self.words, self.metadata
            packed_content = metadata.pack(content) if content else b""
            control, reference = words[at + CONTROL], words[at + METADATA]
            shared = bool(control & METADATA_SHARED)
            own = packed_content and reference and not shared
            if own and metadata.overwrite(reference, packed_content):
                return
            # The record refers to the new one before the old one is let go.
            words[at + METADATA] = metadata.store(packed_content) if content else NO_ENTRY
            words[at + CONTROL] = control & ~METADATA_SHARED
            metadata.free(reference, shared=shared)

    def share_metadata(self, at: int, content: Mapping[str, MetadataValue]) -> None:
        """Replace the metadata of a record by a shared entry."""
        with self._lock:
            words, entry = self.words, self.metadata.share(content)
            control, reference = words[at + CONTROL], words[at + METADATA]
            words[at + METADATA] = entry
            words[at + CONTROL] = control & ~METADATA_SHARED | (METADATA_SHARED if entry else 0)
            self.metadata.free(reference, shared=bool(control & METADATA_SHARED))

    def document(self, number: int) -> Capabilities | None:
        """Return the shared document of a number; 0 is none."""
        return self.documents[number]

    def set_document(self, at: int, capabilities: Capabilities | None) -> None:
        """Replace the shared document of a record."""
        with self._lock:
            words, number = self.words, self.documents.keep(capabilities)
            control = words[at + CONTROL]
            words[at + CONTROL] = control & _NO_DOCUMENT | number << DOCUMENT_SHIFT
            if control <= _NO_DOCUMENT:
                return
            earlier = self.documents.release(control >> DOCUMENT_SHIFT)
        if earlier is not None:
            earlier.release()

    def retained_at(self, at: int) -> tuple[bytes, ...]:
        """Return the payloads of a record as they are kept."""
        return self._retained[at] if self.words[at + CONTROL] & RETAINS else ()

    def retain(self, at: int, payload: bytes, *, window: int, compression: bool) -> None:
        """Keep one more payload of a record, and of the earlier ones at most a window full."""
        earlier = self.retained_at(at)
        surplus = len(earlier) - window + 1
        kept = self._kept(payload, compression=compression)
        self._retained[at] = (*earlier, kept)[-window:]
        self.words[at + CONTROL] |= RETAINS
        if surplus > 0:
            self._give_back_payloads(earlier[:surplus])

    def restore_retained(self, at: int, payloads: Iterable[tuple[bytes, bool]]) -> None:
        """Replace all payloads of a record."""
        kept: list[bytes] = []
        try:
            for payload, compression in payloads:
                kept.append(self._kept(payload, compression=compression))
        except BaseException:
            self._give_back_payloads(tuple(kept))
            raise
        earlier = self.retained_at(at)
        if kept:
            self._retained[at] = tuple(kept)
            self.words[at + CONTROL] |= RETAINS
        else:
            self.words[at + CONTROL] &= ~RETAINS
            self._retained.pop(at, None)
        self._give_back_payloads(earlier)

    def retained_bytes(self, at: int) -> tuple[int, int]:
        """Return what the payloads of a record occupy, first its own, then the shared ones."""
        kept, store = self._retained[at], self._payloads
        seen: set[int] = set()
        shared = [one for one in kept if store is not None and one in store]
        shared_bytes = sum(deep_size_bytes(one, seen) for one in shared)
        return table_share_bytes(self._retained) + deep_size_bytes(kept, seen), shared_bytes

    def _let_go(self, at: int, control: int, reference: int) -> Shares | None:
        """Give up what a record refers to; return what of it others keep, or None."""
        if control & COUNT_ELSEWHERE:
            self._forget_counts(at)
        if control & PENDING_ELSEWHERE:
            self._pending.pop(at, None)
        self.metadata.free(reference, shared=bool(control & METADATA_SHARED))
        payloads = self._retained.pop(at, ()) if control & RETAINS else ()
        document = self.documents.release(control >> DOCUMENT_SHIFT)
        return (payloads, document) if payloads or document is not None else None

    def _give_back(self, shared: Shares) -> None:  # type: ignore[override] # what let go returns
        """Give back what others keep, outside the lock: they have their own."""
        payloads, document = shared
        self._give_back_payloads(payloads)
        if document is not None:
            document.release()

    def _forget_counts(self, at: int) -> None:
        for word in range(NUMBER, CHECKSUM + 1):
            self._counts.pop(at + word, None)

    def _kept(self, payload: bytes, *, compression: bool) -> bytes:
        if self._payloads is None:
            return packed(payload, compression=compression)
        return self._payloads.acquire(payload, compression=compression)

    def _give_back_payloads(self, payloads: tuple[bytes, ...]) -> None:
        if self._payloads is not None:
            self._payloads.release(payloads)
