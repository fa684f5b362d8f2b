"""
A recorder inside the subject, read from outside through shared memory.

It records what only the process itself can know: each pause of the garbage
collector, and the latency of each operation. The collector's callback stores
integers into memory that was made and touched at the start: it keeps no
object, creates no container (so it cannot trigger a collection), takes no
lock, and what it wrote is readable while the process runs and after it was
killed.

Layout, in unsigned 64-bit words: magic, pauses written, pause start (while one
lasts), reserved; one latency histogram; a ring of ``RING`` pauses of three words
(start in ns of CLOCK_MONOTONIC, duration in ns, generation).
"""

from __future__ import annotations

import gc
import mmap
import os
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from memopt_cli.profiler.histogram import NANOSECONDS, WORDS, Histogram

if TYPE_CHECKING:
    from collections.abc import Callable

GENERATIONS = 3
"""Of CPython's garbage collector."""

MAGIC = 0x6D656D6F70743031
RING = 16384
"""Pauses the ring holds; the reader empties it at each sample and says if any were lost."""

_MAGIC, _WRITTEN, _STARTED = 0, 1, 2
_LATENCY = 4
_PAUSES = _LATENCY + WORDS
SIZE_BYTES = 8 * (_PAUSES + 3 * RING)


@dataclass(frozen=True, slots=True)
class Pause:
    """One stop of the program by the garbage collector."""

    started_s: float
    """On CLOCK_MONOTONIC, which all processes of a machine share."""

    duration_ns: int
    generation: int

    @property
    def duration_s(self) -> float:
        """The pause in seconds."""
        return self.duration_ns * NANOSECONDS


def create() -> int:
    """Return the descriptor of fresh shared memory for one recorder, to be inherited."""
    descriptor = os.memfd_create("memopt-recorder", 0)
    os.ftruncate(descriptor, SIZE_BYTES)
    return descriptor


def _map(descriptor: int) -> tuple[mmap.mmap, memoryview]:
    area = mmap.mmap(descriptor, SIZE_BYTES, mmap.MAP_SHARED)
    return area, memoryview(area).cast("Q")


class Recorder:
    """The writing side; lives in the subject."""

    def __init__(self, descriptor: int) -> None:
        self._area, self._words = _map(descriptor)
        # An untouched ring would become resident pause by pause and look like a leak.
        self._area[:] = bytes(SIZE_BYTES)
        self._words[_MAGIC] = MAGIC
        self.latency = Histogram()
        """Latency of operations since `start_stage`; filled by the workload's loop."""
        self._callback = _pause_callback(self._words)

    def install(self) -> None:
        """Begin to record pauses."""
        gc.callbacks.append(self._callback)

    def remove(self) -> None:
        """End recording pauses; what was recorded stays readable."""
        gc.callbacks.remove(self._callback)

    def publish(self) -> None:
        """Copy the latency histogram to where the reader sees it (about 2 us)."""
        self._words[_LATENCY : _LATENCY + WORDS] = memoryview(self.latency.words)

    def start_stage(self) -> None:
        """Empty the latency histogram, in place."""
        memoryview(self.latency.words).cast("B")[:] = bytes(8 * WORDS)
        self.publish()


def _pause_callback(words: memoryview) -> Callable[[str, dict[str, Any]], None]:
    """Return the callback for `gc.callbacks`; all it needs is bound as defaults."""

    def on_collection(
        phase: str,
        info: dict[str, Any],
        words: memoryview = words,
        clock: Callable[[], int] = perf_counter_ns,
    ) -> None:
        if phase == "start":
            words[_STARTED] = clock()
            return
        now = clock()
        started = words[_STARTED]
        at = _PAUSES + 3 * (words[_WRITTEN] % RING)
        words[at] = started
        words[at + 1] = now - started
        words[at + 2] = info["generation"]
        # Last, so that a reader never counts a pause that is half written.
        words[_WRITTEN] += 1

    return on_collection


class RecorderReader:
    """The reading side; lives in the controller and outlives the subject."""

    def __init__(self, descriptor: int) -> None:
        self._area, self._words = _map(descriptor)
        self._seen = 0
        self.lost = 0
        """Pauses that were overwritten before they were read."""

    def close(self) -> None:
        """Unmap the shared memory."""
        self._words.release()
        self._area.close()

    @property
    def installed(self) -> bool:
        """Whether a recorder has ever written here."""
        return bool(self._words[_MAGIC] == MAGIC)

    def pauses(self) -> list[Pause]:
        """Return the pauses since the last call, oldest first."""
        written = self._words[_WRITTEN]
        first = max(self._seen, written - RING)
        self.lost += first - self._seen
        self._seen = written
        return [self._pause(number) for number in range(first, written)]

    def forget(self) -> None:
        """Leave out the pauses until now, those that were lost included."""
        self.pauses()
        self.lost = 0

    def latency(self) -> Histogram:
        """Return a copy of the latency histogram of the current stage."""
        return Histogram.from_bytes(self._words[_LATENCY : _LATENCY + WORDS].tobytes())

    def _pause(self, number: int) -> Pause:
        at = _PAUSES + 3 * (number % RING)
        start, duration, generation = self._words[at : at + 3].tolist()
        return Pause(start * NANOSECONDS, duration, generation)
