"""
Which lines a leak comes from, and what keeps it, from what was read inside a program.

Two readings are put together. Censuses, some seconds apart, tell which containers
and types grow without end; windows of traced allocation tell where the newest
members of these were made. A line is named only for members of something that
grows: what a line merely turns over is not seen at all.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.analysis.drift import FEWEST_READINGS, climbs, drift
from memopt_cli.analysis.results import Estimate, How

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from memopt_cli.profiler.agent import Census, Holder, LineShare, Window

DUTY = 0.005
"""
Share of the time in which a program may be traced.

Traced, it runs 3 to 8 times slower on CPython 3.11: on average that is 1.01 to
1.035 of its CPU time, and only while a suspicion is followed.
"""

CENSUS_DUTY = 0.015
"""
Share of the time that counting a program's objects may take, in CPU time of its own.

For so long it stands still: 10 to 20 ms for 100,000 objects. With `DUTY` it is 2 % of the time.
"""

MOST_BLOCKS_PER_OBJECT = 3.5
SECONDS_PER_HOUR = 3600.0
MOST_FOLLOWED = 20
"""Containers and types, each, whose origin is asked for at once."""


@dataclass(frozen=True, slots=True)
class Look:
    """One census, and how many operations the program had done by then, if that is known."""

    census: Census
    operations: float | None = None


@dataclass(frozen=True, slots=True)
class Growth:
    """A container whose length, or a type whose population, grows without end."""

    of: int | str
    """Id of the container, or name of the type."""

    type_name: str
    entries: int
    """Members, or objects, at the last look."""

    per_hour: Estimate
    per_operation: Estimate | None


@dataclass(frozen=True, slots=True)
class Suspect:
    """A line whose memory is kept, with what keeps it."""

    file: str
    """Empty if no window has seen a member being made."""

    line: int
    bytes_per_hour: Estimate | None
    bytes_per_operation: Estimate | None
    """`None` where operations were not counted."""

    bytes_per_entry: float | None
    holder: str
    """``app.SERVER.cache``; empty if it was not found."""

    contents: str
    """``list of 40,000 Record objects``."""

    growths: tuple[Growth, ...]
    """The containers and types that grow by this line, containers first."""


def growing(looks: Sequence[Look]) -> tuple[Growth, ...]:
    """
    Return what grows, fastest first; nothing with fewer than eight looks.

    Fewer looks, or a growth that has ended, is no statement that there is no leak.
    """
    if len(looks) < FEWEST_READINGS:
        return ()
    found = [
        growth
        for (of, name), entries in _series(looks).items()
        if (growth := _growth(of, name, looks, entries)) is not None
    ]
    return tuple(sorted(found, key=lambda growth: -growth.per_hour.value))


def rank(
    growths: Sequence[Growth], windows: Sequence[Window], holders: Iterable[Holder]
) -> tuple[Suspect, ...]:
    """Return the lines that what grows comes from, by bytes per hour, the worst first."""
    kept = {holder.of: holder for holder in holders}
    by_line: dict[tuple[str, int], list[_Share]] = defaultdict(list)
    unseen: list[Suspect] = []
    # Containers first: what holds the memory says more than what it consists of.
    for growth in sorted(growths, key=lambda growth: isinstance(growth.of, str)):
        shares = _shares(growth, windows)
        for share in shares:
            by_line[share.file, share.line].append(share)
        if not shares and not isinstance(growth.of, str):
            unseen.append(_unseen(growth, kept))
    seen = [_suspect(shares, kept) for shares in by_line.values()]
    seen.sort(key=lambda suspect: -(suspect.bytes_per_hour or _NONE).value)
    return (*seen, *unseen)


@dataclass(frozen=True, slots=True)
class _Share:
    """What one growth has from one line."""

    growth: Growth
    file: str
    line: int
    entry_bytes: Estimate


_NONE = Estimate.exact(0.0)


def _series(looks: Sequence[Look]) -> Mapping[tuple[int | str, str], list[int]]:
    """Return entries by look for all that the last look holds; absent counts as nothing."""
    each = [_entries(look.census) for look in looks]
    return {key: [entries.get(key, 0) for entries in each] for key in each[-1]}


def _entries(census: Census) -> dict[tuple[int | str, str], int]:
    found: dict[tuple[int | str, str], int] = {(name, name): n for name, n in census.types}
    found.update(((each.ident, each.type_name), each.entries) for each in census.containers)
    return found


def _growth(
    of: int | str, name: str, looks: Sequence[Look], entries: Sequence[int]
) -> Growth | None:
    seconds = [look.census.at_s for look in looks]
    counted = [look.operations for look in looks if look.operations is not None]
    if len(counted) != len(looks):
        counted = []
    # By operations a leak is straight even where the load comes in bursts.
    if not climbs(seconds, entries) and not climbs(counted, entries[: len(counted)]):
        return None
    per_second = drift(seconds, entries)
    if per_second is None:
        return None
    per_operation = drift(counted, entries) if counted else None
    per_hour = _times(per_second, SECONDS_PER_HOUR)
    return Growth(of, name, entries[-1], per_hour, per_operation)


def _shares(growth: Growth, windows: Sequence[Window]) -> list[_Share]:
    """Return bytes per entry by line, over all windows that saw new members."""
    new, lines = 0, defaultdict[tuple[str, int], list[float]](list)
    for window in windows:
        for origins in window.origins:
            if origins.of == growth.of and origins.new:
                new += origins.new
                for share in origins.lines:
                    lines[share.file, share.line].append(_line_bytes(share))
    return [_Share(growth, *line, _per_entry(sizes, new)) for line, sizes in lines.items()]


def _line_bytes(share: LineShare) -> float:
    """
    Return what the objects of a line take, with blocks that they own beside themselves.

    The size that an object tells leaves out attributes that are stored beside it.
    Where its line made a few blocks per object, the blocks tell more.
    """
    blocks = share.line_blocks / share.objects
    if not share.with_attributes or not 1 <= blocks <= MOST_BLOCKS_PER_OBJECT:
        return share.size_bytes
    return share.objects * round(blocks) * share.line_bytes / share.line_blocks


def _per_entry(sizes: Sequence[float], new: int) -> Estimate:
    value = math.fsum(sizes) / new
    return Estimate(value, value, value, How.MEASURED)


def _suspect(shares: Sequence[_Share], kept: Mapping[int | str, Holder]) -> Suspect:
    first = shares[0]
    holder = next((kept[share.growth.of] for share in shares if share.growth.of in kept), None)
    size = first.entry_bytes.value
    # The same memory is in a container and in the count of its type: it counts once.
    same = [share for share in shares if isinstance(share.growth.of, int)] or [first]
    per_hour = [_times(share.growth.per_hour, share.entry_bytes.value) for share in same]
    per_operation = [
        _times(share.growth.per_operation, share.entry_bytes.value)
        for share in same
        if share.growth.per_operation is not None
    ]
    return Suspect(
        file=first.file,
        line=first.line,
        bytes_per_hour=_sum(per_hour),
        bytes_per_operation=_sum(per_operation) if len(per_operation) == len(same) else None,
        bytes_per_entry=size,
        holder=holder.path if holder else "",
        contents=holder.contents if holder else "",
        growths=tuple(share.growth for share in shares),
    )


def _unseen(growth: Growth, kept: Mapping[int | str, Holder]) -> Suspect:
    holder = kept.get(growth.of)
    path, contents = (holder.path, holder.contents) if holder else ("", "")
    return Suspect("", 0, None, None, None, path, contents, (growth,))


def _times(estimate: Estimate, factor: float) -> Estimate:
    return Estimate(
        estimate.value * factor, estimate.low * factor, estimate.high * factor, How.FITTED
    )


def _sum(estimates: Sequence[Estimate]) -> Estimate:
    """Return the sum; the half-widths add up as those of independent figures."""
    value = math.fsum(each.value for each in estimates)
    width = math.hypot(*(each.high - each.value for each in estimates))
    return Estimate(value, value - width, value + width, How.FITTED)
