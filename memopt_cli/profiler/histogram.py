"""
Fixed-size histograms of durations, with log-linear buckets.

Each power of two is cut into 32 equal buckets, so a value is known to 3.2 % at
worst, from 1 ns to 18 minutes, in 9 KiB that never grow. The bucket scheme is
the one of HdrHistogram (Gil Tene, 2012); recording in Python costs a tenth of
what the published package does, which is why it stands here.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SUB_BUCKETS = 32
_LINEAR_BITS = 6  # below 2**6 ns each nanosecond has its own bucket
_TOP_BITS = 40
BUCKETS = (_TOP_BITS - _LINEAR_BITS) * SUB_BUCKETS + 2 * SUB_BUCKETS
_TOP_NS = (1 << _TOP_BITS) - 1

COUNT, TOTAL_NS, MAX_NS, MIN_NS = range(BUCKETS, BUCKETS + 4)
WORDS = BUCKETS + 4
"""Unsigned 64-bit words of one histogram: the buckets, then count, sum, maximum and minimum."""

NANOSECONDS = 1e-9
_ROUNDING = 1e-12


def bucket_of(duration_ns: int) -> int:
    """
    Return the bucket of a duration; longer ones than 18 minutes go into the last.

    >>> bucket_of(63), bucket_of(64), bucket_of(65)
    (63, 64, 64)
    """
    if duration_ns > _TOP_NS:
        return BUCKETS - 1
    shift = duration_ns.bit_length() - _LINEAR_BITS
    return duration_ns if shift <= 0 else shift * SUB_BUCKETS + (duration_ns >> shift)


def upper_edge_ns(bucket: int) -> int:
    """
    Return the largest duration that falls into *bucket*, in nanoseconds.

    >>> upper_edge_ns(bucket_of(1000)) >= 1000
    True
    """
    if bucket < 2 * SUB_BUCKETS:
        return bucket
    shift = bucket // SUB_BUCKETS - 1
    return ((bucket - shift * SUB_BUCKETS + 1) << shift) - 1


class Histogram:
    """
    Counts of durations; all figures are in seconds, and `None` while it is empty.

    Percentiles are upper edges of buckets (nearest rank), so they overstate by
    3.2 % at most and never understate; count, sum, minimum and maximum are exact.
    """

    __slots__ = ("words",)

    def __init__(self, words: array[int] | None = None) -> None:
        self.words = array("Q", bytes(8 * WORDS)) if words is None else words
        if len(self.words) != WORDS:
            raise ValueError(f"a histogram has {WORDS} words, not {len(self.words)}")

    @classmethod
    def from_bytes(cls, blob: bytes) -> Histogram:
        """Return the histogram that `to_bytes` wrote."""
        words: array[int] = array("Q")
        words.frombytes(blob)
        return cls(words)

    def to_bytes(self) -> bytes:
        """Return the words as native 64-bit integers."""
        return self.words.tobytes()

    def record(self, duration_ns: int) -> None:
        """Count one duration."""
        words = self.words
        words[bucket_of(duration_ns)] += 1
        if words[COUNT] == 0 or duration_ns < words[MIN_NS]:
            words[MIN_NS] = duration_ns
        words[COUNT] += 1
        words[TOTAL_NS] += duration_ns
        words[MAX_NS] = max(words[MAX_NS], duration_ns)

    def record_many(self, durations_ns: list[int]) -> None:
        """Count many durations, each in a third of the time that `record` takes."""
        if not durations_ns:
            return
        words, top = self.words, _TOP_NS
        for duration_ns in durations_ns:
            # As `bucket_of`, without the call.
            if duration_ns > top:
                words[BUCKETS - 1] += 1
            elif (shift := duration_ns.bit_length() - _LINEAR_BITS) > 0:
                words[shift * SUB_BUCKETS + (duration_ns >> shift)] += 1
            else:
                words[duration_ns] += 1
        least = min(durations_ns)
        if words[COUNT] == 0 or least < words[MIN_NS]:
            words[MIN_NS] = least
        words[COUNT] += len(durations_ns)
        words[TOTAL_NS] += sum(durations_ns)
        words[MAX_NS] = max(words[MAX_NS], *durations_ns)

    def merge(self, other: Histogram) -> None:
        """Add the counts of *other*."""
        low = [h.words[MIN_NS] for h in (self, other) if h.count]
        for index in (*range(BUCKETS), COUNT, TOTAL_NS):
            self.words[index] += other.words[index]
        self.words[MAX_NS] = max(self.words[MAX_NS], other.words[MAX_NS])
        self.words[MIN_NS] = min(low, default=0)

    @property
    def count(self) -> int:
        """How many durations were recorded."""
        return self.words[COUNT]

    @property
    def total_s(self) -> float:
        """Sum of all durations, exact."""
        return self.words[TOTAL_NS] * NANOSECONDS

    @property
    def max_s(self) -> float | None:
        """Longest duration, exact."""
        return self.words[MAX_NS] * NANOSECONDS if self.count else None

    @property
    def min_s(self) -> float | None:
        """Shortest duration, exact."""
        return self.words[MIN_NS] * NANOSECONDS if self.count else None

    @property
    def mean_s(self) -> float | None:
        """Mean duration, exact."""
        return self.total_s / self.count if self.count else None

    def quantile_s(self, quantile: float) -> float | None:
        """Return the duration that a share *quantile* (0 to 1) of all does not exceed."""
        found = self.quantile_recorded(quantile)
        return None if found is None else found * NANOSECONDS

    def quantile_recorded(self, quantile: float) -> int | None:
        """Return the same as it was recorded: for a histogram of something else, as bytes."""
        bucket = self._bucket_at(quantile)
        return None if bucket is None else self._edge_ns(bucket)

    def quantile_low_s(self, quantile: float) -> float | None:
        """Return the least duration that the quantile can be: its bucket's lower edge."""
        bucket = self._bucket_at(quantile)
        if bucket is None:
            return None
        lower = upper_edge_ns(bucket - 1) + 1 if bucket else 0
        return max(lower, self.words[MIN_NS]) * NANOSECONDS

    def _bucket_at(self, quantile: float) -> int | None:
        if not self.count:
            return None
        # Without the slack, rounding makes p99.9 of 1,000 the 1,000th: 999.0000000000001.
        rank = max(1, math.ceil(quantile * self.count * (1 - _ROUNDING)))
        for bucket, seen in self._cumulative():
            if seen >= rank:
                return bucket
        raise AssertionError("the buckets hold fewer durations than the count says")

    def distribution(self) -> list[tuple[float, float]]:
        """Return ``(duration_s, share of all that do not exceed it)`` per filled bucket."""
        return [
            (self._edge_ns(bucket) * NANOSECONDS, seen / self.count)
            for bucket, seen in self._cumulative()
        ]

    def _edge_ns(self, bucket: int) -> int:
        """Return what no duration of *bucket* exceeds; the last bucket has no edge of its own."""
        longest = self.words[MAX_NS]
        return longest if bucket == BUCKETS - 1 else min(upper_edge_ns(bucket), longest)

    def _cumulative(self) -> Iterator[tuple[int, int]]:
        seen = 0
        for bucket in range(BUCKETS):
            if self.words[bucket]:
                seen += self.words[bucket]
                yield bucket, seen


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """Return one histogram with the counts of all."""
    out = Histogram()
    for histogram in histograms:
        out.merge(histogram)
    return out
