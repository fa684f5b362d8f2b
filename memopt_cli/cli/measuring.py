"""One run of `memopt simulate`: as it was asked for, and how it is measured and kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from memopt_cli.cli.metrics import Metrics
    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.scenario.loading import Plan
    from memopt_cli.store.resuming import Kept


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for of every run."""

    baseline: Path | None
    regressions: tuple[str, ...]
    """What must not have regressed against the baseline."""

    fail_fast: bool
    allow_remote: bool
    slice_s: float | None
    """The time after which to end in order; `None` to run to the end."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One run as it was asked for."""

    plan: Plan
    folder: Path
    options: Options
    kept: Kept | None = None
    """What was kept of it, to go on with."""


def measure(asked: Asked, progress: Console | None, stop: StopRequest, metrics: Metrics) -> None:
    """Run one plan, keep it in its folder, and tell of it as it goes on."""
    from datetime import UTC, datetime

    from memopt_cli.cli import display
    from memopt_cli.engine import keeping
    from memopt_cli.engine.clock import SystemClock
    from memopt_cli.engine.launcher import LocalLauncher
    from memopt_cli.engine.serving import LocalServices
    from memopt_cli.engine.simulate import simulate as engine
    from memopt_cli.engine.watch import ThresholdWatch
    from memopt_cli.scenario import loading
    from memopt_cli.scenario.dumping import dump
    from memopt_cli.store import layout, reader
    from memopt_cli.store.writer import RunWriter

    plan, folder, clock = asked.plan, asked.folder, SystemClock()
    options, kept = asked.options, asked.kept
    if options.slice_s is not None:
        stop.give_slice(options.slice_s, clock)
    scenario = dump(plan.scenario)
    # What is kept must be readable afterwards: better to find out before the run.
    loading.load_text(scenario, folder / layout.SCENARIO)
    with (
        RunWriter(folder, resumed=kept is not None) as writer,
        metrics.of_run(plan, folder) as told,
        display.live(progress) as shown,
    ):
        if options.baseline is not None:
            writer.keep_baseline(options.baseline, options.regressions)
        if kept is None:
            writer.keep_plan([(cell.label, dump(cell.scenario)) for cell in plan.cells])
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
                allow_remote=options.allow_remote,
            ),
            kept=kept,
        )
        watch = ThresholdWatch(
            plan.scenario,
            read=lambda: reader.glance(folder),
            clock=clock,
            stop=stop,
            fail_fast=options.fail_fast,
        )
        for event in keeping.kept(stream, writer):
            watch.see(event)
            shown.see(event)
            told.see(event)
