"""Metadata comes back as it was written, to the type of each value, shared or not."""

from __future__ import annotations

import math
import sys
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from memopt_cli.errors import PoolError, StaleHandle, WrongFieldType
from memopt_cli.optimizer import StatePool, arena, metadata
from tests.optimizer.drawing import METADATA, seen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memopt_cli.optimizer import CompactState

ODD: list[dict[str, Any]] = [
    {"": ""},
    {"name": "ü" * 300, "日本": "\U0001f600"},
    {"half": "\ud83d", "\udc00": "other half"},
    {"nan": math.nan, "inf": math.inf, "zero": -0.0, "tiny": 5e-324},
    {"true": True, "one": 1, "float": 1.0},
    {"huge": 1 << 5000, "minus": -(1 << 5000)},
    {"long": "x" * 100_000},
    {"nul": "a\0b"},
    {str(number): number for number in range(1000)},
    {"x" * 2000: None},
]


def written(state: CompactState, content: Mapping[str, Any], *, shared: bool) -> list[str]:
    """Write metadata and return what is read, each value with its type."""
    if shared:
        state.share_metadata(content)
    else:
        state.metadata = content
    return [repr(item) for item in state.read_metadata().items()]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("content", ODD)
def test_odd_content_comes_back(
    content: dict[str, Any], shared: bool, plain_pool: StatePool
) -> None:
    """Any text, any int, any float, in the order in which it was written."""
    state = plain_pool[plain_pool.acquire()]

    assert [repr(item) for item in content.items()] == written(state, content, shared=shared)
    assert list(content) == list(state.metadata)
    assert len(content) == len(state.metadata)


