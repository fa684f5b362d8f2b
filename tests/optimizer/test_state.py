"""A compact state refuses what does not fit, and keeps nothing of the last connection."""

from __future__ import annotations

import gc
import json
import os
import sys
import weakref
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memopt_cli.errors import StateError, UnknownField, WrongFieldType
from memopt_cli.optimizer import Capabilities, CapabilityStore, CompactState, Phase, StateSize

DOCUMENT = json.dumps(
    {
        "protocolVersion": "2025-06-18",
        "tools": [{"name": f"tool-{i}", "description": "x" * 90} for i in range(8)],
    }
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


def deep_size_bytes(root: object) -> int:
    """Measure *root* and all it refers to, by what the collector knows; shared things apart."""
    shared = (type, ModuleType, Phase, Capabilities, type(None), bool)
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting:
        found = waiting.pop()
        is_small = type(found) is int and -5 <= found <= 256
        if id(found) in seen or isinstance(found, shared) or is_small or found == ():
            continue
        seen[id(found)] = found
        waiting.extend(gc.get_referents(found))
        if isinstance(found, dict):
            waiting.extend(found)  # The collector does not visit keys that are all text.
    return sum(sys.getsizeof(found) for found in seen.values())


def naive_record() -> dict[str, Any]:
    """Return the record that a first version of a server keeps for each connection."""
    assert 1000 <= len(DOCUMENT) <= 1200
    return {
        "id": 100_000,
        "phase": "connecting",
        "client": {"name": "probe", "version": "1.0"},
        "capabilities": json.loads(DOCUMENT),
        "metadata": {},
        "pending": {},
        "stats": {"received": 0, "received_bytes": 0, "checksum": 0},
        "timestamps": {"opened_at": 1.5, "last_seen": 2.5},
    }


def test_an_empty_state_is_below_a_fifth_of_a_full_record() -> None:
    """Measured in depth, an idle connection costs less than 20 % of the naive record."""
    assert deep_size_bytes(CompactState()) < deep_size_bytes(naive_record()) / 5
    assert deep_size_bytes(CompactState()) <= 256


def test_reading_what_is_absent_allocates_nothing() -> None:
    """Absent metadata, pending and retained are shared, empty and made for nobody."""
    state, other = CompactState(), CompactState()
    before = gc.get_referents(state)

    assert state.metadata is other.metadata
    assert (state.metadata, state.pending, state.retained_payloads()) == ({}, (), ())
    for name in ("metadata", "pending", "retained", "capabilities"):
        assert state.get(name) is None

    assert list(map(id, before)) == list(map(id, gc.get_referents(state)))


def test_an_update_with_no_metadata_makes_no_dict() -> None:
    """A mapping without keys is merged into nothing."""
    state = CompactState(metadata={})

    assert state._metadata is None


def test_every_field_reads_as_it_was_set() -> None:
    """What `update` took, `get` returns."""
    state = CompactState(**FULL)

    assert {name: state.get(name) for name in FULL} == FULL


def test_an_absent_field_has_the_safe_default() -> None:
    """The caller's default stands in for what may be absent, and for nothing else."""
    state = CompactState()

    assert state.get("metadata", "none") == "none"
    assert state.get("pending", [1]) == [1]
    assert state.get("number", 7) == 0
    assert state.get("phase", None) is Phase.CONNECTING


def test_metadata_merges() -> None:
    """New keys are added, known ones replaced, the others kept."""
    state = CompactState(metadata={"user": 1, "team": "a"})

    state.update(metadata={"team": "b", "role": None})

    assert state.metadata == {"user": 1, "team": "b", "role": None}


def test_the_state_keeps_no_reference_to_a_callers_dict() -> None:
    """A caller that goes on changing its dict does not change the state."""
    mine: dict[str, object] = {"user": 1}
    state = CompactState(metadata=mine)

    mine["user"] = [1]

    assert state.metadata == {"user": 1}
    with pytest.raises(TypeError):
        state.metadata["user"] = 2  # type: ignore[index] # read-only: that is tested


def test_an_unknown_field_names_the_nearest() -> None:
    """A misspelled field is an error with the right name as its hint."""
    state = CompactState()

    with pytest.raises(UnknownField, match="unknown field 'recieved'") as caught:
        state.update(recieved=1)
    with pytest.raises(UnknownField):
        state.get("metdata")

    assert caught.value.hint == "Did you mean 'received'?"


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
def test_a_wrong_type_is_refused_and_nothing_is_set(name: str, value: object) -> None:
    """All fields of an update are set, or none is."""
    state = CompactState(**FULL)

    with pytest.raises(WrongFieldType) as caught:
        state.update(**{"number": 8, "metadata": {"new": 1}, name: value})

    assert caught.value.hint
    assert CompactState(**FULL) == state


def test_an_unknown_field_sets_nothing_either() -> None:
    """The good fields beside a misspelled one are not set."""
    state = CompactState()

    with pytest.raises(UnknownField):
        state.update(number=8, nmber=9)

    assert CompactState() == state


def test_whole_seconds_become_floats() -> None:
    """A time given as an int is kept as the float it means."""
    assert isinstance(CompactState(opened_at_s=3).opened_at_s, float)


def test_requests_are_pending_until_completed() -> None:
    """Ids are kept in order; an int is not the text of it."""
    state = CompactState()
    for request_id in (1000, "1000", "long" * 100):
        state.add_pending(request_id)

    state.complete("1000")

    assert state.pending == (1000, "long" * 100)


def test_pending_ids_are_exact() -> None:
    """Twice the same id, an unknown id, or something else is refused and changes nothing."""
    state = CompactState(pending=(1, "a"))

    with pytest.raises(StateError, match="request 1 is pending already"):
        state.add_pending(1)
    with pytest.raises(StateError, match="request 'b' is not pending"):
        state.complete("b")
    with pytest.raises(WrongFieldType):
        state.add_pending(True)
    with pytest.raises(WrongFieldType):
        state.complete(1.0)  # type: ignore[arg-type] # refused: that is tested
    with pytest.raises(StateError, match="2 pending requests have 1 different ids"):
        state.update(pending=["x", "x"])

    assert state.pending == (1, "a")


@pytest.mark.parametrize("compression", [False, True])
def test_the_window_keeps_the_last_payloads(compression: bool) -> None:
    """The oldest go first, and those left read as they were received."""
    state = CompactState()
    payloads = [bytes([number]) * number * 10 for number in range(9)]

    for payload in payloads:
        state.retain(payload, window=4, compression=compression)

    assert tuple(payloads[-4:]) == state.retained_payloads()
    state.retain(b"last", window=2)
    assert (payloads[-1], b"last") == state.retained_payloads()


def test_a_payload_is_compressed_only_when_that_is_smaller() -> None:
    """Noise is kept as it is; repetition shrinks."""
    noise, repetition = os.urandom(200), b"ping" * 50
    state = CompactState()

    state.retain(noise, window=2, compression=True)
    state.retain(repetition, window=2, compression=True)

    assert state.retained_compressed() == (False, True)
    assert (noise, repetition) == state.retained_payloads()
    assert state.size_estimate().retained_bytes < 200 + 100 + 120


def test_a_retained_view_is_copied() -> None:
    """A receive buffer may be used again after its bytes were retained."""
    memory = bytearray(b"hello")
    state = CompactState()
    state.retain(memoryview(memory), window=1)

    memory[:] = b"world"

    assert state.retained_payloads() == (b"hello",)


def test_a_window_of_nothing_is_refused() -> None:
    """At least one payload fits a window, and a payload is bytes."""
    with pytest.raises(StateError, match="a window of 0 messages"):
        CompactState().retain(b"", window=0)
    with pytest.raises(WrongFieldType):
        CompactState().retain("text", window=1)  # type: ignore[arg-type] # refused: that is tested


def test_a_cleared_state_is_empty() -> None:
    """No field of the last connection can be read, and the capabilities are given back."""
    store = CapabilityStore()
    state = CompactState(**FULL, capabilities=store.acquire(DOCUMENT))

    state.clear()

    assert CompactState() == state
    assert {state.get(name) for name in FULL} == {Phase.CONNECTING, 0, None}
    assert store.stats().references == 0


def test_replaced_capabilities_are_given_back() -> None:
    """A state holds one reference, whatever it held before."""
    store = CapabilityStore()
    state = CompactState(capabilities=store.acquire(b"[1]"))

    state.update(capabilities=store.acquire(b"[2]"))
    state.update(capabilities=store.acquire(b"[2]"))

    assert (store.stats().documents, store.stats().references) == (1, 1)
    state.update(capabilities=None)
    assert store.stats().references == 0


def test_equal_states_have_equal_content() -> None:
    """Each field counts, and the store that shares the capabilities does not."""
    document = CapabilityStore().acquire(DOCUMENT)
    full = CompactState(**FULL, capabilities=document)
    other = {
        "phase": Phase.CLOSED,
        **dict.fromkeys(("number", "opened_at_s", "last_seen_s"), 3),
        **dict.fromkeys(("received", "received_bytes", "checksum"), 3),
        "metadata": {},
        "pending": (),
        "retained": (),
    }

    same = CompactState(**FULL, capabilities=CapabilityStore().acquire(DOCUMENT))
    changed = [CompactState(**{**FULL, name: other[name]}, capabilities=document) for name in FULL]

    assert full == same
    assert full not in changed
    assert full != CompactState(**FULL)
    assert full != "a state"


def test_a_state_is_collectable_after_cleanup() -> None:
    """Nothing keeps a cleared state, nor its capabilities, alive."""

    class Watched(CompactState):
        __slots__ = ("__weakref__",)

    store = CapabilityStore()
    state = Watched(**FULL, capabilities=store.acquire(DOCUMENT))
    assert state.capabilities is not None
    watched, document = weakref.ref(state), weakref.ref(state.capabilities)

    state.clear()
    assert document() is None
    del state

    assert watched() is None


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_the_size_estimate_is_near_a_deep_measure(
    data: st.DataObject, states: st.SearchStrategy[CompactState]
) -> None:
    """The estimate is within 20 % of what the collector's own references add up to."""
    state = data.draw(states)

    assert state.size_estimate().total_bytes == pytest.approx(deep_size_bytes(state), rel=0.2)


def test_the_breakdown_says_where_the_bytes_are() -> None:
    """Each part grows with its own field, and shared capabilities stand apart."""
    empty = CompactState().size_estimate()
    full = CompactState(**FULL, capabilities=CapabilityStore().acquire(DOCUMENT)).size_estimate()

    assert StateSize(sys.getsizeof(CompactState()), 0, 0, 0, 0, 0) == empty
    assert full.record_bytes == empty.record_bytes
    assert full.numbers_bytes == sum(
        sys.getsizeof(FULL[name])
        for name in ("number", "opened_at_s", "last_seen_s", "received", "received_bytes")
    ) + sys.getsizeof(FULL["checksum"])
    assert full.pending_bytes > sys.getsizeof("request-1")
    assert full.retained_bytes > 2 * sys.getsizeof(b"first")
    assert full.metadata_bytes > sys.getsizeof(FULL["metadata"])
    assert full.shared_capabilities_bytes > len(DOCUMENT)
    assert full.total_bytes < full.shared_capabilities_bytes
