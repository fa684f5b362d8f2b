"""Which lines keep memory: a short burst under tracemalloc, once a leak was found."""

from __future__ import annotations

import gc
import statistics
import sysconfig
import tracemalloc
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from memopt_cli.units import format_size

if TYPE_CHECKING:
    from memopt_cli.testing.rounds import Batch

FRAMES = 16
INTERVALS = 3
"""A line that leaks grows in each of them; one that fills a table once does not."""

Place = tuple[str, int, str]
"""File, line, and where within it was allocated."""

_WORTH_TELLING = 0.02
"""Of the growth of the line that grows most."""

_SLACK = 1.25
"""The interval of the growth is that of another round; intervals of lines have none."""

_OWN = str(Path(__file__).parents[1])
_LIBRARIES = (
    *{sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")},
    "<frozen",
)


@dataclass(frozen=True, slots=True)
class LineGrowth:
    """What one line kept; the innermost line outside of libraries."""

    file: str
    line: int
    allocated_at: str
    """Where the memory was allocated, ``file:line``, if that is in a library; else empty."""

    bytes_per_operation: float
    """Without the leaps of tables and lists that grow, if it grows between them too."""

    def __str__(self) -> str:
        inside = f", allocated at {self.allocated_at}" if self.allocated_at else ""
        kept = format_size(round(self.bytes_per_operation, 1))
        return f"{self.file}:{self.line} keeps {kept} each time{inside}"


def growing_lines(
    batch: Batch, *, warm_up: int, operations: int, most_bytes: float, limit: int = 5
) -> tuple[LineGrowth, ...]:
    """
    Return the lines that grow while operations run under tracemalloc, most first.

    Those that grew in every interval go first. Who was tracing before goes on tracing.

    Args:
        batch: Runs operations.
        warm_up: Operations before the first interval. What was allocated before the tracer
            came is replaced by what it sees: a cache that turns over seems to grow.
        operations: Of an interval.
        most_bytes: What an operation keeps in all. Lines that seem to keep more turn over.
        limit: Of lines.
    """
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start(FRAMES)
    try:
        batch(warm_up)
        sizes = [_sizes(batch, operations) for _ in range(INTERVALS + 1)]
    finally:
        if not was_tracing:
            tracemalloc.stop()
    most = most_bytes * operations
    found = [_growth(place, [each.get(place, 0) for each in sizes], most) for place in sizes[-1]]
    found = sorted((each for each in found if each.total_bytes > 0), reverse=True)[:limit]
    least = _WORTH_TELLING * max((each.typical_bytes for each in found), default=0.0)
    # Where all growth is by leaps, the greatest leap is all there is to tell.
    told = [each for each in found if each.typical_bytes > least] or found[:1]
    return tuple(
        LineGrowth(*each.place, min(most, each.typical_bytes or each.total_bytes) / operations)
        for each in told
    )


@dataclass(frozen=True, slots=True, order=True)
class _Steps:
    """How a place grew; in the order of what tells a leak."""

    possible: bool
    """Whether all that is kept is enough for it."""

    least_bytes: int
    typical_bytes: float
    total_bytes: int
    place: Place


def _growth(place: Place, levels: list[int], most_bytes: float) -> _Steps:
    steps = [after - before for before, after in pairwise(levels)]
    typical = statistics.median(steps)
    return _Steps(typical <= _SLACK * most_bytes, min(steps), typical, sum(steps), place)


def _sizes(batch: Batch, operations: int) -> dict[Place, int]:
    """Run the operations and return the bytes alive by place."""
    batch(operations)
    gc.collect()
    sizes: dict[Place, int] = {}
    for found in tracemalloc.take_snapshot().statistics("traceback"):
        place = _place(found.traceback)
        if place is not None:
            sizes[place] = sizes.get(place, 0) + found.size
    return sizes


def _place(traceback: tracemalloc.Traceback) -> Place | None:
    """Return the innermost frame outside of libraries, if what is measured is in it at all."""
    innermost, *outer = reversed(traceback)
    if innermost.filename.startswith(_OWN):
        return None
    if not innermost.filename.startswith(_LIBRARIES):
        return innermost.filename, innermost.lineno, ""
    inside = f"{innermost.filename}:{innermost.lineno}"
    for frame in outer:
        if frame.filename.startswith(_OWN):
            break
        if not frame.filename.startswith(_LIBRARIES):
            return frame.filename, frame.lineno, inside
    return innermost.filename, innermost.lineno, ""
