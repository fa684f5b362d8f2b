"""
A connection state as bytes: versioned, checked, lossless. An idle one takes 40.

    magic     2 bytes  b"mS"
    version   1 byte   2
    kind      1 byte   phase (2 bits), pending ids here (2 bits), more follows, it is compressed
    fixed     32 bytes times and counts, as they lie in the record, lowest byte first
    pending   4 bytes  for each id here
    more      only if the kind says so: 4 bytes of length, and what the record has elsewhere
    CRC-32    4 bytes  of everything before it, begun with magic and version, lowest byte first

The kind and the length stand before what they describe, so that a missing end is told from a
changed byte. The CRC finds every change of up to three bits in a state below 11 KiB, and every
burst up to 32 bits long in any; others pass with a chance of 1 in 4,294,967,296. It is no
signature.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Final
from zlib import crc32

from memopt_cli.errors import (
    CodecError,
    CorruptState,
    StateError,
    TruncatedState,
    UnknownVersion,
)
from memopt_cli.optimizer.body import NO_FIELDS, deflated, inflated, read_body, write_body
from memopt_cli.optimizer.records import (
    CONTROL,
    FIXED_END,
    FIXED_START,
    METADATA,
    PENDING_MASK,
    PHASE_MASK,
    WORDS,
)
from memopt_cli.optimizer.state import CompactState
from memopt_cli.pool.handles import SLOT_BITS, SLOT_MASK

if TYPE_CHECKING:
    from memopt_cli.optimizer.body import Body
    from memopt_cli.optimizer.capabilities import Capabilities
    from memopt_cli.optimizer.state_pool import StatePool

if sys.byteorder != "little":  # pragma: no cover - no such machine to test on
    raise ImportError("states are encoded as they lie, which needs a little-endian machine")

MAGIC: Final = b"mS"
VERSION: Final = 2
CRC_BYTES: Final = 4
SEED: Final = crc32(MAGIC + bytes([VERSION]))
"""Where the CRC begins: a match shows that magic and version are these."""

RESIDUE: Final = 0x2144DF1C
"""The CRC-32 of anything followed by its own CRC-32 (W. W. Peterson, D. T. Brown, 1961)."""

HEAD_BYTES: Final = 4
FIXED_BYTES: Final = FIXED_END - FIXED_START
FIXED: Final = slice(HEAD_BYTES, HEAD_BYTES + FIXED_BYTES)
IN_RECORD: Final = PHASE_MASK | PENDING_MASK
MORE: Final = 1 << 4
COMPRESSED: Final = 1 << 5
ALL_KINDS: Final = IN_RECORD | MORE | COMPRESSED

HEAD: Final = MAGIC + bytes([VERSION])
HEADS: Final = tuple(HEAD + bytes([kind]) for kind in range(ALL_KINDS + 1))
ID_BYTES: Final = 4
IDLE_BYTES: Final = HEAD_BYTES + FIXED_BYTES + CRC_BYTES
LENGTH: Final = struct.Struct("<I")

MOST_BYTES: Final = (1 << 32) - 1
"""The longest that the length can say."""


def encode(pool: StatePool, handle: int, *, compress: bool = False) -> bytes:
    """
    Return the state of *handle* as bytes that `decode` makes an equal one of.

    Args:
        pool: Where the state is.
        handle: Whose state; retained payloads are written as they were received.
        compress: Compress what the record has elsewhere, if that makes it smaller.

    Raises:
        StaleHandle: The handle was released.
        ForeignHandle: The pool never gave it out.
        StateError: What the record has elsewhere is longer than 4 GiB.
    """
    words = pool.words
    try:
        key, at = handle >> SLOT_BITS, (handle & SLOT_MASK) * WORDS
        if words[at] != key or not key & 1:
            raise pool.refusal(handle)
    except (TypeError, IndexError):
        key, at = pool.find(handle)
    control, start = words[at + CONTROL], 4 * at
    kind = control & IN_RECORD
    if control == kind and not words[at + METADATA]:
        end = start + FIXED_END + (kind & PENDING_MASK)
        body = HEADS[kind] + pool.memory[start + FIXED_START : end]
        return body + crc32(body, SEED).to_bytes(CRC_BYTES, "little")
    return _encode_more(pool, key, at, compress=compress)


def decode(data: bytes, pool: StatePool) -> int:
    """
    Acquire a state in *pool* that is equal to the encoded one, and return its handle.

    Args:
        data: What `encode` returned, no byte more.
        pool: Where the state is made; its capabilities are shared in the pool's store.

    Raises:
        TruncatedState: The bytes end too early.
        UnknownVersion: Another version wrote them.
        CorruptState: Anything else does not fit.
        PoolExhausted: The pool's limit allows no more states.

    Whatever is raised, the pool is as it was.
    """
    length = len(data)
    if length < IDLE_BYTES or crc32(data, SEED) != RESIDUE:
        if type(data) is not bytes:
            return decode(bytes(data), pool)
        raise _fault(data)
    kind = data[3]
    if kind <= PHASE_MASK and length == IDLE_BYTES:
        try:
            return pool.acquire_filled(kind, data[FIXED])
        except struct.error:
            # Another buffer than bytes; to look beforehand would cost every state 35 ns.
            return decode(bytes(data), pool)
    return _decode_longer(bytes(data), pool)


def _decode_longer(data: bytes, pool: StatePool) -> int:
    """Acquire a state with request ids, or of which something is not in the record."""
    kind = data[3]
    end = HEAD_BYTES + FIXED_BYTES + (kind & PENDING_MASK)
    if kind > IN_RECORD:
        return _decode_more(data, end, pool)
    if len(data) != end + CRC_BYTES:
        raise _fault(data)
    _require_different(data[HEAD_BYTES + FIXED_BYTES : end])
    return pool.acquire_filled(kind, data[HEAD_BYTES:end])


def _encode_more(pool: StatePool, key: int, at: int, *, compress: bool) -> bytes:
    """Return a state of which something is not in the record, or was not."""
    more = write_body(pool, CompactState(pool, pool.words, key, at), at)
    kind = pool.words[at + CONTROL] & IN_RECORD
    fixed = pool.memory[4 * at + FIXED_START : 4 * at + FIXED_END + (kind & PENDING_MASK)]
    if more == NO_FIELDS:
        return _sealed(HEADS[kind], fixed)
    smaller = deflated(more) if compress else None
    if smaller is not None:
        kind, more = kind | COMPRESSED, smaller
    if len(more) > MOST_BYTES:
        raise StateError(
            f"a state of {len(more):,} bytes is too long to encode",
            hint="Retain fewer or smaller payloads.",
        )
    return _sealed(HEADS[kind | MORE], fixed, LENGTH.pack(len(more)), more)


def _sealed(*parts: bytes) -> bytes:
    body = b"".join(parts)
    return body + crc32(body, SEED).to_bytes(CRC_BYTES, "little")


def _decode_more(data: bytes, end: int, pool: StatePool) -> int:
    """Acquire a state of which something is not in the record, once all of it is read."""
    kind = data[3]
    if kind & ~ALL_KINDS or not kind & MORE:
        raise CorruptState(f"unknown kind {kind:#04x}")
    if len(data) < end + LENGTH.size + CRC_BYTES:
        raise _fault(data)
    _require_different(data[HEAD_BYTES + FIXED_BYTES : end])
    more = data[end + LENGTH.size : -CRC_BYTES]
    (length,) = LENGTH.unpack_from(data, end)
    if len(more) != length:
        raise _fault(data)
    body = read_body(inflated(more) if kind & COMPRESSED else more)
    if body.pending and kind & PENDING_MASK:
        raise CorruptState("request ids are in two places")
    capabilities = None if body.document is None else _capabilities(pool, body.document)
    handle = None
    try:
        handle = pool.acquire_filled(kind & IN_RECORD, data[HEAD_BYTES:end])
        _fill(pool, handle, body, capabilities)
    except BaseException:
        if handle is not None:
            # The state may have taken the reference over.
            capabilities = None if pool[handle].capabilities is not None else capabilities
            pool.release(handle)
        if capabilities is not None:
            capabilities.release()
        raise
    return handle


def _capabilities(pool: StatePool, document: bytes) -> Capabilities:
    try:
        return pool.capabilities.acquire(document)
    except StateError as exc:
        raise CorruptState(str(exc)) from exc


def _fill(pool: StatePool, handle: int, body: Body, capabilities: Capabilities | None) -> None:
    """Set the fields that are not in the record."""
    state, at = pool[handle], (handle & SLOT_MASK) * WORDS
    for word, value in body.counts.items():
        pool.set_wide(at, word, value)
    if body.metadata:
        state.write_metadata(body.metadata)
    if body.pending:
        state.pending = body.pending
    if body.retained:
        pool.restore_retained(at, body.retained)
    if capabilities is not None:
        state.capabilities = capabilities


def _require_different(ids: bytes) -> None:
    """Refuse packed request ids of which two are equal."""
    if len(set(memoryview(ids).cast("I"))) != len(ids) // ID_BYTES:
        raise CorruptState("a request id is there twice")


def _fault(data: bytes) -> CodecError:
    """Return what is wrong with bytes that cannot be decoded."""
    if not data.startswith(MAGIC[: len(data)]):
        return CorruptState(f"an encoded state begins with {MAGIC!r}, not {data[: len(MAGIC)]!r}")
    if len(data) > len(MAGIC) and data[len(MAGIC)] != VERSION:
        return UnknownVersion(
            f"format version {data[len(MAGIC)]}",
            hint=f"This release reads version {VERSION}; read it with the one that wrote it.",
        )
    length = _whole_length(data)
    if length is None or len(data) < length:
        return TruncatedState(
            f"an encoded state ends after {len(data):,} bytes",
            hint="Read until the length in its header is reached.",
        )
    if len(data) > length:
        return CorruptState(f"{len(data) - length:,} bytes follow the end of the state")
    return CorruptState(f"the checksum of {len(data):,} bytes does not match")


def _whole_length(data: bytes) -> int | None:
    """Return how many bytes the header says there are, or `None` if it is not all there."""
    if len(data) < HEAD_BYTES:
        return None
    end = HEAD_BYTES + FIXED_BYTES + (data[3] & PENDING_MASK)
    if not data[3] & MORE:
        return end + CRC_BYTES
    if len(data) < end + LENGTH.size:
        return None
    more: int = LENGTH.unpack_from(data, end)[0]
    return end + LENGTH.size + more + CRC_BYTES
