"""
Whether an operation leaks: the growth of the heap per batch of operations.

The heap is read where nothing is under way, after a collection, so what is left of a batch
is what its operations kept. Growth may be a cache that fills. It is a leak if it goes on:
rounds of batches are run, each longer than the one before, until one does not grow or the
last one has grown like the one before it.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from memopt_cli.analysis.results import Estimate, How, LeakVerdict
from memopt_cli.analysis.statistics import CONFIDENCE, fit_line, student_quantile
from memopt_cli.units import format_count, format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

WARM_UP_SHARE = 0.4
"""Of a round: the most of it that can be found to be warm-up."""

CLEARED = 8.0
"""
Times the tolerance: what the last round may leave open and yet clear an operation.

With a tolerance of one byte that is half of the smallest object that Python allocates.
"""

SLOWER = 0.5
"""A round whose typical batch grew by less than this share of the last round's is slowing down."""


_UNSTEADY = "the heap goes up and down by more than that: raise operations, or the tolerance"


@dataclass(frozen=True, slots=True)
class Round:
    """Batches of equally many operations, and idle batches of none among them."""

    size: int
    """Operations of a batch."""

    grown_bytes: tuple[int, ...]
    """By how much the heap grew in each batch."""

    idle_bytes: tuple[int, ...]
    """By how much it grew in each idle batch: what running and measuring batches takes."""

    @property
    def kept_bytes(self) -> tuple[int, ...]:
        """What is left of each batch beyond what is typically left of an idle one."""
        idle = round(statistics.median(self.idle_bytes))
        return tuple(grown - idle for grown in self.grown_bytes)


@dataclass(frozen=True, slots=True)
class Growth:
    """What the last of some rounds says about one operation."""

    verdict: LeakVerdict
    per_operation: Estimate
    """Bytes kept by each operation."""

    tolerance_bytes: float
    """Per operation: growth up to this is not told from none."""

    operations: int
    """In all rounds together."""

    last_operations: int
    """In the last round."""

    warm_up: int
    """Operations at the start of the last round that were left out."""

    reason: str
    """Why nothing is said, if nothing is, and what to do; or what a clearance leaves aside."""

    def said_of(self, unit: str) -> str:
        """Return the verdict in words, of operations that are called *unit*."""
        grown, seen = self.per_operation, f"seen over {format_count(self.operations)} {unit}s"
        interval = f"{_size(grown.value)} ({_size(grown.low)} to {_size(grown.high)})"
        match self.verdict:
            case LeakVerdict.LEAK:
                return f"each {unit} leaks {interval}, {seen}"
            case LeakVerdict.NO_LEAK:
                most = max(self.tolerance_bytes, grown.high)
                aside = f", {self.reason}" if self.reason else ""
                return f"no {unit} leaks more than {_size(most)}, {seen}{aside}"
            case LeakVerdict.INCONCLUSIVE:
                return f"whether {unit}s leak is not clear: {interval} each, {seen}; {self.reason}"


def judge(rounds: Sequence[Round], *, tolerance_bytes: float, is_last: bool) -> Growth:
    """
    Return what the rounds so far say; inconclusive as long as more of them could tell.

    Args:
        rounds: In order. For growth to be a leak there have to be two, unless the first
            one is all that the caller has time for: pass it twice.
        tolerance_bytes: Growth per operation that is let pass. By what idle batches were
            seen to differ is let pass in any case.
        is_last: Whether no other round follows. Then an interval that reaches from below
            zero over the tolerance by a little clears the operation too, and so do
            batches of which all but one kept nothing.
    """
    last = rounds[-1]
    tolerance = max(tolerance_bytes, _noise_bytes(last) / last.size)
    start = _settled_from(last.kept_bytes)
    every = [each / last.size for each in last.kept_bytes]
    kept = every[start:]
    mean, typical = _mean(kept), _median(kept)
    shown = typical if typical.low > tolerance >= mean.low else mean
    verdict, reason = LeakVerdict.INCONCLUSIVE, _UNSTEADY
    if shown.low > tolerance:
        before = rounds[-2] if len(rounds) > 1 else None
        verdict, reason = _goes_on(before, typical.value, tolerance)
    cleared = _cleared(kept, tolerance)
    if cleared is None and is_last:
        cleared = _cleared_at_last(every, kept, tolerance)
    if verdict is LeakVerdict.INCONCLUSIVE and cleared is not None:
        verdict, (shown, reason) = LeakVerdict.NO_LEAK, cleared
    return Growth(
        verdict=verdict,
        per_operation=shown,
        tolerance_bytes=tolerance,
        operations=sum(each.size * len(each.grown_bytes) for each in rounds),
        last_operations=last.size * len(last.grown_bytes),
        warm_up=start * last.size,
        reason=reason,
    )


