"""What a record has elsewhere, as bytes: a byte that says which fields follow, and these."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from memopt_cli.errors import CorruptState
from memopt_cli.optimizer import wire
from memopt_cli.optimizer.records import CHECKSUM, NUMBER

if TYPE_CHECKING:
    from memopt_cli.optimizer.fields import MetadataValue, RequestId
    from memopt_cli.optimizer.state import CompactState
    from memopt_cli.optimizer.state_pool import StatePool

COUNTS, METADATA_FIELD, PENDING_FIELD, RETAINED, CAPABILITIES = (1 << bit for bit in range(5))
ALL_FIELDS: Final = (1 << 5) - 1
NO_FIELDS: Final = b"\0"

MAX_INFLATED_BYTES: Final = 64 * 1024 * 1024
"""Largest content that is compressed, and that is ever made out of a compressed one."""


class Body(NamedTuple):
    """
    What was read, before any of it is in a record.

    A named tuple, because a frozen dataclass takes three times as long to make.
    """

    counts: dict[int, int]
    """By their words."""

    metadata: dict[str, MetadataValue]
    pending: tuple[RequestId, ...]

    retained: list[tuple[bytes, bool]]
    """Payloads as they were received, and whether they were kept compressed."""

    document: bytes | None
    """Of the capabilities."""


def write_body(pool: StatePool, state: CompactState, at: int) -> bytes:
    """Return what the record has elsewhere."""
    out = bytearray(NO_FIELDS)
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
    return bytes(out)


def deflated(body: bytes) -> bytes | None:
    """Return *body* compressed, or None if that is not smaller, or could not be read again."""
    if len(body) > MAX_INFLATED_BYTES:
        return None
    smaller = bytearray()
    wire.write_count(smaller, len(body))
    smaller += zlib.compress(body)
    return bytes(smaller) if len(smaller) < len(body) else None


def inflated(body: bytes) -> bytes:
    """Return compressed content as it was, never more than it says and the limit allows."""
    reader = wire.Reader(body)
    length = reader.read_count()
    if length > MAX_INFLATED_BYTES:
        raise CorruptState(f"a compressed body claims {length:,} bytes")
    inflater = zlib.decompressobj()
    try:
        # One byte more than claimed shows a wrong claim, and lets a right one reach its end.
        content = inflater.decompress(reader.read_rest(), length + 1)
    except zlib.error as exc:
        raise CorruptState(f"a compressed body cannot be read: {exc}") from exc
    if len(content) != length or not inflater.eof or inflater.unused_data:
        raise CorruptState(f"a compressed body does not hold the {length:,} bytes it claims")
    return content


def read_body(content: bytes) -> Body:
    """
    Return the fields in *content*.

    Raises:
        CorruptState: They are not there, or more than they.
    """
    reader = wire.Reader(content)
    fields = reader.read_byte()
    if fields & ~ALL_FIELDS:
        raise CorruptState(f"unknown fields {fields:#04x}")
    body = Body(
        _counts(reader) if fields & COUNTS else {},
        _metadata(reader) if fields & METADATA_FIELD else {},
        _pending(reader) if fields & PENDING_FIELD else (),
        _retained(reader) if fields & RETAINED else [],
        reader.read_bytes() if fields & CAPABILITIES else None,
    )
    reader.finish()
    return body


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


def _pending(reader: wire.Reader) -> tuple[RequestId, ...]:
    ids: list[RequestId] = []
    for _ in range(reader.read_count()):
        value = reader.read_value()
        if type(value) not in (int, str):
            raise CorruptState(f"a request id is of type {type(value).__name__}")
        ids.append(value)  # type: ignore[arg-type] # checked above
    if len(set(ids)) != len(ids):
        raise CorruptState("a request id is there twice")
    return tuple(ids)


def _retained(reader: wire.Reader) -> list[tuple[bytes, bool]]:
    payloads: list[tuple[bytes, bool]] = []
    for _ in range(reader.read_count()):
        compressed = reader.read_byte()
        if compressed > 1:
            raise CorruptState(f"unknown form {compressed} of a retained payload")
        payloads.append((reader.read_bytes(), bool(compressed)))
    return payloads
