"""Encoded states come back as they were, and damaged ones never come back."""

from __future__ import annotations

import json
import random
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memopt_cli.errors import CodecError, CorruptState, TruncatedState, UnknownVersion
from memopt_cli.optimizer import CapabilityStore, CompactState, Phase, codec, decode, encode, wire

if TYPE_CHECKING:
    from collections.abc import Callable

thorough = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

DOCUMENT = json.dumps({"tools": [f"tool-{number}" for number in range(40)]}).encode()


def active_state() -> CompactState:
    """Return a state with something in every field."""
    state = CompactState(
        phase=Phase.CLOSING,
        number=100_000,
        opened_at_s=1.5,
        last_seen_s=2.5,
        received=7,
        received_bytes=7000,
        checksum=0xFFFF_FFFF,
        metadata={"user": 1, "team": "x" * 20, "weight": 0.5, "admin": True, "role": None},
        pending=(1, "a", 2**70),
        capabilities=CapabilityStore().acquire(DOCUMENT),
    )
    state.retain(b"ping" * 50, window=2, compression=True)
    state.retain(b"\x00\xff", window=2)
    return state


def sealed(flags: int, body: bytes) -> bytes:
    """Return a frame around any body, with a checksum that is right."""
    out = bytearray(b"mS\x01")
    wire.write_count(out, len(body))
    out.append(flags)
    out += body
    return bytes(out) + zlib.crc32(out).to_bytes(4, "little")


@thorough
@given(data=st.data(), compress=st.booleans())
def test_decode_undoes_encode(
    data: st.DataObject, states: st.SearchStrategy[CompactState], compress: bool
) -> None:
    """Random states come back equal, to the type of each value."""
    state = data.draw(states)

    encoded = encode(state, compress=compress)
    decoded = decode(encoded)

    assert state == decoded
    assert encoded == encode(decoded, compress=compress)
    assert list(state.metadata) == list(decoded.metadata)
    assert list(map(type, state.metadata.values())) == list(map(type, decoded.metadata.values()))
    assert state.retained_compressed() == decoded.retained_compressed()
    assert type(decoded.phase) is Phase


@few
@given(data=st.data(), compress=st.booleans())
def test_every_truncation_is_told(
    data: st.DataObject, states: st.SearchStrategy[CompactState], compress: bool
) -> None:
    """Whatever is missing at the end, the error says that something is."""
    encoded = encode(data.draw(states), compress=compress)

    for length in range(len(encoded)):
        with pytest.raises(TruncatedState):
            decode(encoded[:length])


@few
@given(data=st.data(), compress=st.booleans())
def test_no_flipped_bit_passes(
    data: st.DataObject, states: st.SearchStrategy[CompactState], compress: bool
) -> None:
    """One changed bit, wherever it is, is one of the three errors."""
    encoded = encode(data.draw(states), compress=compress)

    for bit in range(8 * len(encoded)):
        changed = bytearray(encoded)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises((CorruptState, TruncatedState, UnknownVersion)):
            decode(bytes(changed))


@thorough
@given(data=st.binary(max_size=200))
def test_noise_is_refused(data: bytes) -> None:
    """Bytes that nobody encoded are an error of the codec, never another one."""
    for noise in (data, b"mS\x01" + data):
        with pytest.raises(CodecError):
            decode(noise)


@thorough
@given(flags=st.integers(0, 255), body=st.binary(max_size=60))
def test_a_forged_body_is_a_state_or_corrupt(flags: int, body: bytes) -> None:
    """With a right checksum around it, any body is a state or `CorruptState`."""
    try:
        state = decode(sealed(flags, body))
    except CorruptState:
        return
    # By their encodings, because a forged time may be one that equals nothing.
    assert encode(state) == encode(decode(encode(state)))


def test_the_three_errors_are_distinct() -> None:
    """A cut end, a changed byte and another version are told apart."""
    encoded = encode(active_state())
    changed = bytearray(encoded)
    changed[-10] ^= 0xFF
    newer = bytearray(encoded)
    newer[2] = 2

    with pytest.raises(TruncatedState, match=f"ends after {len(encoded) - 1} bytes") as truncated:
        decode(encoded[:-1])
    with pytest.raises(CorruptState, match="checksum"):
        decode(bytes(changed))
    with pytest.raises(UnknownVersion, match="format version 2") as unknown:
        decode(bytes(newer))

    assert truncated.value.hint
    assert unknown.value.hint


@pytest.mark.parametrize("length", [1, 127, 128, 65_536, 1_000_000])
def test_long_texts_and_ids_come_back(length: int) -> None:
    """Ids, keys, values and ints have no largest size."""
    text = "ü" * length
    state = CompactState(
        metadata={text: text, "number": -(1 << length)}, pending=(text, 1 << length)
    )

    assert state == decode(encode(state))
    assert state == decode(encode(state, compress=True))


def test_times_keep_every_bit() -> None:
    """Infinities, a negative zero and a time that is not a number come back as they were."""
    for time_s in (float("inf"), -float("inf"), -0.0, float("nan"), 5e-324):
        decoded = decode(encode(CompactState(opened_at_s=time_s)))

        assert repr(time_s) == repr(decoded.opened_at_s)


