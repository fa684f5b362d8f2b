"""What every population speaks: grow, drive, shrink, digest."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from time import perf_counter_ns
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from memopt_cli.profiler.histogram import Histogram

WRITES = 0x80
"""The bit of a message's code that says it writes; the other bits number its size in the mix."""


class Population(Protocol):
    """
    Units under load, inside a subject process.

    A unit is named by its *slot*, a small number that the load gives it and uses
    again after it left. Times are seconds of the scenario.
    """

    @property
    def units(self) -> int:
        """Units alive."""

    def grow(self, slots: Sequence[int], at_s: float) -> None:
        """Begin one unit in each slot."""

    def drive(self, slots: Sequence[int], codes: Sequence[int], at_s: float) -> None:
        """Give the unit in each slot one message of the kind *codes* says."""

    def shrink(self, slots: Sequence[int], at_s: float) -> None:
        """End the unit in each slot."""

    def digest(self) -> str:
        """Return a digest of what all units observably did so far, the living included."""

    def pool(self) -> Mapping[str, float | None] | None:
        """Return the pool's counters, or `None` where the variant has no pool."""


class InProcess(ABC):
    """
    A population of objects in this process, driven one operation at a time.

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
