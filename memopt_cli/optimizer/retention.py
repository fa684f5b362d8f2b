"""The latest payloads of a connection, kept for replay: whole, deflated, or one copy for all."""

from __future__ import annotations

import hashlib
import zlib
from threading import RLock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

COMPRESSION_LEVEL: Final = 1
"""Of zlib; higher levels gain little on messages of a few kilobytes."""

SMALLEST_SHARED_BYTES: Final = 512
"""What a payload's place in the store costs is more than a shorter one could save."""

DIGEST_BYTES: Final = 32


class Deflated(bytes):
    """A payload that is kept compressed; as large as `bytes`, and as unseen by the collector."""

    __slots__ = ()


def packed(payload: bytes, *, compression: bool) -> bytes:
    """Return *payload* as it is kept: `Deflated` if that is wanted and makes it smaller."""
    if compression:
        smaller = zlib.compress(payload, COMPRESSION_LEVEL)
        if len(smaller) < len(payload):
            return Deflated(smaller)
    return payload


def unpacked(kept: bytes) -> bytes:
    """Return a payload as it was received."""
    return zlib.decompress(kept) if isinstance(kept, Deflated) else kept


class PayloadStore:
    """
    Payloads by content, counted by reference: what many connections keep is kept once.

    Equal BLAKE2b digests of 256 bits are taken for equal content. Payloads below 512 bytes
    are not shared. Every method may be called from any thread.
    """

    __slots__ = ("_counts", "_kept", "_lock")

    def __init__(self) -> None:
        # Digest and compression wish -> payload as kept; its id -> that key and the count.
        self._kept: dict[tuple[bytes, bool], bytes] = {}
        self._counts: dict[int, tuple[tuple[bytes, bool], int]] = {}
        self._lock = RLock()

    def __len__(self) -> int:
        """Return how many payloads that differ are kept."""
        return len(self._kept)

    def acquire(self, payload: bytes, *, compression: bool) -> bytes:
        """Return the one copy of *payload*, deflated when it came first if that was wanted."""
        if len(payload) < SMALLEST_SHARED_BYTES:
            return packed(payload, compression=compression)
        key = hashlib.blake2b(payload, digest_size=DIGEST_BYTES).digest(), compression
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                kept = self._kept[key] = packed(payload, compression=compression)
                self._counts[id(kept)] = key, 0
            _, count = self._counts[id(kept)]
            self._counts[id(kept)] = key, count + 1
            return kept

    def release(self, payloads: Iterable[bytes]) -> None:
        """Give back one reference to each of *payloads*; the last one frees a payload."""
        with self._lock:
            for kept in payloads:
                # Short ones were never shared.
                key, count = self._counts.get(id(kept), (None, 0))
                if key is None:
                    continue
                if count == 1:
                    del self._counts[id(kept)], self._kept[key]
                else:
                    self._counts[id(kept)] = key, count - 1
