"""`memopt watch`: the memory profile and leak verdict of any process, or of a command."""

from __future__ import annotations

import math
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from memopt_cli.analysis.watching import Attribute
from memopt_cli.cli.publishing import Publishing
from memopt_cli.errors import UsageError
from memopt_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from memopt_cli.analysis.watch_limits import WatchLimits
    from memopt_cli.cli.metrics import Metrics
    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.engine.watching import Watching

SETTINGS = {"allow_interspersed_args": False}
"""What follows the target belongs to it, options included."""


def watch(  # noqa: PLR0913, PLR0917 - one for each option
    target: Annotated[list[str], typer.Argument(metavar="PID | -- COMMAND", help="What to watch.")],
    duration: Annotated[
        str | None, typer.Option(help="Watch for so long: 10m. A command is then ended.")
    ] = None,
    interval: Annotated[str, typer.Option(help="Between two readings.")] = "1s",
    operations: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What a Python program counts its work in, as app.server.handled: a number, "
            "or something that has a length.",
        ),
    ] = "",
    attribute: Annotated[
        Attribute, typer.Option(help="When to look for the lines that memory comes from.")
    ] = Attribute.SUSPECTED,
    tolerate: Annotated[
        str | None, typer.Option(metavar="RATE", help="Growth that is no leak to you: 1MB/h.")
    ] = None,
    severity: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=RATE", help="From when a leak is called so: high=500KB/s."),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECK", help="Like 'gc_pause: p(99)<100ms'. May be repeated."),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(help="A clean watch: a leak is what grows by more.", metavar="WATCH"),
    ] = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="End as soon as a leak is settled.")
    ] = False,
    out: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder of the watch, instead of reports/<utc>-watch-NAME; or FORMAT=PATH to "
            "write that too, '-' for stdout. May be repeated.",
            metavar="DIR | FORMAT=PATH",
        ),
    ] = None,
    log: Annotated[
        bool,
        typer.Option("--log", help="Keep the command's output in target.log; show a live table."),
    ] = False,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            help="Serve OpenMetrics at 127.0.0.1:PORT/metrics meanwhile; 0 takes a free one.",
            metavar="PORT",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="Print no colours.")] = False,
) -> None:
    """Watch a process, or a command and its children, and exit by the verdict."""
    from memopt_cli.analysis.watch_limits import limits_of
    from memopt_cli.cli import baselines, display, folders, metrics, outputs
    from memopt_cli.engine.watching import Watching

    wanted = outputs.chosen(out or ())
    limits = limits_of(leak=tolerate, severities=severity or (), thresholds=threshold or ())
    watched = Watching(
        target=_target(target),
        interval_s=_seconds("--interval", interval, least_s=0.01),
        duration_s=None if duration is None else _seconds("--duration", duration, least_s=0.1),
        operations=operations,
        attribute=attribute,
    )
    if log and isinstance(watched.target, int):
        raise UsageError("--log keeps the output of a command", hint="Leave it out for a PID.")
    if fail_fast and watched.duration_s is None:
        raise UsageError(
            "--fail-fast needs to know how long the watch would go on",
            hint="Add --duration: what may be concluded early depends on the share of it.",
        )
    if baseline is not None:
        baselines.check_watch(baseline)
    # What a command prints is its own: as `time` does, memopt then speaks on the other stream.
    inherits = not isinstance(watched.target, int) and not log
    if inherits and wanted.printed is not None:
        raise UsageError(
            f"--out {wanted.printed}=- would mix with what the command prints",
            hint="Add --log, or name a file.",
        )
    wanted.check(1)
    name = f"watch-{_name(watched.target)}"
    named = folders.named([name], wanted.folder)[0]
    colour = display.wants_colour(no_color=no_color)
    elsewhere = inherits or wanted.printed is not None
    results = display.console(sys.stderr if elsewhere else sys.stdout, colour=colour)
    progress = None if quiet else display.console(sys.stderr, colour=colour)
    publishing = Publishing(wanted, to_stderr=elsewhere)
    with metrics.served(metrics_port) as told:
        folder = named or folders.dated(name)
        keeping = Keeping(limits, folder, baseline, fail_fast=fail_fast, log=log)
        code = _run(watched, keeping, publishing, told, progress=progress, results=results)
    lost = publishing.end()
    raise typer.Exit(ExitCode.USAGE_ERROR if lost and code is ExitCode.PASSED else code)


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where a watch is kept, and what with."""

    limits: WatchLimits
    folder: Path
    baseline: Path | None
    fail_fast: bool
    log: bool
    """Whether the command's output is kept too."""


