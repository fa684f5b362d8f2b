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
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from memopt_cli.analysis.recording import Sample, VariantRecording
    from memopt_cli.analysis.results import VariantFindings

HYSTERESIS = 0.1
"""By so much of the limit a value must be inside of it for its alert to end."""

_ENOUGH_UNITS = 0.1
"""Below this share of the peak, what a process costs anyway is not divided by its units."""

_RECENT = 10
"""Samples over which a share of time is taken."""

_MB_PER_HOUR = 1e6 / 3600

Points = list[tuple[float, float]]
"""Scenario time in seconds, and the value in SI units."""


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
    points: Callable[[_Watched], Points]
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
    variant: str
    level: Level
    """The worst it came to."""

    worst: float
    began_s: float
    """Scenario time."""

    ended_s: float | None
    """`None` if it fired to the end."""


@dataclass(frozen=True, slots=True)
class _Watched:
    recording: VariantRecording
    findings: VariantFindings
    memory_bytes: float | None


def alerts(
    recording: VariantRecording, findings: VariantFindings, *, memory_bytes: float | None
) -> list[Alert]:
    """
    Return every alert of a variant, in the order of the rules.

    Args:
        recording: Its samples.
        findings: Its figures.
        memory_bytes: What the machine has, if it told.
    """
    watched = _Watched(recording, findings, memory_bytes)
    return [
        alert
        for rule in RULES
        if rule.unit in {"", recording.unit}
        for alert in fired(rule, rule.points(watched), variant=findings.label)
    ]


def fired(rule: AlertRule, points: Iterable[tuple[float, float]], *, variant: str) -> list[Alert]:
    """Return each time that a series was beyond a limit of a rule."""
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
            found.append(Alert(rule, variant, level, worst, began_s, at_s))
            began_s = None
    if began_s is not None:
        found.append(Alert(rule, variant, level, worst, began_s, None))
    return found


def _per_unit(watched: _Watched) -> Points:
    """Return memory above what the process had before its first unit, by unit."""
    samples, empty_bytes = watched.recording.samples, None
    enough = _ENOUGH_UNITS * max((one.units for one in samples), default=0)
    found = []
    for one in samples:
        if not one.units:
            # What is kept after a population has gone is not charged to the next.
            empty_bytes = one.resident_anonymous_bytes if empty_bytes is None else empty_bytes
        elif empty_bytes is not None and one.units >= enough:
            found.append((one.at_s, (one.resident_anonymous_bytes - empty_bytes) / one.units))
    return found


def _reuse(watched: _Watched) -> Points:
    """Return the share of acquires that got a used object, since the population was full."""
    samples = watched.recording.samples
    peak = max((one.units for one in samples), default=0)
    full = next((n for n, one in enumerate(samples) if one.units >= peak), len(samples))
    return list(_reused(samples[full:])) if watched.recording.has_pool else []


def _reused(samples: Sequence[Sample]) -> Iterator[tuple[float, float]]:
    known = [
        (one.at_s, one.pool_created, one.pool_reused)
        for one in samples
        if one.pool_created is not None and one.pool_reused is not None
    ]
    for at_s, created, reused in known[1:]:
        _, first_created, first_reused = known[0]
        acquired = created - first_created + reused - first_reused
        if acquired:
            yield at_s, (reused - first_reused) / acquired


def _pauses(watched: _Watched) -> Points:
    recording = watched.recording
    if not recording.recorder_installed:
        return []
    return [(one.at_s, one.gc_pause_max_s) for one in recording.samples]


def _collecting(watched: _Watched) -> Points:
    samples = watched.recording.samples if watched.recording.recorder_installed else ()
    found = []
    for number in range(_RECENT, len(samples)):
        recent = samples[number - _RECENT : number + 1]
        cpu_s = recent[-1].cpu_s - recent[0].cpu_s
        if cpu_s > 0:
            found.append((recent[-1].at_s, sum(one.gc_pause_s for one in recent[1:]) / cpu_s))
    return found


def _growth(watched: _Watched) -> Points:
    """Return growth that its interval tells from none, at the end of the samples."""
    slope, samples = watched.findings.leak.slope_bytes_per_s, watched.recording.samples
    return [(samples[-1].at_s, slope.value)] if slope and slope.low > 0 and samples else []


def _used(watched: _Watched) -> Points:
    if not watched.memory_bytes:
        return []
    return [(one.at_s, one.rss_bytes / watched.memory_bytes) for one in watched.recording.samples]


RULES = (
    AlertRule(
        "MemoptMemoryPerConnection",
        "memory per connection",
        Dimension.SIZE,
        _per_unit,
        2.5e6,
        3.0e6,
        unit="connections",
    ),
    AlertRule(
        "MemoptMemoryPerAgent", "memory per agent", Dimension.SIZE, _per_unit, 15e6, unit="agents"
    ),
    AlertRule(
        "MemoptPoolReuse",
        "pool reuse",
        Dimension.RATIO,
        _reuse,
        0.7,
        0.5,
        less_is_worse=True,
    ),
    AlertRule("MemoptGcPause", "longest GC pause", Dimension.DURATION, _pauses, 0.080, 0.150),
    AlertRule("MemoptGcShare", "collecting, share of CPU time", Dimension.RATIO, _collecting, 0.1),
    AlertRule(
        "MemoptGrowth",
        "growth while steady",
        Dimension.SIZE_RATE,
        _growth,
        5 * _MB_PER_HOUR,
        10 * _MB_PER_HOUR,
    ),
    AlertRule("MemoptMemoryUsed", "share of the machine's memory", Dimension.RATIO, _used, 0.8),
)
"""The rules that every run is told by."""
