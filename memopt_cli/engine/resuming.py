"""
Where a variant is, and how its population is rebuilt after its processes were lost.

The population is rebuilt by doing again, in a fresh process and without waiting or sampling,
everything that was done up to the checkpoint. That costs the time that the work took, not the
time that it was spread over; in return every object, pool, planted leak and hole in the heap
is as it was, and the digests of the whole are those of a run that was never interrupted. (A
population that was given only the state of its living units would have a younger heap, and
what units that have left did not give back would be missing from every later figure.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memopt_cli.analysis.parts import Checkpoint
from memopt_cli.engine.density import limited
from memopt_cli.engine.stopping import Stopped
from memopt_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from memopt_cli.analysis.recording import Sample
    from memopt_cli.engine.clock import Clock
    from memopt_cli.engine.density import Room
    from memopt_cli.engine.launcher import Subject
    from memopt_cli.engine.sampler import Sampler
    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.store.resuming import Begun
    from memopt_cli.workloads.transcript import Tick, Transcript

_SAME = "Resume it with the versions of Python and numpy that it was begun with."


class Course:
    """The ticks of one variant: those that were done before, and those that are still to do."""

    def __init__(
        self, transcript: Transcript, begun: Begun | None, room: Room | None = None
    ) -> None:
        self._transcript, self._room = transcript, room
        self._ticks = limited(transcript, room)
        self._begun = begun
        self._before = None if begun is None else begun.checkpoint
        self._done = 0
        self._part = 0 if self._before is None else self._before.part + 1
        self._starts_s: float | None = None if self._before else 0.0
        self._rebuilt_s = 0.0

    @property
    def at_s(self) -> float:
        """Scenario time that was lived before."""
        return 0.0 if self._before is None else self._before.at_s

    def rebuild(
        self, subject: Subject, sampler: Sampler, clock: Clock, stop: StopRequest
    ) -> Iterator[int]:
        """
        Do again what was done before; yields the number of each stage as it begins.

        Raises:
            UsageError: What was done again is not what was done before.
            Stopped: A stop was asked for, or the slice is over.
        """
        if self._begun is None or self._before is None:
            return
        began_s, done = clock.now(), dict[str, Any]()
        if self._room is not None:
            self._room.repeat(self._before.state["room"])
        for _ in range(self._before.state["ticks"]):
            if stop.is_over:
                raise Stopped(stop.reason)
            tick = self._next()
            if tick.stage != sampler.stage:
                subject.start_stage()
                sampler.stage = tick.stage
                yield tick.stage
            done = subject.tick(tick)
            self.note(done)
        self._check(self._before, done)
        sampler.go_on(self._begun, self._before, done)
        self._rebuilt_s = clock.now() - began_s

    def ticks(self) -> Iterator[Tick]:
        """Yield the ticks that are still to do."""
        for tick in self._ticks:
            self._done += 1
            if self._starts_s is None:
                self._starts_s = tick.ends_s
            yield tick

    def note(self, done: Mapping[str, Any]) -> None:
        """Take in what the subject says after a tick."""
        if self._room is not None:
            self._room.there = done["units"]

    def checkpoint(self, at_s: float, sampler: Sampler, sample: Sample | None) -> Checkpoint:
        """Return where the variant is, at a sample or between two."""
        state = {
            "ticks": self._done,
            "stage": sampler.stage,
            "wall_s": sampler.wall_s if sample is None else sample.wall_s,
            "cpu_s": sampler.cpu_s if sample is None else sample.cpu_s,
            "busy_s": sampler.busy_s,
            "operations": sampler.operations,
            "load": self._transcript.state,
            "room": None if self._room is None else self._room.taken_in,
        }
        return Checkpoint(self._part, self._starts_s or 0.0, self._rebuilt_s, at_s, state)

    def _next(self) -> Tick:
        tick = next(self._ticks, None)
        if tick is None:
            raise UsageError("the run cannot be resumed: here its load ends before", hint=_SAME)
        self._done += 1
        return tick

    def _check(self, before: Checkpoint, done: dict[str, Any]) -> None:
        state = before.state
        found = {"load": self._transcript.state, "operations": done["operations"]}
        if found != {name: state[name] for name in found}:
            # Not a failure of the subject: the run stays as it is, for where it can go on.
            raise UsageError(
                "the run cannot be resumed: the same seed gives another load here", hint=_SAME
            )
