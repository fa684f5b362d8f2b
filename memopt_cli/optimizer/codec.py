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
import zlib
from typing import TYPE_CHECKING, Final
from zlib import crc32

from memopt_cli.errors import (
    CodecError,
    CorruptState,
    StateError,
    TruncatedState,
    UnknownVersion,
)
from memopt_cli.optimizer import wire
from memopt_cli.optimizer.records import (
    CHECKSUM,
    CONTROL,
    FIXED_END,
    FIXED_START,
    METADATA,
    NUMBER,
    PENDING_MASK,
    PHASE_MASK,
    WORDS,
)
from memopt_cli.pool.handles import SLOT_BITS, SLOT_MASK

if TYPE_CHECKING:
    from memopt_cli.optimizer.fields import MetadataValue, RequestId
    from memopt_cli.optimizer.state import CompactState
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
IN_RECORD: Final = PHASE_MASK | PENDING_MASK
MORE: Final = 1 << 4
COMPRESSED: Final = 1 << 5
ALL_KINDS: Final = IN_RECORD | MORE | COMPRESSED

HEAD: Final = MAGIC + bytes([VERSION])
HEADS: Final = tuple(HEAD + bytes([kind]) for kind in range(ALL_KINDS + 1))
ID_BYTES: Final = 4
IDLE_BYTES: Final = HEAD_BYTES + FIXED_BYTES + CRC_BYTES
LENGTH: Final = struct.Struct("<I")

COUNTS, METADATA_FIELD, PENDING_FIELD, RETAINED, CAPABILITIES = (1 << bit for bit in range(5))
ALL_FIELDS = (1 << 5) - 1

MAX_INFLATED_BYTES: Final = 64 * 1024 * 1024
"""Largest content that is compressed, and that is ever made out of a compressed one."""


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
    """
    words, at = pool.words, (handle & SLOT_MASK) * WORDS
    if words[at] != handle >> SLOT_BITS:
        raise pool.refusal(handle)
    control, start = words[at + CONTROL], 4 * at
    kind = control & IN_RECORD
    if control == kind and not words[at + METADATA]:
        end = start + FIXED_END + (kind & PENDING_MASK)
        body = HEADS[kind] + pool.memory[start + FIXED_START : end]
        return body + crc32(body, SEED).to_bytes(CRC_BYTES, "little")
    return _encode_more(pool, handle, compress=compress)


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
    """
    length = len(data)
    if length < IDLE_BYTES or crc32(data, SEED) != RESIDUE:
        raise _fault(data)
    kind = data[3]
    if kind <= PHASE_MASK and length == IDLE_BYTES:
        # All of it: the head comes to lie on the control word, the CRC on an unused id.
        return pool.acquire_filled(kind, data)
    end = HEAD_BYTES + FIXED_BYTES + (kind & PENDING_MASK)
    if kind > IN_RECORD:
        return _decode_more(data, end, pool)
    if length != end + CRC_BYTES:
        raise _fault(data)
    _require_different(data[HEAD_BYTES + FIXED_BYTES : end])
    return pool.acquire_filled(kind, data[:end])


def _encode_more(pool: StatePool, handle: int, *, compress: bool) -> bytes:
    """Return a state of which something is not in the record."""
    state = pool[handle]
    at = (handle & SLOT_MASK) * WORDS
    kind = pool.words[at + CONTROL] & IN_RECORD | MORE
    more = _more(pool, state, at)
    if compress and len(more) <= MAX_INFLATED_BYTES:
        smaller = bytearray()
        wire.write_count(smaller, len(more))
        smaller += zlib.compress(more)
        if len(smaller) < len(more):
            kind, more = kind | COMPRESSED, smaller
    end = 4 * at + FIXED_END + (kind & PENDING_MASK)
    fixed = pool.memory[4 * at + FIXED_START : end]
    body = b"".join((HEADS[kind], fixed, LENGTH.pack(len(more)), more))
    return body + crc32(body, SEED).to_bytes(CRC_BYTES, "little")


