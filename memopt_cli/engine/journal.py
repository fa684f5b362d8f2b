"""What is told of a walk over real connections, and kept of it so that it can go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.analysis.parts import Checkpoint
from memopt_cli.engine.events import CheckpointMade, DurationsRecorded, SampleTaken
from memopt_cli.engine.waypoint import Waypoint

if TYPE_CHECKING:
    from memopt_cli.engine.clock import Clock
    from memopt_cli.engine.connection_books import Books
    from memopt_cli.engine.service_reading import ServiceReader

_KEEP_EVERY_S = 0.5
_ROUNDING_S = 1e-6


class Journal:
    """Where a walk is, with its server and its books."""

    def __init__(
        self,
        server: ServiceReader,
        books: Books,
        clock: Clock,
        *,
        interval_s: float,
        before: Checkpoint | None,
    ) -> None:
        """
        Args:
            server: What samples are read of.
            books: What is counted of its connections.
            clock: Real time.
            interval_s: Between samples, where nothing else asks for one.
            before: Where the variant was interrupted, if it was.
        """
        self._server, self._books, self._clock = server, books, clock
        self._interval_s = interval_s
        self.way = Waypoint() if before is None else Waypoint.from_values(before.state)
        self.held = 0
        """Connections that there are."""

        self._part = 0 if before is None else before.part + 1
        self._starts_s = self._rebuilt_s = 0.0
        self._kept_s = clock.now()
        self._lives = False

    def go_on(self, before: Checkpoint, began_s: float) -> None:
        """
        Go on with the time that there was, once the server is at rest with its connections.

        Args:
            before: Where the variant was.
            began_s: When it began to make those connections again.
        """
        self._server.settle()
        self._server.go_on(before.at_s, before.state["cpu_s"])
        self._starts_s = before.at_s + _ROUNDING_S
        self._rebuilt_s = self._clock.now() - began_s

    def begin(self) -> None:
        """Begin to tell: up to here nothing was of the scenario's own."""
        self._kept_s = self._clock.now()
        self._lives = True

    def due(self) -> SampleTaken | CheckpointMade | None:
        """Return what it is time for."""
        if not self._lives:
            return None
        if self._server.since_sample_s >= self._interval_s:
            return self.sample(plateau=False)
        if self._clock.now() - self._kept_s >= _KEEP_EVERY_S:
            return CheckpointMade(self._checkpoint())
        return None

    def sample(self, *, plateau: bool) -> SampleTaken:
        """Take a sample; at a plateau an exact one."""
        sample = self._server.sample(
            stage=self.way.stage,
            units=self.held,
            operations=self._books.answered,
            busy_s=self._books.busy_s,
            plateau=plateau,
        )
        return SampleTaken(sample, self._checkpoint())

    def durations(self) -> DurationsRecorded:
        """Return how long the replies of the stage took, up to now."""
        stage = self.way.stage
        latency = self._books.latency(stage)
        return DurationsRecorded(
            stage, {}, latency, 0, recorder_installed=False, checkpoint=self._checkpoint()
        )

    def _checkpoint(self) -> Checkpoint:
        self._kept_s = self._clock.now()
        state = {
            **self.way.to_values(),
            "there": self._server.accepted,
            "cpu_s": self._server.cpu_s(),
            "busy_s": self._books.busy_s,
        }
        return Checkpoint(self._part, self._starts_s, self._rebuilt_s, self._server.at_s, state)
