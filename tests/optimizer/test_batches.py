"""A batch of messages does what one message after the other does; a column is every field."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.errors import ForeignHandle, StaleHandle, StateError, UnknownField, WrongFieldType
from memopt_cli.optimizer import Phase, StatePool, batches, encode
from memopt_cli.optimizer.views import repeated
from tests.optimizer.drawing import COUNTS, INTS, TIMES_S, books
from tests.optimizer.intruding import interrupted

if TYPE_CHECKING:
    from collections.abc import Sequence

STRIDE = 1 if os.environ.get("MEMOPT_HYPOTHESIS") == "thorough" else 4
"""Of the places where something may come in between, one in so many is tried."""

COUNT = st.integers(0, 2000) | st.sampled_from([0, 2**32 - 3, 2**32 - 2, 2**32 - 1, 2**32, 2**63])
BEFORE = COUNT | st.sampled_from([-1, -(2**40), 2**100])
CHECKSUMS = st.integers(0, 2**32 - 1) | st.sampled_from([2**32 - 1, 2**32, 2**64 - 1])
MESSAGES = st.lists(st.tuples(st.integers(0, 9), COUNT, TIMES_S, CHECKSUMS), max_size=200)


def twins(before: Sequence[int]) -> tuple[StatePool, list[int], StatePool, list[int]]:
    """Return two pools with ten equal states, whose counts differ from state to state."""
    one, other = StatePool(capacity=10), StatePool(capacity=10)
    singles, many = one.acquire_many(10).tolist(), other.acquire_many(10).tolist()
    for pool, handles in ((one, singles), (other, many)):
        for place, handle in enumerate(handles):
            count = before[place % len(before)]
            pool[handle].update(
                number=place, received=count, received_bytes=count, checksum=count, pending=(place,)
            )
    return one, singles, other, many


def contents(pool: StatePool, handles: list[int]) -> list[bytes]:
    """Return all that the states hold."""
    return [encode(pool, handle) for handle in handles]


@pytest.mark.parametrize("few", [0, 3, 64])
@pytest.mark.parametrize("rounds", [1, 8])
@given(messages=MESSAGES, before=st.lists(BEFORE, min_size=1, max_size=10), with_sums=st.booleans())
def test_a_batch_is_one_message_after_the_other(
    few: int, rounds: int, messages: list[Any], before: list[int], with_sums: bool
) -> None:
    """Whatever comes from whom, how often and how large, whichever way it is worked on."""
    one, singles, other, many = twins(before)
    for place, size_bytes, at_s, checksum in messages:
        state = one[singles[place]]
        state.note_received(size_bytes, at_s, checksum if with_sums else state.checksum)
    sizes = np.array([message[1] for message in messages], np.uint64)
    sums = np.array([message[3] for message in messages], np.uint64)
    handles = [many[message[0]] for message in messages]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "FEW", few)
        patch.setattr(batches, "MOST_ROUNDS", rounds)
        other.note_received_many(
            handles, sizes, [message[2] for message in messages], sums if with_sums else None
        )

    assert contents(one, singles) == contents(other, many)


def test_a_large_batch_with_many_repeats() -> None:
    """Thousands of messages of a thousand connections, and all of one."""
    one, other = (StatePool() for _ in range(2))
    stream = np.random.default_rng(1)
    singles, many = one.acquire_many(1000), other.acquire_many(1000)
    for places in (stream.integers(0, 1000, 5000), np.full(5000, 7), np.arange(1000)):
        sizes, sums = stream.integers(0, 9000, len(places)), stream.integers(0, 2**32, len(places))
        for place, size_bytes, checksum in zip(places, sizes, sums, strict=True):
            one[singles[place]].note_received(int(size_bytes), 2.5, int(checksum))
        other.note_received_many(many[places], sizes, 2.5, sums)

        for name in ("received", "received_bytes", "checksum", "last_seen_s"):
            assert one.column(name, singles).tolist() == other.column(name, many).tolist()


@given(slots=st.lists(st.integers(0, 300) | st.sampled_from([2**20, 2**21, 2**22]), max_size=80))
def test_repeats_are_all_but_the_last_of_each(slots: list[int]) -> None:
    """Also of slots that look alike by their lowest bits."""
    expected = [place for place, slot in enumerate(slots) if slot in slots[place + 1 :]]

    assert expected == repeated(np.array(slots, np.intp)).tolist()


@pytest.mark.parametrize("bad", ["stale", "foreign", "none"])
def test_one_bad_handle_refuses_the_batch(bad: str) -> None:
    """Nothing has changed, whatever stands before it."""
    pool = StatePool()
    handles = pool.acquire_many(200).tolist()
    stale = pool.acquire()
    pool.release(stale)
    wrong = {"stale": stale, "foreign": StatePool().acquire(), "none": None}[bad]
    before = books(pool), contents(pool, handles)

    with pytest.raises(StaleHandle if bad == "stale" else ForeignHandle):
        pool.note_received_many([*handles, *handles[:70], wrong], [1] * 271, 1.0)  # type: ignore[list-item] # refused: that is tested

    assert before == (books(pool), contents(pool, handles))


@pytest.mark.parametrize(
    ("sizes", "at_s", "checksums", "error"),
    [
        ([1], 1.0, None, WrongFieldType),
        ([1, 2, 3], 1.0, None, WrongFieldType),
        (1, 1.0, None, WrongFieldType),
        ([1.0, 2.0], 1.0, None, WrongFieldType),
        ([True, False], 1.0, None, WrongFieldType),
        (["1", "2"], 1.0, None, WrongFieldType),
        ([1, None], 1.0, None, WrongFieldType),
        ([1, 2**64], 1.0, None, WrongFieldType),
        ([[1], [2, 3]], 1.0, None, WrongFieldType),
        ([1, -2], 1.0, None, StateError),
        ([1, 2], "now", None, WrongFieldType),
        ([1, 2], None, None, WrongFieldType),
        ([1, 2], [1.0], None, WrongFieldType),
        ([1, 2], [[1.0, 2.0]], None, WrongFieldType),
        ([1, 2], [[1.0], [1, 2]], None, WrongFieldType),
        ([1, 2], True, None, WrongFieldType),
        ([1, 2], 1.0, [1], WrongFieldType),
        ([1, 2], 1.0, [1, -1], StateError),
        ([1, 2], 1.0, [1.5, 2.5], WrongFieldType),
    ],
)
def test_what_is_no_message_is_refused(
    sizes: Any, at_s: Any, checksums: Any, error: type[StateError]
) -> None:
    """As many numbers as there are handles, none negative; nothing has changed."""
    pool = StatePool()
    handles = pool.acquire_many(2)
    before = contents(pool, handles.tolist())

    with pytest.raises(error) as caught:
        pool.note_received_many(handles, sizes, at_s, checksums)

    assert caught.value.hint
    assert before == contents(pool, handles.tolist())


def test_an_empty_batch_is_nothing() -> None:
    """No messages are no error."""
    pool = StatePool()

    pool.note_received_many([], [], 1.0)
    pool.note_received_many(np.empty(0, np.uint64), [], [], [])

    assert [] == pool.column("received").tolist() == pool.column("phase", []).tolist()


@pytest.mark.parametrize("way", ["together", "rounds", "wide"])
def test_a_finaliser_may_release_what_the_batch_is_about(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its messages are lost with it, and the next holder of its slot sees none of them."""
    monkeypatch.setattr(batches, "FEW", 1 if way == "rounds" else 64)
    step, reached = 1, True
    while reached:
        step += STRIDE
        pool = StatePool()
        handles = pool.acquire_many(4).tolist()
        if way == "wide":
            pool[handles[2]].received_bytes = 2**32 - 5
        fresh: list[int] = []

        def intrude(
            pool: StatePool = pool, victim: int = handles[1], fresh: list[int] = fresh
        ) -> None:
            """Release one of them, and let somebody else have its slot."""
            pool.release(victim)
            fresh.append(pool.acquire())

        try:
            reached = interrupted(
                lambda: pool.note_received_many(handles * 3, [2] * 12, 1.5),  # noqa: B023 - called at once
                step,
                intrude,
            )
        except StaleHandle:
            assert fresh
            assert {0} == set(pool.column("received").tolist())
            continue
        left = [handle for place, handle in enumerate(handles) if place != 1]
        assert [3, 3, 3] == pool.column("received", left).tolist()
        for handle in fresh:
            assert (0, 0, 0.0) == (
                pool[handle].received,
                pool[handle].received_bytes,
                pool[handle].last_seen_s,
            )
        pool.release_many(pool.handles())
        assert {0} == set(pool.column("received", pool.acquire_many(4)).tolist())
    assert step > 20


