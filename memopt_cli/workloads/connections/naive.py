"""
The baseline: what an ordinary Python server keeps per connection.

Nothing here is made worse than usual to look bad. Each field is what servers
that hold their connections in nested dictionaries keep:

=================  ==========================================================
``id``             the connection's name, a string, as logs and registries use
``phase``          where the handshake is
``opened_at``      time of arrival
``last_seen``      time of the latest message
``capabilities``   the handshake document, parsed, private to the connection
``metadata``       what requests have stored, by key
``pending``        ids of requests not answered yet
``stats``          counters, a dictionary of their own
``receive_buffer`` the buffer that the socket is read into (size: scenario)
``retained``       the latest messages, kept for replay (number: scenario)
=================  ==========================================================

Each record is an entry of a dictionary by connection, whose growth is part of what
a connection costs here; the compact variants keep theirs in a list by slot, made at
the start. With a pool the receive buffer is borrowed for each message instead.
"""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any
from zlib import crc32

from memopt_cli.workloads.connections.observing import (
    KEYS,
    PENDING,
    Remembered,
    fingerprint,
    stored_value,
)
from memopt_cli.workloads.connections.receiving import BorrowedBuffers, through_own_buffer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memopt_cli.workloads.connections.traffic import Payloads

Record = dict[str, Any]


class NaiveRecords:
    """Connections as nested dictionaries."""

    def __init__(
        self,
        payloads: Payloads,
        *,
        receive_buffer_bytes: int,
        retained_messages: int,
        borrowed: BorrowedBuffers | None,
    ) -> None:
        """
        Args:
            payloads: What clients send.
            receive_buffer_bytes: Size of each connection's own buffer.
            retained_messages: How many messages a connection keeps.
            borrowed: Where messages are received instead of in an own buffer.
        """
        self._payloads = payloads
        self._buffer_bytes = receive_buffer_bytes
        self._retained = retained_messages
        self._borrowed = borrowed

    def create(self) -> Record:
        """Return an empty record."""
        return {
            "id": "",
            "phase": "connecting",
            "opened_at": 0.0,
            "last_seen": 0.0,
            "capabilities": {},
            "metadata": {},
            "pending": [],
            "stats": {"number": 0, "received": 0, "received_bytes": 0, "checksum": 0},
            "receive_buffer": bytearray(0 if self._borrowed else self._buffer_bytes),
            "retained": deque(maxlen=self._retained) if self._retained else None,
        }

    def reset(self, record: Record) -> None:
        """Empty a record in place, for the pool; buffers and dictionaries are kept."""
        record["id"], record["phase"] = "", "connecting"
        record["opened_at"] = record["last_seen"] = 0.0
        record["capabilities"] = {}
        record["metadata"].clear()
        record["pending"].clear()
        record["stats"].update(number=0, received=0, received_bytes=0, checksum=0)
        if record["retained"] is not None:
            record["retained"].clear()

    def open(self, record: Record, number: int, document: bytes, at_s: float) -> None:
        """Do the handshake."""
        record["id"] = f"connection-{number}"
        record["capabilities"] = json.loads(document)
        record["opened_at"] = record["last_seen"] = at_s
        record["stats"]["number"] = number
        record["phase"] = "ready"

    def message(self, record: Record, kind: int, at_s: float, *, writes: bool) -> None:
        """Receive one request, work on it, answer it."""
        stats = record["stats"]
        arriving = self._payloads.arriving(stats["number"], stats["received"], kind)
        if self._borrowed is None:
            message = through_own_buffer(arriving, record["receive_buffer"])
            self._account(record, message, at_s, writes=writes)
        else:
            with self._borrowed.hold(arriving) as view:
                self._account(record, view, at_s, writes=writes)

    def close(self, record: Record) -> None:
        """End the connection; the record itself goes back to whoever holds it."""
        record["phase"] = "closed"

    def remembered(self, record: Record) -> Remembered:
        """Return all that the connection knows."""
        stats: Mapping[str, int] = record["stats"]
        return Remembered(
            number=stats["number"],
            phase=record["phase"],
            opened_at_s=record["opened_at"],
            last_seen_s=record["last_seen"],
            received=stats["received"],
            received_bytes=stats["received_bytes"],
            checksum=stats["checksum"],
            metadata=record["metadata"],
            pending=tuple(record["pending"]),
            retained=tuple(record["retained"] or ()),
            capabilities=fingerprint(record["capabilities"]),
        )

    def _account(
        self, record: Record, message: bytes | memoryview, at_s: float, *, writes: bool
    ) -> None:
        stats = record["stats"]
        checksum = crc32(message, stats["checksum"])
        pending = record["pending"]
        pending.append(stats["received"])
        if len(pending) > PENDING:
            del pending[0]
        key = KEYS[stats["received"] % len(KEYS)]
        if writes:
            record["metadata"][key] = stored_value(checksum)
        else:
            checksum = crc32(record["metadata"].get(key, "").encode(), checksum)
        if record["retained"] is not None:
            record["retained"].append(bytes(message))
        stats["received"] += 1
        stats["received_bytes"] += len(message)
        stats["checksum"] = checksum
        record["last_seen"] = at_s
