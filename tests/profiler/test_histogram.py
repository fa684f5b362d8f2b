"""A histogram says what the sorted list would say, to within one bucket."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.profiler.histogram import (
    BUCKETS,
    WORDS,
    Histogram,
    bucket_of,
    merged,
    upper_edge_ns,
)
from tests.making import histogram

DURATIONS = st.lists(st.integers(0, 2**42), min_size=1, max_size=200)
ONE_BUCKET = 1 / 32
"""The width of a bucket over its lower edge."""


@given(durations=DURATIONS, percent=st.integers(0, 1000))
def test_percentiles_are_those_of_the_sorted_list(durations: list[int], percent: int) -> None:
    """A percentile is the nearest rank's value, or up to one bucket more, never less."""
    share = Fraction(percent, 1000)
    rank = max(1, math.ceil(share * len(durations)))
    expected = sorted(durations)[rank - 1]

    found = histogram(*durations).quantile_s(float(share))

    assert found is not None
    assert round(found * 1e9) >= expected
    assert round(found * 1e9) <= max(expected * (1 + ONE_BUCKET), _least_if_beyond(durations))


def _least_if_beyond(durations: list[int]) -> int:
    """Durations beyond the last bucket share one: only the longest is known exactly."""
    longest = max(durations)
    return longest if longest >= upper_edge_ns(BUCKETS - 2) else 0


@pytest.mark.parametrize(
    ("percent", "count", "rank"),
    [(50, 100, 50), (55, 100, 55), (99, 100, 99), (99.9, 1000, 999), (7, 100, 7)],
)
def test_a_rank_is_not_pushed_up_by_rounding(percent: float, count: int, rank: int) -> None:
    """The 99.9th percentile of 1,000 durations is the 999th, not the longest."""
    # One duration per bucket, so that neighbouring ranks cannot be confused.
    durations = [upper_edge_ns(bucket) for bucket in range(count)]

    found = histogram(*durations).quantile_s(percent / 100)

    assert found == pytest.approx(durations[rank - 1] * 1e-9, rel=1e-12)


@given(durations=DURATIONS)
def test_count_sum_and_ends_are_exact(durations: list[int]) -> None:
    """Count, sum, mean, shortest and longest are those of the list."""
    made = histogram(*durations)

    assert (len(durations), sum(durations), max(durations), min(durations)) == (
        made.count,
        round(made.total_s * 1e9),
        round((made.max_s or 0) * 1e9),
        round((made.min_s or 0) * 1e9),
    )
    assert made.mean_s == pytest.approx(sum(durations) / len(durations) * 1e-9, rel=1e-12)


@given(parts=st.lists(st.lists(st.integers(0, 2**41), max_size=20), max_size=5))
def test_merged_histograms_are_the_histogram_of_all(parts: list[list[int]]) -> None:
    """Merging parts gives what recording everything in one gives, empty parts included."""
    whole = histogram(*(one for part in parts for one in part))

    assert whole.words == merged(histogram(*part) for part in parts).words


@given(durations=DURATIONS)
def test_bytes_bring_the_histogram_back(durations: list[int]) -> None:
    """What `to_bytes` wrote is read as it was."""
    made = histogram(*durations)

    assert made.words == Histogram.from_bytes(made.to_bytes()).words


@pytest.mark.parametrize("blob", [b"", b"1234567", bytes(8 * (WORDS - 1)), bytes(8 * (WORDS + 1))])
def test_bytes_of_another_length_are_refused(blob: bytes) -> None:
    """A truncated histogram is an error, not an empty one."""
    with pytest.raises(ValueError, match=r"words|multiple"):
        Histogram.from_bytes(blob)


def test_an_empty_histogram_has_no_figures() -> None:
    """Nothing recorded is `None`, never zero seconds."""
    empty = Histogram()

    assert (0, None, None, None, None, []) == (
        empty.count,
        empty.max_s,
        empty.min_s,
        empty.mean_s,
        empty.quantile_s(0.99),
        empty.distribution(),
    )


def test_buckets_follow_each_other_without_a_gap() -> None:
    """Each upper edge belongs to its bucket, and the next nanosecond to the next one."""
    edges = [(bucket, upper_edge_ns(bucket)) for bucket in range(BUCKETS - 1)]

    assert [bucket for bucket, _ in edges] == [bucket_of(edge) for _, edge in edges]
    assert [bucket + 1 for bucket, _ in edges] == [bucket_of(edge + 1) for _, edge in edges]


def test_no_bucket_is_wider_than_it_says() -> None:
    """Above 64 ns a bucket spans 1/32 of its lower edge at most; below it is exact."""
    widths = [
        (upper_edge_ns(bucket) - upper_edge_ns(bucket - 1) - 1) / (upper_edge_ns(bucket - 1) + 1)
        for bucket in range(1, BUCKETS)
    ]

    assert max(widths) < ONE_BUCKET
    assert set(widths[:63]) == {0.0}


def test_a_pause_beyond_the_last_bucket_is_not_understated() -> None:
    """Half an hour reads as half an hour, although buckets end at 18 minutes."""
    made = histogram(1000, 1800 * 10**9)

    assert made.quantile_s(0.99) == 1800.0
    assert made.distribution()[-1] == (1800.0, 1.0)


def test_the_distribution_ends_at_the_longest() -> None:
    """Shares grow to one, at the longest duration, exact."""
    found = histogram(10, 20, 20, 1_000_003).distribution()

    assert [10, 20, 1_000_003] == [round(duration_s * 1e9) for duration_s, _ in found]
    assert [0.25, 0.75, 1.0] == [share for _, share in found]
