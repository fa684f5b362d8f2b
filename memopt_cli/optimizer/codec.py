"""
A connection state as bytes: versioned, checked, lossless.

    magic     2 bytes  b"mS"
    version   1 byte   1
    length    count    bytes of the body
    flags     1 byte   which optional fields follow; whether the body is compressed
    body
    CRC-32    4 bytes  of everything before it, lowest byte first

The length stands first, so that a missing end is told from a changed byte. The CRC finds
every change of up to three bits in a state below 11 KiB, and every burst up to 32 bits long
in any; others pass with a chance of 1 in 4,294,967,296. It is no signature.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from memopt_cli.errors import CorruptState, StateError, TruncatedState, UnknownVersion
from memopt_cli.optimizer import wire
from memopt_cli.optimizer.capabilities import CapabilityStore
from memopt_cli.optimizer.fields import Phase, RequestId
from memopt_cli.optimizer.state import CompactState

if TYPE_CHECKING:
    from memopt_cli.optimizer.fields import MetadataValue

MAGIC: Final = b"mS"
VERSION: Final = 1
CRC_BYTES: Final = 4

TIMES, COUNTERS, METADATA, PENDING, RETAINED, CAPABILITIES, COMPRESSED = (
    1 << bit for bit in range(7)
)
ALL_FLAGS = (1 << 7) - 1

MAX_INFLATED_BYTES: Final = 64 * 1024 * 1024
"""Largest body that is compressed, and that is ever made out of a compressed one."""


def encode(state: CompactState, *, compress: bool = False) -> bytes:
    """
    Return *state* as bytes that `decode` makes an equal one of.

    Args:
        state: What to encode; its retained payloads are written as they were received.
        compress: Compress the body, if that makes it smaller.
    """
    flags, body = _body(state)
    if compress and len(body) <= MAX_INFLATED_BYTES:
        packed = bytearray()
        wire.write_count(packed, len(body))
        packed += zlib.compress(body)
        if len(packed) < len(body):
            flags, body = flags | COMPRESSED, packed
    out = bytearray(MAGIC)
    out.append(VERSION)
    wire.write_count(out, len(body))
    out.append(flags)
    out += body
    out += zlib.crc32(out).to_bytes(CRC_BYTES, "little")
    return bytes(out)


def decode(data: bytes, store: CapabilityStore | None = None) -> CompactState:
    """
    Return the state that *data* is the encoding of.

    Args:
        data: What `encode` returned, no byte more.
        store: Where the state's capabilities are shared; without one they are its own.

    Raises:
        TruncatedState: The bytes end too early.
        UnknownVersion: Another version wrote them.
        CorruptState: Anything else does not fit.
    """
    flags, body = _open_frame(bytes(data))
    reader = wire.Reader(_inflated(body) if flags & COMPRESSED else body)
    return _state(reader, flags, store)


def _body(state: CompactState) -> tuple[int, bytearray]:
    """Return the fields of *state* as bytes, and the flags of those that are there."""
    out = bytearray()
    flags = 0
    out.append(state.phase)
    wire.write_int(out, state.number)
    times = wire.DOUBLE.pack(state.opened_at_s) + wire.DOUBLE.pack(state.last_seen_s)
    if any(times):
        flags |= TIMES
        out += times
    counters = (state.received, state.received_bytes, state.checksum)
    if any(counters):
        flags |= COUNTERS
        for counter in counters:
            wire.write_int(out, counter)
    return flags | _write_optional(out, state), out


def _write_optional(out: bytearray, state: CompactState) -> int:
    """Append the fields that may be absent, and return the flags of those that are there."""
    flags = 0
    if state.metadata:
        flags |= METADATA
        wire.write_count(out, len(state.metadata))
        for key, value in state.metadata.items():
            wire.write_text(out, key)
            wire.write_value(out, value)
    if state.pending:
        flags |= PENDING
        wire.write_count(out, len(state.pending))
        for request_id in state.pending:
            wire.write_value(out, request_id)
    if payloads := state.retained_payloads():
        flags |= RETAINED
        wire.write_count(out, len(payloads))
        for payload, packed in zip(payloads, state.retained_compressed(), strict=True):
            out.append(packed)
            wire.write_bytes(out, payload)
    if state.capabilities is not None:
        flags |= CAPABILITIES
        wire.write_bytes(out, state.capabilities.document)
    return flags


def _open_frame(data: bytes) -> tuple[int, bytes]:
    """Check everything around the body, and return the flags and the body."""
    if not data.startswith(MAGIC[: len(data)]):
        raise CorruptState(f"an encoded state begins with {MAGIC!r}, not {data[: len(MAGIC)]!r}")
    after_magic = data[len(MAGIC) :]
    if not after_magic:
        raise _truncated(data)
    if after_magic[0] != VERSION:
        raise UnknownVersion(
            f"format version {after_magic[0]}",
            hint=f"This release reads version {VERSION}; read it with the one that wrote it.",
        )
    length, start = _body_length(data)
    end = start + length + CRC_BYTES
    if len(data) < end:
        raise _truncated(data)
    if len(data) > end:
        raise CorruptState(f"{len(data) - end:,} bytes follow the end of the state")
    crc = int.from_bytes(data[-CRC_BYTES:], "little")
    if zlib.crc32(memoryview(data)[:-CRC_BYTES]) != crc:
        raise CorruptState(f"the checksum of {len(data):,} bytes does not match")
    return data[start - 1], data[start:-CRC_BYTES]


def _body_length(data: bytes) -> tuple[int, int]:
    """Return the length of the body and where it starts, behind the byte of flags."""
    header = data[len(MAGIC) + 1 : len(MAGIC) + 1 + wire.MAX_COUNT_BYTES]
    ends = next((at for at, byte in enumerate(header) if byte <= 0x7F), None)  # noqa: PLR2004
    if ends is None:
        if len(header) < wire.MAX_COUNT_BYTES:
            raise _truncated(data)
        raise CorruptState("the length of the body does not end")
    return wire.Reader(header).read_count(), len(MAGIC) + 1 + ends + 2


def _truncated(data: bytes) -> TruncatedState:
    return TruncatedState(
        f"an encoded state ends after {len(data):,} bytes",
        hint="Read until the length in its header is reached.",
    )


def _inflated(body: bytes) -> bytes:
    """Return a compressed body as it was, never more than it says and the limit allows."""
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


def _state(reader: wire.Reader, flags: int, store: CapabilityStore | None) -> CompactState:
    """Return the state of a body whose checksum is right."""
    if flags & ~ALL_FLAGS:
        raise CorruptState(f"unknown flags {flags:#04x}")
    state = CompactState()
    state.phase = _phase(reader.read_byte())
    state.number = reader.read_int()
    if flags & TIMES:
        state.opened_at_s, state.last_seen_s = reader.read_double(), reader.read_double()
    if flags & COUNTERS:
        state.received, state.received_bytes = reader.read_int(), reader.read_int()
        state.checksum = reader.read_int()
    if flags & METADATA:
        state.update(metadata=_metadata(reader))
    if flags & PENDING:
        state.update(pending=_pending(reader))
    if flags & RETAINED:
        state.restore_retained(_retained(reader))
    document = reader.read_bytes() if flags & CAPABILITIES else None
    # Last, so that no reference is taken for a state that is refused.
    reader.finish()
    if document is not None:
        _share(state, document, store)
    return state


def _phase(number: int) -> Phase:
    try:
        return Phase(number)
    except ValueError:
        raise CorruptState(f"unknown phase {number}") from None


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


def _share(state: CompactState, document: bytes, store: CapabilityStore | None) -> None:
    try:
        shared = CapabilityStore() if store is None else store
        state.capabilities = shared.acquire(document)
    except StateError as exc:
        raise CorruptState(str(exc)) from exc
