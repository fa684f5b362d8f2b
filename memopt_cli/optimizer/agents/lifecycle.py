"""
From registration to the end: who may come, who sleeps when, and what that gives back.

==========  ==================================================  ==========================
stage       is reached                                          is left
==========  ==================================================  ==========================
active      by `register`, `recycle`, `wake` and every step     unused for `idle_s`: idle
idle        by time                                             by use, sleep or its end
hibernated  by `hibernate`; by `tick` after `hibernate_s`;      by use or `wake`: active
            by `relieve` and a lowered awake limit
terminated  by `terminate`, and of the old handle by `recycle`  never
==========  ==================================================  ==========================
"""

from __future__ import annotations

import math
import time
from collections import deque
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from memopt_cli.errors import PoolExhausted, StaleHandle
from memopt_cli.optimizer.agents.stages import Deed, LifeEvent, LifeRules, LifeStage, Sweep
from memopt_cli.optimizer.footprint import anonymous_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import ArrayLike, NDArray

    from memopt_cli.optimizer.agents.model import Ints
    from memopt_cli.optimizer.agents.population import Population

EVENTS: Final = 1000
LOWERED_TO: Final = 3 / 4
"""Of the awake limit, each time the budget is found exceeded."""

RAISED_BY: Final = 8
"""One in so many more may be awake, each time there is room."""

ROOM_BELOW: Final = 0.8
"""Share of the budget below which there is room; the gap keeps the limit from swinging."""

RELIEF_BATCH: Final = 64
"""Agents put to sleep between two looks at the memory."""


