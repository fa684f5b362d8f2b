"""Connections as records of a `StatePool`, their documents shared, and what they are asked."""

from __future__ import annotations

import json
import struct
import time
from typing import TYPE_CHECKING
from zlib import crc32

from memopt_cli.errors import StateError
from memopt_cli.optimizer.fields import Phase
from memopt_cli.optimizer.records import ELSEWHERE
from memopt_cli.optimizer.state_pool import StatePool
from memopt_cli.workloads.connections.observing import (
    KEYS,
    PENDING,
    Remembered,
    fingerprint,
    plain,
    stored_value,
)
from memopt_cli.workloads.sockets.server import messages

if TYPE_CHECKING:
    from memopt_cli.optimizer.state import CompactState
    from memopt_cli.workloads.sockets.server.messages import Echo, Request

_begun = struct.Struct("<ddI").pack
"""
Times and number as they lie in a record of `memopt_cli.optimizer.records`, behind its control word.

In one call with the record's being acquired, that is half the time of an acquire and four
assignments.
"""


class CompactStates:
    """What connections remember, by the handle that each is known by."""

    def __init__(self) -> None:
        self._pool = StatePool()
        self._fingerprints: dict[bytes, bytes] = {}

    def open(self, number: int) -> int:
        """Return the handle of a new connection."""
        now_s = time.time()
        return self._pool.acquire_filled(Phase.CONNECTING, _begun(now_s, now_s, number % ELSEWHERE))

    def close(self, handle: int) -> Remembered:
        """Forget a connection; return what it remembered."""
        found = self.remembered(handle)
        self._pool.release(handle)
        return found

    def answer(self, handle: int, line: bytes) -> bytes:
        """Return what is answered to a line; nothing to a notification."""
        try:
            begun = messages.handshake(line)
            if begun is not None and self._take(handle, begun[1]):
                return messages.answer(begun[0], messages.RESULTS["initialize"])
            asked = messages.request(line)
            result = self._result(self._pool[handle], asked)
        except messages.Refused as refused:
            return refused.answer
        return b"" if asked.id is None else messages.answer(asked.id, result)

    def remembered(self, handle: int) -> Remembered:
        """Return what a connection remembers."""
        state = self._pool[handle]
        return Remembered(
            number=0,
            phase=state.phase.name.lower(),
            opened_at_s=0.0,
            last_seen_s=0.0,
            received=state.received,
            received_bytes=state.received_bytes,
            checksum=state.checksum,
            # A copy: the state's own view ends with it.
            metadata=dict(state.read_metadata()),
            pending=state.pending,
            retained=(),
            capabilities=self._fingerprint_of(state),
        )

    def _take(self, handle: int, document: bytes) -> bool:
        """Keep a document by its bytes, parsed only if it is the first of its kind."""
        try:
            shared = self._pool.capabilities.acquire(document)
        except StateError:
            return False
        state = self._pool[handle]
        state.capabilities = shared
        state.last_seen_s = time.time()
        return True

    def _result(self, state: CompactState, asked: Request) -> bytes:
        """Do what is asked; raises `Refused`."""
        if asked.method == "tools/call":
            wanted = messages.echo(asked)
            _account(state, wanted)
            return messages.echoed(wanted.text)
        state.last_seen_s = time.time()
        if asked.method == "initialize":
            document = json.dumps(asked.params).encode()
            state.capabilities = self._pool.capabilities.acquire(document)
        elif asked.method == "notifications/initialized":
            state.phase = Phase.READY
            return messages.RESULTS["ping"]
        result = messages.RESULTS.get(asked.method)
        if result is None:
            raise messages.unknown(asked)
        return result

    def _fingerprint_of(self, state: CompactState) -> bytes:
        capabilities = state.capabilities
        if capabilities is None:
            return fingerprint({})
        found = self._fingerprints.get(capabilities.document)
        if found is None:
            found = fingerprint(plain(capabilities.content))
            self._fingerprints[capabilities.document] = found
        return found


def _account(state: CompactState, wanted: Echo) -> None:
    text = wanted.text.encode()
    received = state.received
    checksum = crc32(text, state.checksum)
    pending = state.pending
    if len(pending) == PENDING:
        state.complete(pending[0])
    state.add_pending(received)
    if wanted.write:
        state.metadata[KEYS[received % len(KEYS)]] = stored_value(checksum)
    state.note_received(len(text), time.time(), checksum)