@given(
    values=st.lists(INTS, min_size=1, max_size=12),
    times_s=st.lists(TIMES_S, min_size=1, max_size=12),
    name=st.sampled_from(COUNTS),
)
def test_a_column_is_the_field_of_each(values: list[int], times_s: list[float], name: str) -> None:
    """Counts that are kept elsewhere are in their places; the order is that of the handles."""
    pool = StatePool()
    handles = pool.acquire_many(len(values)).tolist()
    for place, handle in enumerate(handles):
        setattr(pool[handle], name, values[place])
        pool[handle].opened_at_s = times_s[place % len(times_s)]
        pool[handle].phase = Phase(place % 4)
    backwards = handles[::-1] + handles[:1]

    found = pool.column(name, backwards)

    assert values[::-1] + values[:1] == found.tolist()
    fits = all(-(2**63) <= value < 2**63 for value in values)
    assert np.dtype(np.int64 if fits else object) == found.dtype
    assert [pool[handle].opened_at_s for handle in handles] == pool.column("opened_at_s").tolist()
    assert [int(pool[handle].phase) for handle in handles] == pool.column("phase").tolist()
    assert [pool[handle].number for handle in pool.handles()] == pool.column("number").tolist()


def test_a_column_is_a_copy() -> None:
    """What is done to it is not done to the states, nor the reverse."""
    pool = StatePool()
    handle = pool.acquire()
    column = pool.column("received")

    column += 7
    pool[handle].received = 3

    assert ([7], 3) == (column.tolist(), pool[handle].received)


@pytest.mark.parametrize(
    "name", ["metadata", "pending", "retained", "capabilities", "recieved", "x"]
)
def test_only_numbers_are_columns(name: str) -> None:
    """Another field, or none, is refused with a hint."""
    pool = StatePool()
    pool.acquire()

    with pytest.raises(UnknownField, match=name) as caught:
        pool.column(name)

    assert caught.value.hint
