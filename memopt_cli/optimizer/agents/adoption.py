"""
Agents of other people's making, made smaller where they stand, and made as they were.

An agent that owns everything has three kinds of ballast: arrays that others have as well,
every belief it ever had, and a list of its actions. Here the first are shared by content, the
second written to a file, the third packed. Nothing is forgotten or rounded, so the agent
does what it would have done.

Of 75 naive agents on a grid of 20 by 20, each with 20 steps behind it, 8.3 MB are left of 609,
7.7 of them the one model, and a step takes 0.89 (0.85 to 0.92) of the time; on one of 10 by 10
1.4 of 39 MB, and 1.01 (0.93 to 1.08) (`python -m tests.benchmarks.bench_agent_tuning adoption`).
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from math import prod
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents.arrays import ArrayStore
from memopt_cli.optimizer.agents.past import BeliefFile, PastActions, PastBeliefs
from memopt_cli.optimizer.footprint import anonymous_bytes
from memopt_cli.optimizer.malloc import trim

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class AgentParts:
    """What the attributes of an agent are called; the defaults are of pymdp's letters."""

    arrays: tuple[str, ...] = ("A", "B", "C", "D")
    """Lists of arrays that the agent replaces, if at all, and never writes into."""

    transitions: str = "B"
    """The list of arrays whose last axes say how many actions there are."""

    priors: str = "D"
    """The list of arrays that a belief has the shapes and types of."""

    beliefs: str = "belief_history"
    """The list of all beliefs, each a list of arrays."""

    actions: str = "action_history"
    """The list of all action codes."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """What adopting agents has done."""

    agents: int
    """How many were not adopted before."""

    saved_bytes: int
    """Difference of the process's memory before and after; 0 where it did not fall."""


PARTS: Final = AgentParts()


