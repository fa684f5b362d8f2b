"""
Alerts: what a person wants to be told of while something runs, with two severities.

An alert is no verdict: it has no interval and fails nothing. It fires as soon as a value
is beyond its limit, and is silent again only when the value is a tenth inside of it, so
that a value that swings around a limit is told once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from memopt_cli.units import Dimension

if TYPE_CHECKING:
    from collections.abc import Iterable

HYSTERESIS = 0.1
"""By so much of the limit a value must be inside of it for its alert to end."""

_MB_PER_HOUR = 1e6 / 3600


class Level(StrEnum):
    """How bad it is."""

    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A value with its limits; beyond means above, unless less is worse."""

    name: str
    title: str
    dimension: Dimension
    warning: float
    critical: float | None = None
    """`None` where there is only one limit."""

    less_is_worse: bool = False
    unit: str = ""
    """Only of these units, as in ``connections``; of any if empty."""

    @property
    def limits(self) -> dict[Level, float]:
        """The limit of each severity that there is, in SI units."""
        told = {Level.WARNING: self.warning, Level.CRITICAL: self.critical}
        return {level: limit for level, limit in told.items() if limit is not None}

    def beyond(self, value: float, limit: float) -> bool:
        """Return whether a value is beyond a limit; at it, it is not."""
        return value < limit if self.less_is_worse else value > limit

    def clear(self, limit: float) -> float:
        """Return what a value must no longer be beyond for its alert to end."""
        return limit * (1 + HYSTERESIS if self.less_is_worse else 1 - HYSTERESIS)


@dataclass(frozen=True, slots=True)
class Alert:
    """One time that an alert fired, from the first value beyond a limit to the first inside."""

    rule: AlertRule
    owner: str
    """The variant, or the process of a watch."""

    level: Level
    """The worst it came to."""

    worst: float
    began_s: float
    """Scenario time, or since the watch began."""

    ended_s: float | None
    """`None` if it fired to the end."""


def fired(rule: AlertRule, points: Iterable[tuple[float, float]], *, owner: str) -> list[Alert]:
    """
    Return each time that a series was beyond a limit of a rule.

    Args:
        rule: Its limits.
        points: Time in seconds and the value in SI units, in order of time.
        owner: Whose series it is.
    """
    found: list[Alert] = []
    firing: set[Level] = set()
    began_s: float | None = None
    level, worst = Level.WARNING, 0.0
    for at_s, value in points:
        firing = {
            one
            for one, limit in rule.limits.items()
            if rule.beyond(value, rule.clear(limit) if one in firing else limit)
        }
        if firing and began_s is None:
            began_s, level, worst = at_s, Level.WARNING, value
        if firing:
            worst = value if rule.beyond(value, worst) else worst
            level = Level.CRITICAL if Level.CRITICAL in firing else level
        elif began_s is not None:
            found.append(Alert(rule, owner, level, worst, began_s, at_s))
            began_s = None
    if began_s is not None:
        found.append(Alert(rule, owner, level, worst, began_s, None))
    return found


MEMORY_PER_CONNECTION = AlertRule(
    "MemoptMemoryPerConnection",
    "memory per connection",
    Dimension.SIZE,
    2.5e6,
    3.0e6,
    unit="connections",
)
MEMORY_PER_AGENT = AlertRule(
    "MemoptMemoryPerAgent", "memory per agent", Dimension.SIZE, 15e6, unit="agents"
)
POOL_REUSE = AlertRule(
    "MemoptPoolReuse", "pool reuse", Dimension.RATIO, 0.7, 0.5, less_is_worse=True
)
GC_PAUSE = AlertRule("MemoptGcPause", "longest GC pause", Dimension.DURATION, 0.080, 0.150)
GC_SHARE = AlertRule("MemoptGcShare", "collecting, share of CPU time", Dimension.RATIO, 0.1)
GROWTH = AlertRule(
    "MemoptGrowth",
    "growth while steady",
    Dimension.SIZE_RATE,
    5 * _MB_PER_HOUR,
    10 * _MB_PER_HOUR,
)
MEMORY_USED = AlertRule("MemoptMemoryUsed", "share of the machine's memory", Dimension.RATIO, 0.8)

RULES = (
    MEMORY_PER_CONNECTION,
    MEMORY_PER_AGENT,
    POOL_REUSE,
    GC_PAUSE,
    GC_SHARE,
    GROWTH,
    MEMORY_USED,
)
"""All rules; a run is told by each, a watch by those that need no units."""
