"""Payloads that many connections keep are kept once, and only as long as somebody does."""

from __future__ import annotations

import random
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.errors import StaleHandle, StateError, WrongFieldType
from memopt_cli.optimizer import PayloadStore, StatePool
from memopt_cli.optimizer.retention import SMALLEST_SHARED_BYTES, Deflated, packed, unpacked

if TYPE_CHECKING:
    from typing import Any

NOISE = random.Random(7).randbytes(SMALLEST_SHARED_BYTES)
REPETITION = b"ping" * 200
SHORT = b"x" * (SMALLEST_SHARED_BYTES - 1)


@given(payload=st.binary(max_size=600), compression=st.booleans())
def test_what_is_packed_is_unpacked(payload: bytes, compression: bool) -> None:
    """Deflated or not, a payload reads as it was received, and is never larger."""
    kept = packed(payload, compression=compression)

    assert payload == unpacked(kept)
    assert len(kept) <= len(payload)
    assert isinstance(kept, Deflated) == (len(kept) < len(payload))


@given(
    steps=st.lists(
        st.tuples(st.sampled_from([NOISE, REPETITION, SHORT]), st.booleans(), st.booleans()),
        max_size=40,
    )
)
def test_a_store_counts_references(steps: list[tuple[bytes, bool, bool]]) -> None:
    """Whoever acquires and releases what, one copy is there for each content and form in use."""
    store, held = PayloadStore(), list[bytes]()
    for payload, compression, acquires in steps:
        if acquires or not held:
            kept = store.acquire(bytes(bytearray(payload)), compression=compression)
            assert payload == unpacked(kept)
            assert isinstance(kept, Deflated) == (compression and payload is not NOISE)
            held.append(kept)
        else:
            store.release([held.pop()])
        shared = [kept for kept in held if len(unpacked(kept)) >= SMALLEST_SHARED_BYTES]
        forms = Counter((unpacked(kept), isinstance(kept, Deflated)) for kept in shared)
        assert len(forms) == len(store) == len({id(kept) for kept in shared})
        assert forms.total() == store.references()

    store.release(held)
    assert (0, 0) == (len(store), store.references())
    assert ({}, {}) == (store._entries, store._by_id)


def test_one_object_under_both_wishes_is_kept_until_the_last() -> None:
    """What does not become smaller is the same copy for those that wanted it so or so."""
    store = PayloadStore()
    first = store.acquire(NOISE, compression=False)
    second = store.acquire(NOISE, compression=True)
    third = store.acquire(bytes(bytearray(NOISE)), compression=True)
    assert first is second is third

    for left in (2, 1, 0):
        store.release([first])
        assert (int(left > 0), left) == (len(store), store.references())


def test_two_pools_share_a_store(payloads: PayloadStore) -> None:
    """One copy for the states of both, freed by the last of either."""
    one, other = (StatePool(payloads=payloads) for _ in range(2))
    handles = [(pool, pool.acquire()) for pool in (one, other) for _ in range(3)]
    for pool, handle in handles:
        pool[handle].retain(bytearray(REPETITION), window=2)

    assert (1, 6) == (len(payloads), payloads.references())
    assert 1 == len({id(pool[handle]._kept()[0]) for pool, handle in handles})
    one.release_many([handle for pool, handle in handles if pool is one])
    assert (1, 3) == (len(payloads), payloads.references())
    for pool, handle in handles[3:]:
        pool[handle].clear()
    assert (0, 0) == (len(payloads), payloads.references())


@pytest.mark.parametrize("compression", [False, True])
def test_the_window_keeps_the_last_payloads(
    compression: bool, pool: StatePool, payloads: PayloadStore
) -> None:
    """The oldest go first, those left read as they were received; a smaller window drops more."""
    state = pool[pool.acquire()]
    sent = [bytes([number]) * number * 100 for number in range(9)]

    for payload in sent:
        state.retain(payload, window=4, compression=compression)
        assert payloads.references() <= 4

    assert tuple(sent[-4:]) == state.retained_payloads()
    state.retain(b"last", window=2)
    assert (sent[-1], b"last") == state.retained_payloads()
    assert 1 == payloads.references()