class AgentOptimizer:
    """
    Adopts agents: shares, packs and moves out what they own, and can give it all back.

    It holds no agent: whoever is dropped is gone, with its places in the file and the arrays
    that nobody else has. The memory saved is measured on the process and not computed from
    what was replaced. Every method may be called from any thread; the agents must rest.
    """

    def __init__(
        self,
        parts: AgentParts = PARTS,
        *,
        folder: Path | None = None,
        memory: Callable[[], int] = anonymous_bytes,
    ) -> None:
        """
        Args:
            parts: What the agents' attributes are called.
            folder: Where past beliefs are written; the system's temporary one if None.
            memory: What the process occupies now, in bytes.
        """
        self.arrays = ArrayStore()
        self._parts, self._folder, self._memory = parts, folder, memory
        self._files: weakref.WeakValueDictionary[int, BeliefFile] = weakref.WeakValueDictionary()
        self._adopted: dict[int, weakref.ref[Any]] = {}
        self._lock = RLock()

    def __len__(self) -> int:
        """Return how many adopted agents are alive."""
        return len(self._adopted)

    def __contains__(self, agent: object) -> bool:
        known = self._adopted.get(id(agent))
        return known is not None and known() is agent

    def optimize_agent(self, *agents: object) -> Adopted:
        """
        Adopt agents; who is adopted already stays exactly as it is.

        Raises:
            AgentError: An agent lacks a part, or holds what cannot be kept exactly; those
                before it are adopted, and it is as it was.
        """
        with self._lock:
            if all(agent in self for agent in agents):
                return Adopted(0, 0)
            before, adopted = self._settled_bytes(), 0
            for agent in agents:
                # Asked each time: one agent may be named twice.
                if agent not in self:
                    self._adopt(agent)
                    adopted += 1
            return Adopted(adopted, max(before - self._settled_bytes(), 0))

    def restore(self, agent: object) -> None:
        """
        Give an agent all of its own again, as lists and writeable arrays, and let it go.

        Raises:
            AgentError: It was not adopted; nothing has changed.
            CorruptState: A past belief is not what was written; nothing has changed.
        """
        import numpy as np

        with self._lock:
            self._require(agent)
            beliefs = list(getattr(agent, self._parts.beliefs))
            for name in self._parts.arrays:
                own = getattr(agent, name)
                # What a learner has replaced since is its own already.
                own[:] = [
                    np.array(each, order="K") if self.arrays.holds(each) else each for each in own
                ]
            setattr(agent, self._parts.beliefs, beliefs)
            setattr(agent, self._parts.actions, list(getattr(agent, self._parts.actions)))
            del self._adopted[id(agent)]

    def unregister(self, agent: object) -> None:
        """
        Let an agent go as it is now, still small; nothing here knows it any more.

        Raises:
            AgentError: It was not adopted; nothing has changed.
        """
        with self._lock:
            self._require(agent)
            del self._adopted[id(agent)]

    def _settled_bytes(self) -> int:
        """Return what the process occupies, without what the allocator keeps of freed memory."""
        # Before as well as after: else what others have freed would be counted as saved here.
        trim()
        return self._memory()

    def _adopt(self, agent: object) -> None:
        lists = [self._arrays_of(agent, name) for name in self._parts.arrays]
        beliefs = self._packed_beliefs(agent)
        actions = self._packed_actions(agent)
        shared = [[self.arrays.intern(each) for each in arrays] for arrays in lists]
        self._remember(agent)
        for arrays, same in zip(lists, shared, strict=True):
            # In place, because the agent may call one list by two names.
            arrays[:] = same
        setattr(agent, self._parts.beliefs, beliefs)
        setattr(agent, self._parts.actions, actions)

    def _packed_beliefs(self, agent: object) -> Any:
        past = self._part(agent, self._parts.beliefs)
        if isinstance(past, PastBeliefs):
            return past
        example = past[0] if past else self._arrays_of(agent, self._parts.priors)
        packed = PastBeliefs(example, self._file(sum(each.nbytes for each in example)))
        for item in past:
            packed.append(item)
        return packed

    def _packed_actions(self, agent: object) -> PastActions:
        past = self._part(agent, self._parts.actions)
        if isinstance(past, PastActions):
            return past
        transitions = self._arrays_of(agent, self._parts.transitions)
        return PastActions(prod(each.shape[-1] for each in transitions), past)

    def _file(self, record_bytes: int) -> BeliefFile:
        """Return the file for records of a size, made if nobody uses one."""
        file = self._files.get(record_bytes)
        if file is None:
            file = self._files[record_bytes] = BeliefFile(record_bytes, self._folder)
        return file

    def _remember(self, agent: object) -> None:
        number, adopted = id(agent), self._adopted

        def forget(reference: weakref.ref[Any]) -> None:
            # Unless another agent has the number by now.
            if adopted.get(number) is reference:
                del adopted[number]

        try:
            adopted[number] = weakref.ref(agent, forget)
        except TypeError as exc:
            raise AgentError(
                f"nobody can refer weakly to a {type(agent).__name__}",
                hint="Add '__weakref__' to its __slots__.",
            ) from exc

    def _arrays_of(self, agent: object, name: str) -> list[NDArray[Any]]:
        import numpy as np

        found = self._part(agent, name)
        if not isinstance(found, list) or not all(isinstance(each, np.ndarray) for each in found):
            raise AgentError(
                f"{type(agent).__name__}.{name} is no list of arrays",
                hint="Name the attributes that are in `AgentParts`.",
            )
        return found

    def _part(self, agent: object, name: str) -> Any:
        try:
            return getattr(agent, name)
        except AttributeError as exc:
            raise AgentError(
                f"{type(agent).__name__} has no {name!r}",
                hint="Say in `AgentParts` what its attributes are called.",
            ) from exc

    def _require(self, agent: object) -> None:
        if agent not in self:
            raise AgentError(
                f"this {type(agent).__name__} is not adopted",
                hint="Adopt it with `optimize_agent`, and restore or unregister it once.",
            )
