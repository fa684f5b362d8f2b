"""The latest payloads of a connection, kept for replay: whole, deflated, or one copy for all."""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING, Final

from memopt_cli.optimizer.forking import Locked

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    Key: TypeAlias = tuple[bytes, bool]
    """Digest of a payload as it was received, and whether it is to be deflated."""

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


class PayloadStore(Locked):
    """
    Payloads by content, counted by reference: what many connections keep is kept once.

    Equal BLAKE2b digests of 256 bits are taken for equal content. Payloads below 512 bytes
    are not shared. Every method may be called from any thread.
    """

    __slots__ = ("_by_id", "_entries")

    def __init__(self) -> None:
        super().__init__()
        self._entries: dict[Key, _Entry] = {}
        # The same by the id of what is kept, which is all that a state has of it.
        self._by_id: dict[int, _Entry] = {}

    def __len__(self) -> int:
        """Return how many payloads that differ are kept."""
        return len(self._by_id)

    def __contains__(self, kept: bytes) -> bool:
        """Say whether this very object is kept here."""
        return id(kept) in self._by_id

    def references(self) -> int:
        """Return how many references were given out and not released."""
        with self._lock:
            return sum(entry.count for entry in list(self._by_id.values()))

    def acquire(self, payload: bytes, *, compression: bool) -> bytes:
        """Return the one copy of *payload*, deflated if that is wanted and makes it smaller."""
        if len(payload) < SMALLEST_SHARED_BYTES:
            return packed(payload, compression=compression)
        key = hashlib.blake2b(payload, digest_size=DIGEST_BYTES).digest(), compression
        kept = self._referred_to(key)
        if kept is None:
            made = packed(payload, compression=compression)
            while kept is None:
                self._add(key, made)
                kept = self._referred_to(key)
        return kept

    def release(self, payloads: Iterable[bytes]) -> None:
        """Give back one reference to each of *payloads*; the last one frees a payload."""
        with self._lock:
            for kept in payloads:
                number = id(kept)
                try:
                    # No call from here to the last store: see `Locked`.
                    entry = self._by_id[number]
                except KeyError:
                    # A short one, which was never shared.
                    continue
                entry.count -= 1
                if not entry.count:
                    del self._by_id[number], self._entries[entry.key]
                    if entry.also is not None:
                        del self._entries[entry.also]

    def _referred_to(self, key: Key) -> bytes | None:
        """Return a payload that is known, with one more reference."""
        with self._lock:
            try:
                entry = self._entries[key]
                entry.count += 1
            except KeyError:
                return None
            return entry.kept

    def _add(self, key: Key, made: bytes) -> None:
        """Keep a payload that nobody refers to yet, unless an equal one is there by now."""
        # What did not become smaller is the one that was not to be deflated.
        form = key[0], isinstance(made, Deflated)
        fresh, number = _Entry(form, made), id(made)
        with self._lock:
            try:
                entry = self._entries[form]
            except KeyError:
                entry = self._entries[form] = self._by_id[number] = fresh
            if key != form:
                self._entries[key], entry.also = entry, key


class _Entry:
    """A payload that is kept, by which key, by which other one, and for how many."""

    __slots__ = ("also", "count", "kept", "key")

    def __init__(self, key: Key, kept: bytes) -> None:
        self.key = key
        self.also: Key | None = None
        self.kept = kept
        self.count = 0