def _target(words: Sequence[str]) -> int | tuple[str, ...]:
    if len(words) == 1 and words[0].isascii() and words[0].isdigit():
        return int(words[0])
    if not words[0]:
        raise UsageError("the command has no name", hint="Write: memopt watch -- python app.py")
    return tuple(words)


def _name(target: int | Sequence[str]) -> str:
    """Return a part of a folder's name: the program, or the script that an interpreter runs."""
    if isinstance(target, int):
        return str(target)
    words = [PurePath(word).name for word in target if not word.startswith("-")]
    named = words[1] if words[1:] and words[0].startswith("python") else words[0]
    return "".join(each if each.isalnum() or each in "._" else "-" for each in named)[:40]


def _seconds(option: str, text: str, *, least_s: float) -> float:
    from memopt_cli import units
    from memopt_cli.units import Dimension

    try:
        found = units.parse_quantity(text)
    except ValueError as exc:
        raise UsageError(f"{option} {text}: {exc}", hint="Write it like 10s or 5m.") from exc
    if found.dimension is not Dimension.DURATION or not found.value >= least_s:
        raise UsageError(
            f"{option} {text} is not a duration of at least {units.format_duration(least_s)}",
            hint="Write it like 10s or 5m.",
        )
    return found.value


def _run(
    watched: Watching,
    keeping: Keeping,
    publishing: Publishing,
    metrics: Metrics,
    *,
    progress: Console | None,
    results: Console,
) -> ExitCode:
    """Watch, keep it, render it, and return how it ended."""
    from memopt_cli.cli import display, outputs, watch_tables
    from memopt_cli.cli.report import render_watch
    from memopt_cli.engine.stopping import StopRequest, signals_to

    stop, folder = StopRequest(), keeping.folder
    with signals_to(stop):
        try:
            _measure(watched, keeping, metrics, progress=progress, stop=stop)
            found, recording = render_watch(folder)
            watch_tables.show(results, found, str(folder))
            publishing.add(outputs.of_watch(folder, found, recording))
        except KeyboardInterrupt:
            # The second signal: nothing more is waited for, and what was kept is on disk.
            display.say(f"Stopped at once. What was measured: memopt report {folder}")
            return ExitCode(128 + (stop.signal or 2))
    return found.exit_code


def _measure(
    watched: Watching,
    keeping: Keeping,
    metrics: Metrics,
    *,
    progress: Console | None,
    stop: StopRequest,
) -> None:
    """Watch, keep it in its folder, and tell of it as it goes on."""
    from datetime import UTC, datetime

    from memopt_cli.cli import watch_display
    from memopt_cli.engine.clock import SystemClock
    from memopt_cli.engine.watch_early import FailFast
    from memopt_cli.engine.watch_keeping import kept
    from memopt_cli.engine.watching import watch as engine
    from memopt_cli.store import layout
    from memopt_cli.store.watch_reader import read_watch
    from memopt_cli.store.watch_writer import WatchWriter

    folder, log = keeping.folder, keeping.log
    with WatchWriter(folder, keeping.limits) as writer:
        if keeping.baseline is not None:
            writer.keep_baseline(keeping.baseline)
        stream = engine(
            watched,
            started_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            clock=SystemClock(),
            stop=stop,
            output=folder / layout.TARGET_LOG if log else None,
        )
        early = FailFast(
            keeping.limits,
            duration_s=watched.duration_s if keeping.fail_fast and watched.duration_s else math.inf,
            read=lambda: read_watch(folder),
            stop=stop,
        )
        live = isinstance(watched.target, int) or log
        # Closed in any case: what was started is ended with it.
        with (
            metrics.of_watch(keeping.limits, folder) as told,
            closing(stream),
            watch_display.watching(progress, live=live) as shown,
        ):
            for event in kept(stream, writer):
                early.see(event)
                shown.see(event)
                told.see(event)
