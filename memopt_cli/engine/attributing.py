"""Follows a suspicion: looks, traces within the time that is allowed, and names the lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.analysis import attribution
from memopt_cli.analysis.attribution import MOST_FOLLOWED, Look
from memopt_cli.analysis.drift import FEWEST_READINGS
from memopt_cli.errors import MeasurementError, TargetError
from memopt_cli.profiler.agent import NotTraceable

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.analysis.attribution import Growth, Suspect
    from memopt_cli.engine.clock import Clock
    from memopt_cli.profiler.agent import AgentReader, Holder, Window

WINDOW_S = 0.5
TRIED_CHEAPLY = 2 * FEWEST_READINGS
MOST_LOOKS = 240
"""Kept: from there on every other one is dropped, so that a long watch stays bounded."""

MOST_COUNTS = 200_000
"""Of types and containers, in all looks together: about 130 bytes each."""

WINDOW_SHARE = 1 / 20
"""
Of the time since the first look, between two windows: they become rarer.

Each leaves 32 bytes per line that allocated in it, which CPython 3.11 forgets to free when
its traces are cleared. 24 hours of windows every 100 s would leave a megabyte.
"""

MOST_WINDOWS = 60
"""Kept, the newest: what grows now is made where its newest members were."""

_MOST_HOLDERS = 200


class Attribution:
    """One process's investigation; `look` it every few seconds, then ask for `suspects`."""

    def __init__(
        self,
        agent: AgentReader,
        *,
        clock: Clock,
        operations: Callable[[], float] | None = None,
        window_s: float = WINDOW_S,
        duty: float = attribution.DUTY,
    ) -> None:
        """
        Args:
            agent: Of the process that is suspected.
            clock: CLOCK_MONOTONIC, as the agent's.
            operations: What the program has done so far, if somebody outside counts; not
                called for what the census tells itself.
            window_s: To trace at once.
            duty: Share of the time that may be traced.
        """
        self._agent = agent
        self._operations = operations
        self._duty = duty
        self._clock = clock
        self._window_s = window_s
        self._next_window_s = 0.0
        self._first_look_s: float | None = None
        self._looks: list[Look] = []
        self._taken, self._traced_s = 0, 0.0
        self.census_s = 0.0
        """CPU time that the agent took to count objects."""

        self._windows: list[Window] = []
        self._holders: dict[int | str, Holder] = {}
        self._deep = False
        self.not_traced = ""
        """Why allocations cannot be traced in this program; empty if they can."""

    def look(self) -> tuple[Growth, ...]:
        """Take a census, and a window if something grows and the time for one has come."""
        before_s, before = self._clock.now(), self._count()
        if self._first_look_s is None:
            self._first_look_s = before_s
        census = self._agent.census(deep=self._deep)
        after_s, after = self._clock.now(), self._count()
        operations = census.operations
        if operations is None and before is not None and after is not None:
            # The agent answers up to a second late; the count must be that of the census.
            share = (census.at_s - before_s) / (after_s - before_s)
            operations = before + share * (after - before)
        self._taken += 1
        self.census_s += census.cost_s
        self._looks.append(Look(census, operations))
        counts = sum(len(look.census.types) + len(look.census.containers) for look in self._looks)
        if len(self._looks) > MOST_LOOKS or (
            counts > MOST_COUNTS and len(self._looks) > TRIED_CHEAPLY
        ):
            del self._looks[1:-1:2]
        growths = attribution.growing(self._looks)
        containers = [growth for growth in growths if isinstance(growth.of, int)]
        if not self._deep and not containers and len(self._looks) == TRIED_CHEAPLY:
            # It may be in what the cheap census does not list: begin afresh with the deep one.
            self._deep, self._looks = True, []
        if growths and self._clock.now() >= self._next_window_s and not self.not_traced:
            self._trace(growths)
        return growths

    def _count(self) -> float | None:
        return None if self._operations is None else self._operations()

    @property
    def looks(self) -> int:
        """How often the objects were counted."""
        return self._taken

    @property
    def traced_s(self) -> float:
        """For so long the program was slowed down by tracing."""
        return self._traced_s

    def known(self) -> tuple[Suspect, ...]:
        """Return what `suspects` does, without asking the program anything more."""
        growths = attribution.growing(self._looks)
        return attribution.rank(growths, self._windows, self._holders.values())

    def suspects(self) -> tuple[Suspect, ...]:
        """Return the lines and holders found so far, the worst first."""
        growths = attribution.growing(self._looks)
        unknown = [growth.of for growth in growths if growth.of not in self._holders]
        if len(self._holders) > _MOST_HOLDERS:
            self._holders = {g.of: self._holders[g.of] for g in growths if g.of in self._holders}
        if unknown:
            containers, types = _split(unknown)
            for holder in self._agent.holders(containers=containers, types=types):
                self._holders[holder.of] = holder
        return self.known()

    def _trace(self, growths: tuple[Growth, ...]) -> None:
        containers, types = _split([growth.of for growth in growths])
        try:
            window = self._agent.window(self._window_s, containers=containers, types=types)
        except NotTraceable as exc:
            self.not_traced = str(exc)
            return
        except (TargetError, MeasurementError):
            # Whatever became of it, the program was slowed down for so long.
            self._wait_for(self._window_s)
            raise
        self._traced_s += window.traced_s
        self._windows = [*self._windows, window][-MOST_WINDOWS:]
        self._wait_for(window.traced_s)

    def _wait_for(self, traced_s: float) -> None:
        """Trace next when the time that is allowed has come."""
        now_s = self._clock.now()
        looked_s = now_s - (now_s if self._first_look_s is None else self._first_look_s)
        self._next_window_s = now_s + max(traced_s / self._duty, WINDOW_SHARE * looked_s)


def _split(each: list[int | str]) -> tuple[list[int], list[str]]:
    containers = [of for of in each if isinstance(of, int)][:MOST_FOLLOWED]
    types = [of for of in each if isinstance(of, str)][:MOST_FOLLOWED]
    return containers, types
