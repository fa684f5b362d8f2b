"""
Inside a subject: agents that are made, used and ended once the run's readings are over.

Somebody outside reads the memory between the steps; what can only be known inside is told:
the parts of a step, and the lines whose memory stays.
"""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from memopt_cli.workloads.agents.parts import PERCEIVE, PLAN, UPDATE, told_apart

if TYPE_CHECKING:
    from memopt_cli.workloads.agents.population import Agents

STEPS: Final = 10
"""Of each agent in each round."""

ROUNDS_TRACED: Final = 5
_SHARE_TOLD: Final = 0.05
"""Of all that stays: lines with less are not told."""

_ROOT: Final = Path(__file__).parents[3]
_OWN: Final = (tracemalloc.__file__, __file__)


class Profiling:
    """Rounds of agents in the slots that are free."""

    def __init__(self, population: Agents, slots: list[int], at_s: float) -> None:
        self._population, self._slots, self._at_s = population, slots, at_s

    def answer(self, what: str) -> dict[str, Any]:
        """Do what is asked for: a part of a round, or to trace whole ones."""
        match what:
            case "grow":
                self._population.grow(self._slots, self._at_s)
            case "use":
                return self._used()
            case "shrink":
                self._population.shrink(self._slots, self._at_s)
                gc.collect()
            case "trace":
                return self._traced()
            case _:
                return {"lines": self._lines()}
        return {"agents": len(self._slots)}

    def _used(self) -> dict[str, Any]:
        """Let all agents do their steps; return the nanoseconds of each part."""
        with self._population.in_one_thread(), told_apart(self._population.minds) as meter:
            self._drive()
        return {"steps": STEPS * len(self._slots), "ns": self._of_parts(meter.took_ns)}

    def _traced(self) -> dict[str, Any]:
        """Do a round; return what the parts of a step kept, and the most that they held."""
        self._population.grow(self._slots, self._at_s)
        # What the first step makes for good is not any step's.
        self._drive()
        tracemalloc.start()
        try:
            with self._population.in_one_thread(), told_apart(self._population.minds) as meter:
                self._drive()
        finally:
            tracemalloc.stop()
        self._population.shrink(self._slots, self._at_s)
        parts = self._of_parts
        return {"kept": parts(meter.kept_bytes), "peak": parts(meter.peak_bytes)}

    def _lines(self) -> list[tuple[str, float]]:
        """Return the lines whose memory outlives the agents, and bytes for each that ended."""
        tracemalloc.start()
        try:
            self._round()
            before = tracemalloc.take_snapshot()
            for _ in range(ROUNDS_TRACED):
                self._round()
            after = tracemalloc.take_snapshot()
        finally:
            tracemalloc.stop()
        ended = ROUNDS_TRACED * len(self._slots)
        grown = [
            (f"{_named(each.traceback[0].filename)}:{each.traceback[0].lineno}", each.size_diff)
            for each in after.compare_to(before, "lineno")
            if each.size_diff > 0 and each.traceback[0].filename not in _OWN
        ]
        least = _SHARE_TOLD * sum(size for _, size in grown)
        return [(place, size / ended) for place, size in sorted(grown, key=_size) if size >= least]

    def _round(self) -> None:
        self._population.grow(self._slots, self._at_s)
        self._drive()
        self._population.shrink(self._slots, self._at_s)
        gc.collect()

    def _drive(self) -> None:
        for _ in range(STEPS):
            self._population.drive(self._slots, bytes(len(self._slots)), self._at_s)

    @staticmethod
    def _of_parts(values: dict[str, int]) -> dict[str, int]:
        return {part: values[part] for part in (PERCEIVE, UPDATE, PLAN)}


def _size(line: tuple[str, int]) -> int:
    return -line[1]


def _named(file: str) -> str:
    """Return a file of memopt's own as it is named in its package."""
    path = Path(file)
    return str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else file
