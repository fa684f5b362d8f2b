"""A state refuses what does not fit, shows what was set, and nothing of the last connection."""

from __future__ import annotations

import gc
import json
import sys
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.errors import StaleHandle, StateError, UnknownField, WrongFieldType
from memopt_cli.optimizer import (
    CapabilityStore,
    CompactState,
    PayloadStore,
    Phase,
    StatePool,
    StateSize,
    encode,
)
from memopt_cli.optimizer.records import RECORD_BYTES
from tests.optimizer.drawing import CONTENTS, COUNTS, INTS, Content

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENT = json.dumps(
    {"tools": [{"name": f"tool-{number}", "description": "x" * 90} for number in range(8)]}
).encode()

FULL: dict[str, Any] = {
    "phase": Phase.READY,
    "number": 100_000,
    "opened_at_s": 1_700_000_000.5,
    "last_seen_s": 1_700_000_100.25,
    "received": 1000,
    "received_bytes": 2**33,
    "checksum": 0xFFFF_FFFF,
    "metadata": {"client": "probe", "user": 1000, "weight": 0.5, "admin": False, "team": None},
    "pending": (1000, "request-1", 2**70),
    "retained": (b"first", b"second"),
}
USES: list[Callable[[CompactState], object]] = [
    *(lambda state, name=name: getattr(state, name) for name in FULL if name != "retained"),
    *(
        lambda state, name=name: setattr(state, name, FULL[name])
        for name in FULL
        if name != "retained"
    ),
    lambda state: state.capabilities,
    lambda state: setattr(state, "capabilities", None),
    lambda state: state.share_metadata({"a": 1}),
    lambda state: state.has_metadata,
    lambda state: state.get("pending"),
    lambda state: state.update(),
    lambda state: state.clear(),
    lambda state: state.note_received(1, 1.0, 1),
    lambda state: state.add_pending(1),
    lambda state: state.complete(1),
    lambda state: state.retain(b"x", window=1),
    lambda state: state.restore_retained(()),
    lambda state: state.retained_payloads(),
    lambda state: state.retained_compressed(),
    lambda state: state.size_estimate(),
    lambda state: state.read_metadata(),
    lambda state: state == state,  # noqa: PLR0124 - that is tested
]


@pytest.fixture
def state(plain_pool: StatePool) -> CompactState:
    """Return an empty state."""
    return plain_pool[plain_pool.acquire()]


@pytest.fixture
def full(plain_pool: StatePool) -> CompactState:
    """Return a state with something in every field but the capabilities."""
    state = plain_pool[plain_pool.acquire()]
    state.update(**FULL)
    return state


def test_every_field_reads_as_it_was_set(full: CompactState) -> None:
    """What `update` took, `get` returns, and the attribute of this name."""
    assert {name: full.get(name) for name in FULL} == FULL
    assert [FULL[name] for name in COUNTS] == [getattr(full, name) for name in COUNTS]
    assert "<CompactState 100000 READY>" == repr(full)


def test_an_absent_field_has_the_safe_default(state: CompactState) -> None:
    """The caller's default stands in for what may be absent, and for nothing else."""
    assert "none" == state.get("metadata", "none")
    assert [1] == state.get("pending", [1])
    assert 0 == state.get("number", 7)
    assert Phase.CONNECTING is state.get("phase", None)
    for name in ("metadata", "pending", "retained", "capabilities"):
        assert state.get(name) is None


@pytest.mark.parametrize("use", USES)
def test_a_released_state_shows_and_takes_nothing(
    use: Callable[[CompactState], object], plain_pool: StatePool
) -> None:
    """Every access of a state that was kept is stale, also when its slot has a new holder."""
    handle = plain_pool.acquire()
    kept = plain_pool[handle]
    kept.update(**FULL)
    plain_pool.release(handle)

    with pytest.raises(StaleHandle):
        use(kept)
    again = plain_pool[plain_pool.acquire()]
    again.number = 7
    with pytest.raises(StaleHandle):
        use(kept)

    assert "<CompactState released>" == repr(kept)
    assert (7, ()) == (again.number, again.pending)
    assert not again.has_metadata
    with StatePool().lease() as empty:
        empty.number = 7
        assert empty == again


