"""Encoded states come back as they were, and damaged ones never come back."""

from __future__ import annotations

import json
import math
import random
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memopt_cli.errors import (
    CodecError,
    CorruptState,
    PoolExhausted,
    StateError,
    TruncatedState,
    UnknownVersion,
)
from memopt_cli.optimizer import (
    CapabilityStore,
    PayloadStore,
    Phase,
    StatePool,
    body,
    capabilities,
    codec,
    decode,
    encode,
    wire,
)
from memopt_cli.optimizer.records import CHECKSUM, NUMBER, RECEIVED
from tests.optimizer.drawing import CONTENTS, Content, books, check_empty

if TYPE_CHECKING:
    from collections.abc import Callable

few = settings(max_examples=max(settings().max_examples // 3, 10))

DOCUMENT = json.dumps({"tools": [f"tool-{number}" for number in range(40)]}).encode()
EVERYTHING = Content(
    fields={
        "phase": Phase.CLOSING,
        "number": 2**40,
        "opened_at_s": 1.5,
        "last_seen_s": 2.5,
        "received": 7,
        "received_bytes": -7000,
        "checksum": 0xFFFF_FFFF,
        "metadata": {"user": 1, "team": "x" * 20, "weight": 0.5, "admin": True, "role": None},
        "pending": (1, "a", 2**70),
    },
    retained=[(b"ping" * 50, True), (b"\x00\xff", False), (b"pong" * 300, False)],
    document=DOCUMENT,
)
HEADER = b"mS\x02"


def sealed(kind: int, rest: bytes, *, fixed: bytes = bytes(32)) -> bytes:
    """Return a frame around any content, with a checksum that is right."""
    out = HEADER + bytes([kind]) + fixed + rest
    return out + zlib.crc32(out, codec.SEED).to_bytes(4, "little")


def more(fields: int, content: bytes, *, compressed: bool = False) -> bytes:
    """Return a frame around what a record has elsewhere."""
    inner = content if compressed else bytes([fields]) + content
    return sealed(0x10 | 0x20 * compressed, len(inner).to_bytes(4, "little") + inner)


def count(number: int) -> bytes:
    """Return a count as it is encoded."""
    out = bytearray()
    wire.write_count(out, number)
    return bytes(out)


@given(content=CONTENTS, compress=st.booleans(), shares=st.booleans())
def test_decode_undoes_encode(content: Content, compress: bool, shares: bool) -> None:
    """Random states come back equal, to the type of each value, in a pool that shares or not."""
    pool, other = StatePool(), StatePool(payloads=PayloadStore() if shares else None)
    handle = content.put(pool)
    state = pool[handle]

    encoded = encode(pool, handle, compress=compress)
    decoded = other[decode(encoded, other)]

    assert state == decoded
    assert encoded == encode(other, decoded.handle, compress=compress)
    assert list(state.metadata.items()) == list(decoded.metadata.items())
    assert [*map(type, state.metadata.values())] == [*map(type, decoded.metadata.values())]
    assert state.retained_compressed() == decoded.retained_compressed()
    assert type(decoded.phase) is Phase
    other.release(decoded.handle)
    check_empty(other, other.capabilities)


@few
@given(content=CONTENTS, compress=st.booleans())
def test_every_truncation_is_told(content: Content, compress: bool) -> None:
    """Whatever is missing at the end, the error says that something is, and nothing changes."""
    pool = StatePool()
    encoded = encode(pool, content.put(pool), compress=compress)
    before = books(pool)

    for length in range(len(encoded)):
        with pytest.raises(TruncatedState):
            decode(encoded[:length], pool)

    assert before == books(pool)


@few
@given(content=CONTENTS, compress=st.booleans())
def test_no_flipped_bit_passes(content: Content, compress: bool) -> None:
    """One changed bit, wherever it is, is one of the three errors, and changes nothing."""
    pool = StatePool()
    encoded = encode(pool, content.put(pool), compress=compress)
    before = books(pool)

    for bit in range(8 * min(len(encoded), 400)):
        changed = bytearray(encoded)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises((CorruptState, TruncatedState, UnknownVersion)):
            decode(bytes(changed), pool)

    assert before == books(pool)


@given(content=CONTENTS, end=st.binary(min_size=1, max_size=60))
def test_no_extension_passes(content: Content, end: bytes) -> None:
    """A frame holds one state and nothing else, not even another frame or zeros."""
    pool = StatePool()
    encoded = encode(pool, content.put(pool))
    before = books(pool)

    for longer in (encoded + end, encoded + encoded, encoded + bytes(len(end)), end + encoded):
        with pytest.raises(CodecError):
            decode(longer, pool)

    assert before == books(pool)


@few
@given(content=CONTENTS, version=st.integers(0, 255).filter(lambda version: version != 2))
def test_another_version_is_told(content: Content, version: int) -> None:
    """Also in part, as soon as its byte is there."""
    pool = StatePool()
    encoded = encode(pool, content.put(pool))
    other = encoded[:2] + bytes([version]) + encoded[3:]

    for length in {3, 4, 39, len(other)}:
        with pytest.raises(UnknownVersion, match=f"format version {version}") as caught:
            decode(other[:length], pool)

    assert caught.value.hint


@given(data=st.binary(max_size=200))
def test_noise_is_refused(data: bytes) -> None:
    """Bytes that nobody encoded are an error of the codec, never another one."""
    pool = StatePool()
    for noise in (data, HEADER + data):
        with pytest.raises(CodecError):
            decode(noise, pool)

    assert books(StatePool()) == books(pool)


@given(
    kind=st.integers(0, 255),
    fixed=st.binary(min_size=32, max_size=32),
    rest=st.binary(max_size=60),
    with_length=st.booleans(),
)
def test_a_forged_frame_is_a_state_or_corrupt(
    kind: int, fixed: bytes, rest: bytes, with_length: bool
) -> None:
    """With a right checksum around it, anything is a state, corrupt or too short."""
    pool = StatePool()
    content = len(rest).to_bytes(4, "little") + rest if with_length else rest
    try:
        handle = decode(sealed(kind, content, fixed=fixed), pool)
    except (CorruptState, TruncatedState):
        assert books(StatePool()) == books(pool)
        return
    # By their encodings, because a forged time may be one that equals nothing.
    again = encode(pool, handle)
    assert again == encode(pool, decode(again, pool))


@given(fields=st.integers(0, 63), content=st.binary(max_size=40))
def test_a_forged_body_is_a_state_or_corrupt(fields: int, content: bytes) -> None:
    """Whatever is said to be elsewhere, it is all there and nothing else, or refused."""
    pool = StatePool()
    try:
        handle = decode(more(fields, content), pool)
    except CorruptState:
        assert books(StatePool()) == books(pool)
        return
    again = encode(pool, handle)
    assert again == encode(pool, decode(again, pool))


def test_the_three_errors_are_distinct(pool: StatePool) -> None:
    """A cut end, a changed byte and another version are told apart."""
    encoded = encode(pool, EVERYTHING.put(pool))
    changed = bytearray(encoded)
    changed[-10] ^= 0xFF
    newer = encoded[:2] + b"\x03" + encoded[3:]

    with pytest.raises(TruncatedState, match=f"ends after {len(encoded) - 1:,} bytes") as cut:
        decode(encoded[:-1], pool)
    with pytest.raises(CorruptState, match="checksum"):
        decode(bytes(changed), pool)
    with pytest.raises(CorruptState, match="begins with"):
        decode(b"xS" + encoded[2:], pool)
    with pytest.raises(UnknownVersion, match="format version 3") as unknown:
        decode(newer, pool)

    assert cut.value.hint
    assert unknown.value.hint


@pytest.mark.parametrize("length", [1, 127, 128, 65_536, 1_000_000])
def test_long_texts_and_ids_come_back(length: int, pool: StatePool) -> None:
    """Ids, keys, values and ints have no largest size."""
    text = "ü" * length
    handle = pool.acquire()
    pool[handle].update(
        metadata={text: text, "number": -(1 << length)}, pending=(text, 1 << length)
    )

    assert pool[handle] == pool[decode(encode(pool, handle), pool)]
    assert pool[handle] == pool[decode(encode(pool, handle, compress=True), pool)]


@pytest.mark.parametrize("time_s", [math.inf, -math.inf, -0.0, math.nan, 5e-324])
def test_floats_keep_every_bit(time_s: float, pool: StatePool) -> None:
    """Infinities, a negative zero and what is not a number come back as they were."""
    handle = pool.acquire()
    pool[handle].opened_at_s = time_s
    plain = pool[decode(encode(pool, handle), pool)]
    pool[handle].metadata["time"] = time_s
    full = pool[decode(encode(pool, handle), pool)]

    assert repr(time_s) == repr(plain.opened_at_s) == repr(full.opened_at_s)
    assert repr({"time": time_s}) == repr(full.metadata)


def test_what_was_elsewhere_and_is_not_any_more_leaves_no_trace(pool: StatePool) -> None:
    """A state is encoded as what it holds, whatever it has held."""
    handle, plain = pool.acquire(), pool.acquire()
    state = pool[handle]
    state.update(**EVERYTHING.fields, retained=[b"x" * 600])
    state.capabilities = pool.capabilities.acquire(DOCUMENT)
    state.share_metadata({"a": 1})
    state.share_metadata({})
    state.update(
        phase=Phase.CONNECTING,
        pending=(),
        retained=(),
        capabilities=None,
        number=0,
        opened_at_s=0,
        last_seen_s=0,
        received=0,
        received_bytes=0,
        checksum=0,
    )

    assert encode(pool, plain) == encode(pool, handle) == encode(pool, handle, compress=True)


def test_counts_are_encoded_in_one_order(pool: StatePool) -> None:
    """Equal states have equal encodings, in whatever order their counts outgrew the record."""
    one, other = pool.acquire(), pool.acquire()
    for name in ("number", "checksum"):
        setattr(pool[one], name, 2**50)
    for name in ("checksum", "number"):
        setattr(pool[other], name, 2**50)

    assert encode(pool, one) == encode(pool, other)


def test_a_count_of_all_ones_fits_the_record(pool: StatePool) -> None:
    """The number that says "elsewhere" is itself a count like any other."""
    handle = pool.acquire()
    plain = encode(pool, handle)
    pool[handle].received = 2**32 - 1

    encoded = encode(pool, handle)

    assert len(plain) == len(encoded)
    assert 2**32 - 1 == pool[decode(encoded, pool)].received


def test_what_an_interrupted_release_left_behind_is_nobodys(pool: StatePool) -> None:
    """The next holder of the slot sees its own counts, ids and payloads only."""
    handle = pool.acquire()
    pool[handle].update(number=2**40, received=2**32 - 1)
    encoded = encode(pool, handle)
    pool.release(handle)
    pool._counts[RECEIVED], pool._pending[0], pool._retained[0] = 5, ("a",), (b"b",)

    state = pool[decode(encoded, pool)]
    state.retain(b"c", window=9)
    state.add_pending("d")

    assert (2**40, 2**32 - 1) == (state.number, state.received)
    assert (("d",), (b"c",)) == (state.pending, state.retained_payloads())


def test_capabilities_are_shared_in_the_store() -> None:
    """A thousand decoded states of one document hold one copy, each its own reference."""
    store = CapabilityStore()
    pool = StatePool(capabilities=store)
    encoded = encode(pool, EVERYTHING.put(pool))

    decoded = [decode(encoded, pool) for _ in range(999)]

    assert (1, 1000) == (store.stats().documents, store.stats().references)
    pool.release_many(decoded)
    assert 1 == store.stats().references


def test_a_refused_state_takes_no_reference(pool: StatePool, payloads: PayloadStore) -> None:
    """Pool and stores are as they were when the bytes turn out to be wrong, or there is no room."""
    document = count(len(DOCUMENT)) + DOCUMENT
    whole = encode(pool, EVERYTHING.put(pool))
    before = books(pool, payloads)

    with pytest.raises(CorruptState, match="1 bytes are left"):
        decode(more(body.CAPABILITIES, document + b"x"), pool)
    with pytest.raises(CorruptState, match="are not JSON"):
        decode(more(body.CAPABILITIES, b"\x01{"), pool)
    pool.configure(limit=1)
    with pytest.raises(PoolExhausted):
        decode(whole, pool)

    assert before == books(pool, payloads)
    assert 1 == pool.capabilities.stats().references


@pytest.mark.parametrize("fails_in", ["acquire_filled", "write_metadata", "restore_retained"])
def test_a_failure_halfway_leaves_no_state(
    fails_in: str, pool: StatePool, payloads: PayloadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When memory runs out in the middle, all that was acquired is given back."""
    whole = encode(pool, EVERYTHING.put(pool))
    counted = ("metadata", "documents", "capabilities", "elsewhere", "payloads")
    before = {name: books(pool, payloads)[name] for name in counted}

    def run_out(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(StatePool, fails_in, run_out)
    with pytest.raises(MemoryError):
        decode(whole, pool)

    assert 1 == len(pool)
    assert before == {name: books(pool, payloads)[name] for name in counted}


def test_no_number_for_a_document_is_no_corruption(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are good; the pool has as many documents as it has numbers, and stays as it is."""
    monkeypatch.setattr(capabilities, "MOST_DOCUMENTS", 1)
    pool = StatePool()
    encoded = encode(pool, EVERYTHING.put(pool))
    pool[pool.handles()[0]].capabilities = None
    pool[pool.handles()[0]].capabilities = pool.capabilities.acquire(b"[1]")

    with pytest.raises(StateError, match="1 documents are in use"):
        decode(encoded, pool)

    assert (1, 1, 1) == (len(pool), len(pool.documents), pool.capabilities.stats().references)
    pool[pool.handles()[0]].capabilities = None
    decode(encoded, pool)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (more(0, b""), None),
        (sealed(0x10, bytes(4)), "passes the end"),
        (sealed(0x20, bytes(8)), "unknown kind 0x20"),
        (sealed(0x40, b""), "unknown kind 0x40"),
        (sealed(0x08, bytes(8)), "a request id is there twice"),
        (sealed(0x18, bytes(12)), "a request id is there twice"),
        (more(0x20, b""), "unknown fields 0x20"),
        (more(0, b"\x00"), "1 bytes are left"),
        (more(body.METADATA_FIELD, b"\x80" * 11), "does not end"),
        (more(body.COUNTS, bytes([1, NUMBER - 1, 0])), "no count is number 5"),
        (more(body.COUNTS, bytes([1, CHECKSUM + 1, 0])), "no count is number 10"),
        (more(body.COUNTS, bytes([2, RECEIVED, 0, RECEIVED, 0])), "or it is there twice"),
        (more(body.METADATA_FIELD, b"\x02\x01a\x00\x01a\x00"), "key is there twice"),
        (more(body.METADATA_FIELD, b"\x01\x01a\x09"), "unknown type 9"),
        (more(body.METADATA_FIELD, b"\x01\x01\xff\x00"), "not UTF-8"),
        (more(body.METADATA_FIELD, b"\xff\xff\xff\xff\x0f"), "passes the end"),
        (more(body.PENDING_FIELD, b"\x01\x02"), "a request id is of type bool"),
        (more(body.PENDING_FIELD, b"\x02\x03\x01\x07\x03\x01\x07"), "there twice"),
        (more(body.RETAINED, b"\x01\x02\x00"), "unknown form 2"),
        (more(body.CAPABILITIES, b"\x01{"), "are not JSON"),
        (more(0, b"\x02nonsense", compressed=True), "cannot be read"),
        (more(0, b"\x03" + zlib.compress(b"\x00\x00"), compressed=True), "hold the 3 bytes"),
        (more(0, b"\x01" + zlib.compress(b"\x00\x00"), compressed=True), "hold the 1 bytes"),
        (more(0, b"\x02" + zlib.compress(b"\x00\x00") + b"x", compressed=True), "does not hold"),
        (
            sealed(0x14, bytes([7, 0, 0, 0, 5, 0, 0, 0, body.PENDING_FIELD, 1, 3, 1, 8])),
            "request ids are in two places",
        ),
    ],
)
def test_a_forged_structure_is_corrupt(frame: bytes, message: str | None, pool: StatePool) -> None:
    """A right checksum does not make a wrong structure pass."""
    if message is None:
        decode(frame, pool)
        return
    with pytest.raises(CorruptState, match=message):
        decode(frame, pool)
    assert 0 == pool.stats().created


@pytest.mark.parametrize("length", [4, 39, 43])
def test_a_length_that_is_not_all_there_is_a_truncation(length: int, pool: StatePool) -> None:
    """What the header says is missing is missing, and a length has an end."""
    with pytest.raises(TruncatedState):
        decode((HEADER + b"\x10" + bytes(36) + b"\xff" * 4)[:length], pool)
    with pytest.raises(TruncatedState):
        decode(HEADER + b"\x10" + bytes(32) + b"\xff" * 20, pool)


def test_a_bomb_is_not_inflated(pool: StatePool) -> None:
    """A body that claims, or holds, more than the limit is refused."""
    bomb = zlib.compress(bytes(body.MAX_INFLATED_BYTES + 1), 9)

    with pytest.raises(CorruptState, match=r"claims 67,108,865 bytes"):
        decode(more(0, count(body.MAX_INFLATED_BYTES + 1) + bomb, compressed=True), pool)
    with pytest.raises(CorruptState, match="does not hold the 100 bytes"):
        decode(more(0, count(100) + bomb, compressed=True), pool)


def test_a_state_above_the_limit_is_left_uncompressed(
    pool: StatePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be decoded is not encoded: large states stay lossless."""
    monkeypatch.setattr(body, "MAX_INFLATED_BYTES", 1000)
    handle = pool.acquire()
    pool[handle].metadata["text"] = "a" * 2000

    assert encode(pool, handle) == encode(pool, handle, compress=True)


def test_a_state_that_no_length_can_say_is_refused(
    pool: StatePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than cut."""
    monkeypatch.setattr(codec, "MOST_BYTES", 1000)
    handle = pool.acquire()
    pool[handle].metadata["text"] = "".join(map(chr, range(2000)))

    with pytest.raises(StateError, match="is too long to encode") as caught:
        encode(pool, handle)

    assert caught.value.hint


@pytest.mark.parametrize("pending", [0, 1, 2, 3])
def test_an_idle_state_is_small(pending: int, pool: StatePool) -> None:
    """40 bytes, and four for each small request id that is pending."""
    handle = pool.acquire()
    pool[handle].update(
        phase=Phase.READY,
        number=100_000,
        opened_at_s=1.5,
        last_seen_s=2.5,
        pending=tuple(range(pending)),
    )

    assert 40 + 4 * pending == len(encode(pool, handle))


@pytest.mark.parametrize(
    "convert", [bytes, bytearray, memoryview, lambda data: memoryview(bytearray(data))]
)
@pytest.mark.parametrize(
    "content", [Content(), Content({"pending": (1, 2)}), EVERYTHING], ids=["idle", "ids", "all"]
)
def test_any_buffer_decodes(
    convert: Callable[[bytes], Any], content: Content, pool: StatePool
) -> None:
    """Bytes may come straight from a receive buffer, good or bad."""
    handle = content.put(pool)
    encoded = encode(pool, handle)

    assert pool[handle] == pool[decode(convert(encoded), pool)]
    for bad in (encoded[:-1], encoded + b"x", b"x" + encoded[1:], b""):
        with pytest.raises(CodecError):
            decode(convert(bad), pool)
    assert 2 == len(pool)


def test_words_instead_of_bytes_decode(pool: StatePool) -> None:
    """A buffer whose items are longer than a byte is taken by its bytes."""
    handle = pool.acquire()
    pool[handle].number = 7
    words = memoryview(encode(pool, handle)).cast("I")

    assert 7 == pool[decode(words, pool)].number  # type: ignore[arg-type] # that is tested


def test_random_damage_never_makes_another_state(pool: StatePool) -> None:
    """A burst of random bytes anywhere is refused, or changed nothing."""
    stream = random.Random(7)
    encoded = encode(pool, EVERYTHING.put(pool), compress=True)

    for _ in range(3000):
        changed = bytearray(encoded)
        at = stream.randrange(len(changed))
        changed[at : at + 4] = stream.randbytes(len(changed[at : at + 4]))
        if changed == encoded:
            continue
        with pytest.raises(CodecError):
            decode(bytes(changed), pool)
    assert 1 == len(pool)