def test_a_payload_is_compressed_only_when_that_is_smaller(plain_pool: StatePool) -> None:
    """Noise is kept as it is; repetition shrinks."""
    state = plain_pool[plain_pool.acquire()]

    state.retain(NOISE, window=2, compression=True)
    state.retain(REPETITION, window=2, compression=True)

    assert (False, True) == state.retained_compressed()
    assert (NOISE, REPETITION) == state.retained_payloads()
    assert state.size_estimate().retained_bytes < len(NOISE) + 500


def test_a_retained_view_is_copied(plain_pool: StatePool) -> None:
    """A receive buffer may be used again after its bytes were retained."""
    memory = bytearray(b"hello")
    state = plain_pool[plain_pool.acquire()]
    state.retain(memoryview(memory), window=1)

    memory[:] = b"world"

    assert (b"hello",) == state.retained_payloads()


@pytest.mark.parametrize(
    ("payload", "window", "error"),
    [
        (b"", 0, StateError),
        (b"", -1, StateError),
        ("text", 1, WrongFieldType),
        (None, 1, WrongFieldType),
        (REPETITION, 1.5, WrongFieldType),
        (REPETITION, "1", WrongFieldType),
        (REPETITION, None, WrongFieldType),
    ],
)
def test_what_cannot_be_retained_is_refused(
    payload: Any, window: Any, error: type[StateError], pool: StatePool, payloads: PayloadStore
) -> None:
    """A payload is bytes and a window 1 or more; nothing is kept of what is refused."""
    state = pool[pool.acquire()]

    with pytest.raises(error) as caught:
        state.retain(payload, window=window)

    assert caught.value.hint
    assert ((), 0) == (state.retained_payloads(), len(payloads))


def test_all_payloads_are_replaced(pool: StatePool, payloads: PayloadStore) -> None:
    """By others, or by none, which is as if there had never been any."""
    state = pool[pool.acquire()]
    state.retain(REPETITION, window=2)

    state.restore_retained([(NOISE, True), (REPETITION, True)])
    assert (NOISE, REPETITION) == state.retained_payloads()
    assert (False, True) == state.retained_compressed()
    state.restore_retained([])

    assert (0, {}, None) == (payloads.references(), pool._retained, state.get("retained"))
    with pool.lease() as other:
        assert other == state


def test_a_replacement_that_fails_halfway_changes_nothing(
    pool: StatePool, payloads: PayloadStore
) -> None:
    """What was acquired for it is given back."""
    state = pool[pool.acquire()]
    state.retain(NOISE, window=2)

    with pytest.raises(WrongFieldType):
        state.restore_retained([(REPETITION, False), ("text", False)])  # type: ignore[list-item] # refused: that is tested

    assert ((NOISE,), 1) == (state.retained_payloads(), payloads.references())


def test_the_next_holder_keeps_nothing_of_the_last(pool: StatePool) -> None:
    """Its first payload stands alone."""
    handle = pool.acquire()
    state = pool[handle]
    state.retain(b"first", window=9)
    pool.release(handle)

    with pytest.raises(StaleHandle):
        state.retained_payloads()
    again = pool[pool.acquire()]
    assert () == again.retained_payloads()
    again.retain(b"second", window=9)

    assert (b"second",) == again.retained_payloads()


@pytest.mark.parametrize("shares", [False, True])
def test_a_payload_is_let_go_with_its_state(shares: bool) -> None:
    """Nothing else refers to the caller's object."""
    pool = StatePool(payloads=PayloadStore() if shares else None)
    payload = bytes(bytearray(NOISE))
    before = sys.getrefcount(payload)
    handle = pool.acquire()
    pool[handle].retain(payload, window=1)
    assert before < sys.getrefcount(payload)

    pool.release(handle)

    assert before == sys.getrefcount(payload)