@given(values=st.lists(INTS, min_size=1, max_size=5), name=st.sampled_from(COUNTS))
def test_a_count_takes_any_int(values: list[int], name: str) -> None:
    """Whatever was there before, and whatever the other counts of the state are."""
    pool = StatePool(capacity=2)
    state, neighbour = pool[pool.acquire()], pool[pool.acquire()]
    neighbour.checksum = 2**40
    for value in values:
        setattr(state, name, value)
        assert value == getattr(state, name)
        assert [0, 0, 0] == [getattr(state, other) for other in COUNTS if other != name]

    assert 2**40 == neighbour.checksum


@pytest.mark.parametrize("value", ["7", None, 1.0, b"7", [7]])
@pytest.mark.parametrize("name", COUNTS)
def test_a_count_takes_nothing_else(name: str, value: object, full: CompactState) -> None:
    """Not even a float without a fraction."""
    with pytest.raises(WrongFieldType) as caught:
        setattr(full, name, value)

    assert caught.value.hint
    assert FULL[name] == getattr(full, name)


@pytest.mark.parametrize("value", ["now", None, 10**400, b"7", [7]])
@pytest.mark.parametrize("name", ["opened_at_s", "last_seen_s"])
def test_a_time_is_a_number_that_a_float_can_be(
    name: str, value: object, full: CompactState
) -> None:
    """What is not is refused, and the time is as it was."""
    with pytest.raises(WrongFieldType):
        setattr(full, name, value)

    assert FULL[name] == getattr(full, name)


def test_numbers_of_numpy_become_pythons(state: CompactState) -> None:
    """Small ones and large ones, so that they are encoded as any others."""
    numbers: dict[str, Any] = {
        "number": np.uint8(7),
        "checksum": np.int64(-7),
        "received": np.uint64(2**64 - 1),
        "opened_at_s": np.float32(1.5),
    }
    for name, number in numbers.items():
        setattr(state, name, number)

    assert (7, -7, 2**64 - 1, 1.5) == (
        state.number,
        state.checksum,
        state.received,
        state.opened_at_s,
    )
    assert {int, float} == {
        type(value) for value in (state.number, state.checksum, state.received, state.opened_at_s)
    }
    assert isinstance(state, CompactState)


def test_whole_seconds_become_floats(state: CompactState) -> None:
    """A time given as an int is kept as the float it means."""
    state.opened_at_s = 3
    state.update(last_seen_s=4)

    assert ("3.0", "4.0") == (repr(state.opened_at_s), repr(state.last_seen_s))


def test_metadata_merges(state: CompactState) -> None:
    """New keys are added, known ones replaced, the others kept."""
    state.update(metadata={"user": 1, "team": "a"})

    state.update(metadata={"team": "b", "role": None})

    assert {"user": 1, "team": "b", "role": None} == state.metadata


def test_the_state_keeps_no_reference_to_a_callers_dict(state: CompactState) -> None:
    """A caller that goes on changing its dict does not change the state."""
    mine: dict[str, object] = {"user": 1}
    state.update(metadata=mine)

    mine["user"] = [1]

    assert {"user": 1} == state.metadata


