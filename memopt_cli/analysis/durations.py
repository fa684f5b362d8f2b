"""Percentiles of pauses and latencies, with intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from memopt_cli.analysis.results import Distribution, Estimate, How

if TYPE_CHECKING:
    from memopt_cli.profiler.histogram import Histogram

_Z = 1.96
_TAIL = 0.025
"""Probability that all durations lie below the quantile, above which there is no upper end."""

_PLOTTED_POINTS = 400


def quantile(histogram: Histogram, share: float) -> Estimate | None:
    """
    Return a quantile in seconds with its 95 % interval, or `None` of no durations.

    The interval is between order statistics, by the normal approximation to the
    binomial count of durations below the quantile (W. J. Conover, 1971); it assumes
    nothing of the durations' distribution but that they are independent. With so few
    durations that the longest may well lie below the quantile, there is no upper end:
    it is infinite.
    """
    value = histogram.quantile_s(share)
    if value is None:
        return None
    reach = _Z * math.sqrt(share * (1 - share) / histogram.count)
    low = histogram.quantile_low_s(max(0.0, share - reach))
    high = histogram.quantile_s(min(1.0, share + reach))
    if low is None or high is None:
        raise AssertionError("a histogram with durations has all quantiles")
    bounded = share**histogram.count <= _TAIL
    return Estimate(value, low, high if bounded else math.inf, How.MEASURED)


def within_bucket(histogram: Histogram, share: float) -> Estimate | None:
    """
    Return a quantile of exactly the durations recorded, between the edges of its bucket.

    All durations of a run are recorded, so this is no estimate of anything but what the
    bucket rounds: 3.2 % at most.
    """
    value = histogram.quantile_s(share)
    low = histogram.quantile_low_s(share)
    if value is None or low is None:
        return None
    return Estimate(value, min(low, value), value, How.MEASURED)


def distribution(histogram: Histogram) -> Distribution:
    """Return the figures of a histogram that reports show."""
    points = histogram.distribution()
    step = max(1, len(points) // _PLOTTED_POINTS)
    return Distribution(
        p50_s=quantile(histogram, 0.5),
        p99_s=quantile(histogram, 0.99),
        max_s=histogram.max_s,
        count=histogram.count,
        total_s=histogram.total_s,
        # Counted from the end, so that the longest is always among them.
        points=tuple(points[(len(points) - 1) % step :: step]) if points else (),
    )
