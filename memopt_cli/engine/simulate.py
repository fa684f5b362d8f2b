"""Walks a scenario: each cell, each variant in a fresh process, each stage, each tick."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from memopt_cli.analysis.recording import Outcome, StageSpan
from memopt_cli.engine import connections
from memopt_cli.engine.connections import connected_variant
from memopt_cli.engine.density import Room
from memopt_cli.engine.events import (
    RunEnded,
    RunStarted,
    SampleTaken,
    StageStarted,
    VariantEnded,
    VariantStarted,
)
from memopt_cli.engine.judging import Judge
from memopt_cli.engine.profiling import Profiler
from memopt_cli.engine.resuming import Course
from memopt_cli.engine.sampler import Sampler
from memopt_cli.engine.stopping import Stopped
from memopt_cli.errors import MeasurementError, TargetError, UsageError
from memopt_cli.profiler import environment
from memopt_cli.scenario.sockets import REAL
from memopt_cli.workloads.outlook import expected_operations, peak_units
from memopt_cli.workloads.settings import AgentsSettings, settings_for
from memopt_cli.workloads.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memopt_cli.engine.clock import Clock
    from memopt_cli.engine.events import Event
    from memopt_cli.engine.launcher import Launcher, Subject
    from memopt_cli.engine.service import Services
    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.scenario.loading import Cell, Plan
    from memopt_cli.scenario.model import Scenario, Variant
    from memopt_cli.store.resuming import Begun, Kept
    from memopt_cli.workloads.settings import SubjectSettings

_KEEP_DURATIONS_EVERY_S = 0.5
"""A tick takes up to a second more; with it, a checkpoint is never older than that."""
_ROUNDING_S = 1e-9


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
    still runs. A
    stop request ends the run at once; what was measured has been told by then.

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
            if services is not None and cell.scenario.workload in REAL:
                yield from connected_variant(cell, variant, services, clock, stop, begun)
            else:
                yield from _variant(cell, variant, launcher, clock, stop, judge, begun)
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


def _expected_operations(scenario: Scenario) -> float:
    if scenario.workload in REAL:
        return connections.expected_operations(scenario)
    return expected_operations(scenario.load)


def _variant(
    cell: Cell,
    variant: Variant,
    launcher: Launcher,
    clock: Clock,
    stop: StopRequest,
    judge: Judge,
    begun: Begun | None,
) -> Iterator[Event]:
    """Run one variant in a fresh process, or the rest of it."""
    scenario = cell.scenario
    label = " ".join([variant.name, *(f"{key}={value}" for key, value in cell.label.items())])
    yield VariantStarted(
        cell=cell.label,
        name=variant.name,
        unit=scenario.unit_word,
        has_pool=variant.pool is not None,
        preallocated=0 if variant.pool is None else variant.pool.size,
        expected_operations=expected_operations(scenario.load),
        kept_as=None if begun is None else begun.number,
        resumed_at_s=None if begun is None or begun.checkpoint is None else begun.checkpoint.at_s,
    )
    stop.check()
    settings = settings_for(scenario, variant, capacity=peak_units(scenario.load))
    subject = launcher.start(settings, label)
    try:
        sampler = Sampler(subject, clock, heap=scenario.sampling.heap)
        room = _room(scenario, settings, sampler)
        try:
            course = Course(_transcript(scenario), begun, room)
            yield from _stages(scenario, subject, sampler, clock, stop, course)
            told = subject.finish()
            profile = Profiler(subject, sampler, stop).profile(scenario)
        finally:
            sampler.close()
        fidelity = None
        if isinstance(settings.population, AgentsSettings):
            fidelity = judge.judge(subject, scenario, variant, settings.population)
    finally:
        subject.close()
    yield VariantEnded(
        Outcome.FINISHED,
        digest=told["digest"],
        transcript=told["transcript"],
        pool=told["pool"],
        fidelity=fidelity,
        density=None if room is None else room.found(),
        profile=profile,
    )


def _room(scenario: Scenario, settings: SubjectSettings, sampler: Sampler) -> Room | None:
    """Return how much room a variant has that is to fill its memory."""
    limit_bytes = scenario.agents.until_bytes
    if limit_bytes is None or not isinstance(settings.population, AgentsSettings):
        return None
    return Room(sampler, limit_bytes, settings.population)


def _stages(
    scenario: Scenario,
    subject: Subject,
    sampler: Sampler,
    clock: Clock,
    stop: StopRequest,
    course: Course,
) -> Iterator[Event]:
    """Walk the ticks of all stages; what was timed up to a failure or a stop is told too."""
    stages = _spans(scenario)
    # A stop while the population is rebuilt must not be told with the durations of that.
    for number in course.rebuild(subject, sampler, clock, stop):
        yield StageStarted(number, stages[number])
    try:
        yield from _ticks(scenario, subject, sampler, clock, stop, course)
    except (TargetError, MeasurementError, Stopped):
        if sampler.stage is not None:
            yield sampler.durations()
        raise


def _ticks(
    scenario: Scenario,
    subject: Subject,
    sampler: Sampler,
    clock: Clock,
    stop: StopRequest,
    course: Course,
) -> Iterator[Event]:
    """Sample at the interval, at plateaus and at stage ends."""
    stages = _spans(scenario)
    on_wall = scenario.load.clock == "wall"
    interval_s = scenario.sampling.interval_s
    due_s, kept_s = _next_due(course.at_s, interval_s), sampler.wall_s
    for tick in course.ticks():
        stop.check()
        if tick.stage != sampler.stage:
            subject.start_stage()
            sampler.start_stage(tick.stage)
            yield StageStarted(tick.stage, stages[tick.stage])
        if on_wall:
            _wait(tick.ends_s - sampler.wall_s, clock, stop)
        done = subject.tick(tick)
        sampler.note(done)
        course.note(done)
        at_s, sample = tick.ends_s, None
        due = at_s > due_s - _ROUNDING_S
        if due:
            due_s = _next_due(at_s, interval_s)
        if due or tick.is_plateau or tick.ends_stage:
            sample = sampler.take(at_s=at_s, units=done["units"], plateau=tick.is_plateau)
            yield SampleTaken(sample, course.checkpoint(at_s, sampler, sample))
        keep = sampler.wall_s - kept_s > _KEEP_DURATIONS_EVERY_S
        if stop.is_over or tick.ends_stage or keep:
            kept_s = sampler.wall_s
            yield sampler.durations(
                course.checkpoint(at_s, sampler, None) if sample is None else None
            )


def _next_due(at_s: float, interval_s: float) -> float:
    """Return when the first sample after a time is due."""
    return interval_s * (math.floor(at_s / interval_s + _ROUNDING_S) + 1)


def _transcript(scenario: Scenario) -> Transcript:
    if scenario.workload == "agents":
        return Transcript(
            scenario.load,
            interval_s=scenario.sampling.interval_s,
            seed=scenario.seed,
            active=scenario.agents.active,
            greetings=scenario.agents.first_steps,
        )
    section = scenario.connections
    in_use = scenario.workload == "connections"
    return Transcript(
        scenario.load,
        mix=[share for _, share in section.message_mix] if in_use else (1.0,),
        writes=section.writes if in_use else 0.0,
        interval_s=scenario.sampling.interval_s,
        seed=scenario.seed,
    )


def _spans(scenario: Scenario) -> list[StageSpan]:
    spans: list[StageSpan] = []
    at_s = 0.0
    for stage in scenario.load.stages:
        spans.append(StageSpan(stage.name, at_s, at_s + stage.duration_s, stage.units))
        at_s += stage.duration_s
    return spans


def _wait(duration_s: float, clock: Clock, stop: StopRequest) -> None:
    """Wait in short steps, so that a stop request is not kept waiting."""
    until = clock.now() + duration_s
    while (left := until - clock.now()) > 0:
        stop.check()
        clock.sleep(min(left, 0.1))
