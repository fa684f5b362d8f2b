"""
How long the collector stops a program: counted in fixed memory, read at any time.

Each power of two is cut into 16 equal buckets, so a pause is known to 6.25 % at worst,
however long, in 23 KiB that never grow. The bucket scheme is the one of
HdrHistogram (Gil Tene, 2012).
"""

from __future__ import annotations

import gc
import math
from array import array
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING, Literal, Protocol, Self

from memopt_cli.units import format_count, format_duration

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    Callback = Callable[[Literal["start", "stop"], dict[str, int]], object]

GENERATIONS = 3
"""Of CPython's collector."""

_SUB_BUCKETS = 16
_LINEAR_BITS = 5  # below 2**5 ns each nanosecond has its own bucket
_TOP_BITS = 63
_BUCKETS = (_TOP_BITS - _LINEAR_BITS) * _SUB_BUCKETS + 2 * _SUB_BUCKETS
_TOTAL_NS, _MAX_NS, _FREED = range(_BUCKETS, _BUCKETS + 3)
_WORDS = _BUCKETS + 3
_NANOSECONDS = 1e-9
# Two-sided, 95 %.
_Z = 1.96


class Announcer(Protocol):
    """What announces collections: the `gc` module."""

    @property
    def callbacks(self) -> list[Callback]:
        """Called at the start and at the end of each collection."""


@dataclass(frozen=True, slots=True)
class PauseCounts:
    """The pauses of one generation, or of all; what is not known of no pauses is `None`."""

    buckets: tuple[tuple[float, int], ...]
    """Longest duration of a bucket in seconds, and its pauses; filled buckets, shortest first."""

    total_s: float
    """Sum of all pauses, exact."""

    max_s: float | None
    """Longest pause, exact."""

    freed_objects: int
    """Unreachable objects that were found, which reference counts alone never free."""

    @property
    def count(self) -> int:
        """How many pauses there were."""
        return sum(count for _, count in self.buckets)

    @property
    def p50_s(self) -> float | None:
        """The median, which may overstate by 6.25 %."""
        return self.quantile_s(0.50)

    @property
    def p99_s(self) -> float | None:
        """The 99th percentile, which may overstate by 6.25 %."""
        return self.quantile_s(0.99)

    def quantile_s(self, quantile: float) -> float | None:
        """Return the duration that a share *quantile* (0 to 1) of all does not exceed."""
        # Without the rounding, p99 of 100 may come out as the 100th: 99.00000000000001.
        return self._at_rank(max(1, math.ceil(round(quantile * self.count, 9))))

    def quantile_interval_s(self, quantile: float) -> tuple[float, float] | None:
        """
        Return the 95 % interval of a quantile, or `None` if there are too few pauses for one.

        Free of any distribution: between two order statistics whose ranks follow from
        the normal approximation of the binomial (W. J. Conover, Practical Nonparametric
        Statistics, 1999, section 3.2). For the 99th percentile 381 pauses are needed.
        """
        middle = quantile * self.count
        width = _Z * math.sqrt(middle * (1 - quantile))
        low = self._at_rank(math.floor(middle - width))
        high = self._at_rank(math.ceil(middle + width))
        return None if low is None or high is None else (low, high)

    def squares_s2(self) -> float:
        """Return the sum of the squared durations, which may overstate by 13 %."""
        return sum(count * edge_s * edge_s for edge_s, count in self.buckets)

    def _at_rank(self, rank: int) -> float | None:
        if rank < 1:
            return None
        for edge_s, count in self.buckets:
            rank -= count
            if rank <= 0:
                return edge_s
        return None


@dataclass(frozen=True, slots=True)
class Pauses:
    """What the collector did in a window of time."""

    window_s: float
    """How long was counted."""

    generations: tuple[PauseCounts, ...]
    """Youngest first."""

    @property
    def all(self) -> PauseCounts:
        """The pauses of all generations together."""
        merged: dict[float, int] = {}
        for part in self.generations:
            for edge_s, count in part.buckets:
                merged[edge_s] = merged.get(edge_s, 0) + count
        return PauseCounts(
            buckets=tuple(sorted(merged.items())),
            total_s=sum(part.total_s for part in self.generations),
            max_s=max(
                (part.max_s for part in self.generations if part.max_s is not None), default=None
            ),
            freed_objects=sum(part.freed_objects for part in self.generations),
        )

    @property
    def share(self) -> float | None:
        """Time in the collector per time; `None` for a window of no length."""
        return self.all.total_s / self.window_s if self.window_s > 0 else None

    def __str__(self) -> str:
        rows = [(f"generation {n}", part) for n, part in enumerate(self.generations)]
        lines = [f"collector pauses in {format_duration(self.window_s)}"]
        lines += [f"  {name:13}{_row(part)}" for name, part in [*rows, ("all", self.all)]]
        return "\n".join(lines)