class Lifecycle:
    """
    A population whose agents are few enough, and asleep when nobody uses them.

    Memory is measured and never computed: what a sweep says it gave back is the difference of
    two readings, and 0 where there is none. Rows go back to the system by the chunk, so one
    agent's sleep alone mostly gives nothing. Nothing happens by itself: call `tick` now and
    then. Any method may be called from any thread.
    """

    def __init__(
        self,
        population: Population,
        rules: LifeRules,
        *,
        clock: Callable[[], float] = time.monotonic,
        memory: Callable[[], int] = anonymous_bytes,
        events: int = EVENTS,
    ) -> None:
        """
        Args:
            population: Whose agents these are; agents may be there already.
            rules: How many agents there may be, and when they sleep.
            clock: Seconds, for the times of events; idleness is by the population's own.
            memory: What the process occupies now, in bytes.
            events: How many of the latest events are kept.
        """
        self.population, self.rules = population, rules
        self.awake_limit = rules.limit
        """Most agents awake at once; follows the memory where there is a budget."""
        self._clock, self._memory = clock, memory
        self._events: deque[LifeEvent] = deque(maxlen=events)
        self._lock = RLock()

    @property
    def events(self) -> list[LifeEvent]:
        """The latest events, the oldest first."""
        with self._lock:
            return list(self._events)

    def register(self) -> int:
        """
        Return the handle of a new agent; whoever was used least sleeps if room is needed.

        Raises:
            PoolExhausted: There are as many as may be; it is among the events.
        """
        with self._lock:
            if len(self.population) >= self.rules.limit:
                self._note(Deed.REFUSED)
                raise PoolExhausted(
                    f"{self.rules.limit:,} agents are registered",
                    hint="Terminate or recycle one, or raise the limit.",
                )
            self._make_room(1)
            handle = self.population.add()[0]
            self._note(Deed.REGISTERED, handle)
            return handle

    def stage(self, handle: int) -> LifeStage:
        """
        Return where an agent is in its life; nobody wakes by being asked for.

        Raises:
            ForeignHandle: Nobody, or another population, gave the handle out.
        """
        try:
            unused_s = float(self.population.unused_s((handle,))[0])
        except StaleHandle:
            return LifeStage.TERMINATED
        if math.isinf(unused_s):
            return LifeStage.HIBERNATED
        return LifeStage.IDLE if unused_s >= self.rules.idle_s else LifeStage.ACTIVE

    def step(self, observations: ArrayLike, handles: Iterable[int] | NDArray[Any]) -> Ints:
        """
        Step agents as `Population.step` does; who sleeps is woken, and that is an event.

        More may be awake afterwards than the awake limit allows, until the next `tick`.
        """
        import numpy as np

        with self._lock:
            named = np.array(handles if isinstance(handles, np.ndarray) else list(handles))
            sleepers = named[np.isinf(self.population.unused_s(named))]
            codes = self.population.step(observations, named)
            for each in sleepers:
                self._note(Deed.WOKEN, int(each))
            return codes

    def hibernate(self, handle: int) -> int:
        """Put an agent to sleep; return the bytes found to be given back, mostly 0 for one."""
        return self._measured(lambda: self._hibernate([handle])).freed_bytes

    def wake(self, handle: int) -> None:
        """Wake an agent, which counts as using it; another sleeps if room is needed."""
        with self._lock:
            sleeps = self.population.is_asleep(handle)
            if sleeps:
                self._make_room(1)
            self.population.wake(handle)
            if sleeps:
                self._note(Deed.WOKEN, handle)

    def recycle(self, handle: int) -> int:
        """
        End an agent and let a new one take its place; return the new one's handle.

        The new one believes in the priors and has done nothing, and whoever still has the
        old handle cannot reach it.
        """
        with self._lock:
            # Asked first, so that a stale handle adds nobody.
            if self.population.is_asleep(handle):
                self._make_room(1)
            fresh = self.population.add()[0]
            self.population.remove(handle)
            self._note(Deed.RECYCLED, handle)
            self._note(Deed.REGISTERED, fresh)
            return fresh

    def terminate(self, handle: int) -> None:
        """End an agent; nothing of it is held any more but events with its number."""
        with self._lock:
            self.population.remove(handle)
            self._note(Deed.TERMINATED, handle)

    def tick(self) -> Sweep:
        """Put to sleep who was unused for long, fit the awake limit to the memory, and keep it."""
        with self._lock:
            self._adapt()
            return self._measured(self._sweep)

    def relieve(self, wanted_bytes: int) -> Sweep:
        """
        Under pressure: put idle agents to sleep, least used first, until enough is given back.

        Active ones are spared, so it may give back less, or nothing.
        """
        with self._lock:
            aim = self._memory() - wanted_bytes
            found = self._measured(lambda: self._relieve(aim))
            self._note(Deed.RELIEVED, None, found.freed_bytes)
            return found

    def _relieve(self, aim_bytes: int) -> int:
        idle, slept = self._least_used(self.rules.idle_s), 0
        while idle and self._memory() > aim_bytes:
            slept += self._hibernate(idle[:RELIEF_BATCH])
            del idle[:RELIEF_BATCH]
        return slept

    def _sweep(self) -> int:
        slept = self._hibernate(self._least_used(self.rules.hibernate_s))
        return slept + self._make_room(0)

    def _adapt(self) -> None:
        """Lower the awake limit by a quarter above the budget, raise it where there is room."""
        budget = self.rules.budget_bytes
        if budget is None:
            return
        used, awake, before = self._memory(), self.population.stats().awake, self.awake_limit
        if used > budget:
            self.awake_limit = max(int(min(before, awake) * LOWERED_TO), self.rules.fewest_awake)
        elif used < budget * ROOM_BELOW:
            self.awake_limit = min(before + max(before // RAISED_BY, 1), self.rules.limit)
        if self.awake_limit != before:
            self._note(Deed.LIMITED)

    def _make_room(self, coming: int) -> int:
        """Put the least used to sleep until *coming* more may be awake; return how many."""
        surplus = self.population.stats().awake + coming - self.awake_limit
        return self._hibernate(self._least_used(0.0)[:surplus]) if surplus > 0 else 0

    def _least_used(self, unused_s: float) -> list[int]:
        """Return who is awake and was unused for as long, the longest unused first."""
        import numpy as np

        handles, unused = self.population.handles(), self.population.unused_s()
        order = np.argsort(-unused, kind="stable")
        return [int(each) for each in handles[order[unused[order] >= unused_s]]]

    def _hibernate(self, handles: list[int]) -> int:
        awake = [each for each in handles if not self.population.is_asleep(each)]
        for each in awake:
            self.population.hibernate(each)
            self._note(Deed.HIBERNATED, each)
        return len(awake)

    def _measured(self, act: Callable[[], int]) -> Sweep:
        """Do it between two readings of the memory."""
        with self._lock:
            before = self._memory()
            slept = act()
            freed = max(before - self._memory(), 0) if slept else 0
            return Sweep(slept, freed, self.awake_limit)

    def _note(self, deed: Deed, handle: int | None = None, freed_bytes: int = 0) -> None:
        self._events.append(LifeEvent(self._clock(), deed, handle, freed_bytes, self.awake_limit))
