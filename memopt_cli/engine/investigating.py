"""
Investigates a suspected process in a thread of its own, while all are sampled on.

A census or a window keeps whoever asks waiting for seconds: for the agent to look,
and for the answer. The thread holds no state of the watch; it leaves what it has
found where the watch picks it up at its next reading.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.analysis.attribution import CENSUS_DUTY
from memopt_cli.engine.attributing import Attribution
from memopt_cli.errors import MeasurementError, SubjectDied, TargetError
from memopt_cli.profiler.agent import NotTraceable

if TYPE_CHECKING:
    from memopt_cli.analysis.attribution import Suspect
    from memopt_cli.engine.clock import Clock
    from memopt_cli.profiler.agent import AgentReader

LOOK_EVERY_S = 2.0
LOOK_SHARE = 1 / 60
"""Of the time that was watched: looks become rarer, so that they span what is slow too."""

TELL_EVERY = 4
"""Looks."""

MOST_FRUITLESS = 48
"""Looks without a growth, after which an investigation makes room for another one."""

_CLOSE_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Found:
    """What an investigation knows by now."""

    suspects: tuple[Suspect, ...]
    looks: int
    traced_s: float
    not_traced: str


class Investigation:
    """Looks at one process until it ends, or is closed."""

    def __init__(self, agent: AgentReader, *, clock: Clock, watched_since_s: float) -> None:
        """
        Args:
            agent: Of the suspected process; must not be closed before this is.
            clock: CLOCK_MONOTONIC.
            watched_since_s: On that clock.
        """
        self._agent = agent
        self._clock = clock
        self._since_s = watched_since_s
        self._attribution = Attribution(agent, clock=clock)
        self._ending = threading.Event()
        self._news: deque[Found] = deque(maxlen=1)
        self._tried = False
        self._last_counted_s = 0.0
        self._refused = ""
        self._fruitless = 0
        self._thread = threading.Thread(
            target=self._work, name=f"investigation of {agent.pid}", daemon=True
        )
        self._thread.start()

    @property
    def fruitless(self) -> bool:
        """Whether it has looked for long, and sees nothing grow."""
        return self._fruitless > MOST_FRUITLESS

    @property
    def done(self) -> bool:
        """Whether nothing more is going to be found."""
        return not self._thread.is_alive()

    def news(self) -> Found | None:
        """Return what was found since the last call, if anything was."""
        try:
            return self._news.pop()
        except IndexError:
            return None

    def finish(self) -> None:
        """Ask for what is known in the end, and look no more; returns at once."""
        self._ending.set()

    def close(self) -> None:
        """End the thread, with what it knows left as the last news."""
        self._ending.set()
        self._agent.given_up = True
        self._thread.join(_CLOSE_WITHIN_S)
        self._agent.given_up = self._thread.is_alive()

    def _work(self) -> None:
        try:
            while not self._ending.wait(self._pause_s()):
                self._look()
            self._tell(ask=True)
        except SubjectDied:
            self._tell(ask=False)
        except NotTraceable as exc:
            self._refused = str(exc)
            self._tell(ask=False)

    def _look(self) -> None:
        self._tried, before_s = True, self._attribution.census_s
        try:
            growths = self._attribution.look()
            self._fruitless = 0 if growths else self._fruitless + 1
            if self._attribution.looks % TELL_EVERY == 0:
                self._tell(ask=True)
        except (SubjectDied, NotTraceable):
            raise
        except (TargetError, MeasurementError):
            # It forks just now, or stands still; the next look may be answered.
            pass
        finally:
            self._last_counted_s = self._attribution.census_s - before_s

    def _pause_s(self) -> float:
        if not self._tried:
            return 0.0
        watched_s = self._clock.now() - self._since_s
        return max(LOOK_EVERY_S, LOOK_SHARE * watched_s, self._last_counted_s / CENSUS_DUTY)

    def _tell(self, *, ask: bool) -> None:
        try:
            suspects = self._attribution.suspects() if ask else self._attribution.known()
        except (TargetError, MeasurementError):
            suspects = self._attribution.known()
        found = self._attribution
        refused = found.not_traced or self._refused
        self._news.append(Found(suspects, found.looks, found.traced_s, refused))
