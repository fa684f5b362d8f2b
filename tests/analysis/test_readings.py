"""Readings that are kept as columns are what was given, in a fraction of the memory."""

from __future__ import annotations

import dataclasses
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from memopt_cli.analysis.readings import Readings
from tests.watchings import reading

if TYPE_CHECKING:
    from memopt_cli.analysis.watching import Reading

UNREAD = reading(3.25, malloc_in_use_bytes=None, malloc_free_bytes=None, allocated_blocks=None)
FULL = reading(
    4.5, rss_bytes=2**50 + 1, anonymous_bytes=2**53 - 1, uss_bytes=0, operations=0.1, gc_pauses=7
)
MOST_BYTES = 160
"""For a reading: 17 figures of eight bytes, and room to grow."""


def types(one: Reading) -> list[type]:
    """Return the type of each figure."""
    return [type(figure) for figure in dataclasses.astuple(one)]


def test_what_was_given_is_there() -> None:
    """Every figure with its type, first and last, one by one and as a whole."""
    kept = Readings([FULL, UNREAD])

    assert [FULL, UNREAD] == list(kept)
    assert [types(FULL), types(UNREAD)] == [types(one) for one in kept]
    assert (2, FULL, UNREAD) == (len(kept), kept[0], kept[-1])
    assert (True, False) == (Readings([FULL, UNREAD]) == kept, Readings([FULL, FULL]) == kept)
    assert not Readings()


def test_a_series_is_what_was_read() -> None:
    """Times and values where a figure was read; nothing stands for what was not."""
    kept = Readings([UNREAD, FULL, UNREAD])

    found = {name: [list(one) for one in kept.series(name)] for name in ("threads", "operations")}
    assert {"threads": [[3.25, 4.5, 3.25], [4, 4, 4]], "operations": [[4.5], [0.1]]} == found
    assert [[], []] == [list(one) for one in Readings([UNREAD]).series("allocated_blocks")]


@pytest.mark.parametrize(
    ("number", "figure"), [(0, None), (1, None), (1, "a"), (11, "a"), (4, 0.5)]
)
def test_what_is_no_reading_is_refused(number: int, figure: float | str | None) -> None:
    """A figure that is always read is missing, is no number, or is half a thread."""
    figures: list[object] = list(dataclasses.astuple(FULL))
    figures[number] = figure

    with pytest.raises(TypeError):
        Readings().add(figures)  # type: ignore[arg-type] # to see it refused


def test_they_are_small() -> None:
    """A day of readings of one process is 12 MiB, not 47."""
    tracemalloc.start()
    kept = Readings(dataclasses.replace(FULL, at_s=number + 0.5) for number in range(4_000))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert size <= MOST_BYTES * len(kept)
