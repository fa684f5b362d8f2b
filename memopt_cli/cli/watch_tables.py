"""The end of a watch on the terminal: the verdict, the processes, and what grows where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.cli import tables
from memopt_cli.units import format_duration

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from memopt_cli.analysis.attribution import Suspect
    from memopt_cli.analysis.watch_results import ProcessFindings, WatchFindings

_MOST_PROCESSES = 12
_MOST_SUSPECTS = 5


def show(out: Console, found: WatchFindings, folder: str) -> None:
    """Print a finished watch: its processes, the lines that grow, its checks, its verdict."""
    from rich.text import Text

    from memopt_cli.report import watch_wording

    if found.processes:
        tables.show(out, _processes(found))
    for one in found.processes[:_MOST_PROCESSES]:
        for suspect in one.suspects[:_MOST_SUSPECTS]:
            out.print(_suspect(one, suspect), soft_wrap=True)
    style = tables.MARKS[found.verdict]
    out.print(Text(watch_wording.headline(found), style=style), soft_wrap=True)
    out.print(f"Report: {folder}/report.md", soft_wrap=True)
    out.file.flush()


def _processes(found: WatchFindings) -> Table:
    from rich.table import Table

    from memopt_cli.report import watch_wording, wording

    table = Table(box=None, pad_edge=False, show_edge=False)
    for name in ("pid", "memory", "growth", "longest GC"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("process", overflow="ellipsis", no_wrap=True)
    shown = sorted(found.processes, key=lambda one: -(one.last_anonymous_bytes or 0))
    for one in shown[:_MOST_PROCESSES]:
        longest = one.gc_pause.max_s if one.gc_pause else None
        table.add_row(
            str(one.pid),
            wording.size_bytes(one.last_anonymous_bytes),
            watch_wording.rate(one.growth),
            "-" if longest is None else format_duration(longest),
            watch_wording.verdict(one.growth),
            watch_wording.command(one),
        )
    left = len(found.processes) + found.processes_left_out - _MOST_PROCESSES
    if left > 0:
        table.caption = f"and {left} more in the report"
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
