"""What a person sees while a run goes on, and at its end."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

from memopt_cli.analysis.recording import Outcome
from memopt_cli.cli.output import Output
from memopt_cli.engine import events
from memopt_cli.units import format_count, format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from rich.console import Console

    from memopt_cli.analysis.results import RunFindings
    from memopt_cli.engine.events import Event

_NARROW = 100
"""Columns below which the live line has no bar and says less."""


def console(stream: TextIO | None, *, colour: bool) -> Console:
    """
    Return a rich console on *stream*; without a terminal it neither colours nor wraps.

    It drops what cannot be written: a reader that has gone does not end a run.
    """
    from rich.console import Console

    output = Output(stream)
    return Console(
        file=cast("IO[str]", output),
        no_color=not colour,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if output.isatty() else 200,
    )


def say(line: str) -> None:
    """Print a line for people, on the error stream."""
    console(sys.stderr, colour=False).print(line, soft_wrap=True)


@contextmanager
def live(out: Console | None) -> Iterator[Display]:
    """Yield a display on *out*, or a silent one; leaving restores the terminal."""
    if out is None:
        yield Display(silent())
    else:
        shown = Display(out)
        with shown.progress:
            yield shown


def silent() -> Console:
    """Return a console that prints nothing."""
    from rich.console import Console

    return Console(file=cast("IO[str]", Output(None)), quiet=True)


class Display:
    """Shows events: a live line in a terminal, one line per variant elsewhere."""

    def __init__(self, out: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._out = out
        narrow = out.width < _NARROW
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            *([] if narrow else [BarColumn(bar_width=24)]),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[state]}", markup=False),
            console=out,
            transient=True,
            disable=not out.is_terminal,
        )
        self._task = self.progress.add_task("starting", total=None, state="")
        self._narrow = narrow
        self._done_before = 0.0
        self._label = ""
        self._expected = 0.0
        self._empty_bytes: int | None = None
        self._sample: events.SampleTaken | None = None
        self._stage = ""
        self._unit = ""

    def see(self, event: Event) -> None:
        """Show one event."""
        match event:
            case events.RunStarted():
                self.progress.update(self._task, total=event.expected_operations)
            case events.VariantStarted():
                values = " ".join(event.cell.values())
                self._label = f"{event.name} {values}".strip()
                self._expected, self._unit = event.expected_operations, event.unit
                self._sample = self._empty_bytes = None
                self.progress.update(self._task, description=self._label, state="starting")
                if event.resumed_at_s is not None:
                    lived = format_duration(event.resumed_at_s)
                    self._out.print(f"{self._label}: goes on at {lived}, rebuilding its population")
            case events.StageStarted():
                self._stage = event.stage.name
            case events.SampleTaken():
                self._sampled(event)
            case events.VariantEnded():
                self._ended(event)
            case _:
                return

    def _sampled(self, event: events.SampleTaken) -> None:
        sample = event.sample
        self._sample = event
        if not sample.units:
            self._empty_bytes = sample.resident_anonymous_bytes
        done = self._done_before + min(sample.operations, self._expected)
        state = (
            f"{self._stage}: {format_count(sample.units)} {self._unit}, "
            f"{format_size(sample.resident_anonymous_bytes)}"
        )
        if sample.units and self._empty_bytes is not None and not self._narrow:
            above = (sample.resident_anonymous_bytes - self._empty_bytes) / sample.units
            state += f", about {format_size(above)} each"
        self.progress.update(self._task, completed=done, state=state)

    def _ended(self, event: events.VariantEnded) -> None:
        self._done_before += self._expected
        self.progress.update(self._task, completed=self._done_before)
        if event.outcome is Outcome.FINISHED and self._sample is not None:
            sample = self._sample.sample
            self._out.print(
                f"{self._label}: {format_count(sample.operations)} operations "
                f"in {format_duration(sample.wall_s)}",
                soft_wrap=True,
            )
        else:
            self._out.print(f"{self._label}: {event.outcome}: {event.failure}", soft_wrap=True)


def show_results(out: Console, run: RunFindings, folder: str) -> None:
    """Print a finished run: its figures, what each variant brings, its checks, its verdict."""
    from rich.text import Text

    from memopt_cli.cli import tables
    from memopt_cli.report import alerts, wording

    for table in tables.figures(out, run) if run.variants else ():
        tables.show(out, table)
    for lines in tables.brought(run, out.width if out.is_terminal else None):
        out.print(lines, soft_wrap=True)
    if (checks := tables.checks(out, run)) is not None:
        tables.show(out, checks)
    for line in alerts.lines(run.alerts):
        out.print(line, soft_wrap=True)
    out.print(Text(wording.summary(run), style=tables.MARKS[run.verdict]), soft_wrap=True)
    out.print(f"Report: {folder}/report.md", soft_wrap=True)
    out.file.flush()
    lost = out.file.error if isinstance(out.file, Output) else None
    if lost is not None and not isinstance(lost, BrokenPipeError):
        say(f"The results could not be printed: {lost}. They are in {folder}/report.md")


def wants_colour(*, no_color: bool) -> bool:
    """Return whether colours are wanted: not with ``--no-color``, nor with NO_COLOR set."""
    return not no_color and not os.environ.get("NO_COLOR")
