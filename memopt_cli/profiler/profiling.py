"""Samples a process at an interval, from a thread, until stopped."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from memopt_cli.errors import MeasurementError, SubjectDied
from memopt_cli.profiler.process import ProcessReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


@dataclass(frozen=True, slots=True)
class Point:
    """One reading of the interval sampler; sizes in bytes."""

    at_s: float
    """Since the start."""

    rss_bytes: int
    anonymous_bytes: int
    cpu_s: float
    threads: int
    fds: int


class Profiler:
    """
    Reads a process every *interval_s*, first at the start; a context manager.

    A reading costs about 10 us. Ends by itself when the process does.
    """

    def __init__(
        self,
        pid: int | None = None,
        *,
        interval_s: float = 1.0,
        limit: int = 100_000,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            pid: The process; this one by default.
            interval_s: Between two readings.
            limit: Readings that are kept, the latest ones.
            now: A clock, in seconds.

        Raises:
            MeasurementError: The process may not be read.
            SubjectDied: There is no such process.
        """
        self._reader = ProcessReader(os.getpid() if pid is None else pid)
        self._interval_s = interval_s
        self._points: deque[Point] = deque(maxlen=limit)
        self._now = now
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._started_s = 0.0
        self._stopped_s: float | None = None
        self._error: MeasurementError | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def points(self) -> tuple[Point, ...]:
        """The readings so far, oldest first."""
        return tuple(self._points)

    @property
    def duration_s(self) -> float:
        """From the start to the stop, or to now; 0 before the start."""
        if self._thread is None:
            return 0.0
        return (self._now() if self._stopped_s is None else self._stopped_s) - self._started_s

    def start(self) -> None:
        """Begin; a second call does nothing."""
        if self._thread is None and self._stopped_s is None:
            self._started_s = self._now()
            self._thread = threading.Thread(target=self._work, name="memopt-profiler", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """
        End; a second call does nothing. The readings stay.

        Raises:
            MeasurementError: Reading became impossible before; the readings up to then stay.
        """
        if self._stopped_s is not None:
            return
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._stopped_s = self._now()
        self._reader.close()
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        number = 0
        while not self._stopping.is_set():
            try:
                self._points.append(self._read())
            except SubjectDied:
                return
            except MeasurementError as exc:
                self._error = exc
                return
            number += 1
            # From the start, not from the last reading: delays must not add up.
            due_s = self._started_s + number * self._interval_s
            self._stopping.wait(max(0.0, due_s - self._now()))

    def _read(self) -> Point:
        residency, activity = self._reader.residency(), self._reader.activity()
        return Point(
            at_s=self._now() - self._started_s,
            rss_bytes=residency.rss_bytes,
            anonymous_bytes=residency.anonymous_bytes,
            cpu_s=activity.cpu_s,
            threads=activity.threads,
            fds=activity.fds,
        )
