"""
A first leak slope: a line through block medians of the steady part.

Blocks rather than samples, because neighbouring samples are not independent and
a line through them would be far too sure of itself.
"""

from __future__ import annotations

import itertools
import statistics
from typing import TYPE_CHECKING

from memopt_cli.analysis.results import Estimate, How, Leak, LeakVerdict
from memopt_cli.analysis.statistics import fit_line
from memopt_cli.units import format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.recording import Sample, StageSpan

FEWEST_SAMPLES = 24
"""With fewer, blocks of two or three samples would pose as independent measurements."""

WARM_UP_SHARE = 0.2
"""The first fifth of the steady part still fills caches and per-connection fields."""

BLOCKS = 10
PAGE_BYTES = 4096
SMALLEST_GROWTH_BYTES = 16 * 1024
"""Growth below four pages is rounding, not a leak."""

STEADY_SHARE = 0.8
"""The second half of a leak grows as fast as the whole; of what fills up, ever more slowly."""

HARMLESS_SHARE = 0.02
HARMLESS_BYTES = 256 * 1024
"""Growth over the run below 2 % of the level, or 256 KiB, does not contradict "no leak"."""

SETTLED_OPERATIONS = 20
"""
Operations per unit before growth can be called a leak.

Units that have hardly worked still fill their lazy fields, buffers and windows;
that growth ends, but over a short run it is as straight as a leak's.
"""


def steady_stage(stages: Sequence[StageSpan]) -> int | None:
    """Return the index of the longest stage whose population neither grows nor shrinks."""
    found: list[tuple[float, int]] = []
    before: int | None = 0
    for index, stage in enumerate(stages):
        if stage.units and stage.units == before:
            found.append((stage.ends_s - stage.starts_s, -index))
        before = stage.units
    return -max(found)[1] if found else None


def slope(samples: Sequence[Sample], *, clock: str) -> Leak:
    """
    Return the slope of anonymous memory over the samples of a steady part.

    Args:
        samples: Of one stage, in order; at least 24.
        clock: ``virtual`` marks the slope as simulated time.
    """
    kept = samples[int(len(samples) * WARM_UP_SHARE) :]
    if len(samples) < FEWEST_SAMPLES:
        found = f"{len(samples)} samples in the steady part, a slope needs {FEWEST_SAMPLES}"
        return _inconclusive(samples, f"{found}: lengthen it or sample more often")
    how = How.SIMULATED if clock == "virtual" else How.FITTED
    by_time = _fit(kept, [s.at_s for s in kept], how)
    if by_time is None:
        return _inconclusive(samples, "all samples have the same time")
    by_operation = _fit(kept, [float(s.operations) for s in kept], How.FITTED)
    over_s = kept[-1].at_s - kept[0].at_s
    level = statistics.median(s.resident_anonymous_bytes for s in kept)
    verdict, reason = _verdict(by_time, over_s, level)
    if verdict is LeakVerdict.LEAK and not _goes_on(kept, by_time, how):
        verdict = LeakVerdict.INCONCLUSIVE
        reason = "its growth slows down, as of something that fills up: lengthen the steady stage"
    per_unit = _operations_per_unit(kept)
    if verdict is LeakVerdict.LEAK and 0 < per_unit < SETTLED_OPERATIONS:
        verdict = LeakVerdict.INCONCLUSIVE
        reason = (
            f"each unit did only {per_unit:.1f} operations while it was watched: growth may be "
            f"its first filling; lengthen the steady stage to {SETTLED_OPERATIONS} or more"
        )
    half_width = (by_time.high - by_time.low) / 2
    least = max(half_width, _harmless_bytes(level) / over_s - half_width)
    return Leak(verdict, by_time, by_operation, least, len(kept), over_s, reason)


def _inconclusive(samples: Sequence[Sample], reason: str) -> Leak:
    return Leak(LeakVerdict.INCONCLUSIVE, None, None, None, len(samples), 0.0, reason)


def _operations_per_unit(samples: Sequence[Sample]) -> float:
    units = statistics.median(sample.units for sample in samples)
    return (samples[-1].operations - samples[0].operations) / units if units else 0.0


def _goes_on(samples: Sequence[Sample], slope: Estimate, how: How) -> bool:
    """Return whether the second half grows as the whole does: a window that fills up does not."""
    half = samples[len(samples) // 2 :]
    late = _fit(half, [sample.at_s for sample in half], how)
    return late is not None and late.low > 0 and late.value >= STEADY_SHARE * slope.value


def _harmless_bytes(level: float) -> float:
    """Return the growth over the run that does not contradict "no leak" at a level of memory."""
    return max(HARMLESS_BYTES, HARMLESS_SHARE * level)


def _verdict(slope: Estimate, over_s: float, level: float) -> tuple[LeakVerdict, str]:
    """Return the verdict, and why it is inconclusive."""
    harmless = slope.high * over_s < _harmless_bytes(level)
    if slope.low > 0 and slope.value * over_s > SMALLEST_GROWTH_BYTES:
        if harmless:
            grown = format_size(slope.value * over_s)
            reason = f"it grew by only {grown} while it was watched: lengthen the steady stage"
            return LeakVerdict.INCONCLUSIVE, reason
        return LeakVerdict.LEAK, ""
    if harmless:
        most, over = format_size(max(0.0, slope.high) * 3600), format_duration(over_s)
        return LeakVerdict.NO_LEAK, f"no more than {most}/h, seen for {over}"
    return LeakVerdict.INCONCLUSIVE, "the interval is too wide to tell"


def _fit(samples: Sequence[Sample], xs: Sequence[float], how: How) -> Estimate | None:
    """Return bytes per unit of *xs*, by a line through block medians."""
    size = len(samples) / BLOCKS
    edges = [round(number * size) for number in range(BLOCKS + 1)]
    blocks = list(itertools.pairwise(edges))
    line = fit_line(
        [statistics.median(xs[low:high]) for low, high in blocks],
        [
            statistics.median(s.resident_anonymous_bytes for s in samples[low:high])
            for low, high in blocks
        ],
    )
    if line is None:
        return None
    width = line.slope_half_width + PAGE_BYTES / (max(xs) - min(xs))
    return Estimate(line.slope, line.slope - width, line.slope + width, how)
