"""
Whether a server keeps something of each connection that was closed.

What is kept after the first wave of connections is the allocator's high water as often
as not, and so is what a second one adds to it. A leak is what goes on: the slope of the
kept bytes over the connections that were closed, from wave to wave.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from memopt_cli.analysis.results import Estimate, How, LeakVerdict
from memopt_cli.analysis.statistics import fit_line
from memopt_cli.units import format_count, format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.recording import Sample

FEWEST: Final = 3
"""Waves for a line; of more, the first ones are left out, as far as these remain."""

WARM_UP: Final = 2
"""Waves in which pools, caches and the heap's high water may still grow."""

GOES_ON: Final = 0.5
"""Each wave must add this share of the mean: what levels off does not."""

SMALLEST_SHARE: Final = 0.01
"""
Of what a connection takes while it is open, the least to be kept that is called a leak.

An allocator's high water moves by less than that from wave to wave, and so does the
garbage that a collector has not come to.
"""

_GRAIN_BYTES: Final = 2 * 16 * 1024
"""
What allocators take at once, at both ends of the line: a pool of CPython's is 16 KiB.

A server that keeps nothing was seen to take two more pages in each of two waves.
"""


@dataclass(frozen=True, slots=True)
class Wave:
    """The server after one wave has gone."""

    closed: int
    """Connections that were closed since the start."""

    kept_bytes: int
    """Anonymous memory above that of the server before the first connection."""


@dataclass(frozen=True, slots=True)
class Waves:
    """What is kept of closed connections."""

    verdict: LeakVerdict
    kept_per_connection: Estimate | None
    """Slope over the waves, in bytes per closed connection."""

    waves: tuple[Wave, ...]
    used: int
    """Of the waves, the last ones that the line goes through."""

    reason: str


def waves(samples: Sequence[Sample], *, per_unit_bytes: float | None, processes: int = 1) -> Waves:
    """
    Return what is kept, from all samples of a variant in order.

    Args:
        samples: Every change of the population has one.
        per_unit_bytes: What a connection takes while it is open, if that is known.
        processes: Of the server; each adds its allocator's grain to what a reading may be off.
    """
    found = _waves(samples)
    if len(found) < FEWEST:
        reason = f"{len(found)} waves were opened and closed, a slope needs {FEWEST}"
        return Waves(LeakVerdict.INCONCLUSIVE, None, tuple(found), 0, reason)
    used = found[min(WARM_UP, len(found) - FEWEST) :]
    line = fit_line([wave.closed for wave in used], [wave.kept_bytes for wave in used])
    if line is None:
        raise AssertionError("three waves have three different numbers of closed connections")
    coarse = processes * _GRAIN_BYTES / (used[-1].closed - used[0].closed)
    half = line.slope_half_width + coarse
    slope = Estimate(line.slope, line.slope - half, line.slope + half, How.FITTED)
    verdict, reason = _verdict(slope, used, per_unit_bytes)
    return Waves(verdict, slope, tuple(found), len(used), reason)


def _waves(samples: Sequence[Sample]) -> list[Wave]:
    """Return the empty plateaus, each after connections that were there."""
    exact = [one for one in samples if one.is_plateau and one.anonymous_bytes is not None]
    start = next((one.anonymous_bytes for one in exact if not one.units), None)
    found: list[Wave] = []
    closed = 0
    for before, after in pairwise(exact):
        closed += max(0, before.units - after.units)
        if before.units and not after.units and start is not None:
            found.append(Wave(closed, (after.anonymous_bytes or 0) - start))
    return found


def _verdict(
    slope: Estimate, used: Sequence[Wave], per_unit_bytes: float | None
) -> tuple[LeakVerdict, str]:
    steps = [
        (after.kept_bytes - before.kept_bytes) / (after.closed - before.closed)
        for before, after in pairwise(used)
    ]
    least = SMALLEST_SHARE * (per_unit_bytes or 0.0)
    count = format_count(len(used))
    if slope.low > least and min(steps) >= GOES_ON * slope.value:
        return LeakVerdict.LEAK, f"each of the last {count} waves keeps as much as the one before"
    if slope.value <= max(least, 0.0) or min(steps) < GOES_ON * slope.value:
        most = format_size(max(0.0, slope.high))
        told = f"no more than {most} per closed connection over the last {count} waves"
        return LeakVerdict.NO_LEAK, f"{told}, and not in each of them"
    return LeakVerdict.INCONCLUSIVE, "the interval is too wide to tell: add waves, or connections"
