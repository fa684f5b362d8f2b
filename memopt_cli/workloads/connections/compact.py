"""The same connections on the optimizer's compact state and shared capabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from memopt_cli.optimizer.capabilities import CapabilityStore
from memopt_cli.optimizer.fields import Phase
from memopt_cli.workloads.connections.observing import (
    KEYS,
    PENDING,
    Remembered,
    fingerprint,
    plain,
    stored_value,
)

if TYPE_CHECKING:
    from memopt_cli.optimizer.capabilities import Capabilities
    from memopt_cli.optimizer.state import CompactState
    from memopt_cli.workloads.connections.receiving import BorrowedBuffers
    from memopt_cli.workloads.connections.traffic import Payloads

_PHASES = {phase: phase.name.lower() for phase in Phase}


class CompactRecords:
    """Connections as `CompactState`, their handshake documents shared by content."""

    def __init__(
        self,
        payloads: Payloads,
        *,
        retained_messages: int,
        compression: bool,
        borrowed: BorrowedBuffers | None,
    ) -> None:
        """
        Args:
            payloads: What clients send.
            retained_messages: How many messages a connection keeps.
            compression: Whether kept messages are deflated where that is smaller.
            borrowed: Where messages are received; otherwise each is read whole, without a buffer.
        """
        self._payloads = payloads
        self._retained = retained_messages
        self._compression = compression
        self._borrowed = borrowed
        self._capabilities = CapabilityStore()
        self._fingerprints: dict[bytes, bytes] = {}

    def open(self, state: CompactState, number: int, document: bytes, at_s: float) -> None:
        """Do the handshake."""
        state.capabilities = self._capabilities.acquire(document)
        state.number = number
        state.opened_at_s = state.last_seen_s = at_s
        state.phase = Phase.READY

    def message(self, state: CompactState, kind: int, at_s: float, *, writes: bool) -> None:
        """Receive one request, work on it, answer it."""
        arriving = self._payloads.arriving(state.number, state.received, kind)
        if self._borrowed is None:
            self._account(state, bytes(arriving), at_s, writes=writes)
        else:
            with self._borrowed.hold(arriving) as view:
                self._account(state, view, at_s, writes=writes)

    def close(self, state: CompactState) -> None:
        """End the connection; its release empties the state."""

    def remembered(self, state: CompactState) -> Remembered:
        """Return all that the connection knows."""
        return Remembered(
            number=state.number,
            phase=_PHASES[state.phase],
            opened_at_s=state.opened_at_s,
            last_seen_s=state.last_seen_s,
            received=state.received,
            received_bytes=state.received_bytes,
            checksum=state.checksum,
            metadata=state.read_metadata(),
            pending=state.pending,
            retained=state.retained_payloads(),
            capabilities=self._fingerprint_of(state.capabilities),
        )

    def _fingerprint_of(self, capabilities: Capabilities | None) -> bytes:
        """
        Return the fingerprint of a shared document.

        It is made once per document, from the view that connections read: the view
        cannot be changed, so what one connection sees is what all see.
        """
        if capabilities is None:
            return fingerprint({})
        found = self._fingerprints.get(capabilities.document)
        if found is None:
            found = self._fingerprints[capabilities.document] = fingerprint(
                plain(capabilities.content)
            )
        return found

    def _account(
        self, state: CompactState, message: bytes | memoryview, at_s: float, *, writes: bool
    ) -> None:
        checksum = crc32(message, state.checksum)
        received = state.received
        pending = state.pending
        if len(pending) == PENDING:
            state.complete(pending[0])
        state.add_pending(received)
        key = KEYS[received % len(KEYS)]
        if writes:
            state.metadata[key] = stored_value(checksum)
        else:
            value = state.read_metadata().get(key, "")
            checksum = crc32(str(value).encode(), checksum)
        if self._retained:
            state.retain(bytes(message), window=self._retained, compression=self._compression)
        state.note_received(len(message), at_s, checksum)
