"""
Memory per unit: the slope over several populations, never a total divided by N.

The line is fitted to the plateaus at which the population grew for the first
time and was not empty. The empty process is left out: the first units fill heap
that was free already, which bends the line at its start.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from memopt_cli.analysis.results import Estimate, How, MemoryPerUnit
from memopt_cli.analysis.statistics import fit_line
from memopt_cli.units import format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.recording import Sample

ANONYMOUS, HEAP = "anonymous", "heap_in_use"

_RESOLUTION_BYTES = {ANONYMOUS: 2 * 4096, HEAP: 16}
"""What the ends of a series can be off: a page at either end; malloc's alignment."""

_HIDDEN_SHARE = 20
"""
Growth seen from outside is trusted from 20 times the growth that free heap hid.

Units that settle in heap that was free already are invisible to the kernel; with
this factor they are at most 5 % of the growth, and the interval allows for them. Free
heap that grows is another matter: it is fragmentation, and the kernel is right to
charge it.
"""

_SMALLEST_GROWTH_BYTES = 1024**2
"""Less growth than this is a matter of single arenas and pages."""


def per_unit(
    samples: Sequence[Sample], *, preallocated: int = 0, processes: int = 1
) -> MemoryPerUnit:
    """
    Return memory per unit, from samples in the order in which they were taken.

    The kernel's anonymous memory is taken where it can be trusted, else the
    heap in use that the subject counts itself; the other one is the cross-check.

    Args:
        samples: Of one variant.
        preallocated: Units that were made before the first arrived. Up to so many a
            further unit costs nothing, so plateaus with no more are not fitted.
        processes: Whose memory is added up; each has its pages.
    """
    plateaus = [one for one in growth_plateaus(samples) if one.units > preallocated]
    outside = _fit(plateaus, ANONYMOUS, processes)
    inside = _fit(plateaus, HEAP, processes)
    if len(plateaus) < 3:  # noqa: PLR2004 - a line with an interval needs three points
        reason = f"{len(plateaus)} plateaus were measured, a line needs 3: {_remedy(preallocated)}"
        return MemoryPerUnit(None, None, None, ANONYMOUS, None, (), reason)
    if not _visible(plateaus):
        seen = format_size(_SMALLEST_GROWTH_BYTES)
        reason = (
            f"the plateaus differ by less than {seen}, which free heap can hide, and the subject "
            "does not count its heap: use more units"
        )
        return MemoryPerUnit(None, None, None, ANONYMOUS, None, (), reason)
    basis, reason = _basis(plateaus)
    chosen, other = (outside, inside) if basis == ANONYMOUS else (inside, outside)
    if chosen is None:
        reason = "memory was not read at the plateaus"
        return MemoryPerUnit(None, None, None, basis, None, (), reason)
    return MemoryPerUnit(
        per_unit=chosen[0],
        fixed=chosen[1],
        loaded=_loaded(samples, plateaus[-1], chosen[1], basis),
        basis=basis,
        cross_check=other[0] if other else None,
        points=tuple(_points(plateaus, basis)),
        reason=reason,
    )


def _visible(plateaus: Sequence[Sample]) -> bool:
    """Return whether the growth can be seen: counted from inside, or large enough outside."""
    if len(_points(plateaus, HEAP)) == len(plateaus):
        return True
    seen = _points(plateaus, ANONYMOUS)
    return bool(seen) and seen[-1][1] - seen[0][1] >= _SMALLEST_GROWTH_BYTES


def _remedy(preallocated: int) -> str:
    if not preallocated:
        return "give a growing stage more `plateaus`"
    return (
        f"those with no more units than the {preallocated:,} that the pool made beforehand do not "
        "count, so give the pool a smaller `size`, or a growing stage more `plateaus`"
    )


