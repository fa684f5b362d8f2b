"""Walks a scenario of real connections: opens, uses, measures and closes them, stage by stage."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Self, TypeVar

from memopt_cli.analysis.connections import Look
from memopt_cli.analysis.recording import Outcome, Sample, StageSpan
from memopt_cli.engine import shortfall
from memopt_cli.engine.connection_books import Books
from memopt_cli.engine.events import (
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
    yield VariantStarted(
        cell=cell.label,
        name=variant.name,
        unit=scenario.unit_word,
        has_pool=False,
        preallocated=0,
        expected_operations=expected_operations(scenario),
    )
    stop.check()
    with ExitStack() as opened:
        service = services.start(scenario, variant, label)
        opened.callback(service.close)
        ports = {port for _, port in service.speech.destinations}
        before = kernel.ends_on(ports)
        walk = opened.enter_context(Walk(scenario, service, clock, stop))
        walk.books.found = replace(walk.books.found, sockets_before=before)
        yield from walk.events()
        digest = service.digest()
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
        self, scenario: Scenario, service: Service, clock: Clock, stop: StopRequest
    ) -> None:
        self._scenario, self._service = scenario, service
        self._load, self._section = scenario.load, section_of(scenario)
        self._clock, self._stop = clock, stop
        self._began_s = self._sampled_s = clock.now()
        self._stage = self._wanted = self._held = 0
        self._answered: int | None = None
        self._growing = True
        self._start = State(0, 0)
        self._well = Tally()
        self._transcript = hashlib.blake2b(digest_size=16)
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
        return self._transcript.hexdigest()

    def events(self) -> Iterator[Event]:
        """Walk all stages; what was counted up to a failure or a stop is told too."""
        try:
            yield from self._warm_up()
            for number, stage in enumerate(self._load.stages):
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

    def _walk_stage(self, number: int, stage: Stage) -> Iterator[Event]:
        self._stage, began_s = number, self._at_s
        ends_s = began_s + stage.duration_s
        yield StageStarted(number, StageSpan(stage.name, began_s, ends_s, stage.units))
        first, last = self._held, stage.units or 0
        for part in range(1, stage.plateaus + 1):
            yield from self._move_to(first + round((last - first) * part / stage.plateaus))
            yield from self._ask(stage)
            yield from self._pass(stage, began_s + stage.duration_s * part / stage.plateaus)
            yield from self._look()
        yield StageStarted(number, StageSpan(stage.name, began_s, self._at_s, stage.units))
        latency = self.books.latency(number)
        yield DurationsRecorded(number, {}, latency, 0, recorder_installed=False)

    def _move_to(self, units: int) -> Iterator[Event]:
        """Open or close connections until there are so many."""
        rate, change = self._load.arrival_rate_per_s or None, units - self._held
        self._wanted, self._answered = units, None
        self._transcript.update(f"{change} ".encode())
        if change > 0:
            within_s = _patience_s(change) + (change / rate if rate else 0.0)
            report = yield from self._during(
                lambda: self._shards.connect(change, rate_per_s=rate, within_s=within_s)
            )
            self.books.note_connecting(report, change, first=self._growing)
        elif change < 0:
            self._growing = False
            reset = self._service.speech.reset
            report = yield from self._during(
                lambda: self._shards.drop(-change, rate_per_s=rate, reset=reset)
            )
            self.books.note(report)
        else:
            return
        self._hold(report)

    def _ask(self, stage: Stage) -> Iterator[Event]:
        """Have each connection answered as often as the stage demands, one after the other."""
        asked = self._held * stage.rounds
        if not asked:
            return
        report = yield from self._during(
            lambda: self._shards.roundtrip(rounds=stage.rounds, within_s=_patience_s(asked))
        )
        answered = self.books.note_answers(report, self._stage)
        self._transcript.update(f"{answered}/{stage.rounds} ".encode())
        self._check(report, asked=asked, found=answered, what="requests were answered")
        self._answered = answered // stage.rounds

    def _pass(self, stage: Stage, until_s: float) -> Iterator[Event]:
        """Let the rest of the stage's time pass: with messages by a schedule, or idle."""
        left_s = until_s - self._at_s
        rate = rates.message_rate_per_s(self._load, stage) * self._held
        if left_s <= 0:
            return
        if not rate:
            yield from self._during(lambda: self._shards.hold(left_s))
            return
        report = yield from self._during(lambda: self._shards.load(left_s, rate_per_s=rate))
        self.books.note_answers(report, self._stage)
        self.books.note_limit(report)

    def _look(self) -> Iterator[Event]:
        """Wait until the server is at rest, and read everything."""
        settled = self._settle()
        report = self._shards.stats()
        self.books.note(report)
        yield SampleTaken(self._sample(plateau=True))
        memory = kernel.read()
        self.books.note_look(
            Look(
                at_s=self._sampled_s - self._began_s,
                stage=self._stage,
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
            if self._clock.now() - self._sampled_s >= interval_s and self._start.fds:
                yield SampleTaken(self._sample(plateau=False))
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
            stage=self._stage,
            units=self._held,
            operations=self.books.answered,
            rss_bytes=cheap.rss_bytes,
            resident_anonymous_bytes=cheap.anonymous_bytes,
            cpu_s=cheap.cpu_s,
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