def _cleared(kept: Sequence[float], tolerance: float) -> tuple[Estimate, str] | None:
    """Return the growth if it is small enough."""
    sharper = min(_mean(kept), _line(kept), key=lambda each: each.high)
    return (sharper, "") if sharper.high <= tolerance else None


def _cleared_at_last(
    every: Sequence[float], kept: Sequence[float], tolerance: float
) -> tuple[Estimate, str] | None:
    """Return the growth if there may be none, with what has to be said of it."""
    if _mean(kept).low > 0:
        return None
    if found := _cleared(kept, CLEARED * tolerance):
        return found
    greatest = max(range(len(every)), key=every.__getitem__)
    others = [*every[:greatest], *every[greatest + 1 :]]
    rest = _mean(others[_settled_from(others) :])
    if rest.high <= tolerance:
        return rest, "but for one batch that grew, as when a table is made anew"
    return None


def _goes_on(before: Round | None, typical: float, tolerance: float) -> tuple[LeakVerdict, str]:
    """Return whether growth is as it was in the round before."""
    undecided = LeakVerdict.INCONCLUSIVE
    if before is None:
        return undecided, "it grew in the only round: raise patience"
    start = _settled_from(before.kept_bytes)
    kept = [each / before.size for each in before.kept_bytes[start:]]
    mean, median = _mean(kept), _median(kept)
    if max(mean.low, median.low) <= tolerance:
        return undecided, "it began to grow in the last round: raise patience"
    if typical < SLOWER * median.value:
        return undecided, "growth slows down, as of something that fills up: raise operations"
    return LeakVerdict.LEAK, ""


def _settled_from(grown: Sequence[float]) -> int:
    """
    Return where the warm-up ends: after the last early batch that outgrew all later ones.

    >>> _settled_from([9000, 0, 4000, 0, 0, 16, 0, 0, 0, 0])
    3
    >>> _settled_from([100, 110, 100, 110, 100, 110, 100, 110, 100, 110])
    0
    """
    latest = int(len(grown) * WARM_UP_SHARE)
    highest = max(grown[latest:])
    late = [index for index in range(latest) if grown[index] > highest]
    return late[-1] + 1 if late else 0


def _noise_bytes(one: Round) -> int:
    """Return by how much idle batches differ, the first one left out."""
    return max(one.idle_bytes[1:]) - min(one.idle_bytes[1:])


def _mean(values: Sequence[float]) -> Estimate:
    """Return the mean with its interval by Student's t: one jump among many is not a trend."""
    mean = statistics.fmean(values)
    reach = statistics.stdev(values) / math.sqrt(len(values))
    width = student_quantile((1 + CONFIDENCE) / 2, len(values) - 1) * reach
    return Estimate(mean, mean - width, mean + width, How.MEASURED)


def _median(values: Sequence[float]) -> Estimate:
    """
    Return the median with its interval by order statistics: jumps do not widen it.

    A leak into a dictionary grows evenly but for the one batch in which the table doubles.
    """
    ordered, count, below, rank = sorted(values), len(values), 0.0, 0
    while True:
        below += math.comb(count, rank) / 2**count
        if below > (1 - CONFIDENCE) / 2:
            break
        rank += 1
    low, high = (ordered[rank - 1], ordered[-rank]) if rank else (-math.inf, math.inf)
    return Estimate(statistics.median(ordered), low, high, How.MEASURED)


def _line(values: Sequence[float]) -> Estimate:
    """
    Return the slope of the heap's level: where that only goes up and down, it is the sharper one.

    It takes a step for a slope, so it may clear an operation and never accuses one.
    """
    levels = list(accumulate(values, initial=0.0))
    line = fit_line(range(len(levels)), levels)
    if line is None:
        return Estimate(0.0, -math.inf, math.inf, How.FITTED)
    width = line.slope_half_width
    return Estimate(line.slope, line.slope - width, line.slope + width, How.FITTED)


def _size(size_bytes: float) -> str:
    """Return bytes per operation; a tenth of a byte is a figure here."""
    return format_size(round(size_bytes, 3)) if math.isfinite(size_bytes) else "unknown"
