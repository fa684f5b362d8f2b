"""`memopt simulate`: run scenarios, print the verdicts, write the runs, exit by them."""

from __future__ import annotations

import os
import sys
from pathlib import Path  # noqa: TC003 - Typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from memopt_cli.cli.measuring import Asked, Options
from memopt_cli.cli.publishing import Publishing
from memopt_cli.errors import UsageError
from memopt_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from memopt_cli.cli.metrics import Metrics
    from memopt_cli.cli.outputs import Chosen
    from memopt_cli.scenario.loading import Plan

_SIGNALS = (ExitCode.TERMINATED, ExitCode.INTERRUPTED, ExitCode.HUNG_UP)
_WORST_FIRST = (
    *_SIGNALS,
    ExitCode.UNFINISHED,
    ExitCode.TARGET_FAILED,
    ExitCode.THRESHOLDS_CROSSED,
    ExitCode.INCONCLUSIVE,
    # An output that was asked for could not be written: the verdict is worse news.
    ExitCode.USAGE_ERROR,
    ExitCode.PASSED,
)

_RESUMABLE = ("stopped", "interrupted")
"""Outcomes after which there is something to go on with."""


def simulate(  # noqa: PLR0913, PLR0917 - one for each option
    scenarios: Annotated[
        list[str] | None, typer.Argument(help="Shipped scenarios, or files.")
    ] = None,
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
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with an interrupted run, instead of a scenario.", metavar="RUN"),
    ] = None,
    stop_after: Annotated[
        str | None,
        typer.Option(
            help="End in order after so much time (5h30m) and exit with 75; --resume goes on.",
            metavar="DURATION",
        ),
    ] = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="End a run as soon as a leak in it is settled.")
    ] = False,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Load targets on other machines: only yours.")
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
    """
    Run scenarios and exit by their verdicts.

    0 all held; 2 usage; 3 the target failed; 4 inconclusive; 75 the time of --stop-after is over:
    run `memopt simulate --resume RUN`; 99 a threshold was crossed; 129, 130, 143 stopped by a
    signal, resumable too.
    """
    from memopt_cli.cli import display, metrics, outputs

    wanted = outputs.chosen(out or ())
    regressed = tuple(fail_on_regression or ())
    options = Options(
        baseline=baseline,
        regressions=regressed,
        fail_fast=fail_fast,
        allow_remote=allow_remote,
        slice_s=_slice_s(stop_after, scenarios or ()),
    )
    if resume is not None:
        from memopt_cli.cli import resuming

        others = {"--set": settings, "--scale": scale != "100%", "--out DIR": wanted.folder}
        judged = {"--baseline": baseline, "--fail-on-regression": regressed}
        resuming.refuse_changes({"SCENARIOS": scenarios, **others, **judged})
        runs = _resumed(resume, wanted, options)
    elif scenarios:
        runs = _asked(scenarios, settings or (), scale, wanted, options)
    else:
        raise UsageError("no scenario is named", hint="See them: memopt scenarios list")
    colour = display.wants_colour(no_color=no_color)
    progress = None if quiet else display.console(sys.stderr, colour=colour)
    results = display.console(sys.stderr if wanted.printed else sys.stdout, colour=colour)
    publishing = Publishing(wanted, to_stderr=wanted.printed is not None)
    codes: set[ExitCode] = set()
    with metrics.served(metrics_port) as told:
        for asked in runs:
            for warning in _warnings(asked):
                display.say(f"warning: {warning}")
            codes.add(_run(asked, progress, results, publishing, told))
            if codes & set(_SIGNALS):
                break
    codes |= publishing.end()
    raise typer.Exit(next(code for code in _WORST_FIRST if code in codes))


def _slice_s(stop_after: str | None, scenarios: Sequence[str]) -> float | None:
    if stop_after is None:
        return None
    from memopt_cli.units import parse_duration

    if len(scenarios) > 1:
        raise UsageError("--stop-after is for one run", hint="Run the scenarios one by one.")
    try:
        found = parse_duration(stop_after)
    except ValueError as exc:
        raise UsageError(f"--stop-after {stop_after}: {exc}", hint="Write it like 5h30m.") from exc
    if found <= 0:
        raise UsageError(f"--stop-after {stop_after}: no time at all", hint="Write it like 5h30m.")
    return found


def _asked(
    scenarios: Sequence[str],
    settings: Sequence[str],
    scale: str,
    wanted: Chosen,
    options: Options,
) -> Iterator[Asked]:
    """Check everything that was asked for, then yield the runs one by one."""
    from memopt_cli.cli import baselines, folders
    from memopt_cli.scenario import catalogue, loading
    from memopt_cli.scenario.settings import VARIABLE

    factor = loading.parse_scale(scale)
    plans = [
        loading.load(
            catalogue.find(name),
            settings=settings,
            environment=os.environ.get(VARIABLE, ""),
            scale=factor,
        )
        for name in scenarios
    ]
    baselines.check_regressions(options.regressions, options.baseline)
    if options.baseline is not None:
        baselines.check_run(options.baseline, [plan.scenario for plan in plans])
    for plan in plans:
        _check_targets(plan, options)
    wanted.check(len(plans))
    named = folders.named([plan.scenario.name for plan in plans], wanted.folder)
    for plan, folder in zip(plans, named, strict=True):
        yield Asked(plan, folder or folders.dated(plan.scenario.name), options)


def _resumed(folder: Path, wanted: Chosen, options: Options) -> Iterator[Asked]:
    """Yield the one run that is gone on with."""
    from memopt_cli.cli import resuming

    kept = resuming.kept_of(folder)
    plan = resuming.plan_of(folder, kept)
    if not kept.is_over:
        _check_targets(plan, options)
    wanted.check(1)
    yield Asked(plan, folder, options, kept)


def _check_targets(plan: Plan, options: Options) -> None:
    for cell in plan.cells:
        if cell.scenario.target is not None:
            from memopt_cli.engine import target

            target.check(cell.scenario, allow_remote=options.allow_remote)


def _warnings(asked: Asked) -> Sequence[str]:
    from memopt_cli.cli import forewarning

    if asked.kept is not None and asked.kept.is_over:
        return [f"{asked.folder} has ended: nothing is left to run, this is its verdict"]
    return list(forewarning.warnings(asked.plan))


def _run(
    asked: Asked,
    progress: Console | None,
    results: Console,
    publishing: Publishing,
    metrics: Metrics,
) -> ExitCode:
    """Run one plan, keep it, render it, and return how it ended."""
    from memopt_cli.cli import display, outputs
    from memopt_cli.cli.measuring import measure
    from memopt_cli.cli.report import render
    from memopt_cli.engine.stopping import StopRequest, signals_to

    stop, folder = StopRequest(), asked.folder
    with signals_to(stop):
        try:
            if asked.kept is None or not asked.kept.is_over:
                measure(asked, progress, stop, metrics)
            found, recording = render(folder)
            display.show_results(results, found, str(folder))
            if found.outcome in _RESUMABLE:
                display.say(f"To go on: memopt simulate --resume {folder}")
            publishing.add(outputs.of_run(folder, found, recording))
        except KeyboardInterrupt:
            # The second signal: nothing more is waited for, and what was kept is on disk.
            display.say(f"Stopped at once. What was measured: memopt report {folder}")
            return ExitCode(128 + (stop.signal or 2))
    # Also one that came while the report was written: it was for the whole command.
    return found.exit_code if stop.signal is None else ExitCode(128 + stop.signal)
