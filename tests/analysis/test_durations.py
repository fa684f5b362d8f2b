"""Percentiles with intervals, and the points of a curve that ends at the longest."""

from __future__ import annotations

import math
import random

import pytest

from memopt_cli.analysis.durations import distribution, quantile
from memopt_cli.analysis.results import Distribution, How
from memopt_cli.profiler.histogram import Histogram, bucket_of, upper_edge_ns
from tests.making import histogram


def test_nothing_has_no_percentile() -> None:
    """Without durations there are no figures, and a count of none."""
    assert quantile(Histogram(), 0.5) is None
    assert distribution(Histogram()) == Distribution(None, None, None, 0, 0.0, ())


def test_one_duration_is_every_percentile() -> None:
    """A single duration is its own percentile and maximum; how far others reach is open."""
    found = distribution(histogram(5000))

    assert found.p50_s == found.p99_s
    assert found.p50_s is not None
    assert (found.p50_s.low, found.p50_s.value, found.p50_s.high) == (5e-6, 5e-6, math.inf)
    assert (found.p50_s.how, found.max_s, found.count) == (How.MEASURED, 5e-6, 1)


def test_the_interval_is_between_order_statistics() -> None:
    """The median of 100 durations lies between the 41st and the 60th."""
    edges = [upper_edge_ns(bucket) for bucket in range(200, 300)]

    found = quantile(histogram(*edges), 0.5)

    assert found is not None
    assert [
        bucket_of(round(each * 1e9)) - 199 for each in (found.low, found.value, found.high)
    ] == [
        41,
        50,
        60,
    ]


def test_the_interval_holds_the_true_percentile() -> None:
    """Of 400 seeded samples of an exponential, at least 92 % hold its 90th percentile."""
    chance = random.Random(4)
    truth = 2.302585 * 1e-3
    held = 0
    for _ in range(400):
        draws = [round(chance.expovariate(1e3) * 1e9) for _ in range(300)]
        found = quantile(histogram(*draws), 0.9)
        assert found is not None
        held += found.low <= truth * (1 + 1 / 32) and truth <= found.high

    assert held / 400 >= 0.92


def test_a_thinned_curve_keeps_the_longest() -> None:
    """Many filled buckets are thinned for plotting; the last point is still the maximum."""
    made = histogram(*(upper_edge_ns(bucket) for bucket in range(1001)))

    found = distribution(made)

    assert len(found.points) == 501
    assert found.points[-1] == (found.max_s, 1.0)
    assert found.max_s == pytest.approx(upper_edge_ns(1000) * 1e-9)
