"""Walks a scenario: each cell, each variant in a fresh process, each stage, each tick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.analysis.recording import Outcome
from memopt_cli.engine.connections import connected_variant
from memopt_cli.engine.events import RunEnded, RunStarted, VariantEnded, VariantStarted
from memopt_cli.engine.judging import Judge
from memopt_cli.engine.populations import populated_variant
from memopt_cli.engine.stopping import Stopped
from memopt_cli.errors import MeasurementError, TargetError, UsageError
from memopt_cli.profiler import environment
from memopt_cli.scenario.sockets import REAL
from memopt_cli.workloads.outlook import expected_operations, expected_requests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memopt_cli.engine.clock import Clock
    from memopt_cli.engine.events import Event
    from memopt_cli.engine.launcher import Launcher
    from memopt_cli.engine.service import Services
    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.scenario.loading import Cell, Plan
    from memopt_cli.scenario.model import Scenario, Variant
    from memopt_cli.store.resuming import Begun, Kept


def simulate(
    plan: Plan,
    *,
    scenario_yaml: str,
    started_at: str,
    launcher: Launcher,
    clock: Clock,
    stop: StopRequest,
    services: Services | None = None,
    kept: Kept | None = None,
) -> Iterator[Event]:
    """
    Run a plan and yield what happens, ending with `RunEnded` however it ends.

    A variant whose subject fails, or cannot be read, is told as failed, and the next one
    still runs. A stop request ends the run at once; what was measured has been told by then.

    Raises:
        UsageError: Something that only a start can tell is not as it was asked for, such as
            a port that is taken; the run has been told as failed, unless it was gone on with:
            then what was kept stays as it is.

    Args:
        plan: The scenario and the cells of its matrix.
        scenario_yaml: The same, expanded, for the record.
        started_at: UTC, ISO 8601.
        launcher: Starts the subjects.
        clock: Real time.
        stop: Looked at between and during waits.
        services: Starts what real connections are made to; not needed without such.
        kept: What was kept of the same plan, to go on with.
    """
    began, lived_s = clock.now(), 0.0 if kept is None else kept.wall_s
    judge = Judge(stop)
    over, work = _left(plan, kept)
    yield RunStarted(
        scenario=scenario_yaml,
        started_at=started_at,
        clock=plan.scenario.load.clock,
        environment=environment.describe(),
        expected_operations=sum(_expected_operations(cell.scenario) for cell, *_ in work),
        resumed=kept is not None,
    )
    outcome, reason = Outcome.FINISHED, ""
    for one in over:
        if one.outcome is Outcome.FAILED:
            outcome, reason = Outcome.FAILED, f"{one.name}: {one.failure}"
    for cell, variant, begun in work:
        if stop.is_over and stop.outcome is Outcome.STOPPED:
            # Of a variant that is not begun, nothing is to be told.
            outcome, reason = Outcome.STOPPED, stop.reason
            break
        try:
            yield _started(cell, variant, begun)
            stop.check()
            scenario, label = cell.scenario, _label(cell, variant)
            if services is not None and scenario.workload in REAL:
                yield from connected_variant(scenario, variant, label, services, clock, stop, begun)
            else:
                yield from populated_variant(
                    scenario, variant, label, launcher, clock, stop, judge, begun
                )
        except (TargetError, MeasurementError, UsageError) as exc:
            if isinstance(exc, UsageError) and begun is not None and begun.checkpoint is not None:
                # What was kept of the variant stays as it is, for where it can go on.
                raise
            failure = f"{exc}. {exc.hint}".rstrip(". ")
            outcome, reason = Outcome.FAILED, f"{variant.name}: {failure}"
            yield VariantEnded(Outcome.FAILED, failure=failure)
            if isinstance(exc, UsageError):
                # The next variant would be asked for in the same way.
                yield RunEnded(outcome, reason, stop.signal, lived_s + clock.now() - began)
                raise
        except Stopped:
            outcome, reason = stop.outcome or Outcome.INTERRUPTED, stop.reason
            yield VariantEnded(outcome, failure=reason)
            break
    yield RunEnded(outcome, reason, stop.signal, lived_s + clock.now() - began)


def _left(
    plan: Plan, kept: Kept | None
) -> tuple[list[Begun], list[tuple[Cell, Variant, Begun | None]]]:
    """Return what is over of a plan, and what is left to do, with what was kept of it."""
    every = [(cell, variant) for cell in plan.cells for variant in cell.scenario.variants]
    before = () if kept is None else kept.variants
    begun = [*before, *[None] * (len(every) - len(before))]
    over = [one for one in before if one.is_over]
    left = [
        (cell, variant, one)
        for (cell, variant), one in zip(every, begun, strict=True)
        if one is None or not one.is_over
    ]
    return over, left


def _started(cell: Cell, variant: Variant, begun: Begun | None) -> VariantStarted:
    before = None if begun is None else begun.checkpoint
    return VariantStarted(
        cell=cell.label,
        name=variant.name,
        unit=cell.scenario.unit_word,
        has_pool=variant.pool is not None,
        preallocated=0 if variant.pool is None else variant.pool.size,
        expected_operations=_expected_operations(cell.scenario),
        kept_as=None if begun is None else begun.number,
        resumed_at_s=None if before is None else before.at_s,
    )


def _label(cell: Cell, variant: Variant) -> str:
    """Return how the log names what begins."""
    return " ".join([variant.name, *(f"{key}={value}" for key, value in cell.label.items())])


def _expected_operations(scenario: Scenario) -> float:
    expected = expected_requests if scenario.workload in REAL else expected_operations
    return expected(scenario.load)
