"""What every population speaks: grow, drive, shrink, digest."""

from __future__ import annotations

import hashlib
import sys
from abc import ABC, abstractmethod
from collections import deque
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from memopt_cli.profiler.histogram import Histogram

WRITES = 0x80
"""The bit of a message's code that says it writes; the other bits number its size in the mix."""

_DEQUE_SLOTS, _DEQUE_BLOCK_BYTES = 64, 544
"""A deque takes a block of 528 bytes, and malloc 16 more for it, after so many items."""

_BYTES_HEADER = sys.getsizeof(b"")
_MALLOC_HEADER = 8
_ALIGNMENT = 16
_SMALL_OBJECT_BYTES = 512
_SMALLEST_BYTES = 48


class Forgotten:
    """
    A planted fault: memory that nobody will ever ask for again, exact to the byte on average.

    Allocators round: what one call cannot forget exactly is carried over to the next. So is
    what the container takes; a list would take up to an eighth more than it holds.
    """

    __slots__ = ("_bytes_each", "_kept", "_owed_bytes")

    def __init__(self, bytes_each: int) -> None:
        self._bytes_each = bytes_each
        self._owed_bytes = 0
        self._kept: deque[bytes] = deque()

    def forget(self) -> None:
        """Keep as many bytes as one call is told to."""
        self._owed_bytes += self._bytes_each
        payload = payload_bytes(self._owed_bytes)
        if payload is not None:
            self._kept.append(b"x" * payload)
            self._owed_bytes -= occupied_bytes(payload)
            if not len(self._kept) % _DEQUE_SLOTS:
                self._owed_bytes -= _DEQUE_BLOCK_BYTES


def payload_bytes(size: int) -> int | None:
    """
    Return the length of the bytes object that occupies *size* bytes, or less by up to 15.

    `None` if no object is as small. CPython's allocator and malloc both hand out
    multiples of 16; malloc, which serves what is above 512, keeps 8 for itself.

    >>> payload_bytes(64), payload_bytes(1024), payload_bytes(47)
    (31, 983, None)
    """
    if size < _SMALLEST_BYTES:
        return None
    whole = size - size % _ALIGNMENT
    return whole - _BYTES_HEADER - (_MALLOC_HEADER if whole > _SMALL_OBJECT_BYTES else 0)


def occupied_bytes(payload: int) -> int:
    """Return what a bytes object that `payload_bytes` gave the length of occupies."""
    size = payload + _BYTES_HEADER
    return size + _MALLOC_HEADER if size > _SMALL_OBJECT_BYTES else size


class InProcess(ABC):
    """
    A population of objects in a subject's process, driven one operation at a time.

    A unit is named by its *slot*, a small number that the load gives it and uses
    again after it left. Times are seconds of the scenario.

    Only the operation itself is timed. What a unit did is observed as it ends,
    outside the timing: a state that lost a field on the way shows in the digest.
    """

    def __init__(self, latency: Histogram) -> None:
        self._record: Callable[[int], None] = latency.record
        self._observed = hashlib.blake2b(digest_size=16)

    @property
    @abstractmethod
    def units(self) -> int:
        """Units alive."""

    @abstractmethod
    def open(self, slot: int, at_s: float) -> None:
        """Begin one unit."""

    @abstractmethod
    def message(self, slot: int, code: int, at_s: float) -> None:
        """Do one message's work."""

    @abstractmethod
    def close(self, slot: int, at_s: float) -> None:
        """End one unit."""

    @abstractmethod
    def observe(self, slot: int) -> bytes:
        """Return all that the unit in *slot* remembers, as bytes equal for every variant."""

    @abstractmethod
    def alive(self) -> Sequence[int]:
        """Return the slots in use, in order."""

    def pool(self) -> Mapping[str, float | None] | None:
        """Return the pool's counters; a population without a pool has none."""
        return None

    def probe(
        self, message: dict[str, Any], blocks: list[bytes]
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Do what the controller wants to see of the population; most have nothing to show."""
        raise NotImplementedError

    def grow(self, slots: Sequence[int], at_s: float) -> None:
        """Begin one unit in each slot."""
        record, open_ = self._record, self.open
        for slot in slots:
            started = perf_counter_ns()
            open_(slot, at_s)
            record(perf_counter_ns() - started)

    def drive(self, slots: Sequence[int], codes: Sequence[int], at_s: float) -> None:
        """Give the unit in each slot one message."""
        record, message = self._record, self.message
        for slot, code in zip(slots, codes, strict=True):
            started = perf_counter_ns()
            message(slot, code, at_s)
            record(perf_counter_ns() - started)

    def shrink(self, slots: Sequence[int], at_s: float) -> None:
        """End the unit in each slot."""
        record, close = self._record, self.close
        for slot in slots:
            self._observed.update(self.observe(slot))
            started = perf_counter_ns()
            close(slot, at_s)
            record(perf_counter_ns() - started)

    def digest(self) -> str:
        """Return a digest of what all units observably did so far, the living included."""
        digest = self._observed.copy()
        for slot in self.alive():
            digest.update(self.observe(slot))
        return digest.hexdigest()