def growth_plateaus(samples: Sequence[Sample]) -> list[Sample]:
    """Return the plateaus of the first growth: each with more units than the one before."""
    found: list[Sample] = []
    peak = 0
    for sample in samples:
        if sample.is_plateau and sample.units >= peak and sample.units > _units(found):
            found.append(sample)
        elif sample.units < peak and found:
            break
        peak = max(peak, sample.units)
    return found


def _units(plateaus: Sequence[Sample]) -> int:
    return plateaus[-1].units if plateaus else 0


def retained(samples: Sequence[Sample]) -> Estimate | None:
    """
    Return the anonymous bytes that stayed after the last unit left.

    Measured as the difference of two empty processes; the interval is the spread
    of the exact readings before the first unit and after the last, and a page at
    either end.
    """
    with_units = [index for index, sample in enumerate(samples) if sample.units]
    if not with_units:
        return None
    before = _exact(samples[: with_units[0]])
    after = _exact(samples[with_units[-1] + 1 :])
    if not before or not after:
        return None
    coarse = _RESOLUTION_BYTES[ANONYMOUS]
    return Estimate(
        after[-1] - before[-1],
        min(after) - max(before) - coarse,
        max(after) - min(before) + coarse,
        How.MEASURED,
    )


def total(samples: Sequence[Sample]) -> Estimate | None:
    """
    Return the anonymous bytes of all units and what they share, at the end of the peak.

    Measured as the difference of the last plateau that held the peak and the last one before
    the first unit; the interval is a page at either end, and above it what the units may have
    taken of heap that was free before, which the kernel does not see.
    """
    peak = max((sample.units for sample in samples), default=0)
    first = next((number for number, sample in enumerate(samples) if sample.units), 0)
    before = [one for one in samples[:first] if one.anonymous_bytes is not None]
    held = [one for one in samples if one.is_plateau and one.units == peak]
    if not peak or not before or not held:
        return None
    empty, full = before[-1], held[-1]
    if empty.anonymous_bytes is None or full.anonymous_bytes is None:
        return None
    coarse = _RESOLUTION_BYTES[ANONYMOUS]
    hidden = max(0, (empty.heap_free_bytes or 0) - (full.heap_free_bytes or 0))
    grown = full.anonymous_bytes - empty.anonymous_bytes
    return Estimate(grown, grown - coarse, grown + coarse + hidden, How.MEASURED)


def _exact(samples: Sequence[Sample]) -> list[int]:
    return [s.anonymous_bytes for s in samples if s.anonymous_bytes is not None and not s.units]


def _basis(plateaus: Sequence[Sample]) -> tuple[str, str]:
    """Return which series to fit, and why."""
    seen = _points(plateaus, ANONYMOUS)
    counted = _points(plateaus, HEAP)
    if len(counted) < len(plateaus):
        return ANONYMOUS, "the subject does not count its heap"
    if len(seen) < len(plateaus):
        return HEAP, "anonymous memory could not be read"
    if _outgrows_free_heap(plateaus):
        return ANONYMOUS, "anonymous memory grew by far more than free heap hid"
    if _mapped_bytes(plateaus) > _RESOLUTION_BYTES[ANONYMOUS]:
        return ANONYMOUS, "memory that the heap does not count grew: the units map some themselves"
    return HEAP, "free heap could hide, or hid, too much of the growth from outside"


def _outgrows_free_heap(plateaus: Sequence[Sample]) -> bool:
    """Return whether growth from outside is so large that what free heap hid hardly matters."""
    seen = _points(plateaus, ANONYMOUS)
    growth = seen[-1][1] - seen[0][1]
    return growth >= max(_HIDDEN_SHARE * _hidden_bytes(plateaus), _SMALLEST_GROWTH_BYTES)


def _hidden_bytes(plateaus: Sequence[Sample]) -> int:
    """Return by how much the heap in use grew more than what is seen from outside."""
    seen, counted = _points(plateaus, ANONYMOUS), _points(plateaus, HEAP)
    if not seen or len(counted) < len(plateaus):
        return 0
    return max(0, (counted[-1][1] - counted[0][1]) - (seen[-1][1] - seen[0][1]))


