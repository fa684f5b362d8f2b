"""What a load will bring, as far as it can be known beforehand: operations, and units at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.workloads import rates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memopt_cli.scenario.model import Load, Pattern, Stage


def expected_operations(load: Load) -> float:
    """Return about how many operations a load holds, for an estimate of the time it takes."""
    return sum(
        2 * found.arrivals
        - (found.to_units - found.from_units)
        + rates.message_rate_per_s(load, stage) * stage.duration_s * found.mean_units
        for stage, found in _outlooks(load)
    )


def expected_requests(load: Load) -> float:
    """Return about how many requests a load of real connections holds; at least one."""
    total = 1.0
    for stage in load.stages:
        units = stage.units or 0
        total += stage.rounds * units * stage.plateaus
        total += rates.message_rate_per_s(load, stage) * stage.duration_s * units
    return total


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
    pattern = rates.pattern_of(load, stage)
    duration_s = stage.duration_s
    span = (0.0, duration_s)
    arrivals = rates.arrival_rate_per_s(load, stage) * rates.pattern_integral(
        pattern, span, duration_s
    )
    tick_s = rates.tick_s(load, stage, round(from_units), rates.LONGEST_TICK_S)
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
    lifetimes = duration_s / rates.lifetime_s(load)
    level = arrivals / lifetimes
    mean_units = level + (from_units - level) * -math.expm1(-lifetimes) / lifetimes
    to_units = level + (from_units - level) * math.exp(-lifetimes)
    highest = min(level * _crest(pattern, rates.lifetime_s(load)), from_units + arrivals)
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
