"""Walks a scenario of real connections: opens, uses, measures and closes them, stage by stage."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Self, TypeVar

from memopt_cli.analysis.connections import Look
from memopt_cli.analysis.parts import Checkpoint
from memopt_cli.analysis.recording import Outcome, Sample, StageSpan
from memopt_cli.engine import shortfall
from memopt_cli.engine.connection_books import Books
from memopt_cli.engine.events import (
    CheckpointMade,
    ConnectionsCounted,
    DurationsRecorded,
    SampleTaken,
    StageStarted,
    VariantEnded,
    VariantStarted,
)
from memopt_cli.engine.group import GroupReader
from memopt_cli.engine.settling import Settled, State, settle
from memopt_cli.engine.stopping import Stopped
from memopt_cli.engine.waypoint import Waypoint
from memopt_cli.errors import MemoptError, TargetError
from memopt_cli.profiler import kernel
from memopt_cli.workloads import rates
from memopt_cli.workloads.sockets.plan import plan
from memopt_cli.workloads.sockets.settings import DriverSettings
from memopt_cli.workloads.sockets.shards import Shards
from memopt_cli.workloads.sockets.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from memopt_cli.engine.clock import Clock
    from memopt_cli.engine.events import Event
    from memopt_cli.engine.service import Service, Services
    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.scenario.loading import Cell
    from memopt_cli.scenario.model import Scenario, Stage, Variant
    from memopt_cli.scenario.sockets import DrivingSection
    from memopt_cli.store.resuming import Begun
    from memopt_cli.workloads.sockets.tally import Report

_T = TypeVar("_T")

WARM_UP = 32
"""Connections of each driver that are made, used and closed before the first reading."""

_LOOK_EVERY_S = 0.05
_KEEP_EVERY_S = 0.5
_PIECE_S = 60.0
"""A load by schedule is asked for in pieces of up to twice as much; each begins 50 ms late."""

_ROUNDING_S = 1e-6
_SLOWEST_PER_S = 50.0
"""A server that opens, or answers, fewer in a second is not waited for to the end."""

_SHORTEST_WAIT_S = 60.0
_CLOSED_WITHIN_S = 5.0


def expected_operations(scenario: Scenario) -> float:
    """Return about how many requests a scenario holds, for an estimate of the time it takes."""
    load, total = scenario.load, 1.0
    for stage in load.stages:
        units = stage.units or 0
        total += stage.rounds * units * stage.plateaus
        total += rates.message_rate_per_s(load, stage) * stage.duration_s * units
    return total


def section_of(scenario: Scenario) -> DrivingSection:
    """Return the section of the scenario's workload."""
    return scenario.target if scenario.target is not None else scenario.sockets


def connected_variant(
    cell: Cell,
    variant: Variant,
    services: Services,
    clock: Clock,
    stop: StopRequest,
    begun: Begun | None = None,
) -> Iterator[Event]:
    """
    Run one variant against its service; yields its events up to `VariantEnded`.

    Raises:
        TargetError: The service failed, or did not hold all connections.
        MeasurementError: A driver failed, or memory cannot be read.
        Stopped: A stop was asked for.
    """
    scenario = cell.scenario
    label = " ".join([variant.name, *(f"{key}={value}" for key, value in cell.label.items())])
    before_ = None if begun is None else begun.checkpoint
    yield VariantStarted(
        cell=cell.label,
        name=variant.name,
        unit=scenario.unit_word,
        has_pool=False,
        preallocated=0,
        expected_operations=expected_operations(scenario),
        kept_as=None if begun is None else begun.number,
        resumed_at_s=None if before_ is None else before_.at_s,
    )
    stop.check()
    with ExitStack() as opened:
        service = services.start(scenario, variant, label)
        opened.callback(service.close)
        ports = {port for _, port in service.speech.destinations}
        before = kernel.ends_on(ports)
        walk = opened.enter_context(Walk(scenario, service, clock, stop, begun))
        walk.books.found = replace(walk.books.found, sockets_before=before)
        yield from walk.events()
        # Those that were lost with their server remember nothing.
        digest = service.digest() if before_ is None else ""
    after = _left_open(ports, before, clock)
    yield ConnectionsCounted(replace(walk.books.found, sockets_after=after))
    yield VariantEnded(Outcome.FINISHED, digest=digest, transcript=walk.transcript)


