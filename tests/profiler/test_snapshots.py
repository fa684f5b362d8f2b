"""Snapshots of the process that takes them."""

from __future__ import annotations

import gc
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from memopt_cli.errors import MeasurementError
from memopt_cli.profiler.snapshots import Snapshots

if TYPE_CHECKING:
    from collections.abc import Iterator

MB = 1_000_000


@pytest.fixture
def snapshots() -> Iterator[Snapshots]:
    """Return snapshots that are closed after the test."""
    taken = Snapshots(limit=10)
    yield taken
    taken.close()


def test_a_hundred_megabytes_are_seen(snapshots: Snapshots) -> None:
    """100 MB that are written to raise heap and anonymous memory by 100 MB, within 1."""
    snapshots.take("before")
    held = b"x" * (100 * MB)
    snapshots.take("after")
    delta = snapshots.compare("before", "after")

    assert delta.heap_in_use_bytes == pytest.approx(len(held), abs=MB)
    assert delta.anonymous_bytes == pytest.approx(len(held), abs=MB)
    assert delta.traced_bytes is None
    assert snapshots["after"].peak_rss_bytes >= snapshots["after"].rss_bytes


def test_traced_memory_while_tracing(snapshots: Snapshots) -> None:
    """While tracemalloc traces, its figure stands in for the heap, which cannot be counted."""
    tracemalloc.start()
    try:
        snapshots.take("before")
        held = b"x" * (100 * MB)
        snapshots.take("after")
    finally:
        tracemalloc.stop()
    delta = snapshots.compare("before", "after")

    assert delta.traced_bytes == pytest.approx(len(held), abs=MB)
    assert delta.heap_in_use_bytes is None


def test_there_and_back_again_is_nothing(snapshots: Snapshots) -> None:
    """What was allocated and freed between two snapshots leaves the heap as it was."""
    snapshots.take("warm")
    snapshots.take("before")
    del snapshots
    taken = Snapshots()
    taken.take("warm")
    taken.take("before")
    held = [bytes(100) for _ in range(100_000)]
    taken.take("during")
    del held
    taken.take("after")

    assert taken.compare("before", "during").heap_in_use_bytes == pytest.approx(14.5 * MB, rel=0.1)
    assert taken.compare("before", "after").heap_in_use_bytes == pytest.approx(0, abs=20_000)
    taken.close()


def test_a_forced_collection_is_a_pause(snapshots: Snapshots) -> None:
    """The longest pause is above zero after a collection, and collections are counted."""
    before = snapshots.take("before")
    gc.collect()
    after = snapshots.take("after")

    assert after.gc_pause_max_s is not None
    assert after.gc_pause_max_s > 0
    assert after.gc_collections[2] == before.gc_collections[2] + 1


def test_its_cost_is_told(snapshots: Snapshots) -> None:
    """A snapshot says what it cost, in its fields and in words."""
    snapshot = snapshots.take("one")

    assert snapshot.cost_s > 0
    assert "taken in" in str(snapshot)


def test_what_does_not_exist_is_an_error(snapshots: Snapshots) -> None:
    """An index out of range and an unknown label are refused, each with what there is."""
    snapshots.take("one")

    with pytest.raises(MeasurementError, match="there is no snapshot 1: 1 were kept"):
        snapshots.compare(0, 1)
    with pytest.raises(MeasurementError, match="there is no snapshot 'two'"):
        snapshots.compare("one", "two")


def test_only_the_latest_are_kept(snapshots: Snapshots) -> None:
    """The list does not grow beyond its limit."""
    for number in range(12):
        snapshots.take(str(number))

    assert [str(number) for number in range(2, 12)] == [snapshots[i].label for i in range(10)]


def test_delta_after_a_delay(snapshots: Snapshots) -> None:
    """A delta sleeps for as long as it was told, and compares the two sides of it."""
    slept: list[float] = []
    held: list[bytes] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        held.append(b"x" * (10 * MB))

    delta = snapshots.delta(5.0, sleep=sleep)

    assert slept == [5.0]
    assert delta.heap_in_use_bytes == pytest.approx(10 * MB, rel=0.05)
