"""GitHub Actions: a job summary in Markdown, and annotations as workflow commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.analysis.results import Verdict
from memopt_cli.report import alerts, wording
from memopt_cli.report.checks import WORST_FIRST
from memopt_cli.report.tables import code, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memopt_cli.report.summary import Summary

MOST_ANNOTATIONS = 10
"""What GitHub shows of each kind for one step; the summary has them all."""

_MOST_ROWS = 500
"""A summary of more than a mebibyte is refused whole."""


def job_summary(summary: Summary) -> str:
    """Return a run or a watch as the Markdown of a job summary: the verdict, checks, figures."""
    title = f"## {_one_line(summary.name)}: {summary.verdict}"
    if summary.details:
        return f"{title}\n\n{summary.details}\n\n"
    sections = [title, _one_line(summary.headline)]
    checks = [
        [
            wording.MARKS[check.verdict],
            code(wording.expression(check)),
            name,
            wording.judged_on(check),
        ]
        for verdict in WORST_FIRST
        for name, check in summary.all_checks
        if check.verdict is verdict
    ]
    if checks:
        sections.append(table(["Verdict", "Check", "Of", "Observed"], checks[:_MOST_ROWS]))
    told = alerts.rows(summary.alerts)
    if told:
        sections.append(alerts.table_of(told[:_MOST_ROWS]))
    figures = [
        [part.name, figure.title, wording.estimate(figure.observed, figure.dimension)]
        for part in summary.parts
        for figure in part.figures
    ]
    if figures:
        shown = table(["Of", "Figure", "Measured"], figures[:_MOST_ROWS])
        sections.append(f"<details><summary>Figures</summary>\n\n{shown}\n\n</details>")
    if left := sum(max(0, len(rows) - _MOST_ROWS) for rows in (checks, told, figures)):
        sections.append(f"{left:,} more rows are in the report.")
    return "\n\n".join(sections) + "\n\n"


def workflow_commands(summary: Summary) -> str:
    """
    Return the workflow commands that mark what did not pass, one a line.

    Crossed is an error; inconclusive, an alert, and a run that did not finish, a warning.
    """
    return "".join(f"{line}\n" for line in _commands(summary))


def _commands(summary: Summary) -> Iterator[str]:
    if summary.unfinished:
        yield _command("warning", summary.name, f"did not finish: {summary.unfinished}")
    yield from _of_checks(summary)


def _of_checks(summary: Summary) -> Iterator[str]:
    for kind, verdict in (("error", Verdict.CROSSED), ("warning", Verdict.INCONCLUSIVE)):
        told = [(name, one) for name, one in summary.all_checks if one.verdict is verdict]
        room = MOST_ANNOTATIONS - (kind == "warning" and bool(summary.unfinished))
        for name, check in told[:room]:
            title = f"{summary.name}: {name}" if name else summary.name
            expression = wording.expression(check)
            yield _command(kind, title, f"{expression}: {verdict}, {wording.judged_on(check)}")
        room -= len(told)
    for one in alerts.told(summary.alerts)[: max(0, room)]:
        title = f"{summary.name}: {one.owner}"
        yield _command("warning", title, f"{one.level} alert: {one.words}")


def _command(kind: str, title: str, message: str) -> str:
    return f"::{kind} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    r"""
    Return a message as a workflow command has it; an unescaped line end would end it.

    >>> _data("100 %\nof it")
    '100 %25%0Aof it'
    """
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """
    Return the value of a property, in which colons and commas end it too.

    >>> _property("a: b, c")
    'a%3A b%2C c'
    """
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("<", "&lt;")
