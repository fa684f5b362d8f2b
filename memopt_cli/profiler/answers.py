"""What an agent tells: its answers as typed values."""

from __future__ import annotations

from dataclasses import dataclass
from sys import intern
from typing import TYPE_CHECKING, Any

from memopt_cli.errors import MeasurementError
from memopt_cli.profiler.histogram import NANOSECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping


class NotTraceable(MeasurementError):
    """The agent does not do this in this program; the message says why."""


@dataclass(frozen=True, slots=True)
class PauseTotals:
    """All pauses of one generation since the start; exact, whatever the ring has lost."""

    count: int
    sum_s: float
    max_s: float


@dataclass(frozen=True, slots=True)
class InsideHeap:
    """The heap as the program's own allocators count it."""

    at_s: float
    """CLOCK_MONOTONIC."""

    blocks: int
    """`sys.getallocatedblocks`: blocks that Python has handed out, of any size."""

    malloc_in_use_bytes: int | None
    """
    Handed out by malloc: native memory and Python's objects above 512 bytes.

    Small objects are in arenas of Python's own, and not in it.
    """

    malloc_free_bytes: int | None
    """Held by malloc, ready for use."""

    cost_s: float
    """CPU time of the agent's thread, for which the program stood still."""

    operations: float | None = None
    """What the program had done by then, if it was asked for and could be told."""


@dataclass(frozen=True, slots=True)
class ContainerLength:
    """One container of at least 64 entries."""

    ident: int
    """`id`; means a container only together with its type, and while it lives."""

    type_name: str
    entries: int


@dataclass(frozen=True, slots=True)
class Census:
    """How many objects of each type there are, and how long the long containers are."""

    at_s: float
    objects: int
    """Tracked by the garbage collector."""

    types: tuple[tuple[str, int], ...]
    """Name and count, the commonest first, of types with at least 64 objects."""

    containers: tuple[ContainerLength, ...]
    containers_left_out: int
    """Shorter ones than those listed, which did not fit."""

    longest_stop_s: float
    """For so long the program stood still at once."""

    cost_s: float
    """CPU time of the agent's thread, for which the program stood still."""

    operations: float | None = None
    """What the program had done by then, if it was asked for and could be told."""


@dataclass(frozen=True, slots=True)
class LineShare:
    """What new members of a container, or new objects of a type, have from one line."""

    file: str
    line: int
    objects: int
    size_bytes: int
    """By `sys.getsizeof`, which leaves out attributes stored beside the object."""

    with_attributes: int
    """Objects whose attributes are stored so."""

    line_bytes: int
    """All that the line allocated in the window and that was alive at its end."""

    line_blocks: int


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the newest members of a container, or objects of a type, were allocated."""

    of: int | str
    """Id of the container, or name of the type."""

    new: int
    """Members that were allocated in the window, of those that were looked at."""

    lines: tuple[LineShare, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """One burst of tracing."""

    at_s: float
    open_s: float
    """For so long allocations were traced and nothing else was done."""

    traced_s: float
    """With the reading at its end: the program was slowed down for so long."""

    interrupted: bool
    """By a fork, or by too many allocations: the window is shorter than was asked."""

    lines: tuple[tuple[str, int, int, int], ...]
    """File, line, bytes and blocks that were alive at the end; may be turnover."""

    origins: tuple[Origins, ...]


@dataclass(frozen=True, slots=True)
class Holder:
    """What keeps a container, or an object of a type."""

    of: int | str
    path: str
    """``app.SERVER.sessions``, or empty if none was found within the search's limits."""

    contents: str
    """``dict of 40,000 Session objects``; empty for a type."""


def heap_of(found: Mapping[str, Any]) -> InsideHeap:
    """Return the heap that an agent's reply tells."""
    return InsideHeap(
        at_s=found["at_ns"] * NANOSECONDS,
        blocks=found["blocks"],
        malloc_in_use_bytes=found.get("malloc_in_use"),
        malloc_free_bytes=found.get("malloc_free"),
        cost_s=found["cpu_ns"] * NANOSECONDS,
        operations=found["operations"],
    )


def census_of(found: Mapping[str, Any]) -> Census:
    """Return the census that an agent's reply tells."""
    return Census(
        at_s=found["at_ns"] * NANOSECONDS,
        objects=found["objects"],
        # The same few names come again in each of the hundreds of censuses that are kept.
        types=tuple((intern(name), count) for name, count in found["types"]),
        containers=tuple(
            ContainerLength(ident, intern(name), entries)
            for ident, name, entries in found["containers"]
        ),
        containers_left_out=found["containers_left_out"],
        longest_stop_s=found["stop_ns"] * NANOSECONDS,
        cost_s=found["cpu_ns"] * NANOSECONDS,
        operations=found["operations"],
    )


def window_of(found: Mapping[str, Any]) -> Window:
    """Return the window that an agent's reply tells."""
    return Window(
        at_s=found["at_ns"] * NANOSECONDS,
        open_s=found["open_s"],
        traced_s=found["traced_s"],
        interrupted=found["interrupted"],
        lines=tuple(found["lines"]),
        origins=tuple(
            Origins(of, new, tuple(LineShare(*line) for line in lines))
            for of, new, lines in (*found["members"], *found["types"])
        ),
    )
