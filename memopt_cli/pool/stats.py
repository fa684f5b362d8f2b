"""What a pool holds and has done: plain values, taken at one moment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolStats:
    """
    The counters of one pool.

    >>> from memopt_cli.units import Dimension, format_quantity
    >>> stats = PoolStats(in_use=0, available=0, created=15_432, reused=142_500)
    >>> format_quantity(stats.reuse_ratio, Dimension.RATIO)
    '90.2 %'
    """

    in_use: int = 0
    """Objects held by somebody."""

    available: int = 0
    """Idle objects, ready for the next acquire."""

    allocated: int = 0
    """Objects made since the pool began, preallocated ones included."""

    created: int = 0
    """Acquires that were the first use of an object, whenever that object was made."""

    reused: int = 0
    """Acquires of an object that somebody had used before."""

    dropped: int = 0
    """Objects let go because the pool was full or was made smaller."""

    discarded: int = 0
    """Objects let go because their reset failed."""

    reclaimed: int = 0
    """Objects taken back from owners that died without releasing them."""

    @property
    def total(self) -> int:
        """Live objects: in use and available."""
        return self.in_use + self.available

    @property
    def reuse_ratio(self) -> float | None:
        """The share of acquires that reused an object, 0 to 1; None before the first one."""
        acquired = self.reused + self.created
        return self.reused / acquired if acquired else None

    def __add__(self, other: PoolStats) -> PoolStats:
        """Return the counters of both pools together."""
        return PoolStats(
            self.in_use + other.in_use,
            self.available + other.available,
            self.allocated + other.allocated,
            self.created + other.created,
            self.reused + other.reused,
            self.dropped + other.dropped,
            self.discarded + other.discarded,
            self.reclaimed + other.reclaimed,
        )


@dataclass(frozen=True, slots=True)
class PoolInfo:
    """How a pool is configured, and what it holds; `dataclasses.asdict` makes it a dict."""

    size: int
    """Objects the pool was told to keep ready."""

    max_size: int | None
    """Most idle objects it keeps; None is no bound."""

    limit: int | None
    """Most live objects it allows; None is no bound."""

    stats: PoolStats
