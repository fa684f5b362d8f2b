"""
The load as a transcript: which unit arrives, speaks and leaves in each tick.

The transcript is made from the scenario and its seed alone, outside the
subject, so every variant gets the same one and pays nothing for making it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from memopt_cli.workloads.population import WRITES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from memopt_cli.scenario.model import Load, Pattern, Stage

LONGEST_TICK_S = 1.0
_ROUNDING_S = 1e-9


@dataclass(frozen=True, slots=True)
class Tick:
    """
    A slice of scenario time and all that happens in it: arrivals, messages, departures.

    Slots are unsigned 32-bit integers as bytes, message codes unsigned 8-bit.
    """

    stage: int
    """Index of the stage that the tick belongs to."""

    ends_s: float
    """Scenario time at its end, when a sample may be taken."""

    arrivals: bytes
    message_slots: bytes
    message_codes: bytes
    departures: bytes
    units: int
    """Units alive at its end."""

    is_plateau: bool
    """Whether memory is to be read exactly at its end."""

    ends_stage: bool

    @property
    def operations(self) -> int:
        """Arrivals, messages and departures together."""
        return len(self.arrivals) // 4 + len(self.message_codes) + len(self.departures) // 4


class Transcript:
    """
    Iterates the ticks of a load; the same load, mix and seed give the same ticks.

    Stages that name a population follow a straight line to it; arrivals are then
    at least what growth needs, and the arrival rate beyond that is turnover. Stages
    that name an arrival rate let the population follow: each unit leaves with
    probability 1 - exp(-dt / lifetime) per tick, so that Little's law holds
    (J. D. C. Little, 1961: population = arrival rate x mean lifetime).
    """

    def __init__(
        self,
        load: Load,
        *,
        mix: Sequence[float] = (1.0,),
        writes: float = 0.0,
        interval_s: float = LONGEST_TICK_S,
        seed: int,
    ) -> None:
        """
        Args:
            load: The scenario's load.
            mix: Share of each message size, in the order of the scenario's mix.
            writes: Share of messages that write.
            interval_s: Sampling interval; a tick is never longer, nor than a second.
            seed: Of all random draws.
        """
        self._load = load
        self._edges = np.cumsum(np.asarray(mix, dtype=np.float64))[:-1]
        self._writes = writes
        self._tick_s = min(interval_s, LONGEST_TICK_S)
        self._random = np.random.default_rng(seed)
        self._live: NDArray[np.uint32] = np.empty(0, np.uint32)
        self._vacant: NDArray[np.uint32] = np.empty(0, np.uint32)
        self._slots_made = 0
        self._owed_arrivals = 0.0

    def __iter__(self) -> Iterator[Tick]:
        at_s = 0.0
        from_units = 0
        for index, stage in enumerate(self._load.stages):
            for starts_s, ends_s, plateau in _slices(stage, self._tick_s):
                yield self._tick(
                    index,
                    stage,
                    at_s=at_s,
                    span=(starts_s, ends_s),
                    from_units=from_units,
                    plateau=plateau,
                )
            at_s += stage.duration_s
            from_units = len(self._live)

    def _tick(
        self,
        index: int,
        stage: Stage,
        *,
        at_s: float,
        span: tuple[float, float],
        from_units: int,
        plateau: bool,
    ) -> Tick:
        arrivals, departures = self._turnover(stage, span, from_units)
        # Those who leave were there before the tick: a unit lives at least one.
        leaving = self._random.choice(len(self._live), departures, replace=False, shuffle=False)
        slots = self._take_slots(arrivals)
        self._live = np.concatenate([self._live, slots])
        speakers, codes = self._messages(stage, span[1] - span[0])
        gone = self._live[leaving]
        self._live = np.delete(self._live, leaving)
        self._vacant = np.concatenate([self._vacant, gone])
        return Tick(
            stage=index,
            ends_s=at_s + span[1],
            arrivals=slots.tobytes(),
            message_slots=speakers.tobytes(),
            message_codes=codes.tobytes(),
            departures=gone.tobytes(),
            units=len(self._live),
            is_plateau=plateau,
            ends_stage=stage.duration_s - span[1] < _ROUNDING_S,
        )

    def _turnover(
        self, stage: Stage, span: tuple[float, float], from_units: int
    ) -> tuple[int, int]:
        """Return how many units arrive and leave in a slice of a stage."""
        alive = len(self._live)
        if stage.units is not None:
            share = span[1] / stage.duration_s
            growth = round(from_units + (stage.units - from_units) * share) - alive
            # An empty stage is empty: turnover needs somebody to be there.
            wanted = self._arrivals(stage, span) if stage.units and alive else 0
            # Nobody leaves twice, so turnover cannot exceed who is there.
            arrivals = max(growth, min(wanted, alive + growth), 0)
            return arrivals, arrivals - growth
        arrivals = self._arrivals(stage, span)
        return arrivals, self._leavers(stage, span[1] - span[0], arrivals)

    def _leavers(self, stage: Stage, span_s: float, arrivals: int) -> int:
        alive = len(self._live)
        if _pattern(self._load, stage).name == "churn":
            return min(arrivals, alive)
        if self._load.lifetime_s is None:
            raise AssertionError("the scenario's own check lets no such stage pass")
        leaves = -math.expm1(-span_s / self._load.lifetime_s)
        return int(self._random.binomial(alive, leaves))

    def _arrivals(self, stage: Stage, span: tuple[float, float]) -> int:
        rate = stage.arrival_rate_per_s
        rate = self._load.arrival_rate_per_s if rate is None else rate
        pattern = _pattern(self._load, stage)
        expected = rate * _pattern_integral(pattern, span, stage.duration_s)
        if pattern.name == "poisson":
            return int(self._random.poisson(expected))
        self._owed_arrivals += expected
        arrivals = math.floor(self._owed_arrivals + _ROUNDING_S)
        self._owed_arrivals -= arrivals
        return arrivals

    def _take_slots(self, count: int) -> NDArray[np.uint32]:
        """Return vacant slots, the latest left first, and new ones after them."""
        again = min(count, len(self._vacant))
        kept = len(self._vacant) - again
        used, self._vacant = self._vacant[kept:][::-1], self._vacant[:kept]
        fresh = np.arange(self._slots_made, self._slots_made + count - again, dtype=np.uint32)
        self._slots_made += count - again
        return np.concatenate([used, fresh])

    def _messages(
        self, stage: Stage, span_s: float
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
        rate = stage.message_rate_per_s
        rate = self._load.message_rate_per_s if rate is None else rate
        alive = len(self._live)
        count = int(self._random.poisson(rate * alive * span_s)) if alive and rate else 0
        speakers = self._live[self._random.integers(0, max(1, alive), count)]
        sizes = np.searchsorted(self._edges, self._random.random(count), side="right")
        writes = self._random.random(count) < self._writes
        codes = sizes.astype(np.uint8) | np.where(writes, np.uint8(WRITES), np.uint8(0))
        return speakers, codes


def expected_operations(load: Load) -> float:
    """Return about how many operations a load holds, for an estimate of the time it takes."""
    total, from_units = 0.0, 0.0
    for stage in load.stages:
        rate = load.arrival_rate_per_s
        rate = rate if stage.arrival_rate_per_s is None else stage.arrival_rate_per_s
        speaking = load.message_rate_per_s
        speaking = speaking if stage.message_rate_per_s is None else stage.message_rate_per_s
        if stage.units is None:
            to_units = rate * (load.lifetime_s or stage.duration_s)
        else:
            to_units = stage.units
            rate = rate if stage.units else 0.0
        turnover = max(2 * rate * stage.duration_s, abs(to_units - from_units))
        total += turnover + speaking * stage.duration_s * (from_units + to_units) / 2
        from_units = to_units
    return total


def peak_units(load: Load) -> int:
    """Return the largest population that the load is written for, to size structures by."""
    lifetime_s = load.lifetime_s or 0.0
    return max(
        math.ceil((stage.arrival_rate_per_s or 0.0) * lifetime_s)
        if stage.units is None
        else stage.units
        for stage in load.stages
    )


def _pattern(load: Load, stage: Stage) -> Pattern:
    return load.pattern if stage.pattern is None else stage.pattern


def _slices(stage: Stage, tick_s: float) -> Iterator[tuple[float, float, bool]]:
    """Yield start, end and whether a plateau is reached, for each tick of a stage."""
    edges = {round(part * stage.duration_s / stage.plateaus, 9) for part in range(stage.plateaus)}
    plateaus = edges - {0.0} | {stage.duration_s}
    ticks = math.ceil(stage.duration_s / tick_s - _ROUNDING_S)
    inner = {round(number * tick_s, 9) for number in range(1, ticks)}
    starts_s = 0.0
    for ends_s in sorted(inner | plateaus):
        if ends_s - starts_s > _ROUNDING_S:
            yield starts_s, ends_s, ends_s in plateaus
            starts_s = ends_s


def _pattern_integral(pattern: Pattern, span: tuple[float, float], duration_s: float) -> float:
    """Return the integral over *span* of the factor a pattern puts on the arrival rate."""
    start, end = span
    match pattern.name:
        case "ramp":
            return (end**2 - start**2) / (2 * duration_s)
        case "sine":
            turn = 2 * math.pi / pattern.period_s
            waves = math.cos(turn * start) - math.cos(turn * end)
            return (end - start) + pattern.amplitude * waves / turn
        case "burst":
            return _burst_until(end, pattern) - _burst_until(start, pattern)
        case _:
            return end - start


def _burst_until(at_s: float, pattern: Pattern) -> float:
    """Return the integral from 0 to *at_s* of a burst: all of a period in its first share."""
    periods, within = divmod(at_s, pattern.period_s)
    return pattern.period_s * (periods + min(1.0, within / (pattern.share * pattern.period_s)))
