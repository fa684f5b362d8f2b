"""
Growth beside a clean run: what a series grows by more than its baseline did.

The figure is the difference of the two slopes. It is fitted to the differences of the
blocks, not made from two fitted slopes: the slope of a least-squares line through
differences is the difference of the slopes, and what both runs do at the same time (a
warm-up, a cache that fills) leaves no residual, which would widen the interval of each
line alone. What only one of them does, noise included, stays in the residuals and so in
the interval: the paired difference of W. S. Gosset (Student, 1908), for slopes.

A difference can hide what both have. So it clears a run only beside a baseline that is
cleared itself and whose interval contains no growth, over all of its own length, which
may be longer than the run's: a cache that fills during the run is full by then. What is
shown to leak above its baseline leaks, whatever the baseline did.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from memopt_cli.analysis import leak
from memopt_cli.analysis.leak_views import Doubt
from memopt_cli.analysis.results import LeakVerdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.leak import Growth
    from memopt_cli.analysis.leak_blocks import Numbers

COVERS = 0.9
"""Share of a run that its baseline must cover: a leak may begin in what it does not."""

SAME_LOAD = 0.1
"""Rates of operations that differ by more are two loads, and their growth is not compared."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A series judged beside its baseline."""

    growth: Growth
    """The verdict; its figures are the difference's where `is_null`, else the run's own."""

    alone: Growth
    """Of the run by itself."""

    baseline: Growth
    """Of the baseline by itself, over all of its length."""

    is_null: bool
    """Whether the figures are what the run grows by more than the baseline."""


def judge(
    series: tuple[Numbers, Numbers],
    baseline: tuple[Numbers, Numbers],
    *,
    quantum: float | None = None,
    tolerance: float | None = None,
    unfit: Doubt | None = None,
    breaks: tuple[Sequence[float], Sequence[float]] = ((), ()),
) -> Beside:
    """
    Return how a series grows beside the baseline's.

    Args:
        series: Times and sizes of the run; times of both count from the same moment.
        baseline: Times and sizes of the clean run.
        quantum: Resolution of both; found from their values if it is not given.
        tolerance: Growth over the run that is harmless, if a user has set a limit.
        unfit: Why the baseline cannot be compared with at all, if that is known.
        breaks: Times at which parts of the run, and of the baseline, begin. The difference
            has a level of its own after each of both.
    """
    own, others = breaks
    alone = leak.judge(*series, quantum=quantum, tolerance=tolerance, breaks=own)
    begins = max(min(series[0], default=0.0), min(baseline[0], default=0.0))
    its_span = float(max(baseline[0]) - min(baseline[0])) if len(baseline[0]) else 0.0
    scaled = tolerance * its_span / alone.over_s if tolerance and alone.over_s else tolerance
    null = leak.judge(*baseline, quantum=quantum, tolerance=scaled, breaks=others)
    above = leak.judge(
        *_since(series, begins),
        baseline=_since(baseline, begins),
        quantum=quantum,
        tolerance=tolerance,
        breaks=(*own, *others),
    )
    verdict, doubt, is_null = _told(alone, null, above, unfit)
    found = replace(above if is_null else alone, verdict=verdict, doubt=doubt)
    return Beside(found, alone, null, is_null)


def _since(series: tuple[Numbers, Numbers], begins: float) -> tuple[list[float], list[float]]:
    """Return a series from the moment on at which both are read."""
    kept = [(at, size) for at, size in zip(*series, strict=True) if at >= begins]
    return [at for at, _ in kept], [size for _, size in kept]


def _told(
    alone: Growth, null: Growth, above: Growth, unfit: Doubt | None
) -> tuple[LeakVerdict, Doubt | None, bool]:
    """Return the verdict, the doubt, and whether the difference is what it is of."""
    leaks_above = above.verdict is LeakVerdict.LEAK
    if alone.verdict is LeakVerdict.NO_LEAK:
        # Cleared without any baseline, unless that shows what shrinking memory covers up.
        if leaks_above and unfit is None:
            return LeakVerdict.INCONCLUSIVE, Doubt.BASELINE_SHRINKS, False
        return alone.verdict, alone.doubt, False
    if leaks_above and unfit is None:
        if alone.slope is not None and alone.slope > 0:
            return LeakVerdict.LEAK, None, True
        return LeakVerdict.INCONCLUSIVE, Doubt.BASELINE_SHRINKS, False
    why = unfit or _no_null(null, alone, covered=above.over_s >= COVERS * alone.over_s)
    if why is not None:
        return LeakVerdict.INCONCLUSIVE, why, False
    return above.verdict, above.doubt, True


def _no_null(null: Growth, alone: Growth, *, covered: bool) -> Doubt | None:
    """Return why a baseline cannot clear a run."""
    if not covered or null.doubt is Doubt.FEW:
        return Doubt.BASELINE_SHORT
    if null.verdict is LeakVerdict.LEAK:
        return Doubt.BASELINE_LEAKS
    unsure = null.verdict is LeakVerdict.INCONCLUSIVE or _may_share(null, alone)
    return Doubt.BASELINE_UNSURE if unsure else None


def _may_share(null: Growth, alone: Growth) -> bool:
    """
    Return whether a baseline that is cleared may have the growth of the run all the same.

    Harmless growth that is no chance would take a leak of its size from the difference;
    so would a leak as slow as the run's that the baseline is too noisy to show.
    """
    if null.low is None or null.high is None or alone.slope is None:
        return True
    leaks_alone = alone.verdict is LeakVerdict.LEAK
    return null.low > 0 or (leaks_alone and null.high >= alone.slope)


def other_load(done: Sequence[tuple[float, float]], null: Sequence[tuple[float, float]]) -> bool:
    """
    Return whether two runs worked at different rates; not known where either was not counted.

    >>> other_load([(0, 0), (10, 100)], [(0, 0), (20, 210)])
    False
    >>> other_load([(0, 0), (10, 100)], [(0, 0), (20, 400)])
    True

    Args:
        done: Times, and operations done by then, in order.
        null: The same of the baseline.
    """
    rates = [_rate(one) for one in (done, null)]
    if None in rates:
        return False
    slower, faster = sorted(one for one in rates if one is not None)
    return faster - slower > SAME_LOAD * faster


def _rate(done: Sequence[tuple[float, float]]) -> float | None:
    if len(done) < 2 or done[-1][0] <= done[0][0]:  # noqa: PLR2004 - a rate is between two
        return None
    return (done[-1][1] - done[0][1]) / (done[-1][0] - done[0][0])
