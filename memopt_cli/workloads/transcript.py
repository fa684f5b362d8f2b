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
SHORTEST_TICK_S = 0.01
TURNOVER_SHARE = 0.05
"""
Share of the population that a tick may replace.

Those who arrive in a tick are there at once with those who leave in it, so this is
also the share by which the subject holds more units than a sample says.
"""

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
    that name an arrival rate let the population follow: lifetimes are exponential,
    those that begin within a tick included, so that Little's law holds
    (J. D. C. Little, 1961: population = arrival rate x mean lifetime). Messages
    follow the mean population of the tick.
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
            interval_s: Sampling interval; a whole number of ticks. No tick is longer than a
                second, or than a population takes to replace a twentieth of itself.
            seed: Of all random draws.
        """
        self._load = load
        self._edges = np.cumsum(np.asarray(mix, dtype=np.float64))[:-1]
        self._writes = writes
        self._interval_s = interval_s
        self._random = np.random.default_rng(seed)
        self._live: NDArray[np.uint32] = np.empty(0, np.uint32)
        self._vacant: NDArray[np.uint32] = np.empty(0, np.uint32)
        self._slots_made = 0
        self._owed_arrivals = 0.0

    def __iter__(self) -> Iterator[Tick]:
        at_s = 0.0
        from_units = 0
        for index, stage in enumerate(self._load.stages):
            tick_s = _tick_s(self._load, stage, from_units, self._interval_s)
            for starts_s, ends_s, plateau in _slices(stage, tick_s):
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
        before = len(self._live)
        arrivals, departures, brief = self._turnover(stage, span, from_units)
        leaving = np.concatenate(
            [
                self._random.choice(before, departures, replace=False, shuffle=False),
                np.arange(before, before + brief),
            ]
        )
        slots = self._take_slots(arrivals)
        self._live = np.concatenate([self._live, slots])
        mean_units = before + (arrivals - len(leaving)) / 2
        speakers, codes = self._messages(stage, span[1] - span[0], mean_units)
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
    ) -> tuple[int, int, int]:
        """Return how many arrive in a slice of a stage, leave, and do both."""
        alive = len(self._live)
        if stage.units is not None:
            share = span[1] / stage.duration_s
            growth = round(from_units + (stage.units - from_units) * share) - alive
            # An empty stage is empty: turnover needs somebody to be there.
            wanted = self._arrivals(stage, span) if stage.units and alive else 0
            # Nobody leaves twice, so turnover cannot exceed who is there.
            arrivals = max(growth, min(wanted, alive + growth), 0)
            return arrivals, arrivals - growth, 0
        arrivals = self._arrivals(stage, span)
        if _pattern(self._load, stage).name == "churn":
            return arrivals, min(arrivals, alive), 0
        lifetimes = (span[1] - span[0]) / _lifetime_s(self._load)
        leaves = -math.expm1(-lifetimes)
        gone = int(self._random.binomial(alive, leaves))
        # Who arrives at a random moment of the tick stays to its end with this mean probability.
        stays = leaves / lifetimes
        return arrivals, gone, int(self._random.binomial(arrivals, 1 - stays))

    def _arrivals(self, stage: Stage, span: tuple[float, float]) -> int:
        pattern = _pattern(self._load, stage)
        rate = _arrival_rate_per_s(self._load, stage)
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
        self, stage: Stage, span_s: float, mean_units: float
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
        rate = _message_rate_per_s(self._load, stage)
        alive = len(self._live)
        count = int(self._random.poisson(rate * mean_units * span_s)) if alive else 0
        speakers = self._live[self._random.integers(0, max(1, alive), count)]
        sizes = np.searchsorted(self._edges, self._random.random(count), side="right")
        writes = self._random.random(count) < self._writes
        codes = sizes.astype(np.uint8) | np.where(writes, np.uint8(WRITES), np.uint8(0))
        return speakers, codes


def expected_operations(load: Load) -> float:
    """Return about how many operations a load holds, for an estimate of the time it takes."""
    return sum(
        2 * found.arrivals
        - (found.to_units - found.from_units)
        + _message_rate_per_s(load, stage) * stage.duration_s * found.mean_units
        for stage, found in _outlooks(load)
    )


def peak_units(load: Load) -> int:
    """
    Return about the most units that are there at once, to size structures by.

    Those who arrive in a tick before others leave in it are included, and four
    standard deviations where the population is random.
    """
    return max(found.peak_slots for _, found in _outlooks(load))


@dataclass(frozen=True, slots=True)
class _Outlook:
    """What a stage is expected to bring."""

    from_units: float
    to_units: float
    mean_units: float
    arrivals: float
    peak_slots: int


def _outlooks(load: Load) -> Iterator[tuple[Stage, _Outlook]]:
    from_units = 0.0
    for stage in load.stages:
        found = _outlook(load, stage, from_units)
        yield stage, found
        from_units = found.to_units


def _outlook(load: Load, stage: Stage, from_units: float) -> _Outlook:
    pattern = _pattern(load, stage)
    duration_s = stage.duration_s
    span = (0.0, duration_s)
    arrivals = _arrival_rate_per_s(load, stage) * _pattern_integral(pattern, span, duration_s)
    tick_s = _tick_s(load, stage, round(from_units), LONGEST_TICK_S)
    together = arrivals * tick_s / duration_s
    if stage.units is not None:
        mean_units = (from_units + stage.units) / 2
        turnover = min(arrivals, mean_units * duration_s / tick_s) if stage.units else 0.0
        arrivals = max(turnover, stage.units - from_units)
        peak = max(from_units, stage.units) + (min(together, mean_units) if stage.units else 0.0)
        return _Outlook(from_units, stage.units, mean_units, arrivals, math.ceil(peak))
    if pattern.name == "churn":
        return _Outlook(
            from_units, from_units, from_units, arrivals, math.ceil(from_units + together)
        )
    lifetimes = duration_s / _lifetime_s(load)
    level = arrivals / lifetimes
    mean_units = level + (from_units - level) * -math.expm1(-lifetimes) / lifetimes
    to_units = level + (from_units - level) * math.exp(-lifetimes)
    highest = min(level * _crest(pattern, _lifetime_s(load)), from_units + arrivals)
    peak = max(from_units, highest) + 4 * math.sqrt(highest) + together
    return _Outlook(from_units, to_units, mean_units, arrivals, math.ceil(peak))


def _crest(pattern: Pattern, lifetime_s: float) -> float:
    """Return by how much the highest population of a pattern exceeds its mean, at most."""
    match pattern.name:
        case "ramp":
            return 2.0
        case "sine":
            return 1 + pattern.amplitude
        case "burst":
            # Arrivals at 1/share of the rate for a share of the period, over what was left.
            within = -math.expm1(-pattern.share * pattern.period_s / lifetime_s)
            return within / pattern.share / -math.expm1(-pattern.period_s / lifetime_s)
        case _:
            return 1.0


def _arrival_rate_per_s(load: Load, stage: Stage) -> float:
    rate = stage.arrival_rate_per_s
    return load.arrival_rate_per_s if rate is None else rate


def _message_rate_per_s(load: Load, stage: Stage) -> float:
    rate = stage.message_rate_per_s
    return load.message_rate_per_s if rate is None else rate


def _lifetime_s(load: Load) -> float:
    if load.lifetime_s is None:
        raise AssertionError("the scenario's own check lets no such stage pass")
    return load.lifetime_s


def _pattern(load: Load, stage: Stage) -> Pattern:
    return load.pattern if stage.pattern is None else stage.pattern


def _tick_s(load: Load, stage: Stage, from_units: int, interval_s: float) -> float:
    """Return the length of a stage's ticks: the interval, or a whole part of it."""
    rate = _arrival_rate_per_s(load, stage)
    if stage.units is None and _pattern(load, stage).name != "churn":
        lifetime_s = _lifetime_s(load)
    else:
        lifetime_s = max(from_units, stage.units or 0) / rate if rate else math.inf
    longest_s = LONGEST_TICK_S
    if lifetime_s:
        longest_s = max(SHORTEST_TICK_S, min(longest_s, TURNOVER_SHARE * lifetime_s))
    return interval_s / math.ceil(interval_s / longest_s - _ROUNDING_S)


def _slices(stage: Stage, tick_s: float) -> Iterator[tuple[float, float, bool]]:
    """Yield start, end and whether a plateau is reached, for each tick of a stage."""
    starts_s, number = 0.0, 1
    for left in reversed(range(stage.plateaus)):
        plateau_s = stage.duration_s - stage.duration_s * left / stage.plateaus
        while number * tick_s < plateau_s - _ROUNDING_S:
            yield starts_s, number * tick_s, False
            starts_s, number = number * tick_s, number + 1
        yield starts_s, plateau_s, True
        starts_s = plateau_s
        if number * tick_s < plateau_s + _ROUNDING_S:
            number += 1


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