def test_an_unknown_field_names_the_nearest(state: CompactState) -> None:
    """A misspelled field is an error with the right name as its hint, and sets nothing."""
    with pytest.raises(UnknownField, match="unknown field 'recieved'") as caught:
        state.update(number=8, recieved=1)
    with pytest.raises(UnknownField):
        state.get("metdata")
    with pytest.raises(UnknownField, match="unknown field 7") as no_name:
        state.get(7)  # type: ignore[arg-type] # refused: that is tested

    assert "Did you mean 'received'?" == caught.value.hint
    assert "phase, number" in no_name.value.hint
    assert 0 == state.number


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("phase", 1),
        ("phase", "ready"),
        ("number", "7"),
        ("number", True),
        ("received", 1.0),
        ("checksum", None),
        ("opened_at_s", "now"),
        ("opened_at_s", True),
        ("last_seen_s", 10**400),
        ("capabilities", b"{}"),
        ("metadata", [("user", 1)]),
        ("metadata", {1: "user"}),
        ("metadata", {"user": [1]}),
        ("metadata", {"user": b"1"}),
        ("pending", 7),
        ("pending", "ab"),
        ("pending", [True]),
        ("pending", [1.5]),
        ("retained", b"payload"),
        ("retained", ["payload"]),
    ],
)
def test_a_wrong_type_is_refused_and_nothing_is_set(
    name: str, value: object, full: CompactState, plain_pool: StatePool
) -> None:
    """All fields of an update are set, or none is."""
    before = encode(plain_pool, full.handle)

    with pytest.raises(WrongFieldType) as caught:
        full.update(**{"number": 8, "metadata": {"new": 1}, "pending": (), name: value})

    assert caught.value.hint
    assert before == encode(plain_pool, full.handle)


def test_requests_are_pending_until_completed(state: CompactState) -> None:
    """Ids are kept in order; an int is not the text of it."""
    for request_id in (1000, "1000", "long" * 100):
        state.add_pending(request_id)

    state.complete("1000")

    assert (1000, "long" * 100) == state.pending


@given(
    ids=st.lists(st.integers(0, 5) | st.sampled_from([2**32 - 1, 2**32, -1, "1", "a"]), max_size=30)
)
def test_pending_ids_are_a_list_without_repeats(ids: list[int | str]) -> None:
    """In the record or beside it, in order, and back into it when they are few again."""
    pool = StatePool(capacity=1)
    state, expected = pool[pool.acquire()], list[int | str]()
    for one in ids:
        if one in expected:
            with pytest.raises(StateError, match="is pending already"):
                state.add_pending(one)
            state.complete(one)
            expected.remove(one)
            with pytest.raises(StateError, match="is not pending"):
                state.complete(one)
        else:
            state.add_pending(one)
            expected.append(one)
        assert tuple(expected) == state.pending
        fits = len(expected) <= 3 and all(type(one) is int and 0 <= one < 2**32 for one in expected)
        assert (0 if fits else 1) == len(pool._pending)


def test_pending_ids_are_exact(state: CompactState) -> None:
    """Twice the same id, an unknown id, or something else is refused and changes nothing."""
    state.update(pending=(1, "a"))

    with pytest.raises(StateError, match="request 1 is pending already"):
        state.add_pending(1)
    with pytest.raises(StateError, match="request 'b' is not pending"):
        state.complete("b")
    for wrong in (True, 1.0, None, b"a"):
        with pytest.raises(WrongFieldType):
            state.add_pending(wrong)  # type: ignore[arg-type] # refused: that is tested
        with pytest.raises(WrongFieldType):
            state.complete(wrong)  # type: ignore[arg-type] # refused: that is tested
    with pytest.raises(StateError, match="2 pending requests have 1 different ids"):
        state.update(pending=["x", "x"])

    assert (1, "a") == state.pending


@pytest.mark.parametrize("before", [0, 1, 2**32 - 3, 2**32 - 2, 2**32 - 1, 2**32, 2**70, -5])
@pytest.mark.parametrize("size_bytes", [0, 1, 2, 2**32, -1])
@pytest.mark.parametrize("checksum", [0, 2**32 - 1, 2**32, -1])
def test_a_message_is_accounted_for_whatever_the_counts_are(
    before: int, size_bytes: int, checksum: int, state: CompactState
) -> None:
    """Counts that outgrow the record go on elsewhere."""
    state.update(received=before, received_bytes=before, checksum=before)

    for _ in range(2):
        state.note_received(size_bytes, 2.5, checksum)

    assert (before + 2, before + 2 * size_bytes, checksum, 2.5) == (
        state.received,
        state.received_bytes,
        state.checksum,
        state.last_seen_s,
    )