def _row(part: PauseCounts) -> str:
    if part.p50_s is None or part.p99_s is None or part.max_s is None:
        return "none"
    pauses = "1 pause" if part.count == 1 else f"{format_count(part.count)} pauses"
    return (
        f"{pauses}, p50 {format_duration(part.p50_s)}, "
        f"p99 {format_duration(part.p99_s)}, max {format_duration(part.max_s)}, "
        f"total {format_duration(part.total_s)}, freed {format_count(part.freed_objects)} objects"
    )


class GcPauses:
    """
    Counts the collector's pauses while its `with` statement lasts; costs 1.2 us each.

    Entered again, it begins anew. Its statistics may be read inside and afterwards.
    """

    __slots__ = ("_announcer", "_began_ns", "_callback", "_clock", "_ended_ns", "_words")

    def __init__(
        self, *, announcer: Announcer = gc, clock: Callable[[], int] = perf_counter_ns
    ) -> None:
        """
        Args:
            announcer: What announces collections; a stand-in for `gc` in tests.
            clock: Nanoseconds from any beginning.
        """
        self._announcer = announcer
        self._clock = clock
        self._words = [array("Q", bytes(8 * _WORDS)) for _ in range(GENERATIONS)]
        self._callback = _counting(self._words, clock)
        self._began_ns = self._ended_ns = 0

    def __enter__(self) -> Self:
        for words in self._words:
            memoryview(words).cast("B")[:] = bytes(8 * _WORDS)
        self._ended_ns = 0
        self._began_ns = self._clock()
        self._announcer.callbacks.append(self._callback)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended_ns = self._clock()
        # Whoever empties the list of callbacks has removed this one too.
        with suppress(ValueError):
            self._announcer.callbacks.remove(self._callback)

    def statistics(self) -> Pauses:
        """Return what was counted until now, or until the end."""
        until_ns = self._ended_ns or self._clock()
        return Pauses(
            window_s=(until_ns - self._began_ns) * _NANOSECONDS if self._began_ns else 0.0,
            generations=tuple(_counted(words) for words in self._words),
        )


def _counting(words: list[array[int]], clock: Callable[[], int]) -> Callback:
    """
    Return a callback that counts; it makes no container, so it cannot cause a collection.

    All that it needs is bound as defaults, which are faster than what a closure holds.
    """
    began_ns = 0

    def on_collection(
        phase: str,
        info: dict[str, int],
        words: list[array[int]] = words,
        clock: Callable[[], int] = clock,
    ) -> None:
        nonlocal began_ns
        if phase == "start":
            began_ns = clock()
            return
        if not began_ns:
            # Entered by a finaliser, in the middle of a collection.
            return
        pause_ns = clock() - began_ns
        counts = words[info["generation"]]
        # Written out here, because a call would be a fifth of the callback's cost.
        shift = pause_ns.bit_length() - _LINEAR_BITS
        counts[shift * _SUB_BUCKETS + (pause_ns >> shift) if shift > 0 else pause_ns] += 1
        counts[_TOTAL_NS] += pause_ns
        counts[_FREED] += info["collected"]
        counts[_MAX_NS] = max(counts[_MAX_NS], pause_ns)

    return on_collection


def _upper_edge_ns(bucket: int) -> int:
    """
    Return the longest pause that falls into *bucket*, in nanoseconds.

    >>> _upper_edge_ns(31), _upper_edge_ns(32), _upper_edge_ns(48)
    (31, 33, 67)
    """
    if bucket < 2 * _SUB_BUCKETS:
        return bucket
    shift = bucket // _SUB_BUCKETS - 1
    return ((bucket - shift * _SUB_BUCKETS + 1) << shift) - 1


def _counted(words: array[int]) -> PauseCounts:
    longest_ns = words[_MAX_NS]
    filled = [bucket for bucket in range(_BUCKETS) if words[bucket]]
    edges_ns = [min(_upper_edge_ns(bucket), longest_ns) for bucket in filled]
    return PauseCounts(
        buckets=tuple(
            (edge_ns * _NANOSECONDS, words[bucket])
            for edge_ns, bucket in zip(edges_ns, filled, strict=True)
        ),
        total_s=words[_TOTAL_NS] * _NANOSECONDS,
        max_s=longest_ns * _NANOSECONDS if filled else None,
        freed_objects=words[_FREED],
    )
