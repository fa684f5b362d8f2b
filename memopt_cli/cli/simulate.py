"""`memopt simulate`: run scenarios, print the verdicts, write the runs, exit by them."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - Typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from memopt_cli.cli.publishing import Publishing
from memopt_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.scenario.loading import Plan

_SIGNALS = (ExitCode.TERMINATED, ExitCode.INTERRUPTED, ExitCode.HUNG_UP)
_WORST_FIRST = (
    *_SIGNALS,
    ExitCode.TARGET_FAILED,
    ExitCode.THRESHOLDS_CROSSED,
    ExitCode.INCONCLUSIVE,
    # An output that was asked for could not be written: the verdict is worse news.
    ExitCode.USAGE_ERROR,
    ExitCode.PASSED,
)


def simulate(  # noqa: PLR0913, PLR0917 - one for each option
    scenarios: Annotated[list[str], typer.Argument(help="Shipped scenarios, or files.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a value: seed=2. May be repeated.", metavar="KEY=VALUE"),
    ] = None,
    scale: Annotated[
        str, typer.Option(help="Scale units and durations: 5%.", metavar="PERCENT")
    ] = "100%",
    out: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder of the run (of each, below it), instead of reports/<utc>-<scenario>; "
            "or FORMAT=PATH to write that too, '-' for stdout. May be repeated.",
            metavar="DIR | FORMAT=PATH",
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(help="A clean run: a leak is what grows by more.", metavar="RUN"),
    ] = None,
    fail_on_regression: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECK",
            help="With --baseline, like 'memory_per_connection>5%'. May be repeated.",
        ),
    ] = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="End a run as soon as a leak in it is settled.")
    ] = False,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Load targets on other machines: only yours.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="Print no colours.")] = False,
) -> None:
    """Run scenarios and exit by their verdicts."""
    from memopt_cli.cli import baselines, display, folders, forewarning, outputs
    from memopt_cli.scenario import catalogue, loading
    from memopt_cli.scenario.settings import VARIABLE

    wanted = outputs.chosen(out or ())
    factor = loading.parse_scale(scale)
    plans = [
        loading.load(
            catalogue.find(name),
            settings=settings or (),
            environment=os.environ.get(VARIABLE, ""),
            scale=factor,
        )
        for name in scenarios
    ]
    regressed = tuple(fail_on_regression or ())
    baselines.check_regressions(regressed, baseline)
    if baseline is not None:
        baselines.check_run(baseline, [plan.scenario for plan in plans])
    for plan in plans:
        for cell in plan.cells:
            if cell.scenario.target is not None:
                from memopt_cli.engine import target

                target.check(cell.scenario, allow_remote=allow_remote)
    wanted.check(len(plans))
    named = folders.named([plan.scenario.name for plan in plans], wanted.folder)
    colour = display.wants_colour(no_color=no_color)
    progress = None if quiet else display.console(sys.stderr, colour=colour)
    results = display.console(sys.stderr if wanted.printed else sys.stdout, colour=colour)
    publishing = Publishing(wanted, to_stderr=wanted.printed is not None)
    codes: set[ExitCode] = set()
    for plan, folder in zip(plans, named, strict=True):
        for warning in forewarning.warnings(plan):
            display.say(f"warning: {warning}")
        chosen = folder or folders.dated(plan.scenario.name)
        asked = Asked(
            plan, chosen, baseline, regressed, fail_fast=fail_fast, allow_remote=allow_remote
        )
        codes.add(_run(asked, progress, results, publishing))
        if codes & set(_SIGNALS):
            break
    codes |= publishing.end()
    raise typer.Exit(next(code for code in _WORST_FIRST if code in codes))


@dataclass(frozen=True, slots=True)
class Asked:
    """One run as it was asked for."""

    plan: Plan
    folder: Path
    baseline: Path | None
    regressions: tuple[str, ...]
    """What must not have regressed against the baseline."""

    fail_fast: bool
    allow_remote: bool


def _run(
    asked: Asked, progress: Console | None, results: Console, publishing: Publishing
) -> ExitCode:
    """Run one plan, keep it, render it, and return how it ended."""
    from memopt_cli.cli import display, outputs
    from memopt_cli.cli.report import render
    from memopt_cli.engine.stopping import StopRequest, signals_to

    stop, folder = StopRequest(), asked.folder
    with signals_to(stop):
        try:
            _measure(asked, progress, stop)
            found, recording = render(folder)
            display.show_results(results, found, str(folder))
            publishing.add(outputs.of_run(folder, found, recording))
        except KeyboardInterrupt:
            # The second signal: nothing more is waited for, and what was kept is on disk.
            display.say(f"Stopped at once. What was measured: memopt report {folder}")
            return ExitCode(128 + (stop.signal or 2))
    # Also one that came while the report was written: it was for the whole command.
    return found.exit_code if stop.signal is None else ExitCode(128 + stop.signal)


def _measure(asked: Asked, progress: Console | None, stop: StopRequest) -> None:
    """Run one plan and keep it in its folder."""
    from datetime import UTC, datetime

    from memopt_cli.cli import display
    from memopt_cli.engine.clock import SystemClock
    from memopt_cli.engine.keeping import kept
    from memopt_cli.engine.launcher import LocalLauncher
    from memopt_cli.engine.serving import LocalServices
    from memopt_cli.engine.simulate import simulate as engine
    from memopt_cli.engine.watch import ThresholdWatch
    from memopt_cli.scenario import loading
    from memopt_cli.scenario.dumping import dump
    from memopt_cli.store import layout, reader
    from memopt_cli.store.writer import RunWriter

    plan, folder, clock = asked.plan, asked.folder, SystemClock()
    scenario = dump(plan.scenario)
    # What is kept must be readable afterwards: better to find out before the run.
    loading.load_text(scenario, folder / layout.SCENARIO)
    with RunWriter(folder) as writer, display.live(progress) as shown:
        if asked.baseline is not None:
            writer.keep_baseline(asked.baseline, asked.regressions)
        stream = engine(
            plan,
            scenario_yaml=scenario,
            started_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            launcher=LocalLauncher(folder / layout.TARGET_LOG, clock=clock, stop=stop),
            clock=clock,
            stop=stop,
            services=LocalServices(
                folder / layout.TARGET_LOG,
                clock=clock,
                stop=stop,
                allow_remote=asked.allow_remote,
            ),
        )
        watch = ThresholdWatch(
            plan.scenario,
            read=lambda: reader.glance(folder),
            clock=clock,
            stop=stop,
            fail_fast=asked.fail_fast,
        )
        for event in kept(stream, writer):
            watch.see(event)
            shown.see(event)