@pytest.mark.parametrize("before", [7, 2**32 - 1])
@pytest.mark.parametrize(
    "message",
    [
        ("1", 1.0, 1),
        (1.0, 1.0, 1),
        (None, 1.0, 1),
        (1, "now", 1),
        (1, 10**400, 1),
        (1, None, 1),
        (1, 1.0, "1"),
        (1, 1.0, 1.0),
        (1, 1.0, None),
    ],
)
def test_a_wrong_message_changes_nothing(
    message: tuple[Any, Any, Any], before: int, state: CompactState
) -> None:
    """Each of its numbers is of its type, or none is set."""
    state.update(received=before, received_bytes=before, checksum=before, last_seen_s=5.0)

    with pytest.raises(WrongFieldType):
        state.note_received(*message)

    assert (before, before, before, 5.0) == (
        state.received,
        state.received_bytes,
        state.checksum,
        state.last_seen_s,
    )


def test_a_cleared_state_is_empty(plain_pool: StatePool, full: CompactState) -> None:
    """No field of the last connection can be read, and the capabilities are given back."""
    store = CapabilityStore()
    full.capabilities = store.acquire(DOCUMENT)

    full.clear()

    assert plain_pool[plain_pool.acquire()] == full
    assert {full.get(name) for name in FULL} == {Phase.CONNECTING, 0, None}
    assert 0 == store.stats().references
    full.clear()


def test_replaced_capabilities_are_given_back(state: CompactState) -> None:
    """A state holds one reference, whatever it held before."""
    store = CapabilityStore()
    state.update(capabilities=store.acquire(b"[1]"))

    state.update(capabilities=store.acquire(b"[2]"))
    state.capabilities = store.acquire(b"[2]")

    assert (1, 1) == (store.stats().documents, store.stats().references)
    state.update(capabilities=None)
    assert 0 == store.stats().references
    assert state.get("capabilities") is None


def test_an_update_that_is_refused_takes_no_reference(state: CompactState) -> None:
    """The capabilities given remain the caller's."""
    store = CapabilityStore()
    given_one = store.acquire(b"[1]")

    with pytest.raises(WrongFieldType):
        state.update(capabilities=given_one, number="7")

    assert (1, None) == (store.stats().references, state.capabilities)
    given_one.release()


@pytest.mark.parametrize("way", ["release", "release_many", "clear", "replace", "update"])
def test_capabilities_released_by_somebody_else_are_an_error_at_the_end(way: str) -> None:
    """All else of the call is done, and the pool's books are right."""
    store = CapabilityStore()
    pool = StatePool(payloads=PayloadStore())
    handles = pool.acquire_many(3).tolist()
    for handle in handles:
        pool[handle].update(**FULL)
        pool[handle].capabilities = store.acquire(DOCUMENT)
    document = pool[handles[0]].capabilities
    assert document is not None
    for _ in handles:
        document.release()
    state = pool[handles[0]]

    ways: dict[str, Callable[[], object]] = {
        "release": lambda: pool.release(handles[0]),
        "release_many": lambda: pool.release_many(handles),
        "clear": state.clear,
        "replace": lambda: setattr(state, "capabilities", None),
        "update": lambda: state.update(number=8, capabilities=store.acquire(b"[1]")),
    }

    with pytest.raises((StateError, ExceptionGroup)) as caught:
        ways[way]()

    assert {"release": 2, "release_many": 0}.get(way, 3) == len(pool) == pool.stats().in_use
    if way == "release_many":
        assert isinstance(caught.value, ExceptionGroup)
        assert [StateError] * 3 == [*map(type, caught.value.exceptions)]
    elif way == "update":
        assert 8 == state.number
        assert b"[1]" == getattr(state.capabilities, "document", None)
    elif way != "release":
        assert state.capabilities is None
    left = pool.handles()
    if len(left):
        with pytest.raises(ExceptionGroup):
            pool.release_many(left)
    assert (0, (0, 0), 0, {}, {}) == (
        len(pool),
        pool.metadata.entries(),
        len(pool.documents),
        pool._pending,
        pool._retained,
    )
    assert 0 == store.stats().references


