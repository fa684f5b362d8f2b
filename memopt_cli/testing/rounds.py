"""Runs batches of operations and reads the heap between them, until the growth is clear."""

from __future__ import annotations

import gc
import tracemalloc
from array import array
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.analysis.batches import Growth, Round, judge
from memopt_cli.analysis.results import LeakVerdict
from memopt_cli.errors import MeasurementError
from memopt_cli.profiler.census import TypeGrowth, count_types, growth
from memopt_cli.profiler.heap import HeapReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Batch = Callable[[int], None]
    """Runs so many operations."""


IDLE_EVERY = 3
"""Batches between two idle ones: each of them costs a full collection too."""


@dataclass(frozen=True, slots=True)
class Watched:
    """The growth of all rounds that were run, and what was retained in the last of them."""

    growth: Growth
    retained: tuple[TypeGrowth, ...]
    """
    Types of which each batch of the last round left at least one object, on average.

    Empty if nothing leaks: what is left then was made once.
    """


def watch(
    batch: Batch, *, size: int, batches: int, tolerance_bytes: float, patience: int
) -> Watched:
    """
    Run rounds of *batches* batches until growth is clear, at most *patience* times the first.

    The second round is as long as the first, each further one twice as long as the one before.

    Raises:
        MeasurementError: This process does not tell its heap.
    """
    rounds: list[Round] = []
    longer = spent = 1
    with _heap_in_use() as read:
        while True:
            # Once before the census: what is loaded at the first use is not retained by a round.
            batch(1)
            before = count_types()
            rounds.append(_round(batch, read, size * longer, batches))
            retained = growth(before, count_types(), least=batches)
            # With patience for one round only, that round has to confirm itself.
            judged = rounds if patience > 1 else [rounds[0]] * 2
            longer, spent = spent, 2 * spent
            is_last = spent > patience
            found = judge(judged, tolerance_bytes=tolerance_bytes, is_last=is_last)
            if found.verdict is LeakVerdict.NO_LEAK:
                return Watched(found, ())
            if is_last:
                return Watched(found, retained)


def _round(batch: Batch, read: Callable[[], int], size: int, batches: int) -> Round:
    # Made before, and of fixed size: a list of readings would itself be a trend.
    grown = array("q", bytes(8 * batches))
    idle = array("q", bytes(8 * (batches // IDLE_EVERY)))
    batch(0)
    before = read()
    for number in range(batches):
        batch(size)
        after = read()
        grown[number] = after - before
        before = after
        if number % IDLE_EVERY == IDLE_EVERY - 1:
            batch(0)
            before = read()
            idle[number // IDLE_EVERY] = before - after
    return Round(size, tuple(grown), tuple(idle))


@contextmanager
def _heap_in_use() -> Iterator[Callable[[], int]]:
    """Give a function that collects garbage and returns the bytes in use, traced or of the heap."""
    if tracemalloc.is_tracing():
        yield _traced_bytes
        return
    reader = HeapReader()
    try:
        reader.read()  # the first one takes a little for good
        if reader.read().in_use_bytes is None:
            raise MeasurementError(
                "this process does not tell how much of its heap is in use",
                hint="Run on Linux with glibc, CPython and without PYTHONMALLOC=malloc.",
            )

        def read() -> int:
            gc.collect()
            return reader.read().in_use_bytes or 0

        yield read
    finally:
        reader.close()


def _traced_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
