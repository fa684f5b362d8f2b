"""
Snapshots of this process, taken by its own code: all that is known at one moment.

For a service that wants to know what one of its own steps costs. The engine does
not use them: a subject is read from outside.
"""

from __future__ import annotations

import gc
import os
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from memopt_cli.errors import MeasurementError
from memopt_cli.profiler import recorder
from memopt_cli.profiler.heap import HeapReader
from memopt_cli.profiler.histogram import Histogram
from memopt_cli.profiler.process import ProcessReader
from memopt_cli.units import format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What this process holds at one moment; sizes in bytes."""

    label: str
    at_s: float
    """CLOCK_MONOTONIC."""

    rss_bytes: int
    uss_bytes: int
    pss_bytes: int
    anonymous_bytes: int
    peak_rss_bytes: int
    """The highest resident set since the process began."""

    heap_in_use_bytes: int | None
    """`None` where the allocator does not tell; CPython's does not while tracemalloc traces."""

    traced_bytes: int | None
    """What tracemalloc counts; `None` while it is not tracing."""

    allocated_blocks: int
    threads: int
    fds: int
    gc_collections: tuple[int, ...]
    """Collections so far, by generation."""

    gc_pause_max_s: float | None
    """The longest pause since these snapshots were begun; `None` if some were not recorded."""

    cost_s: float
    """What taking this snapshot cost."""

    def __str__(self) -> str:
        heap = "unknown" if self.heap_in_use_bytes is None else format_size(self.heap_in_use_bytes)
        return (
            f"{self.label}: RSS {format_size(self.rss_bytes)}, USS {format_size(self.uss_bytes)}, "
            f"heap {heap}, {self.threads} threads, {self.fds} descriptors "
            f"(taken in {format_duration(self.cost_s)})"
        )


@dataclass(frozen=True, slots=True)
class Delta:
    """A later snapshot minus an earlier one; sizes in bytes, `None` if either is unknown."""

    seconds: float
    rss_bytes: int
    uss_bytes: int
    anonymous_bytes: int
    heap_in_use_bytes: int | None
    traced_bytes: int | None
    allocated_blocks: int
    threads: int
    fds: int


class Snapshots:
    """
    Takes and keeps snapshots of this process, the latest *limit*; a context manager.

    Not safe for threads: taking one points the error stream elsewhere for a moment.
    """

    def __init__(self, *, limit: int = 1000) -> None:
        self._limit = limit
        self._kept: list[Snapshot] = []
        self._heap = HeapReader()
        self._process = ProcessReader(os.getpid())
        descriptor = recorder.create()
        self._recorder = recorder.Recorder(descriptor)
        self._recorded = recorder.RecorderReader(descriptor)
        os.close(descriptor)
        self._pauses = Histogram()
        self._recorder.install()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, which: int | str) -> Snapshot:
        """
        Return a snapshot by its index, or the latest one of a label.

        Raises:
            MeasurementError: There is none.
        """
        if isinstance(which, int):
            if -len(self._kept) <= which < len(self._kept):
                return self._kept[which]
            raise MeasurementError(
                f"there is no snapshot {which}: {len(self._kept)} were kept",
                hint="Indexes begin at 0.",
            )
        for snapshot in reversed(self._kept):
            if snapshot.label == which:
                return snapshot
        known = ", ".join(sorted({snapshot.label for snapshot in self._kept}))
        raise MeasurementError(
            f"there is no snapshot {which!r}", hint=f"There are: {known or 'none yet'}."
        )

    def take(self, label: str = "") -> Snapshot:
        """Take a snapshot; costs about a millisecond, more on a large heap."""
        began = time.perf_counter()
        heap = self._heap.read()
        traced = tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else None
        footprint, activity = self._process.footprint(), self._process.activity()
        snapshot = Snapshot(
            label=label or f"snapshot {len(self._kept)}",
            at_s=time.monotonic(),
            rss_bytes=footprint.rss_bytes,
            uss_bytes=footprint.uss_bytes,
            pss_bytes=footprint.pss_bytes,
            anonymous_bytes=footprint.anonymous_bytes,
            peak_rss_bytes=_peak_rss_bytes(),
            heap_in_use_bytes=heap.in_use_bytes,
            traced_bytes=traced,
            allocated_blocks=heap.blocks,
            threads=activity.threads,
            fds=activity.fds,
            gc_pause_max_s=self._longest_pause_s(),
            gc_collections=tuple(each["collections"] for each in gc.get_stats()),
            cost_s=time.perf_counter() - began,
        )
        self._kept.append(snapshot)
        del self._kept[: -self._limit]
        return snapshot

    def compare(self, first: int | str, second: int | str) -> Delta:
        """
        Return the second snapshot minus the first, each by index or label.

        Raises:
            MeasurementError: One of them does not exist.
        """
        return difference(self[first], self[second])

    def delta(self, delay_s: float, *, sleep: Callable[[float], None] = time.sleep) -> Delta:
        """Return what changes within *delay_s* seconds; two snapshots are kept."""
        before = self.take("before the delay")
        sleep(delay_s)
        return difference(before, self.take("after the delay"))

    def close(self) -> None:
        """Stop recording pauses, and give back the descriptors; the snapshots stay."""
        self._recorder.remove()
        self._recorded.close()
        self._process.close()
        self._heap.close()

    def _longest_pause_s(self) -> float | None:
        for pause in self._recorded.pauses():
            self._pauses.record(pause.duration_ns)
        return None if self._recorded.lost else self._pauses.max_s or 0.0


def difference(first: Snapshot, second: Snapshot) -> Delta:
    """Return *second* minus *first*."""
    return Delta(
        seconds=second.at_s - first.at_s,
        rss_bytes=second.rss_bytes - first.rss_bytes,
        uss_bytes=second.uss_bytes - first.uss_bytes,
        anonymous_bytes=second.anonymous_bytes - first.anonymous_bytes,
        heap_in_use_bytes=_minus(second.heap_in_use_bytes, first.heap_in_use_bytes),
        traced_bytes=_minus(second.traced_bytes, first.traced_bytes),
        allocated_blocks=second.allocated_blocks - first.allocated_blocks,
        threads=second.threads - first.threads,
        fds=second.fds - first.fds,
    )


def _minus(second: int | None, first: int | None) -> int | None:
    return None if second is None or first is None else second - first


def _peak_rss_bytes() -> int:
    for line in (
        Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    ):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise MeasurementError("the kernel does not tell the peak of the resident set")
