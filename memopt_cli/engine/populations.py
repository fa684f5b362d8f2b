"""Runs one variant of a population in memory: its subject started, its ticks done and sampled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from memopt_cli.analysis.recording import Outcome, StageSpan
from memopt_cli.engine.density import Room
from memopt_cli.engine.events import SampleTaken, StageStarted, VariantEnded
from memopt_cli.engine.profiling import Profiler
from memopt_cli.engine.resuming import Course
from memopt_cli.engine.sampler import Sampler
from memopt_cli.engine.stopping import Stopped
from memopt_cli.errors import MeasurementError, TargetError
from memopt_cli.workloads.outlook import peak_units
from memopt_cli.workloads.settings import AgentsSettings, settings_for
from memopt_cli.workloads.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memopt_cli.engine.clock import Clock
    from memopt_cli.engine.events import Event
    from memopt_cli.engine.judging import Judge
    from memopt_cli.engine.launcher import Launcher, Subject
    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.scenario.model import Scenario, Variant
    from memopt_cli.store.resuming import Begun
    from memopt_cli.workloads.settings import SubjectSettings

_KEEP_DURATIONS_EVERY_S = 0.5
"""A tick takes up to a second more; with it, a checkpoint is never older than that."""

_ROUNDING_S = 1e-9


def populated_variant(
    scenario: Scenario,
    variant: Variant,
    label: str,
    launcher: Launcher,
    clock: Clock,
    stop: StopRequest,
    judge: Judge,
    begun: Begun | None,
) -> Iterator[Event]:
    """
    Run one variant in a fresh process, or the rest of it; yields its events to `VariantEnded`.

    Raises:
        TargetError: The subject failed.
        MeasurementError: It cannot be read.
        UsageError: What was done before cannot be done again here.
        Stopped: A stop was asked for, or the slice is over.
    """
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
    stages = StageSpan.planned(scenario.load)
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
    stages = StageSpan.planned(scenario.load)
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


def _wait(duration_s: float, clock: Clock, stop: StopRequest) -> None:
    """Wait in short steps, so that a stop request is not kept waiting."""
    until = clock.now() + duration_s
    while (left := until - clock.now()) > 0:
        stop.check()
        clock.sleep(min(left, 0.1))
