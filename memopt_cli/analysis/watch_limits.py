"""What the user of a watch calls harmless, severe, or too much."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memopt_cli import units
from memopt_cli.analysis.leak_outlook import SEVERITIES
from memopt_cli.analysis.results import Severity
from memopt_cli.errors import UsageError
from memopt_cli.scenario.thresholds import parse_expression
from memopt_cli.units import Dimension

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memopt_cli.scenario.thresholds import Expression

METRICS = ("gc_pause", "gc_pause_share", "memory_total", "memory_leak_slope")
"""What a threshold of a watch may judge; `memory_total` is the peak resident set."""


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """What a watch is judged by; without any, a leak alone is crossed."""

    leak_bytes_per_hour: float | None = None
    """A leak that is shown to be slower than this is tolerated."""

    severities: Mapping[Severity, float] = field(default_factory=lambda: dict(SEVERITIES))
    """Bytes per second from which a leak is called so."""

    thresholds: tuple[str, ...] = ()
    """Like ``gc_pause: p(99)<100ms``."""


def limits_of(
    *,
    leak: str | None = None,
    severities: Sequence[str] = (),
    thresholds: Sequence[str] = (),
) -> WatchLimits:
    """
    Return limits as a command line has them.

    Args:
        leak: Like ``1MB/h``.
        severities: Like ``high=500kB/s``; the others keep their defaults.
        thresholds: Like ``gc_pause: p(99)<100ms``.

    Raises:
        UsageError: One of them is written wrongly; the hint says how it is written.
    """
    for text in thresholds:
        threshold(text)
    found = dict(SEVERITIES) | dict(map(_severity, severities))
    ordered = [found[one] for one in (Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)]
    if ordered != sorted(ordered):
        raise UsageError(
            "the severities do not rise", hint="Keep medium below high, and high below critical."
        )
    per_hour = None if leak is None else _bytes_per_s(leak) * 3600
    return WatchLimits(per_hour, found, tuple(thresholds))


def threshold(text: str) -> tuple[str, Expression]:
    """
    Return the metric and the expression of one threshold.

    >>> metric, expression = threshold("gc_pause: p(99)<100ms")
    >>> metric, expression.quantile, expression.limit.value
    ('gc_pause', 0.99, 0.1)

    Raises:
        UsageError: It is written wrongly, or a watch does not measure it.
    """
    metric, colon, expression = (part.strip() for part in text.partition(":"))
    if not colon or metric not in METRICS:
        raise UsageError(
            f"{text!r} is not a threshold of a watch",
            hint=f"Write it like 'gc_pause: p(99)<100ms'; metrics: {', '.join(METRICS)}.",
        )
    try:
        return metric, parse_expression(metric, expression)
    except ValueError as exc:
        what, remedy = exc.args
        raise UsageError(str(what), hint=str(remedy)) from exc


def _severity(text: str) -> tuple[Severity, float]:
    name, equals, limit = (part.strip() for part in text.partition("="))
    if not equals or name not in set(SEVERITIES):
        raise UsageError(
            f"{text!r} is not a limit of a severity",
            hint=f"Write it like high=500kB/s; severities: {', '.join(SEVERITIES)}.",
        )
    return Severity(name), _bytes_per_s(limit)


def _bytes_per_s(text: str) -> float:
    remedy = "Write it like 1MB/h."
    try:
        found = units.parse_quantity(text)
    except ValueError as exc:
        raise UsageError(f"{text!r} is not a growth", hint=remedy) from exc
    if found.dimension is not Dimension.SIZE_RATE or found.value < 0:
        raise UsageError(f"{text!r} is not a size per time, 0 or more", hint=remedy)
    return found.value