def test_equal_states_have_equal_content(full: CompactState, plain_pool: StatePool) -> None:
    """Each field counts; the pool and the store that shares the capabilities do not."""
    full.capabilities = CapabilityStore().acquire(DOCUMENT)
    pool = StatePool(payloads=PayloadStore())
    same = pool[pool.acquire()]
    same.update(**FULL, capabilities=CapabilityStore().acquire(DOCUMENT))
    same.share_metadata(FULL["metadata"])
    assert full == same
    others = {
        "phase": Phase.CLOSED,
        **dict.fromkeys(("number", "opened_at_s", "last_seen_s"), 3),
        **dict.fromkeys(("received", "received_bytes", "checksum"), 3),
        "pending": (),
        "retained": (),
        "capabilities": None,
    }

    for name, other in others.items():
        changed = plain_pool[plain_pool.acquire()]
        changed.update(**FULL, capabilities=CapabilityStore().acquire(DOCUMENT))
        assert full == changed
        changed.update(**{name: other})
        assert full != changed
    same.metadata.clear()
    assert full != same
    assert full != "a state"
    with pytest.raises(TypeError, match="unhashable"):
        hash(full)


def test_what_a_state_held_dies_with_it(plain_pool: StatePool) -> None:
    """The capabilities and the ids of a released state are nobody's; the pool itself dies too."""
    store, request_id = CapabilityStore(), "".join(["request ", str(id(plain_pool))])
    before = sys.getrefcount(request_id)
    handle = plain_pool.acquire()
    state = plain_pool[handle]
    state.update(**FULL)
    state.pending = (request_id,)
    state.capabilities = store.acquire(DOCUMENT)
    document = weakref.ref(state.capabilities)
    assert before < sys.getrefcount(request_id)

    plain_pool.release(handle)

    assert document() is None
    assert before == sys.getrefcount(request_id)


def test_a_pool_dies_with_its_states() -> None:
    """Without the collector: there is no cycle in it."""
    gc.disable()
    try:
        pool = StatePool()
        handles = pool.acquire_many(5)
        pool[handles[0]].update(**FULL)
        watched = weakref.ref(pool)
        del pool
        assert watched() is None
    finally:
        gc.enable()


def test_the_breakdown_says_where_the_bytes_are() -> None:
    """Each part grows with its own field, and what is shared stands apart."""
    pool = StatePool(payloads=PayloadStore())
    empty, some = pool[pool.acquire()], pool[pool.acquire()]
    some.update(**FULL, capabilities=CapabilityStore().acquire(DOCUMENT))
    some.retain(bytes(5000), window=9)

    assert StateSize(RECORD_BYTES, 0, 0, 0, 0, 0, 0) == empty.size_estimate()
    size = some.size_estimate()
    assert RECORD_BYTES == size.record_bytes
    assert sys.getsizeof(2**33) < size.numbers_bytes < 500
    assert 0 < size.metadata_bytes <= 48
    assert sys.getsizeof("request-1") < size.pending_bytes < 1000
    assert 2 * sys.getsizeof(b"first") < size.retained_bytes < 1000
    assert sys.getsizeof(bytes(5000)) == size.shared_retained_bytes
    assert len(DOCUMENT) < size.shared_capabilities_bytes
    assert size.total_bytes < size.shared_capabilities_bytes + size.shared_retained_bytes


@given(content=CONTENTS)
def test_no_field_disturbs_another(content: Content) -> None:
    """Whatever a state holds, its neighbours in the memory hold nothing."""
    pool = StatePool(capacity=3)
    left = pool.acquire()
    handle = content.put(pool)
    right = pool.acquire()

    for name, value in content.fields.items():
        if name != "metadata":
            assert (tuple(value) if name == "pending" else value) == pool[handle].get(
                name, () if name == "pending" else None
            )
    with StatePool().lease() as empty:
        assert empty == pool[left] == pool[right]
