"""What a stage asks for per second: its own rates or the load's, and how patterns spread them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memopt_cli.scenario.model import Load, Pattern, Stage

LONGEST_TICK_S = 1.0
SHORTEST_TICK_S = 0.01
TURNOVER_SHARE = 0.05
"""
Share of the population that a tick may replace.

Those who arrive in a tick are there at once with those who leave in it, so this is
also the share by which the subject holds more units than a sample says.
"""

ROUNDING_S = 1e-9
"""Times that differ by less are the same; what sums of floats are off by is far below."""


def arrival_rate_per_s(load: Load, stage: Stage) -> float:
    """Return the stage's arrival rate, or the load's."""
    rate = stage.arrival_rate_per_s
    return load.arrival_rate_per_s if rate is None else rate


def message_rate_per_s(load: Load, stage: Stage) -> float:
    """Return the stage's messages per unit and second, or the load's."""
    rate = stage.message_rate_per_s
    return load.message_rate_per_s if rate is None else rate


def lifetime_s(load: Load) -> float:
    """Return the mean lifetime, which a load with open stages has."""
    if load.lifetime_s is None:
        raise AssertionError("the scenario's own check lets no such stage pass")
    return load.lifetime_s


def pattern_of(load: Load, stage: Stage) -> Pattern:
    """Return the stage's pattern of arrivals, or the load's."""
    return load.pattern if stage.pattern is None else stage.pattern


def tick_s(load: Load, stage: Stage, from_units: int, interval_s: float) -> float:
    """Return the length of a stage's ticks: the interval, or a whole part of it."""
    rate = arrival_rate_per_s(load, stage)
    if stage.units is None and pattern_of(load, stage).name != "churn":
        renewed_s = lifetime_s(load)
    else:
        renewed_s = max(from_units, stage.units or 0) / rate if rate else math.inf
    longest_s = LONGEST_TICK_S
    if renewed_s:
        longest_s = max(SHORTEST_TICK_S, min(longest_s, TURNOVER_SHARE * renewed_s))
    return interval_s / math.ceil(interval_s / longest_s - ROUNDING_S)


def pattern_integral(pattern: Pattern, span: tuple[float, float], duration_s: float) -> float:
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
