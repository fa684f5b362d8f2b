"""How each of some agents grows over time, and what in it could be smaller."""

from __future__ import annotations

import time
import weakref
from collections import deque
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Final

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents.hotspots import LIMITS, find_hotspots
from memopt_cli.optimizer.agents.walking import deep_bytes
from memopt_cli.units import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memopt_cli.optimizer.agents.hotspots import Hotspot, HotspotLimits

LOOKS: Final = 120
FEWEST_LOOKS: Final = 3
"""Two sizes are a difference, and say nothing of a slope."""

HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class AgentGrowth:
    """One agent, as it was seen until its latest look."""

    name: str
    size_bytes: int
    """All that the agent keeps alive, each thing once; what it shares with others included."""

    growth_bytes_per_s: float | None
    """The slope of its sizes by least squares; `None` with too few looks, or none apart in time."""

    over_s: float
    looks: int
    suggestions: tuple[Hotspot, ...]
    """What could be smaller, most saved first; of who ended, none."""

    def __str__(self) -> str:
        grows = "not known yet"
        if self.growth_bytes_per_s is not None:
            per_hour = self.growth_bytes_per_s * HOUR_S
            sign = "-" if per_hour < 0 else "+"
            grows = f"{sign}{format_size(abs(per_hour))}/h"
        lines = [f"{self.name}: {format_size(self.size_bytes)}, {grows}"]
        lines += [f"  {each.path}: {each.kind}. {each.advice}" for each in self.suggestions]
        return "\n".join(lines)


class AgentTracker:
    """
    Sizes of agents by name. Nobody is kept alive by being tracked.

    Nothing happens by itself: call `look` now and then. A look walks all that each agent keeps
    alive, a microsecond or so for each object; arrays are one object whatever their size. Any
    method may be called from any thread.
    """

    def __init__(
        self,
        *,
        looks: int = LOOKS,
        limits: HotspotLimits = LIMITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            looks: How many of the latest sizes of each agent are kept.
            limits: Below which nothing is suggested.
            clock: Seconds.

        Raises:
            AgentError: Fewer looks than a slope takes.
        """
        if looks < FEWEST_LOOKS:
            raise AgentError(f"{looks} looks", hint=f"Keep {FEWEST_LOOKS} or more.")
        self._looks, self._limits, self._clock = looks, limits, clock
        self._tracked: dict[str, _Tracked] = {}
        self._lock = RLock()

    def __len__(self) -> int:
        """Return how many are tracked."""
        return len(self._tracked)

    def track(self, name: str, agent: object) -> None:
        """
        Begin to track an agent, and look at it.

        Raises:
            AgentError: The name is taken, or the agent cannot be referred to weakly.
        """
        with self._lock:
            if name in self._tracked:
                raise AgentError(f"an agent {name!r} is tracked", hint="Forget it first.")
            try:
                reference = weakref.ref(agent)
            except TypeError as exc:
                hint = "Give its class __weakref__ in __slots__."
                raise AgentError(
                    f"{type(agent).__name__} has no weak references", hint=hint
                ) from exc
            tracked = _Tracked(reference, deque(maxlen=self._looks))
            tracked.look(self._clock())
            self._tracked[name] = tracked

    def forget(self, name: str) -> None:
        """Track an agent no more; does nothing if it is not tracked."""
        with self._lock:
            self._tracked.pop(name, None)

    def look(self) -> list[str]:
        """Read the size of each agent; forget those that ended, and return their names."""
        with self._lock:
            now_s = self._clock()
            ended = [name for name, each in self._tracked.items() if not each.look(now_s)]
            for name in ended:
                del self._tracked[name]
            return ended

    def growth(self, name: str) -> AgentGrowth:
        """
        Return how an agent has grown, with suggestions from what it is now.

        Raises:
            AgentError: It is not tracked.
        """
        with self._lock:
            tracked = self._tracked.get(name)
            if tracked is None:
                raise AgentError(f"no agent {name!r} is tracked", hint="Track it, or it has ended.")
            agent = tracked.agent()
            spots = [] if agent is None else find_hotspots(agent, self._limits)
            sizes = list(tracked.sizes)
        return AgentGrowth(
            name=name,
            size_bytes=sizes[-1][1],
            growth_bytes_per_s=_slope(sizes),
            over_s=sizes[-1][0] - sizes[0][0],
            looks=len(sizes),
            suggestions=tuple(spots),
        )

    def fastest(self, count: int = 10) -> list[AgentGrowth]:
        """Return those that grow, the fastest first."""
        with self._lock:
            slopes = {name: _slope(list(each.sizes)) for name, each in self._tracked.items()}
            growing = [(slope, name) for name, slope in slopes.items() if slope and slope > 0]
            chosen = sorted(growing, key=lambda each: (-each[0], each[1]))[:count]
            return [self.growth(name) for _, name in chosen]


@dataclass(frozen=True, slots=True)
class _Tracked:
    agent: weakref.ref[object]
    sizes: deque[tuple[float, int]]
    """Seconds and bytes."""

    def look(self, now_s: float) -> bool:
        """Read the size; return whether the agent is there."""
        agent = self.agent()
        if agent is None:
            return False
        self.sizes.append((now_s, deep_bytes(agent)))
        return True


def _slope(sizes: Sequence[tuple[float, int]]) -> float | None:
    """
    Return bytes per second by least squares.

    >>> _slope([(0.0, 10), (1.0, 12), (2.0, 14)])
    2.0
    """
    count = len(sizes)
    if count < FEWEST_LOOKS:
        return None
    mean_s = sum(at_s for at_s, _ in sizes) / count
    mean_bytes = sum(size for _, size in sizes) / count
    spread = sum((at_s - mean_s) ** 2 for at_s, _ in sizes)
    if not spread:
        return None
    return sum((at_s - mean_s) * (size - mean_bytes) for at_s, size in sizes) / spread
