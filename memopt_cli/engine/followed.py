"""All processes of a target that are recorded: who comes, what is read, who is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.analysis.watching import Attribute
from memopt_cli.engine.investigating import Investigation
from memopt_cli.engine.suspecting import Suspicion
from memopt_cli.engine.watch_events import (
    InsideChanged,
    PausesRecorded,
    ProcessAppeared,
    ProcessEnded,
    ReadingTaken,
    SuspectsFound,
)
from memopt_cli.engine.watched_process import WatchedProcess
from memopt_cli.errors import SubjectDied
from memopt_cli.profiler.histogram import Histogram
from memopt_cli.profiler.tree import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from memopt_cli.analysis.watching import Reading
    from memopt_cli.engine.clock import Clock
    from memopt_cli.engine.watch_events import WatchEvent
    from memopt_cli.profiler.injection import Session
    from memopt_cli.profiler.tree import Identity, Living, Tree

MOST_PROCESSES = 100
"""Recorded; more are counted."""

MOST_INVESTIGATIONS = 4
"""At once."""

_TELL_PAUSES_EVERY_S = 10.0
_STEP_S = 0.05


class _One:
    """A process with what is suspected of it."""

    def __init__(self, process: WatchedProcess) -> None:
        self.process = process
        self.suspicion = Suspicion()
        self.suspected = False
        self.investigation: Investigation | None = None
        self.told_pauses_s = 0.0
        self.told_inside = process.inside

    @property
    def number(self) -> int:
        return self.process.number

    def pauses(self) -> Iterator[WatchEvent]:
        if self.process.pauses:
            # As they are now: the histograms go on growing.
            pauses = {
                generation: Histogram.from_bytes(each.to_bytes())
                for generation, each in self.process.pauses.items()
            }
            yield PausesRecorded(self.number, pauses, self.process.pauses_lost)

    def news(self) -> Iterator[WatchEvent]:
        found = self.investigation.news() if self.investigation else None
        if found is not None:
            yield SuspectsFound(
                self.number, found.suspects, found.looks, found.traced_s, found.not_traced
            )

    def end_investigation(self) -> Iterator[WatchEvent]:
        if self.investigation is not None:
            self.investigation.close()
            yield from self.news()
            self.investigation, self.suspected = None, False


class Followed:
    """
    Reads all processes of a tree at once, as often as it is asked to.

    A process that began during the watch is followed from the second time that it is
    seen: one that lives for less than an interval shows nothing, and a server that
    forks for each request would fill the places with such.
    """

    def __init__(
        self,
        tree: Tree,
        session: Session,
        clock: Clock,
        *,
        attribute: Attribute = Attribute.SUSPECTED,
    ) -> None:
        self._attribute = attribute
        self._tree = tree
        self._session = session
        self._clock = clock
        self._began_s = clock.now()
        self._all: dict[Identity, _One] = {}
        self._numbers = 0
        self._seen: set[Identity] | None = None
        self._left_out: set[Identity] = set()
        self.left_out = 0
        """Processes that there was no place for."""

        self.alive = True
        """Whether there was any process at the last reading."""

    @property
    def _at_s(self) -> float:
        return self._clock.now() - self._began_s

    def read(self) -> Iterator[WatchEvent]:
        """Read every process; tell who came and who went."""
        members = {each.identity: each for each in self._tree.look()}
        self.alive = bool(members)
        for identity in self._all.keys() - members.keys():
            yield from self._gone(self._all.pop(identity))
        rings = self._session.rings()
        for identity, each in members.items():
            if identity not in self._all:
                yield from self._come(each)
        self._seen = set(members)
        self._left_out.intersection_update(members)
        for identity, one in tuple(self._all.items()):
            try:
                yield from self._read(one, rings)
            except SubjectDied:
                # One that has replaced itself comes again with the next reading.
                yield from self._gone(self._all.pop(identity))
        yield from self._investigate()

    def ask(self) -> None:
        """Ask all agents for what the next reading tells."""
        for one in self._all.values():
            one.process.ask()

    def conclude(self, within_s: float) -> Iterator[WatchEvent]:
        """Ask a last time what keeps the suspects' memory, while the programs run."""
        going = [one for one in self._all.values() if one.investigation is not None]
        for one in going:
            if one.investigation is not None:
                one.investigation.finish()
        until_s = self._clock.now() + within_s
        while self._clock.now() < until_s and not all(
            one.investigation is None or one.investigation.done for one in going
        ):
            self._clock.sleep(_STEP_S)
        for one in going:
            yield from one.end_investigation()

    def tell_all(self) -> Iterator[WatchEvent]:
        """Tell what is known of every process that is still followed."""
        for one in self._all.values():
            yield from one.end_investigation()
            one.process.drain()
            yield from one.pauses()

    def close(self) -> None:
        """End all investigations, and give back descriptors and maps."""
        for one in self._all.values():
            for _ in one.end_investigation():
                pass
            one.process.close()
        self._all.clear()

    def _come(self, each: Living) -> Iterator[WatchEvent]:
        if self._seen is not None and each.identity not in self._seen:
            return
        if self._numbers >= MOST_PROCESSES:
            self.left_out += each.identity not in self._left_out
            self._left_out.add(each.identity)
            return
        at_s = self._at_s
        process = WatchedProcess(self._numbers, each, self._session, at_s=at_s)
        try:
            # Before its command is asked for: what it becomes afterwards is another program.
            process.look_inside(at_s)
        except SubjectDied:
            return
        self._numbers += 1
        self._all[each.identity] = one = _One(process)
        yield ProcessAppeared(
            number=one.number,
            pid=each.pid,
            parent_pid=each.parent_pid,
            command=command_line(each.pid),
            at_s=at_s,
            inside=process.inside,
        )

    def _gone(self, one: _One) -> Iterator[WatchEvent]:
        yield from one.end_investigation()
        one.process.drain()
        yield from one.pauses()
        one.process.close()
        yield ProcessEnded(one.number, self._at_s)

    def _read(self, one: _One, rings: Mapping[int, Path]) -> Iterator[WatchEvent]:
        process, at_s = one.process, self._at_s
        if process.agent_is_due(rings.get(process.process.pid), at_s):
            # Its agent may be another one from here on.
            yield from one.end_investigation()
            process.look_inside(at_s)
        if process.inside != one.told_inside:
            one.told_inside = process.inside
            yield InsideChanged(one.number, process.inside)
        reading = process.read(at_s, processes=len(self._all))
        if reading is None:
            return
        yield ReadingTaken(one.number, reading)
        self._suspect(one, reading)
        yield from one.news()
        if at_s - one.told_pauses_s >= _TELL_PAUSES_EVERY_S:
            one.told_pauses_s = at_s
            yield from one.pauses()

    def _suspect(self, one: _One, reading: Reading) -> None:
        agent = one.process.agent
        if agent is None or not agent.listening or self._attribute is Attribute.NEVER:
            return
        if one.suspicion.see(reading) or self._attribute is Attribute.ALWAYS:
            one.suspected = True

    def _investigate(self) -> Iterator[WatchEvent]:
        """Begin investigations as far as there is room for them, those that find nothing last."""
        waiting = [one for one in self._all.values() if one.suspected and not one.investigation]
        going = [one for one in self._all.values() if one.investigation is not None]
        for one in going:
            if waiting and one.investigation is not None and one.investigation.fruitless:
                yield from one.end_investigation()
        room = MOST_INVESTIGATIONS - sum(
            one.investigation is not None and not one.investigation.done for one in going
        )
        for one in waiting[: max(0, room)]:
            if one.process.agent is not None:
                one.investigation = Investigation(
                    one.process.agent, clock=self._clock, watched_since_s=self._began_s
                )