def test_capabilities_are_shared_in_the_store() -> None:
    """A thousand decoded states of one document hold one copy, each its own reference."""
    store = CapabilityStore()
    encoded = encode(active_state())

    decoded = [decode(encoded, store) for _ in range(1000)]

    assert (store.stats().documents, store.stats().references) == (1, 1000)
    for state in decoded:
        state.clear()
    assert store.stats().references == 0


def test_a_refused_state_takes_no_reference() -> None:
    """The store is as it was when the bytes turn out to be wrong."""
    store = CapabilityStore()
    body = b"\x00\x00" + bytes([len(DOCUMENT) & 0x7F | 0x80, len(DOCUMENT) >> 7]) + DOCUMENT

    assert decode(sealed(codec.CAPABILITIES, body)).capabilities is not None
    with pytest.raises(CorruptState, match="1 bytes are left"):
        decode(sealed(codec.CAPABILITIES, body + b"x"), store)

    assert store.stats().references == 0


@pytest.mark.parametrize(
    ("flags", "body", "message"),
    [
        (0, b"", "passes the end"),
        (0, b"\x09\x00", "unknown phase 9"),
        (0x80, b"\x00\x00", "unknown flags 0x80"),
        (0, b"\x00\x00\x00", "1 bytes are left"),
        (0, b"\x00" + b"\x80" * 11, "does not end"),
        (codec.METADATA, b"\x00\x00\x02\x01a\x00\x01a\x00", "key is there twice"),
        (codec.METADATA, b"\x00\x00\x01\x01a\x09", "unknown type 9"),
        (codec.METADATA, b"\x00\x00\x01\x01\xff\x00", "not UTF-8"),
        (codec.METADATA, b"\x00\x00\xff\xff\xff\xff\x0f", "passes the end"),
        (codec.PENDING, b"\x00\x00\x01\x02", "a request id is of type bool"),
        (codec.PENDING, b"\x00\x00\x02\x03\x01\x07\x03\x01\x07", "there twice"),
        (codec.RETAINED, b"\x00\x00\x01\x02\x00", "unknown form 2"),
        (codec.CAPABILITIES, b"\x00\x00\x01{", "are not JSON"),
        (codec.COMPRESSED, b"\x02nonsense", "cannot be read"),
        (codec.COMPRESSED, b"\x03" + zlib.compress(b"\x00\x00"), "does not hold the 3 bytes"),
        (codec.COMPRESSED, b"\x01" + zlib.compress(b"\x00\x00"), "does not hold the 1 bytes"),
        (codec.COMPRESSED, b"\x02" + zlib.compress(b"\x00\x00") + b"x", "does not hold"),
    ],
)
def test_a_forged_structure_is_corrupt(flags: int, body: bytes, message: str) -> None:
    """A right checksum does not make a wrong structure pass."""
    with pytest.raises(CorruptState, match=message):
        decode(sealed(flags, body))


def test_bytes_after_the_end_are_corrupt() -> None:
    """A frame holds one state and nothing else."""
    with pytest.raises(CorruptState, match="3 bytes follow"):
        decode(encode(CompactState()) + b"abc")


def test_a_length_without_end_is_corrupt() -> None:
    """The length in the header is bounded, and an unfinished one is a truncation."""
    with pytest.raises(CorruptState, match="length of the body does not end"):
        decode(b"mS\x01" + b"\xff" * 20)
    with pytest.raises(TruncatedState):
        decode(b"mS\x01" + b"\xff" * 3)


def test_a_bomb_is_not_inflated() -> None:
    """A body that claims, or holds, more than the limit is refused."""
    bomb = zlib.compress(bytes(codec.MAX_INFLATED_BYTES + 1), 9)
    claim = bytearray()
    wire.write_count(claim, codec.MAX_INFLATED_BYTES + 1)

    with pytest.raises(CorruptState, match=r"claims 67,108,865 bytes"):
        decode(sealed(codec.COMPRESSED, bytes(claim) + bomb))
    with pytest.raises(CorruptState, match="does not hold the 100 bytes"):
        decode(sealed(codec.COMPRESSED, b"\x64" + bomb))


def test_a_state_above_the_limit_is_left_uncompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be decoded is not encoded: large states stay lossless."""
    monkeypatch.setattr(codec, "MAX_INFLATED_BYTES", 1000)
    state = CompactState(metadata={"text": "a" * 2000})

    assert encode(state) == encode(state, compress=True)


def test_an_idle_state_is_small() -> None:
    """An idle connection with a number and two times is at most 32 bytes."""
    state = CompactState(phase=Phase.READY, number=100_000, opened_at_s=1.5, last_seen_s=2.5)

    assert len(encode(state)) <= 32


@pytest.mark.parametrize("convert", [bytes, bytearray, memoryview])
def test_any_buffer_decodes(convert: Callable[[bytes], bytes]) -> None:
    """Bytes may come straight from a receive buffer."""
    state = active_state()

    assert state == decode(convert(encode(state)))


def test_random_damage_never_makes_another_state() -> None:
    """A burst of random bytes anywhere is refused, or changed nothing."""
    stream = random.Random(7)
    encoded = encode(active_state(), compress=True)

    for _ in range(3000):
        changed = bytearray(encoded)
        at = stream.randrange(len(changed))
        changed[at : at + 4] = stream.randbytes(len(changed[at : at + 4]))
        if changed == encoded:
            continue
        with pytest.raises(CodecError):
            decode(bytes(changed))
