"""The alerts of a run or a watch, as the reports and documents have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from memopt_cli.analysis.alerts import Level
from memopt_cli.report.tables import table
from memopt_cli.units import format_duration, format_quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.alerts import Alert, AlertRule

_WHAT = (
    "An alert tells of a value that was beyond a limit for a while. It has no interval and fails "
    "nothing; it ends when the value is a tenth inside of the limit."
)

_MOST_LINES = 5


def sections(alerts: Sequence[Alert], *, owner: str) -> list[str]:
    """Return what a report says of them, if there are any; *owner* is what they are of."""
    return ["## Alerts", _WHAT, table_of(rows(alerts), owner=owner)] if alerts else []


def lines(alerts: Sequence[Alert]) -> list[str]:
    """Return a line for each alert that fired, of which a terminal shows so many."""
    found = told(alerts)
    shown = [f"{one.level} alert: {one.owner}: {one.words}" for one in found[:_MOST_LINES]]
    left = len(found) - len(shown)
    return [*shown, f"{left:,} more alerts are in the report."] if left else shown


def rows(alerts: Sequence[Alert]) -> list[list[str]]:
    """Return a row for each alert that fired."""
    return [[one.level, one.owner, one.words] for one in told(alerts)]


def table_of(shown: Sequence[Sequence[str]], *, owner: str = "Of") -> str:
    """Return rows as a table; *owner* is what the column of their owners is called."""
    return table(["Alert", owner, "What was beyond its limit"], shown)


class Told(NamedTuple):
    """All the times that one alert fired, in words."""

    level: Level
    """The worst of all."""

    owner: str
    words: str
    """What it was about, how bad it came to be, and when."""


def told(alerts: Sequence[Alert]) -> list[Told]:
    """Return each alert of each owner once, however often it fired; critical ones first."""
    times: dict[tuple[str, AlertRule], list[Alert]] = {}
    for one in alerts:
        times.setdefault((one.owner, one.rule), []).append(one)
    found = [_told(rule, owner, fired) for (owner, rule), fired in times.items()]
    return sorted(found, key=lambda one: one.level is not Level.CRITICAL)


def _told(rule: AlertRule, owner: str, fired: Sequence[Alert]) -> Told:
    level = Level.CRITICAL if any(one.level is Level.CRITICAL for one in fired) else Level.WARNING
    worst = (min if rule.less_is_worse else max)(one.worst for one in fired)
    word = "below" if rule.less_is_worse else "above"
    often = "" if len(fired) == 1 else f"{len(fired):,} times "
    ended_s = fired[-1].ended_s
    until = "to the end" if ended_s is None else f"to {format_duration(ended_s)}"
    words = (
        f"{rule.title} {word} {format_quantity(rule.limits[level], rule.dimension)}, "
        f"{format_quantity(worst, rule.dimension)} at worst, "
        f"{often}from {format_duration(fired[0].began_s)} {until}"
    )
    return Told(level, owner, words)


def document(alerts: Sequence[Alert]) -> list[dict[str, Any]]:
    """Return them as plain values, in the shape that `memopt_cli.report.shapes.ALERTS` gives."""
    return [
        {
            "alert": one.rule.name,
            "severity": one.level,
            "of": one.owner,
            "limit": one.rule.limits[one.level],
            "worst": one.worst,
            "began_s": one.began_s,
            "ended_s": one.ended_s,
        }
        for one in alerts
    ]
