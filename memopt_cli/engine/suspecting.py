"""Notices in the readings of a process that its memory drifts up, without asking it anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.analysis.drift import drift

if TYPE_CHECKING:
    from memopt_cli.analysis.watching import Reading

FEWEST = 16
"""Readings, before anything is suspected."""

CHECK_EVERY = 4
MOST_POINTS = 256
"""Kept of each figure: from there on every other one is dropped, and every other one added."""


class _Series:
    """Points of one figure, evenly thinned."""

    def __init__(self) -> None:
        self._at_s: list[float] = []
        self._values: list[float] = []
        self._stride, self._seen = 1, 0

    def add(self, at_s: float, value: float) -> None:
        self._seen += 1
        if self._seen % self._stride:
            return
        self._at_s.append(at_s)
        self._values.append(value)
        if len(self._at_s) > MOST_POINTS:
            del self._at_s[::2], self._values[::2]
            self._stride *= 2

    def drifts_up(self) -> bool:
        """Return whether the second half drifts up beyond doubt."""
        half = len(self._at_s) // 2
        found = drift(self._at_s[half:], self._values[half:])
        return found is not None and found.low > 0


class Suspicion:
    """
    Watches three figures of one process; a suspicion is cheap, and often wrong.

    It only begins an investigation: with three figures that are checked again and
    again, a steady program is suspected sooner or later, and then nothing is found.
    """

    def __init__(self) -> None:
        self._readings = 0
        self._blocks, self._malloc, self._resident = _Series(), _Series(), _Series()

    def see(self, reading: Reading) -> bool:
        """Take notice of a reading; return whether something drifts up."""
        self._readings += 1
        self._resident.add(reading.at_s, reading.resident_anonymous_bytes)
        if reading.allocated_blocks is not None:
            self._blocks.add(reading.at_s, reading.allocated_blocks)
        if reading.malloc_in_use_bytes is not None:
            self._malloc.add(reading.at_s, reading.malloc_in_use_bytes)
        if self._readings < FEWEST or self._readings % CHECK_EVERY:
            return False
        return any(each.drifts_up() for each in (self._blocks, self._malloc, self._resident))
