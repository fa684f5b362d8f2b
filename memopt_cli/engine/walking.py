"""Walks the stages of real connections: opens, uses, measures and closes them."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

from memopt_cli.analysis.connections import Look
from memopt_cli.analysis.recording import StageSpan
from memopt_cli.engine import shortfall
from memopt_cli.engine.connection_books import Books
from memopt_cli.engine.driving import Drivers, section_of
from memopt_cli.engine.events import ConnectionsCounted, StageStarted
from memopt_cli.engine.journal import Journal
from memopt_cli.engine.neighbours import Neighbours
from memopt_cli.engine.service_reading import ServiceReader
from memopt_cli.engine.stopping import Stopped
from memopt_cli.errors import MemoptError
from memopt_cli.profiler import kernel
from memopt_cli.workloads import rates
from memopt_cli.workloads.sockets.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from memopt_cli.analysis.parts import Checkpoint
    from memopt_cli.engine.clock import Clock
    from memopt_cli.engine.events import Event
    from memopt_cli.engine.service import Service
    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.scenario.model import Scenario, Stage
    from memopt_cli.store.resuming import Begun
    from memopt_cli.workloads.sockets.tally import Report

_P = ParamSpec("_P")
_T = TypeVar("_T")

WARM_UP = 32
"""Connections of each driver that are made, used and closed before the first reading."""

_PIECE_S = 60.0
"""A load by schedule is asked for in pieces of up to twice as much; each begins 50 ms late."""

_SLOWEST_PER_S = 50.0
"""A server that opens, or answers, fewer in a second is not waited for to the end."""

_SHORTEST_WAIT_S = 60.0


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
        self._load, self._service = scenario.load, service
        self._clock, self._stop = clock, stop
        self._begun = begun
        before = None if begun is None else begun.checkpoint
        self._wanted = 0
        self._answered: int | None = None
        self._well = Tally()
        with ExitStack() as opened:
            within_s = section_of(scenario).settle_within_s
            self._server = opened.enter_context(ServiceReader(service, clock, stop, within_s))
            self._drivers = opened.enter_context(Drivers(scenario, service, stop))
            self._opened = opened.pop_all()
        self._shards = self._drivers.shards
        self.books = Books(self._drivers.count)
        self._journal = Journal(
            self._server,
            self.books,
            clock,
            interval_s=scenario.sampling.interval_s,
            before=before,
        )
        self._way = self._journal.way

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    @property
    def transcript(self) -> str:
        """A digest of what was done; equal for two variants that were asked for the same."""
        return hashlib.blake2b(self._way.asked.encode(), digest_size=16).hexdigest()

    def events(self) -> Iterator[Event]:
        """Walk all stages; what was counted up to a failure or a stop is told too."""
        try:
            yield from self._warm_up()
            before = None if self._begun is None else self._begun.checkpoint
            if self._begun is not None and before is not None:
                yield from self._go_on(self._begun, before)
            self._journal.begin()
            first = self._way.stage
            for number, stage in enumerate(self._load.stages[first:], first):
                if number > first or before is None:
                    self._way.enter(number, at_s=self._server.at_s, units=self._journal.held)
                yield from self._walk_stage(number, stage)
        except (MemoptError, Stopped):
            yield ConnectionsCounted(self.books.found)
            raise

    def _warm_up(self) -> Iterator[Event]:
        """Have every part of both sides used once: its first cost is no connection's."""
        count = min(WARM_UP * self.books.found.drivers, self._load.peak_units or 1)
        report = yield from self._during(self._shards.connect, count)
        self._check(report, asked=count, found=report.total.ready, what="first connections came")
        if any(stage.rounds for stage in self._load.stages):
            report = yield from self._during(self._shards.roundtrip)
            answered = report.total.answered
            self._check(report, asked=count, found=answered, what="first requests were answered")
        reset = self._service.speech.reset
        report = yield from self._during(self._shards.drop, reset=reset)
        self._server.begin()
        self._well = report.total
        self.books.begin(report, servers=self._server.processes)

    def _go_on(self, begun: Begun, before: Checkpoint) -> Iterator[Event]:
        """Make the connections again that there were, and go on with the time and the books."""
        began_s, state, way = self._clock.now(), before.state, self._way
        stage = self._load.stages[way.stage]
        units = way.units(stage.units or 0, stage.plateaus, state["there"])
        self._wanted = units
        report = self._shards.stats()
        if units:
            within_s = _patience_s(units)
            report = yield from self._during(self._shards.connect, units, within_s=within_s)
        self._hold(report)
        self.books.go_on(begun, state["busy_s"])
        self.books.begin(report, servers=self._server.processes)
        self._journal.go_on(before, began_s)
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
        span = StageSpan(stage.name, way.began_s, self._server.at_s, stage.units)
        yield StageStarted(number, span)
        way.spans = (*way.spans, span)
        yield self._journal.durations()

    def _move_to(self, units: int) -> Iterator[Event]:
        """Open or close connections until there are so many."""
        rate, change = self._load.arrival_rate_per_s or None, units - self._journal.held
        self._wanted, self._answered = units, None
        if change > 0:
            report = yield from self._connect(change, rate)
        elif change < 0:
            self._way.growing = False
            reset = self._service.speech.reset
            report = yield from self._during(
                self._shards.drop, -change, rate_per_s=rate, reset=reset
            )
            self.books.note(report)
        else:
            return
        self._hold(report)

    def _connect(self, count: int, rate_per_s: float | None) -> Generator[Event, None, Report]:
        """Open so many connections, and note for whom else the processors worked meanwhile."""
        within_s = _patience_s(count) + (count / rate_per_s if rate_per_s else 0.0)
        neighbours = Neighbours(self._server.cpu_s())
        report = yield from self._during(
            self._shards.connect, count, rate_per_s=rate_per_s, within_s=within_s
        )
        drivers_cpu_s = sum(tally.cpu_s for tally in report.tallies)
        others = neighbours.since(self._server.cpu_s(), drivers_cpu_s)
        self.books.note_connecting(report, count, others, first=self._way.growing)
        return report

    def _ask(self, stage: Stage) -> Generator[Event, None, str]:
        """
        Have each connection answered as often as the stage demands, one after the other.

        Returns what was answered, for the transcript.
        """
        asked = self._journal.held * stage.rounds
        if not asked:
            return ""
        report = yield from self._during(
            self._shards.roundtrip, rounds=stage.rounds, within_s=_patience_s(asked)
        )
        answered = self.books.note_answers(report, self._way.stage)
        self._check(report, asked=asked, found=answered, what="requests were answered")
        self._answered = answered // stage.rounds
        return f"{answered}/{stage.rounds} "

    def _pass(self, stage: Stage, until_s: float) -> Iterator[Event]:
        """Let the rest of the stage's time pass: with messages by a schedule, or idle."""
        rate = rates.message_rate_per_s(self._load, stage) * self._journal.held
        while (left_s := until_s - self._server.at_s) > 0:
            if not rate:
                yield from self._during(self._shards.hold, left_s)
                return
            # In pieces: what is known of requests only when they are over is lost with a kill.
            piece_s = left_s if left_s < 2 * _PIECE_S else _PIECE_S
            report = yield from self._during(self._shards.load, piece_s, rate_per_s=rate)
            self.books.note_answers(report, self._way.stage)
            self.books.note_limit(report)
            yield self._journal.durations()
            yield ConnectionsCounted(self.books.found)

    def _look(self) -> Iterator[Event]:
        """Wait until the server is at rest, and read everything."""
        settled = self._server.settle()
        report = self._shards.stats()
        self.books.note(report)
        yield self._journal.sample(plateau=True)
        memory = kernel.read()
        self.books.note_look(
            Look(
                at_s=self._server.sampled_at_s,
                stage=self._way.stage,
                asked=self._wanted,
                ready=report.total.ready,
                accepted=self._server.accepted,
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
        held = self._journal.held = report.total.ready
        self._check(report, asked=self._wanted, found=held, what="connections are held")
        self._well = report.total

    def _check(self, report: Report, *, asked: int, found: int, what: str) -> None:
        shortfall.check(
            report,
            asked=asked,
            found=found,
            what=what,
            before=self._well,
            accepted=self._server.accepted,
            alive=self._service.members,
        )

    def _during(
        self, command: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs
    ) -> Generator[Event, None, _T]:
        """Have the drivers do something, and tell meanwhile what it is time for."""
        work = self._drivers.begin(command, *arguments, **named)
        while self._drivers.is_busy(work):
            # Asking ends a slice: the command is given up as by any other stop.
            if not self._stop.is_over and (told := self._journal.due()):
                yield told
        return work.result()


def _patience_s(count: int) -> float:
    """Return how long so many connections, or requests, are waited for."""
    return max(_SHORTEST_WAIT_S, count / _SLOWEST_PER_S)