def _more(pool: StatePool, state: CompactState, at: int) -> bytearray:
    """Return what the record has elsewhere: a byte that says what, and these fields."""
    out = bytearray(1)
    if counts := pool.wide_counts(at):
        out[0] |= COUNTS
        wire.write_count(out, len(counts))
        for word, value in counts.items():
            out.append(word)
            wire.write_int(out, value)
    if metadata := state.read_metadata():
        out[0] |= METADATA_FIELD
        wire.write_count(out, len(metadata))
        for key, item in metadata.items():
            wire.write_text(out, key)
            wire.write_value(out, item)
    if pending := pool.pending_elsewhere(at):
        out[0] |= PENDING_FIELD
        wire.write_count(out, len(pending))
        for request_id in pending:
            wire.write_value(out, request_id)
    if payloads := state.retained_payloads():
        out[0] |= RETAINED
        wire.write_count(out, len(payloads))
        for payload, compressed in zip(payloads, state.retained_compressed(), strict=True):
            out.append(compressed)
            wire.write_bytes(out, payload)
    if state.capabilities is not None:
        out[0] |= CAPABILITIES
        wire.write_bytes(out, state.capabilities.document)
    return out


def _decode_more(data: bytes, end: int, pool: StatePool) -> int:
    """Acquire a state of which something is not in the record."""
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
    reader = wire.Reader(_inflated(more) if kind & COMPRESSED else more)
    handle = pool.acquire_filled(kind & IN_RECORD, data[:end])
    try:
        _read_more(reader, pool, pool[handle], (handle & SLOT_MASK) * WORDS)
    except BaseException:
        pool.release(handle)
        raise
    return handle


def _read_more(reader: wire.Reader, pool: StatePool, state: CompactState, at: int) -> None:
    """Set the fields that are not in the record."""
    fields = reader.read_byte()
    if fields & ~ALL_FIELDS:
        raise CorruptState(f"unknown fields {fields:#04x}")
    if fields & COUNTS:
        for word, value in _counts(reader).items():
            pool.set_wide(at, word, value)
    if fields & METADATA_FIELD:
        state.write_metadata(_metadata(reader))
    if fields & PENDING_FIELD:
        if state.pending:
            raise CorruptState("request ids are in two places")
        state.pending = _pending(reader)
    if fields & RETAINED:
        state.restore_retained(_retained(reader))
    document = reader.read_bytes() if fields & CAPABILITIES else None
    # Last, so that no reference is taken for a state that is refused.
    reader.finish()
    if document is not None:
        try:
            state.capabilities = pool.capabilities.acquire(document)
        except StateError as exc:
            raise CorruptState(str(exc)) from exc


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


def _inflated(body: bytes) -> bytes:
    """Return compressed content as it was, never more than it says and the limit allows."""
    reader = wire.Reader(body)
    length = reader.read_count()
    if length > MAX_INFLATED_BYTES:
        raise CorruptState(f"a compressed body claims {length:,} bytes")
    inflater = zlib.decompressobj()
    try:
        # One byte more than claimed shows a wrong claim, and lets a right one reach its end.
        inflated = inflater.decompress(reader.read_rest(), length + 1)
    except zlib.error as exc:
        raise CorruptState(f"a compressed body cannot be read: {exc}") from exc
    if len(inflated) != length or not inflater.eof or inflater.unused_data:
        raise CorruptState(f"a compressed body does not hold the {length:,} bytes it claims")
    return inflated


def _counts(reader: wire.Reader) -> dict[int, int]:
    counts: dict[int, int] = {}
    for _ in range(reader.read_count()):
        word = reader.read_byte()
        if not NUMBER <= word <= CHECKSUM or word in counts:
            raise CorruptState(f"no count is number {word}, or it is there twice")
        counts[word] = reader.read_int()
    return counts


def _metadata(reader: wire.Reader) -> dict[str, MetadataValue]:
    count = reader.read_count()
    metadata: dict[str, MetadataValue] = {}
    for _ in range(count):
        key = reader.read_key()
        metadata[key] = reader.read_value()
    if len(metadata) != count:
        raise CorruptState("a metadata key is there twice")
    return metadata


def _pending(reader: wire.Reader) -> list[RequestId]:
    ids: list[RequestId] = []
    for _ in range(reader.read_count()):
        value = reader.read_value()
        if type(value) not in (int, str):
            raise CorruptState(f"a request id is of type {type(value).__name__}")
        ids.append(value)  # type: ignore[arg-type] # checked above
    if len(set(ids)) != len(ids):
        raise CorruptState("a request id is there twice")
    return ids


def _retained(reader: wire.Reader) -> list[tuple[bytes, bool]]:
    payloads: list[tuple[bytes, bool]] = []
    for _ in range(reader.read_count()):
        compressed = reader.read_byte()
        if compressed > 1:
            raise CorruptState(f"unknown form {compressed} of a retained payload")
        payloads.append((reader.read_bytes(), bool(compressed)))
    return payloads
