"""Statistics of operations by name, in memory that does not grow."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.profiler.histogram import NANOSECONDS, Histogram

if TYPE_CHECKING:
    from memopt_cli.profiler.operations import OperationCost

OTHERS = "(others)"
"""Where operations are counted whose name came after the registry was full."""


@dataclass(frozen=True, slots=True)
class OperationStatistics:
    """
    What all operations of one name cost so far.

    Percentiles are upper edges of log-linear buckets, at most 3.2 % too high.
    """

    name: str
    count: int
    failed: int
    """How many of them ended in an exception."""

    total_s: float
    p50_s: float | None
    p99_s: float | None
    max_s: float | None

    gc_pauses: int
    gc_pause_s: float
    """In all of them together."""

    traced: int
    """How many of them were traced; the bytes below are theirs."""

    net_traced_bytes: int | None
    """What they left behind together; `None` if none was traced."""

    peak_p50_bytes: int | None
    peak_p99_bytes: int | None
    peak_max_bytes: int | None


class _Tally:
    """The counters of one name: 18 KiB, whatever happens."""

    __slots__ = ("durations", "failed", "net_bytes", "pause_ns", "pauses", "peaks")

    def __init__(self) -> None:
        self.durations = Histogram()
        self.peaks = Histogram()
        self.failed = 0
        self.net_bytes = 0
        self.pauses = 0
        self.pause_ns = 0

    def add(self, cost: OperationCost) -> None:
        self.durations.record(cost.duration_ns)
        self.failed += cost.failed
        self.pauses += cost.gc_pauses
        self.pause_ns += cost.gc_pause_ns
        if cost.peak_traced_bytes is not None and cost.net_traced_bytes is not None:
            self.peaks.record(cost.peak_traced_bytes)
            self.net_bytes += cost.net_traced_bytes

    def statistics(self, name: str) -> OperationStatistics:
        return OperationStatistics(
            name=name,
            count=self.durations.count,
            failed=self.failed,
            total_s=self.durations.total_s,
            p50_s=self.durations.quantile_s(0.5),
            p99_s=self.durations.quantile_s(0.99),
            max_s=self.durations.max_s,
            gc_pauses=self.pauses,
            gc_pause_s=self.pause_ns * NANOSECONDS,
            traced=self.peaks.count,
            net_traced_bytes=self.net_bytes if self.peaks.count else None,
            peak_p50_bytes=self.peaks.quantile_recorded(0.5),
            peak_p99_bytes=self.peaks.quantile_recorded(0.99),
            peak_max_bytes=self.peaks.quantile_recorded(1.0),
        )


class Registry:
    """
    Counts operations by name; safe for threads.

    It holds *limit* names and 18 KiB each. Operations of further names are counted
    together, as `OTHERS`: a name made of a user's number must not become a leak.
    """

    def __init__(self, *, limit: int = 256) -> None:
        self._limit = limit
        self._tallies: dict[str, _Tally] = {}
        # Reentrant: a collection may run a finalizer that is itself measured.
        self._lock = threading.RLock()

    def add(self, cost: OperationCost) -> None:
        """Count one operation (about 2 us)."""
        with self._lock:
            tally = self._tallies.get(cost.name)
            if tally is None:
                name = cost.name if len(self._tallies) < self._limit else OTHERS
                tally = self._tallies.setdefault(name, _Tally())
            tally.add(cost)

    def statistics(self) -> dict[str, OperationStatistics]:
        """Return what was counted, by name, in the order of first use."""
        with self._lock:
            return {name: tally.statistics(name) for name, tally in self._tallies.items()}

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._tallies.clear()


OPERATIONS = Registry()
"""Where operations are counted that name no other registry."""
