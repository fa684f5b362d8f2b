"""Watches a program of a test until it has seen enough."""

from __future__ import annotations

import signal
import sys
import textwrap
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from memopt_cli.engine.clock import SystemClock
from memopt_cli.engine.stopping import StopRequest
from memopt_cli.engine.watch_events import (
    InsideChanged,
    ProcessAppeared,
    ReadingTaken,
    WatchEnded,
    WatchEvent,
)
from memopt_cli.engine.watching import Watching, watch
from tests.watched import QUICK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from memopt_cli.analysis.watching import Reading

INTERVAL_S = 0.02
WITHIN_S = 60.0
Event = TypeVar("Event")


@dataclass
class Watcher:
    """Watches until it has seen enough, then asks for a stop; keeps what happened."""

    folder: Path
    stop: StopRequest = field(default_factory=StopRequest)
    events: list[WatchEvent] = field(default_factory=list)

    def python(self, script: str) -> list[str]:
        """Return the command of a script, whose agent looks 50 times a second."""
        path = self.folder / "app.py"
        path.write_text(QUICK + textwrap.dedent(script), encoding="utf-8")
        return [sys.executable, str(path)]

    def begin(
        self,
        target: int | Sequence[str],
        *,
        duration_s: float | None = None,
        operations: str = "",
    ) -> Iterator[WatchEvent]:
        """Return the events of a watch."""
        watching = Watching(target, INTERVAL_S, duration_s, operations)
        return watch(
            watching, started_at="2026-01-31T12:00:00Z", clock=SystemClock(), stop=self.stop
        )

    def run(
        self,
        target: int | Sequence[str],
        *,
        until: Callable[[], object] = lambda: False,
        duration_s: float | None = None,
        operations: str = "",
    ) -> WatchEnded:
        """Watch to the end, which is asked for when *until* is true, and return it."""
        until_s = time.monotonic() + WITHIN_S
        for event in self.begin(target, duration_s=duration_s, operations=operations):
            self.events.append(event)
            if self.stop.outcome is None and until():
                self.stop.by_signal(signal.SIGTERM)
            assert time.monotonic() < until_s, "what was waited for did not happen"
        ended = self.events[-1]
        assert isinstance(ended, WatchEnded)
        return ended

    def all(self, kind: type[Event]) -> list[Event]:
        """Return the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def readings(self, number: int = 0) -> list[Reading]:
        """Return the readings of a process."""
        return [event.reading for event in self.all(ReadingTaken) if event.number == number]

    def inside(self) -> dict[int, str]:
        """Return what is known about the inside of each process by now."""
        told: dict[int, str] = {}
        for event in self.events:
            if isinstance(event, (ProcessAppeared, InsideChanged)):
                told[event.number] = event.inside
        return told

    def agents(self) -> int:
        """Return how many processes have an agent."""
        return list(self.inside().values()).count("")