@given(first=METADATA, second=METADATA)
def test_one_content_takes_the_place_of_another(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    """Whether the first or the second is shared, larger or empty, nothing of the first is left."""
    pool = StatePool()
    neighbour = pool[pool.acquire()]
    neighbour.metadata = first
    for before in (False, True):
        for after in (False, True):
            handle = pool.acquire()
            state = pool[handle]
            written(state, first, shared=before)
            assert list(map(repr, second.items())) == written(state, second, shared=after)
            assert first == neighbour.metadata
            assert bool(second) == state.has_metadata
            pool.release(handle)

    assert (int(bool(first)), 0) == pool.metadata.entries()


def test_a_state_is_written_to_as_a_mapping(plain_pool: StatePool) -> None:
    """Items are added, replaced, deleted and compared as those of a dictionary."""
    metadata_of = plain_pool[plain_pool.acquire()].metadata

    metadata_of["a"] = 1
    metadata_of.update({"b": None}, c="d")
    assert {"a": 1, "b": None, "c": "d"} == metadata_of
    assert (1, None, "d") == (metadata_of.pop("a"), metadata_of["b"], metadata_of.get("c"))
    del metadata_of["b"]
    assert "{'c': 'd'}" == repr(metadata_of)
    assert "b" not in metadata_of
    with pytest.raises(KeyError):
        del metadata_of["b"]
    metadata_of.clear()

    assert ({}, (0, 0)) == (dict(metadata_of), plain_pool.metadata.entries())


@pytest.mark.parametrize("content", [{1: "a"}, {"a": [1]}, {"a": b"1"}, {"a": 1j}, [("a", 1)], "a"])
@pytest.mark.parametrize("shared", [False, True])
def test_what_metadata_cannot_hold_is_refused(
    content: Any, shared: bool, plain_pool: StatePool
) -> None:
    """Keys are text and values are plain, however they are written; nothing changes."""
    state = plain_pool[plain_pool.acquire()]
    state.metadata["kept"] = 1

    with pytest.raises(WrongFieldType) as caught:
        written(state, content, shared=shared)
    if isinstance(content, dict):
        ((key, value),) = content.items()
        with pytest.raises(WrongFieldType):
            state.metadata[key] = value

    assert caught.value.hint
    assert {"kept": 1} == state.metadata


def test_subclasses_of_plain_types_are_refused(plain_pool: StatePool) -> None:
    """They would come back as something else."""

    class Name(str):
        __slots__ = ()

    state = plain_pool[plain_pool.acquire()]

    with pytest.raises(WrongFieldType):
        state.metadata["name"] = Name("ada")
    with pytest.raises(WrongFieldType):
        state.metadata[Name("name")] = "ada"


def test_a_mapping_that_is_no_dict_is_taken(plain_pool: StatePool) -> None:
    """A read-only view, and the metadata of another state."""
    one, other = (plain_pool[plain_pool.acquire()] for _ in range(2))
    one.metadata = MappingProxyType({"a": 1})
    other.metadata = one.metadata

    one.metadata["a"] = 2

    assert ({"a": 2}, {"a": 1}) == (dict(one.metadata), dict(other.metadata))


def test_metadata_of_a_released_state_is_stale(plain_pool: StatePool) -> None:
    """A mapping that was kept shows nothing of the next connection, and writes nothing."""
    handle = plain_pool.acquire()
    kept = plain_pool[handle].metadata
    plain_pool.release(handle)
    state = plain_pool[plain_pool.acquire()]
    state.metadata["a"] = 1

    uses: list[Callable[[], object]] = [
        lambda: kept["a"],
        lambda: kept.update(a=2),
        lambda: list(kept),
        lambda: kept == {},
        lambda: repr(kept),
    ]
    for use in uses:
        with pytest.raises(StaleHandle):
            use()

    assert {"a": 1} == state.metadata


def test_equal_content_is_kept_once_and_counted(plain_pool: StatePool) -> None:
    """The last state lets it go; what only looks equal is another."""
    contents: list[dict[str, Any]] = [
        {"a": True},
        {"a": 1},
        {"a": 1.0},
        {"a": 0.0},
        {"a": -0.0},
        {"b": 1, "a": 1},
        {"a": 1, "b": 1},
        {"a": None},
        {"a": "1"},
    ]
    handles = []
    for content in contents * 3:
        handles.append(plain_pool.acquire())
        plain_pool[handles[-1]].share_metadata(content)

    assert (0, len(contents)) == plain_pool.metadata.entries()
    assert [repr(content) for content in contents * 3] == [
        repr(plain_pool[handle].metadata) for handle in handles
    ]
    for handle in handles[: -len(contents)]:
        plain_pool.release(handle)
    assert (0, len(contents)) == plain_pool.metadata.entries()
    plain_pool.release_many(handles[-len(contents) :])
    assert (0, 0) == plain_pool.metadata.entries()


def test_sharing_twice_counts_once(plain_pool: StatePool) -> None:
    """A state that shares what it shares already, or nothing, holds one reference or none."""
    handle, other = plain_pool.acquire(), plain_pool.acquire()
    contents: list[dict[str, Any]] = [{"a": 1}, {"a": 1}, {"b": 2}, {"b": 2}]
    for content in contents:
        plain_pool[handle].share_metadata(content)
        plain_pool[other].share_metadata(content)

    plain_pool.release(other)
    assert (0, 1) == plain_pool.metadata.entries()
    plain_pool[handle].share_metadata({})

    assert (0, 0) == plain_pool.metadata.entries()
    assert not plain_pool[handle].has_metadata
    assert not seen(plain_pool, handle)[2]


def test_a_write_to_shared_metadata_is_private(plain_pool: StatePool) -> None:
    """The others keep what they share, which nobody can change."""
    one, other = (plain_pool[plain_pool.acquire()] for _ in range(2))
    one.share_metadata({"a": 1})
    other.share_metadata({"a": 1})

    one.metadata["a"] = 2

    assert ({"a": 2}, {"a": 1}) == (dict(one.metadata), dict(other.metadata))
    assert (1, 1) == plain_pool.metadata.entries()
    with pytest.raises(TypeError):
        other.read_metadata()["a"] = 2  # type: ignore[index] # read-only: that is tested


def test_key_sets_are_kept_up_to_a_bound(
    plain_pool: StatePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Peers who never send the same keys, or very long ones, make no table grow."""
    monkeypatch.setattr(metadata, "MOST_SHAPES", 50)
    handles = plain_pool.acquire_many(300).tolist()
    for number, handle in enumerate(handles):
        plain_pool[handle].metadata = {f"key {number}": number, "user": None}

    assert [{f"key {number}": number, "user": None} for number in range(300)] == [
        plain_pool[handle].read_metadata() for handle in handles
    ]
    assert 50 == len(plain_pool.metadata._shapes) == len(plain_pool.metadata._numbers)
    plain_pool[handles[0]].metadata = {"a": 1}
    plain_pool[handles[0]].metadata = {"key 0": 2, "user": None}
    assert {"key 0": 2, "user": None} == plain_pool[handles[0]].metadata


def test_long_keys_are_not_kept_for_others(plain_pool: StatePool) -> None:
    """They are let go with their state."""
    handle = plain_pool.acquire()
    plain_pool[handle].metadata = {"k" * (metadata.MOST_SHAPE_CHARACTERS + 1): 1}
    plain_pool.release(handle)

    assert {} == plain_pool.metadata._shapes


def test_the_same_keys_cost_no_more_than_their_values(plain_pool: StatePool) -> None:
    """Four values of 14 characters take a block of 80 bytes, and a shared copy none."""
    keys = ("user", "session", "cursor", "topic")
    own, shared = (plain_pool[plain_pool.acquire()] for _ in range(2))
    content = {key: f"value-{number:08x}" for number, key in enumerate(keys)}
    own.metadata = content
    shared.share_metadata(content)

    assert 80 == own.size_estimate().metadata_bytes
    assert 0 == shared.size_estimate().metadata_bytes


def test_a_value_is_not_referred_to(plain_pool: StatePool) -> None:
    """What is packed is a copy: the caller's objects can go."""
    value = "".join(["a value ", str(id(plain_pool))])
    key = "".join(["a key ", str(id(plain_pool))])
    state = plain_pool[plain_pool.acquire()]
    before = sys.getrefcount(value), sys.getrefcount(key)
    state.metadata = {"x" * 2000: value, "y": value}
    assert before == (sys.getrefcount(value), sys.getrefcount(key))

    state.share_metadata({key: value})
    assert before != (sys.getrefcount(value), sys.getrefcount(key))
    plain_pool.release(state.handle)

    assert before == (sys.getrefcount(value), sys.getrefcount(key))


@pytest.mark.parametrize("shared", [False, True])
def test_no_room_for_the_new_leaves_the_old(
    shared: bool, plain_pool: StatePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the new content cannot be stored, the state has the old one and can be released."""
    handle = plain_pool.acquire()
    state = plain_pool[handle]
    written(state, {"a": 1}, shared=shared)

    def refuse(_: int) -> None:
        raise PoolError("no address space")

    with monkeypatch.context() as patch:
        patch.setattr(arena, "reserve", refuse)
        with pytest.raises(PoolError):
            state.metadata["b"] = "x" * 100

    assert {"a": 1} == state.metadata
    plain_pool.release(handle)
    assert (0, 0) == plain_pool.metadata.entries()
