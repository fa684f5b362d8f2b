"""What the operations under way share: the tracer, the collector's callback, the page counters."""

from __future__ import annotations

import gc
import os
import sys
import threading
import tracemalloc
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from memopt_cli.errors import MeasurementError
from memopt_cli.profiler.process import ProcessReader

if TYPE_CHECKING:
    from memopt_cli.profiler.operations import Operation


class Watch:
    """
    One per process. Its cost grows with the operations under way at the same time.

    tracemalloc knows one peak for the whole process. It is read and reset at each begin
    and end of an operation, and every operation under way keeps the highest it lived
    through: so each has a peak of its own, and whoever else asks for the peak does not.
    """

    def __init__(self) -> None:
        self._under_way: tuple[Operation, ...] = ()
        """Replaced, never changed: the collector's callback reads it at any moment."""

        # Reentrant: a collection may run a finalizer that is itself measured.
        self._lock = threading.RLock()
        self._tracing_for = 0
        self._pause_started_ns = 0
        self._process: ProcessReader | None = None
        os.register_at_fork(after_in_child=self._after_fork)

    def begin(self, operation: Operation) -> None:
        """Take the readings at the start, the ones that matter most last."""
        with self._lock:
            if not self._under_way:
                self._pause_started_ns = 0
                gc.callbacks.append(self._on_collection)
            for other in self._under_way:
                if other is not operation.parent and not operation.descends_from(other):
                    other.alone = operation.alone = False
            self._under_way = (*self._under_way, operation)
            operation.rss_bytes = self._rss_bytes()
            operation.blocks = sys.getallocatedblocks()
            operation.traced = self._trace(operation.trace)
            operation.started_ns = perf_counter_ns()
            if operation.traced:
                operation.traced_bytes = operation.highest_traced_bytes = self._new_peak()

    def end(self, operation: Operation) -> None:
        """Take the readings at the end; they replace those at the start by differences."""
        with self._lock:
            if operation.traced:
                self._read_traced(operation)
            operation.duration_ns = perf_counter_ns() - operation.started_ns
            if operation.traced:
                self._untrace()
            operation.blocks = sys.getallocatedblocks() - operation.blocks
            before, after = operation.rss_bytes, self._rss_bytes()
            operation.rss_bytes = None if before is None or after is None else after - before
            self._under_way = tuple(each for each in self._under_way if each is not operation)
            if not self._under_way:
                gc.callbacks.remove(self._on_collection)

    def used(self, operation: Operation) -> tuple[int | None, str]:
        """Return the bytes that an operation under way has used so far at most, and of what."""
        with self._lock:
            if operation.traced and tracemalloc.is_tracing():
                self._new_peak()
                peak = operation.highest_traced_bytes - operation.traced_bytes
                return peak, "peak of traced memory"
            now = self._rss_bytes()
        if now is None or operation.rss_bytes is None:
            return None, "growth of resident memory"
        return now - operation.rss_bytes, "growth of resident memory"

    def _trace(self, wanted: bool | None) -> bool:
        """Return whether an operation is traced from here on; switch the tracer on for it."""
        if wanted is False:
            return False
        if tracemalloc.is_tracing() and not self._tracing_for:
            return True  # somebody else's, and theirs to switch off
        if not tracemalloc.is_tracing():
            # Switching the tracer off while other threads allocate has crashed and has
            # deadlocked CPython (python/cpython#128679, #139116): not unless asked for.
            if wanted is None and threading.active_count() > 1:
                return False
            self._tracing_for = 0
            tracemalloc.start()
        self._tracing_for += 1
        return True

    def _read_traced(self, operation: Operation) -> None:
        if tracemalloc.is_tracing():
            now = self._new_peak()
            operation.net_traced_bytes = now - operation.traced_bytes
            operation.peak_traced_bytes = operation.highest_traced_bytes - operation.traced_bytes

    def _untrace(self) -> None:
        if self._tracing_for:
            self._tracing_for -= 1
            if not self._tracing_for:
                tracemalloc.stop()

    def _new_peak(self) -> int:
        """Return the bytes traced now; let those under way keep the peak, and begin another."""
        now, peak = tracemalloc.get_traced_memory()
        for each in self._under_way:
            if each.traced and peak > each.highest_traced_bytes:
                each.highest_traced_bytes = peak
        tracemalloc.reset_peak()
        return now

    def _rss_bytes(self) -> int | None:
        try:
            if self._process is None:
                self._process = ProcessReader(os.getpid())
            return self._process.residency().rss_bytes
        except MeasurementError:
            return None

    def _on_collection(self, phase: str, _info: dict[str, Any]) -> None:
        """Count a pause for each operation under way: all threads stand still in it."""
        if phase == "start":
            self._pause_started_ns = perf_counter_ns()
        elif self._pause_started_ns:
            pause_ns = perf_counter_ns() - self._pause_started_ns
            for each in self._under_way:
                each.pauses += 1
                each.pause_ns += pause_ns
                each.pause_max_ns = max(each.pause_max_ns, pause_ns)

    def _after_fork(self) -> None:
        """Let the child read itself, and not wait for a thread that it does not have."""
        self._lock = threading.RLock()
        if self._process is not None:
            self._process.close()
            self._process = None


WATCH = Watch()
