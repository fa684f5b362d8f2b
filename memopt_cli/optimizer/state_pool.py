"""A pool of connection states: packed records in one slab of memory, addressed by handles."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from memopt_cli.optimizer.capabilities import CapabilityStore, CapabilityTable
from memopt_cli.optimizer.metadata import MetadataTable
from memopt_cli.optimizer.records import (
    CONTROL,
    COUNT_ELSEWHERE,
    DOCUMENT_SHIFT,
    ELSEWHERE,
    METADATA,
    METADATA_SHARED,
    PENDING_ELSEWHERE,
    RETAINS,
    WORDS,
    empty_record,
)
from memopt_cli.optimizer.retention import packed
from memopt_cli.optimizer.sizes import deep_size_bytes
from memopt_cli.optimizer.slab import Slab
from memopt_cli.optimizer.state import CompactState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from memopt_cli.optimizer.capabilities import Capabilities
    from memopt_cli.optimizer.fields import MetadataValue, RequestId
    from memopt_cli.optimizer.retention import PayloadStore


class StatePool(Slab):
    """
    Connection states of 56 bytes each, and what some of them have beyond that.

    >>> pool = StatePool()
    >>> handle = pool.acquire()
    >>> state = pool[handle]
    >>> state.metadata["user"] = "ada"
    >>> state.metadata["user"], state.received, pool.stats().in_use
    ('ada', 0, 1)
    >>> pool.release(handle)
    >>> state.received
    Traceback (most recent call last):
    memopt_cli.errors.StaleHandle: ...

    The handle is the connection's identity: keep it where the connection is kept (in the
    selector's data, in an array by descriptor), and no dictionary is needed to find the state.

    Acquiring, releasing and looking up may be done from any thread; see `CompactState` for
    what may be done to one state.
    """

    __slots__ = (
        "_counts",
        "_payloads",
        "_pending",
        "_retained",
        "capabilities",
        "documents",
        "metadata",
    )

    capabilities: CapabilityStore
    """Where the states' handshake documents are shared."""

    def __init__(
        self,
        *,
        size: int = 0,
        limit: int | None = None,
        capacity: int | None = None,
        capabilities: CapabilityStore | None = None,
        payloads: PayloadStore | None = None,
    ) -> None:
        """
        Args:
            size: Records made ready at once.
            limit: Most records in use; None is the capacity.
            capacity: Most records ever, for which address space is reserved; None is
                16,777,216, which reserve 960 MiB of it and no memory.
            capabilities: Where decoded states share their documents; None is a store of its own.
            payloads: Where retained payloads are shared with others; None shares none.

        Raises:
            PoolError: The numbers contradict each other, or the address space is not there.
        """
        super().__init__(size=size, limit=limit, capacity=capacity)
        self.capabilities = CapabilityStore() if capabilities is None else capabilities
        self.metadata = MetadataTable()
        self.documents = CapabilityTable()
        # By the record's first word; a record that has nothing elsewhere is in none of them.
        self._pending: dict[int, tuple[RequestId, ...]] = {}
        self._counts: dict[int, dict[int, int]] = {}
        self._retained: dict[int, tuple[bytes, ...]] = {}
        self._payloads = payloads

    def __getitem__(self, handle: int) -> CompactState:
        """
        Return the state of *handle*.

        Raises:
            StaleHandle: The handle was released.
            ForeignHandle: This pool never gave it out.
        """
        try:
            key, at = handle >> 24, (handle & 0xFF_FFFF) * WORDS
            if self.words[at] == key and key & 1:
                return CompactState(self, self.words, key, at)
        except (TypeError, IndexError):
            pass
        raise self.refusal(handle)

    @contextmanager
    def lease(self) -> Iterator[CompactState]:
        """Acquire a state for the length of a `with`, and release it however that ends."""
        handle = self.acquire()
        try:
            yield self[handle]
        finally:
            self.release(handle)

    def clear(self, at: int) -> None:
        """Empty the record whose first word is *at*, and give back what it holds."""
        with self._lock:
            words = self.words
            control, reference = words[at + CONTROL], words[at + METADATA]
            empty_record(self.memory, 4 * at + 4)
            self._let_go(at, control, reference)

    def _let_go(self, at: int, control: int, reference: int) -> None:
        """Give back what a record held, after the record itself is empty."""
        if control & COUNT_ELSEWHERE:
            self._counts.pop(at, None)
        if control & PENDING_ELSEWHERE:
            self._pending.pop(at, None)
        if control & RETAINS:
            self._give_back(self._retained.pop(at, ()))
        self.metadata.free(reference, shared=bool(control & METADATA_SHARED))
        self.documents.release(control >> DOCUMENT_SHIFT)

    # What a record's words refer to; called by `CompactState`, which has checked the handle.

    def wide(self, at: int, word: int) -> int:
        """Return the count whose word says that it is elsewhere."""
        return self._counts.get(at, {}).get(word, ELSEWHERE)

    def set_wide(self, at: int, word: int, value: int) -> None:
        """Keep a count that does not fit its word."""
        self._counts.setdefault(at, {})[word] = value
        self.words[at + CONTROL] |= COUNT_ELSEWHERE
        self.words[at + word] = ELSEWHERE

    def wide_counts(self, at: int) -> dict[int, int]:
        """Return the counts that are kept elsewhere, by their word."""
        words, counts = self.words, self._counts.get(at, {})
        return {word: value for word, value in counts.items() if words[at + word] == ELSEWHERE}

    def wide_bytes(self, at: int) -> int:
        """Return what the counts that are kept elsewhere occupy."""
        return deep_size_bytes(self._counts.get(at), set())

    def pending_at(self, at: int) -> tuple[RequestId, ...]:
        """Return request ids that are not in the record."""
        return self._pending[at]

    def pending_elsewhere(self, at: int) -> tuple[RequestId, ...]:
        """Return request ids that are not in the record, none if they are."""
        return self._pending.get(at, ())

    def set_pending(self, at: int, ids: tuple[RequestId, ...]) -> None:
        """Keep request ids that the record cannot hold."""
        self._pending[at] = ids

    def forget_pending(self, at: int) -> None:
        """Say that the record holds the request ids itself."""
        if self.words[at + CONTROL] & PENDING_ELSEWHERE:
            self._pending.pop(at, None)

    def share_metadata(self, at: int, content: Mapping[str, MetadataValue]) -> None:
        """Replace the metadata of a record by a shared entry."""
        words = self.words
        shared = self.metadata.share(content)
        control, reference = words[at + CONTROL], words[at + METADATA]
        words[at + METADATA] = shared
        words[at + CONTROL] = control | METADATA_SHARED
        self.metadata.free(reference, shared=bool(control & METADATA_SHARED))

    def document(self, number: int) -> Capabilities | None:
        """Return the shared document of a number; 0 is none."""
        return self.documents[number]

    def set_document(self, at: int, capabilities: Capabilities | None) -> None:
        """Replace the shared document of a record."""
        number = self.documents.keep(capabilities)
        control = self.words[at + CONTROL]
        self.words[at + CONTROL] = control & ((1 << DOCUMENT_SHIFT) - 1) | number << DOCUMENT_SHIFT
        self.documents.release(control >> DOCUMENT_SHIFT)

    def retained_at(self, at: int) -> tuple[bytes, ...]:
        """Return the payloads of a record as they are kept."""
        return self._retained[at]

    def retain(self, at: int, payload: bytes, *, window: int, compression: bool) -> None:
        """Keep one more payload of a record, and of the earlier ones at most a window full."""
        earlier = self._retained.get(at, ())
        kept = self._kept(payload, compression=compression)
        self._retained[at] = (*earlier, kept)[-window:]
        self.words[at + CONTROL] |= RETAINS
        if len(earlier) >= window:
            self._give_back(earlier[: len(earlier) - window + 1])

    def restore_retained(self, at: int, payloads: Iterable[tuple[bytes, bool]]) -> None:
        """Replace all payloads of a record."""
        earlier = self._retained.get(at, ())
        self._retained[at] = tuple(self._kept(one, compression=wish) for one, wish in payloads)
        self.words[at + CONTROL] |= RETAINS
        self._give_back(earlier)

    def _kept(self, payload: bytes, *, compression: bool) -> bytes:
        if self._payloads is None:
            return packed(payload, compression=compression)
        return self._payloads.acquire(payload, compression=compression)

    def _give_back(self, payloads: tuple[bytes, ...]) -> None:
        if self._payloads is not None:
            self._payloads.release(payloads)
