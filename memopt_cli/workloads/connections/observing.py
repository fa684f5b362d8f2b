"""What a connection remembers, in one form for every variant: equal bytes mean equal behaviour."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

KEYS = ("user", "session", "cursor", "topic")
"""The metadata keys that requests write and read, in turn."""

PENDING = 3
"""Requests a client leaves unanswered; one more completes the oldest."""

_FIXED = struct.Struct("<QddQQQ")


def stored_value(checksum: int) -> str:
    """Return what a writing request stores: a value that depends on all before it."""
    return f"value-{checksum:08x}"


@dataclass(frozen=True, slots=True)
class Remembered:
    """Everything one connection knows at one moment."""

    number: int
    phase: str
    opened_at_s: float
    last_seen_s: float
    received: int
    received_bytes: int
    checksum: int
    metadata: Mapping[str, object]
    pending: tuple[int | str, ...]
    retained: tuple[bytes, ...]
    capabilities: bytes
    """Fingerprint of the handshake document."""

    def to_bytes(self) -> bytes:
        """Return bytes that differ when any field does."""
        fixed = _FIXED.pack(
            self.number,
            self.opened_at_s,
            self.last_seen_s,
            self.received,
            self.received_bytes,
            self.checksum,
        )
        rest = (
            self.phase,
            sorted(self.metadata.items()),
            self.pending,
            [(len(payload), crc32(payload)) for payload in self.retained],
            self.capabilities,
        )
        return fixed + repr(rest).encode()


def fingerprint(document: object) -> bytes:
    """Return 16 bytes that are equal for equal JSON, made of dictionaries and lists."""
    text = json.dumps(document, sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=16).digest()


def plain(view: object) -> object:
    """Return a read-only view of JSON as dictionaries and lists."""
    if isinstance(view, Mapping):
        return {key: plain(value) for key, value in view.items()}
    if isinstance(view, tuple | list):
        return [plain(value) for value in view]
    return view
