"""The end of a watch on the terminal: the verdict, the processes, and what grows where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.cli import tables
from memopt_cli.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from memopt_cli.analysis.attribution import Suspect
    from memopt_cli.analysis.watch_results import ProcessFindings, WatchFindings

_MOST_PROCESSES = 12
_MOST_SUSPECTS = 5
_GAP = 1
_NARROWEST = 12
_NARROW = 100


def show(out: Console, found: WatchFindings, folder: str) -> None:
    """Print a finished watch: its processes, the lines that grow, its verdict."""
    from rich.text import Text

    from memopt_cli.report import alerts, watch_wording

    if found.processes:
        out.print(_processes(out, found))
    for one in found.processes:
        for suspect in one.suspects[:_MOST_SUSPECTS]:
            out.print(_suspect(one, suspect), soft_wrap=True)
        if one.leaks and not one.suspects:
            out.print(f"{one.pid}: {watch_wording.unfound(one)}", soft_wrap=True)
    for line in alerts.lines(found.alerts):
        out.print(line, soft_wrap=True)
    style = tables.MARKS[found.verdict]
    out.print(Text(watch_wording.headline(found), style=style), soft_wrap=True)
    out.print(f"Report: {folder}/report.md", soft_wrap=True)
    out.file.flush()


def fitted(
    out: Console, head: Sequence[str], rows: Sequence[Sequence[str | Text]], last: str
) -> Table:
    """
    Return a table whose figures are never cut; the last column takes what is left.

    Args:
        out: Where it is printed.
        head: Names of the columns with figures.
        rows: Their cells, and the last column's.
        last: The name of the last column, whose text may end in an ellipsis.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_edge=False)
    used = 0
    for number, name in enumerate(head):
        widest = max(len(name), *(len(str(row[number])) for row in rows), 0)
        table.add_column(name, justify="right", no_wrap=True, min_width=widest)
        used += widest + _GAP
    left = max(_NARROWEST, out.width - used)
    table.add_column(last, no_wrap=True, overflow="ellipsis", max_width=left)
    for row in rows:
        table.add_row(*row)
    return table


def plain(command: str) -> str:
    """
    Return a command line without the path of the program.

    >>> plain("/usr/bin/python3 /srv/app.py")
    'python3 /srv/app.py'
    """
    program, blank, rest = command.partition(" ")
    return program.rpartition("/")[2] + blank + rest


def _processes(out: Console, found: WatchFindings) -> Table:
    from memopt_cli.report import watch_wording, wording

    judged = [one for one in found.processes if one.is_judged] or list(found.processes)
    judged.sort(key=lambda one: -(one.last_anonymous_bytes or 0))
    rows = []
    for one in judged[:_MOST_PROCESSES]:
        longest = one.gc_pause.max_s if one.gc_pause else None
        rows.append(
            [
                str(one.pid),
                wording.size_bytes(one.last_anonymous_bytes),
                watch_wording.rate(one.growth),
                "-" if longest is None else format_duration(longest),
                watch_wording.verdict(one.growth),
                plain(watch_wording.command(one)),
            ]
        )
    head = ["pid", "memory", "growth", "longest GC", "verdict"]
    if out.width < _NARROW:
        head.remove("longest GC")
        rows = [[*row[:3], *row[4:]] for row in rows]
    table = fitted(out, head, rows, "process")
    left = len(found.processes) + found.processes_left_out - len(rows)
    if left > 0:
        table.caption = f"{left} more in the report"
        table.caption_justify = "left"
    return table


def _suspect(one: ProcessFindings, suspect: Suspect) -> str:
    """Return one line that grows, and what keeps it, in one sentence."""
    from memopt_cli.report import watch_wording, wording

    where = watch_wording.line(suspect) if suspect.file else "no line was seen"
    figures = []
    if suspect.bytes_per_operation is not None:
        figures.append(f"{wording.size(suspect.bytes_per_operation)} per operation")
    if suspect.bytes_per_hour is not None:
        figures.append(watch_wording.hourly(suspect.bytes_per_hour))
    kept = f", held by {suspect.holder}" if suspect.holder else ""
    contents = f" ({suspect.contents})" if suspect.contents else ""
    called = "leaks" if one.leaks else "grows, and is not called a leak"
    return (
        f"{one.pid} {called}: {where}: {', '.join(figures) or 'size not measured'}{kept}{contents}"
    )
