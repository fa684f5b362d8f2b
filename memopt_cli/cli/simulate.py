"""`memopt simulate`: run scenarios, print the verdicts, write the runs, exit by them."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memopt_cli.errors import UsageError
from memopt_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from memopt_cli.scenario.loading import Plan

REPORTS = Path("reports")

_WORST_FIRST = (
    ExitCode.TERMINATED,
    ExitCode.INTERRUPTED,
    ExitCode.TARGET_FAILED,
    ExitCode.THRESHOLDS_CROSSED,
    ExitCode.INCONCLUSIVE,
    ExitCode.PASSED,
)


def simulate(
    scenarios: Annotated[list[str], typer.Argument(help="Shipped scenarios, or files.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change a value: load.hold_for=30m.")
    ] = None,
    scale: Annotated[str, typer.Option(help="Scale units and durations: 5%.")] = "100%",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run, instead of reports/<utc>-<scenario>.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="Print no colours.")] = False,
) -> None:
    """Run scenarios, print the verdicts, and exit 99 if a threshold is crossed."""
    from memopt_cli.cli import display
    from memopt_cli.scenario import catalogue, loading

    factor = loading.parse_scale(scale)
    plans = [
        loading.load(catalogue.find(name), settings=settings or (), scale=factor)
        for name in scenarios
    ]
    colour = display.wants_colour(no_color=no_color)
    progress = None if quiet else display.console(sys.stderr, colour=colour)
    results = display.console(sys.stdout, colour=colour)
    codes: set[ExitCode] = set()
    for plan in plans:
        folder = _folder(plan.scenario.name, out, several=len(plans) > 1)
        try:
            codes.add(_run(plan, folder, progress, results))
        except KeyboardInterrupt:
            # The second signal: what was kept is on disk, and nothing more is waited for.
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        if codes & {ExitCode.INTERRUPTED, ExitCode.TERMINATED}:
            break
    raise typer.Exit(next(code for code in _WORST_FIRST if code in codes))


def _folder(name: str, out: Path | None, *, several: bool) -> Path:
    """Return a folder for a run that holds none yet."""
    from datetime import UTC, datetime

    if out is not None:
        folder = out / name if several else out
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is not a folder", hint="Give another one with --out.")
        return folder
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    wanted = REPORTS / f"{stamp}-{name}"
    number = 1
    while wanted.exists():
        number += 1
        wanted = REPORTS / f"{stamp}-{name}-{number}"
    return wanted


def _run(plan: Plan, folder: Path, progress: Console | None, results: Console) -> ExitCode:
    """Run one plan, keep it, render it, and return how it ended."""
    from datetime import UTC, datetime

    from memopt_cli.cli import display
    from memopt_cli.cli.report import render
    from memopt_cli.engine.clock import SystemClock
    from memopt_cli.engine.keeping import kept
    from memopt_cli.engine.launcher import LocalLauncher
    from memopt_cli.engine.simulate import simulate as engine
    from memopt_cli.engine.stopping import StopRequest, signals_to
    from memopt_cli.engine.watch import ThresholdWatch
    from memopt_cli.scenario.dumping import dump
    from memopt_cli.store import layout, reader
    from memopt_cli.store.writer import RunWriter

    clock, stop = SystemClock(), StopRequest()
    with RunWriter(folder) as writer, signals_to(stop):
        stream = engine(
            plan,
            scenario_yaml=dump(plan.scenario),
            started_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            launcher=LocalLauncher(folder / layout.TARGET_LOG, clock=clock, stop=stop),
            clock=clock,
            stop=stop,
        )
        watch = ThresholdWatch(
            plan.scenario, read=lambda: reader.read(folder), clock=clock, stop=stop
        )
        shown = None if progress is None else display.Display(progress)
        with shown.live() if shown is not None else nullcontext():
            for event in kept(stream, writer):
                watch.see(event)
                if shown is not None:
                    shown.see(event)
    found = render(folder)
    display.show_results(results, found, str(folder))
    return found.exit_code
