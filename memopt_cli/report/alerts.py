"""The alerts of a run or a watch, as the reports and documents have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memopt_cli.report.tables import table
from memopt_cli.units import format_duration, format_quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.alerts import Alert

_WHAT = (
    "An alert tells of a value that was beyond a limit for a while. It has no interval and fails "
    "nothing; it ends when the value is a tenth inside of the limit."
)

_MOST_LINES = 5


def sections(alerts: Sequence[Alert], *, owner: str) -> list[str]:
    """Return what a report says of them, if there are any; *owner* is what they are of."""
    return ["## Alerts", _WHAT, table_of(rows(alerts), owner=owner)] if alerts else []


def lines(alerts: Sequence[Alert]) -> list[str]:
    """Return a line for each alert, of which a terminal shows so many."""
    shown = [f"{one.level} alert: {one.owner}: {words(one)}" for one in alerts[:_MOST_LINES]]
    left = len(alerts) - len(shown)
    return [*shown, f"{left:,} more alerts are in the report."] if left else shown


def rows(alerts: Sequence[Alert]) -> list[list[str]]:
    """Return a row for each alert."""
    return [[one.level, one.owner, words(one)] for one in alerts]


def table_of(shown: Sequence[Sequence[str]], *, owner: str = "Of") -> str:
    """Return rows as a table; *owner* is what the column of their owners is called."""
    return table(["Alert", owner, "What was beyond its limit"], shown)


def words(one: Alert) -> str:
    """Return in words what an alert was about, and when it fired."""
    limit, dimension = one.rule.limits[one.level], one.rule.dimension
    word = "below" if one.rule.less_is_worse else "above"
    until = "to the end" if one.ended_s is None else f"to {format_duration(one.ended_s)}"
    return (
        f"{one.rule.title} {word} {format_quantity(limit, dimension)}, "
        f"{format_quantity(one.worst, dimension)} at worst, "
        f"from {format_duration(one.began_s)} {until}"
    )


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
