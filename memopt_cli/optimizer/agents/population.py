"""Agents that share one model, kept as columns and stepped in blocks."""

from __future__ import annotations

import time
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents.agent import Agent
from memopt_cli.optimizer.agents.chunk import Chunk, Kind
from memopt_cli.optimizer.agents.minds import Minds
from memopt_cli.optimizer.agents.packing import DROPPED_BELOW
from memopt_cli.optimizer.agents.rings import Digits
from memopt_cli.optimizer.agents.slots import ASLEEP, check_pairs
from memopt_cli.optimizer.agents.stats import PopulationStats
from memopt_cli.optimizer.agents.table import Table
from memopt_cli.optimizer.agents.tiers import Tier, check_tier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from memopt_cli.optimizer.agents.model import Floats, Ints
    from memopt_cli.optimizer.agents.shared import SharedModel

HISTORY: Final = 256


class Population:
    """
    Any number of agents with one model.

    Agents are named by handles, ints that end with their agent. Whoever is awake has a row;
    who sleeps has a record in a file and eight bytes here, and wakes by being used. Rows are
    kept without gaps, so that sleep gives memory back.

    Every method may be called from any thread; one works at a time. Every method that takes
    handles raises, before anything has changed, `ForeignHandle` if nobody or another
    population gave one out, and `StaleHandle` if its agent was removed.
    """

    def __init__(
        self,
        model: SharedModel,
        *,
        tier: Tier = "f64",
        history: int = HISTORY,
        whole_history: bool = False,
        dropped_below: float = DROPPED_BELOW,
        folder: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            model: From a `ModelStore`, so that populations of equal models share it.
            tier: How beliefs are kept: ``f64``, ``f32``, ``log16`` or ``sparse``.
            history: How many of its latest actions an agent remembers.
            whole_history: Whether older actions are kept too, sealed in blocks.
            dropped_below: Beliefs that the sparse tier replaces by their mean; see `tiers`.
            folder: Where sleeping agents are written; the system's temporary one if None.
            clock: Seconds, for idle agents.

        Raises:
            AgentError: There is no such tier, or the history is negative.
        """
        check_tier(tier)
        if history < 0 or (whole_history and not history):
            raise AgentError(f"a history of {history} actions", hint="Give 0 or more.")
        self.model, self.tier = model, tier
        self._clock = clock
        kind = Kind(model, tier, Digits(model.policies), history, dropped_below)
        self._table = Table(kind, folder, whole_history=whole_history)
        self._minds = Minds(model, self._table, clock)
        self._lock = RLock()

    def __len__(self) -> int:
        """Return how many agents there are, awake or asleep."""
        return self._table.awake + self._table.asleep

    def add(self, count: int = 1) -> list[int]:
        """
        Return the handles of new agents, who believe in the model's priors.

        Raises:
            PoolExhausted: A population cannot have that many.
            PoolError: Memory is out; nobody is added.
        """
        import numpy as np

        with self._lock:
            first = self._table.awake
            slots = self._table.add(count)
            self._minds.begin(np.arange(first, first + count))
            return [int(handle) for handle in self._table.slots.handles(slots)]

    def add_agent(self) -> Agent:
        """Return one new agent as an object."""
        return Agent(self, self.add()[0])

    def agent(self, handle: int) -> Agent:
        """Return an agent as an object; any number of objects may speak for one agent."""
        with self._lock:
            self._table.slots.slot(handle)
        return Agent(self, handle)

    def handles(self) -> NDArray[Any]:
        """Return the handles of all who are awake, in the order that `step` takes them in."""
        with self._lock:
            return self._table.slots.handles(self._table.slots_in_order())

    def remove(self, handle: int) -> None:
        """End an agent; its handle is stale from now on."""
        with self._lock:
            self._table.remove(self._table.slots.slot(handle))

    def step(
        self, observations: ArrayLike, handles: Iterable[int] | NDArray[Any] | None = None
    ) -> Ints:
        """
        Let agents see one outcome per modality each, and return the codes of their actions.

        Args:
            observations: Integers, [agent, modality].
            handles: Whose they are, each once; of `handles()` if None. Who sleeps wakes.

        Raises:
            AgentError: An outcome does not exist, there are more or fewer observations than
                agents, or an agent is named twice; no agent has seen anything.
        """
        import numpy as np

        with self._lock:
            table = self._table
            seen = self.model.outcomes.rows(np.asarray(observations))
            slots = None if handles is None else table.slots.slots(handles)
            check_pairs(slots, table.awake, len(seen))
            rows = np.arange(table.awake) if slots is None else table.rows(slots)
            return self._minds.step(rows, seen)

    def restart(self, handles: Iterable[int] | NDArray[Any] | None = None) -> None:
        """
        Let agents begin anew with the priors as beliefs; what they did stays known.

        Args:
            handles: Of all who are awake if None. Who sleeps wakes.
        """
        import numpy as np

        with self._lock:
            table = self._table
            if handles is None:
                self._minds.begin(np.arange(table.awake))
            else:
                self._minds.begin(np.unique(table.rows(np.unique(table.slots.slots(handles)))))

    def beliefs(self, handle: int) -> tuple[Floats, ...]:
        """Return copies of an agent's beliefs per factor, float64 that sum to 1."""
        with self._lock:
            belief = self._minds.belief(*self._used(handle))[0]
        found = [belief[where] for where in self.model.factor_slices()]
        if self.tier == "f64":
            return tuple(each.copy() for each in found)
        return tuple(each / each.sum() for each in found)

    def believe(self, handle: int, factor: int, belief: Floats) -> None:
        """
        Replace what an agent believes of one factor.

        Raises:
            AgentError: There is no such factor, or it is no distribution: NaN, negative, all
                zero or of another length; nothing has changed.
        """
        checked = self._minds.checked(factor, belief)
        with self._lock:
            self._minds.believe(*self._used(handle), factor, checked)

    def did(self, handle: int, code: int) -> None:
        """
        Tell an agent that it did something else than it chose last, in its history too.

        Raises:
            AgentError: There is no such action, or the agent has not chosen any since it
                began; nothing has changed.
        """
        with self._lock:
            self._minds.correct(*self._used(handle), code)

    def history(self, handle: int) -> list[int]:
        """Return the codes of an agent's latest actions, or of all if kept; the oldest first."""
        with self._lock:
            self._used(handle)
            return [int(each) for each in self._table.history(self._table.slots.slot(handle))]

    def is_asleep(self, handle: int) -> bool:
        """Say whether an agent sleeps."""
        with self._lock:
            slots = self._table.slots
            return int(slots.rows[slots.slot(handle)]) == ASLEEP

    def hibernate(self, handle: int) -> None:
        """
        Write an agent to the file and give its row back; does nothing if it sleeps.

        Raises:
            OSError: The file cannot be written; the agent is awake as before.
        """
        with self._lock:
            slots = self._table.slots
            slot = slots.slot(handle)
            if slots.rows[slot] != ASLEEP:
                self._table.hibernate(slot)

    def hibernate_idle(self, idle_s: float) -> int:
        """Hibernate who was not used for at least *idle_s* seconds; return how many."""
        with self._lock:
            slots = self._table.idle_since(self._clock() - idle_s)
            for slot in slots:
                self._table.hibernate(int(slot))
            return len(slots)

    def unused_s(self, handles: Iterable[int] | NDArray[Any] | None = None) -> Floats:
        """
        Return the seconds since each agent was used, without waking anybody.

        Args:
            handles: Whose; of `handles()` if None. Of who sleeps it is infinity.
        """
        with self._lock:
            slots = self._table.slots
            of = self._table.slots_in_order() if handles is None else slots.slots(handles)
            return self._clock() - self._table.last_used_s(of)

    def wake(self, handle: int) -> None:
        """
        Give an agent its row again, which counts as using it.

        Raises:
            CorruptState: Its record is not what was written; it stays asleep.
        """
        with self._lock:
            self._used(handle)

    def stats(self) -> PopulationStats:
        """Return what there is now."""
        with self._lock:
            table = self._table
            rows = sum(chunk.row_bytes for chunk in table.chunks)
            return PopulationStats(
                awake=table.awake,
                asleep=table.asleep,
                belief_bytes=sum(chunk.beliefs.size_bytes for chunk in table.chunks),
                row_bytes=rows * table.rows_per_chunk,
                slot_bytes=table.slots.size_bytes,
                archive_bytes=table.archive_bytes,
                model_bytes=self.model.size_bytes,
            )

    def _used(self, handle: int) -> tuple[Chunk, int]:
        """Return the chunk of an agent, awake and just used, and its row there."""
        chunk, local = self._table.place(self._table.slots.slot(handle))
        chunk.last_used_s[local] = self._clock()
        return chunk, local