def _mapped_bytes(plateaus: Sequence[Sample]) -> int:
    """
    Return by how much memory grew that the allocators do not count: mapped beside them.

    Free heap that grew may explain it, and may as well be address space that was never
    touched. So the steps from plateau to plateau are looked at too: an arena comes in one of
    them, mapped units in all.
    """
    whole = _uncounted_bytes(plateaus[0], plateaus[-1])
    steps = (_uncounted_bytes(one, other) for one, other in pairwise(plateaus))
    return max(whole, sum(max(0, step - _RESOLUTION_BYTES[ANONYMOUS]) for step in steps))


def _uncounted_bytes(first: Sample, last: Sample) -> int:
    """Return growth between two plateaus that is neither heap in use nor free heap."""
    if last.heap_free_bytes is None or first.heap_free_bytes is None:
        return 0
    return max(
        0, _outside_bytes(first, last) - max(0, last.heap_free_bytes - first.heap_free_bytes)
    )


def _outside_bytes(first: Sample, last: Sample) -> int:
    """Return growth between two plateaus that is not heap in use."""
    if last.anonymous_bytes is None or first.anonymous_bytes is None:
        return 0
    if last.heap_in_use_bytes is None or first.heap_in_use_bytes is None:
        return 0
    grown = last.anonymous_bytes - first.anonymous_bytes
    return max(0, grown - (last.heap_in_use_bytes - first.heap_in_use_bytes))


def _missed_bytes(plateaus: Sequence[Sample], series: str) -> int:
    """Return growth that a series may have missed: beside the heap, or within its free part."""
    if series == HEAP:
        return _outside_bytes(plateaus[0], plateaus[-1])
    hidden = _hidden_bytes(plateaus)
    if _mapped_bytes(plateaus) <= _RESOLUTION_BYTES[ANONYMOUS] or _outgrows_free_heap(plateaus):
        return hidden
    # Growth beside the heap covers what free heap hid: all that was taken from it may be hidden.
    before, after = plateaus[0].heap_free_bytes, plateaus[-1].heap_free_bytes
    return max(hidden, (before or 0) - (after or 0))


def _fit(
    plateaus: Sequence[Sample], series: str, processes: int
) -> tuple[Estimate, Estimate] | None:
    points = _points(plateaus, series)
    line = fit_line([units for units, _ in points], [size for _, size in points])
    if line is None:
        return None
    # Rounding, and growth that a series cannot see, are errors that residuals do not show.
    resolution = processes * _RESOLUTION_BYTES[series]
    missed = resolution + _missed_bytes(plateaus, series)
    coarse = missed / (points[-1][0] - points[0][0])
    slope = line.slope_half_width + coarse
    fixed = line.intercept_half_width + resolution
    return (
        Estimate(line.slope, line.slope - slope, line.slope + slope, How.FITTED),
        Estimate(line.intercept, line.intercept - fixed, line.intercept + fixed, How.FITTED),
    )


def _loaded(
    samples: Sequence[Sample], peak: Sample, fixed: Estimate, series: str
) -> Estimate | None:
    """Return bytes per unit at the last plateau that held the peak, after the growth."""
    held = [
        point
        for point in samples
        if point.is_plateau and point.at_s > peak.at_s and point.units == peak.units
    ]
    points = _points(held, series)
    if not points:
        return None
    units, size = points[-1]
    return Estimate(
        (size - fixed.value) / units,
        (size - fixed.high) / units,
        (size - fixed.low) / units,
        How.FITTED,
    )


def _points(plateaus: Sequence[Sample], series: str) -> list[tuple[int, int]]:
    sizes = (s.anonymous_bytes if series == ANONYMOUS else s.heap_in_use_bytes for s in plateaus)
    return [(s.units, size) for s, size in zip(plateaus, sizes, strict=True) if size is not None]