def _left_open(ports: set[int], before: int | None, clock: Clock) -> int | None:
    """Return how many ends there are when all has ended; the kernel needs a moment for it."""
    until_s = clock.now() + _CLOSED_WITHIN_S
    while (found := kernel.ends_on(ports)) and found > (before or 0) and clock.now() < until_s:
        clock.sleep(_LOOK_EVERY_S)
    return found


class Walk:
    """The connections of one variant; a context manager that ends the drivers."""

    def __init__(
        self,
        scenario: Scenario,
        service: Service,
        clock: Clock,
        stop: StopRequest,
        begun: Begun | None = None,
    ) -> None:
        self._scenario, self._service = scenario, service
        self._begun = begun
        self._before = None if begun is None else begun.checkpoint
        self._load, self._section = scenario.load, section_of(scenario)
        self._clock, self._stop = clock, stop
        self._began_s = self._sampled_s = clock.now()
        self._wanted = self._held = 0
        self._answered: int | None = None
        self._way = Waypoint()
        self._part = 0 if self._before is None else self._before.part + 1
        self._starts_s = self._rebuilt_s = self._cpu_before_s = 0.0
        self._kept_s = clock.now()
        self._lives = False
        self._start = State(0, 0)
        self._well = Tally()
        self._failure: BaseException | None = None
        with ExitStack() as opened:
            self._group = GroupReader(service.members)
            opened.callback(self._group.close)
            self._shards = opened.enter_context(self._drivers())
            # Before the drivers end, nothing waits for them any more.
            self._thread = opened.enter_context(ThreadPoolExecutor(1))
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._failure = self._failure or Stopped("the walk is over")
        self._opened.close()

    @property
    def transcript(self) -> str:
        """A digest of what was done; equal for two variants that were asked for the same."""
        return hashlib.blake2b(self._way.asked.encode(), digest_size=16).hexdigest()

    def events(self) -> Iterator[Event]:
        """Walk all stages; what was counted up to a failure or a stop is told too."""
        try:
            yield from self._warm_up()
            if self._before is not None and self._begun is not None:
                yield from self._go_on(self._begun, self._before)
            self._lives = True
            begun, first = self._before is not None, self._way.stage
            for number, stage in enumerate(self._load.stages[first:], first):
                if number > first or not begun:
                    self._way.enter(number, at_s=self._at_s, units=self._held)
                yield from self._walk_stage(number, stage)
        except (MemoptError, Stopped):
            yield ConnectionsCounted(self.books.found)
            raise

    def _drivers(self) -> Shards:
        speech, section = self._service.speech, self._section
        shares = plan(
            self._load.peak_units or 1,
            speech.destinations,
            drivers=section.drivers or None,
            sources=speech.sources or None,
        )
        settings = DriverSettings(
            speech.protocol,
            speech.options,
            speech.authority,
            (),
            tls=speech.tls,
            allow_remote=speech.allow_remote,
            window=speech.window,
            answer_within_s=section.answer_within_s,
            search_path=speech.search_path,
        )
        self.books = Books(len(shares))
        return Shards(settings, shares, check=self._interrupted)

    def _warm_up(self) -> Iterator[Event]:
        """Have every part of both sides used once: its first cost is no connection's."""
        count = min(WARM_UP * self.books.found.drivers, self._load.peak_units or 1)
        report = yield from self._during(lambda: self._shards.connect(count))
        self._check(report, asked=count, found=report.total.ready, what="first connections came")
        if any(stage.rounds for stage in self._load.stages):
            report = yield from self._during(self._shards.roundtrip)
            answered = report.total.answered
            self._check(report, asked=count, found=answered, what="first requests were answered")
        reset = self._service.speech.reset
        report = yield from self._during(lambda: self._shards.drop(reset=reset))
        self._settle()
        self._start = self._state()
        self._well = report.total
        self.books.begin(report, servers=self._group.processes)

    def _go_on(self, begun: Begun, before: Checkpoint) -> Iterator[Event]:
        """Make the connections again that there were, and go on with the time and the books."""
        began_s, state = self._clock.now(), before.state
        self._way = way = Waypoint.from_values(state)
        stage = self._load.stages[way.stage]
        units = way.units(stage.units or 0, stage.plateaus, state["there"])
        self._wanted = units
        report = self._shards.stats()
        if units:
            within_s = _patience_s(units)
            report = yield from self._during(lambda: self._shards.connect(units, within_s=within_s))
        self._hold(report)
        self.books.go_on(begun, state["busy_s"])
        self.books.begin(report, servers=self._group.processes)
        self._settle()
        now_s = self._clock.now()
        self._began_s, self._rebuilt_s = now_s - before.at_s, now_s - began_s
        self._starts_s = before.at_s + _ROUNDING_S
        self._cpu_before_s = state["cpu_s"] - self._group.read().cpu_s
        self._sampled_s = self._kept_s = now_s
        for number, span in enumerate(way.spans):
            yield StageStarted(number, span)

    def _walk_stage(self, number: int, stage: Stage) -> Iterator[Event]:
        way, last = self._way, stage.units or 0
        ends_s = way.began_s + stage.duration_s
        yield StageStarted(number, StageSpan(stage.name, way.began_s, ends_s, stage.units))
        for part in range(way.part, stage.plateaus + 1):
            way.part = part
            if not way.arrived:
                before, after = way.ends(last, stage.plateaus)
                yield from self._move_to(after)
                yield ConnectionsCounted(self.books.found)
                answers = yield from self._ask(stage)
                way.arrive(f"{after - before} {answers}")
            yield from self._pass(stage, way.began_s + stage.duration_s * part / stage.plateaus)
            yield from self._look()
            way.arrived = False
        span = StageSpan(stage.name, way.began_s, self._at_s, stage.units)
        yield StageStarted(number, span)
        way.spans = (*way.spans, span)
        yield self._durations()

    def _move_to(self, units: int) -> Iterator[Event]:
        """Open or close connections until there are so many."""
        rate, change = self._load.arrival_rate_per_s or None, units - self._held
        self._wanted, self._answered = units, None
        if change > 0:
            within_s = _patience_s(change) + (change / rate if rate else 0.0)
            report = yield from self._during(
                lambda: self._shards.connect(change, rate_per_s=rate, within_s=within_s)
            )
            self.books.note_connecting(report, change, first=self._way.growing)
        elif change < 0:
            self._way.growing = False
            reset = self._service.speech.reset
            report = yield from self._during(
                lambda: self._shards.drop(-change, rate_per_s=rate, reset=reset)
            )
            self.books.note(report)
        else:
            return
        self._hold(report)

    def _ask(self, stage: Stage) -> Generator[Event, None, str]:
        """
        Have each connection answered as often as the stage demands, one after the other.

        Returns what was answered, for the transcript.
        """
        asked = self._held * stage.rounds
        if not asked:
            return ""
        report = yield from self._during(
            lambda: self._shards.roundtrip(rounds=stage.rounds, within_s=_patience_s(asked))
        )
        answered = self.books.note_answers(report, self._way.stage)
        self._check(report, asked=asked, found=answered, what="requests were answered")
        self._answered = answered // stage.rounds
        return f"{answered}/{stage.rounds} "

    def _pass(self, stage: Stage, until_s: float) -> Iterator[Event]:
        """Let the rest of the stage's time pass: with messages by a schedule, or idle."""
        rate = rates.message_rate_per_s(self._load, stage) * self._held
        while (left_s := until_s - self._at_s) > 0:
            if not rate:
                yield from self._during(lambda: self._shards.hold(left_s))
                return
            # In pieces: what is known of requests only when they are over is lost with a kill.
            piece_s = left_s if left_s < 2 * _PIECE_S else _PIECE_S
            report = yield from self._during(
                lambda: self._shards.load(piece_s, rate_per_s=rate)  # noqa: B023 - now
            )
            self.books.note_answers(report, self._way.stage)
            self.books.note_limit(report)
            yield self._durations()
            yield ConnectionsCounted(self.books.found)

    def _durations(self) -> DurationsRecorded:
        stage = self._way.stage
        latency = self.books.latency(stage)
        return DurationsRecorded(
            stage, {}, latency, 0, recorder_installed=False, checkpoint=self._checkpoint()
        )

    def _checkpoint(self) -> Checkpoint | None:
        """Return where the walk is; `None` before it lives."""
        if not self._lives:
            return None
        self._kept_s, cheap = self._clock.now(), self._group.read()
        state = {
            **self._way.to_values(),
            "there": cheap.fds - self._start.fds,
            "cpu_s": self._cpu_before_s + cheap.cpu_s,
            "busy_s": self.books.busy_s,
        }
        return Checkpoint(self._part, self._starts_s, self._rebuilt_s, self._at_s, state)

    def _look(self) -> Iterator[Event]:
        """Wait until the server is at rest, and read everything."""
        settled = self._settle()
        report = self._shards.stats()
        self.books.note(report)
        yield SampleTaken(self._sample(plateau=True), self._checkpoint())
        memory = kernel.read()
        self.books.note_look(
            Look(
                at_s=self._sampled_s - self._began_s,
                stage=self._way.stage,
                asked=self._wanted,
                ready=report.total.ready,
                accepted=self._accepted(),
                answered=self._answered,
                settled_s=settled.took_s,
                at_rest=settled.at_rest,
                slab_bytes=memory.slab_bytes,
                buffers_bytes=memory.buffers_bytes,
            )
        )
        yield ConnectionsCounted(self.books.found)
        self._hold(report)

    def _hold(self, report: Report) -> None:
        """Take in how many connections there are; raises unless it is as many as wanted."""
        self._held = report.total.ready
        self._check(report, asked=self._wanted, found=self._held, what="connections are held")
        self._well = report.total

    def _check(self, report: Report, *, asked: int, found: int, what: str) -> None:
        shortfall.check(
            report,
            asked=asked,
            found=found,
            what=what,
            before=self._well,
            accepted=self._accepted() if self._start.fds else None,
            alive=self._service.members,
        )

    def _accepted(self) -> int:
        return self._group.read().fds - self._start.fds

    def _during(self, command: Callable[[], _T]) -> Generator[Event, None, _T]:
        """Have the drivers do something, and sample the server meanwhile."""
        future = self._thread.submit(command)
        interval_s = self._scenario.sampling.interval_s
        while wait([future], timeout=_LOOK_EVERY_S).not_done:
            try:
                self._service.members()
            except TargetError as exc:
                self._failure = exc
                wait([future])
                raise
            # Asking ends a slice: the command is given up as by any other stop.
            if self._stop.is_over or not self._lives:
                continue
            now_s = self._clock.now()
            if now_s - self._sampled_s >= interval_s:
                yield SampleTaken(self._sample(plateau=False), self._checkpoint())
            elif now_s - self._kept_s >= _KEEP_EVERY_S and (made := self._checkpoint()):
                yield CheckpointMade(made)
        return future.result()

    def _interrupted(self) -> None:
        """Raise what ends a wait for the drivers."""
        if self._failure is not None:
            raise self._failure
        self._stop.check()

    def _settle(self) -> Settled:
        def check() -> None:
            self._stop.check()
            self._service.members()

        return settle(
            self._state,
            start_bytes=self._start.anonymous_bytes,
            within_s=self._section.settle_within_s,
            clock=self._clock,
            check=check,
        )

    def _state(self) -> State:
        return State(self._group.footprint().anonymous_bytes, self._group.read().fds)

    @property
    def _at_s(self) -> float:
        return self._clock.now() - self._began_s

    def _sample(self, *, plateau: bool) -> Sample:
        """Return a sample of all processes of the server; at a plateau an exact one."""
        began_s = self._sampled_s = self._clock.now()
        cheap = self._group.read()
        exact = self._group.footprint() if plateau else None
        heap = self._service.heap() if plateau else None
        return Sample(
            at_s=began_s - self._began_s,
            wall_s=began_s - self._began_s,
            stage=self._way.stage,
            units=self._held,
            operations=self.books.answered,
            rss_bytes=cheap.rss_bytes,
            resident_anonymous_bytes=cheap.anonymous_bytes,
            cpu_s=self._cpu_before_s + cheap.cpu_s,
            busy_s=self.books.busy_s,
            gc_pauses=0,
            gc_pause_s=0.0,
            gc_pause_max_s=0.0,
            cost_s=self._clock.now() - began_s,
            is_plateau=plateau,
            anonymous_bytes=None if exact is None else exact.anonymous_bytes,
            uss_bytes=None if exact is None else exact.uss_bytes,
            pss_bytes=None if exact is None else exact.pss_bytes,
            heap_in_use_bytes=None if heap is None else heap.in_use_bytes,
            heap_free_bytes=None if heap is None else heap.free_bytes,
            allocated_blocks=None if heap is None else heap.blocks,
            threads=cheap.threads,
            fds=cheap.fds,
        )


def _patience_s(count: int) -> float:
    """Return how long so many connections, or requests, are waited for."""
    return max(_SHORTEST_WAIT_S, count / _SLOWEST_PER_S)
