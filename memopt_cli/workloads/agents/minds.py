"""How a variant keeps its agents and steps them, all behind one face; agents one at a time."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from memopt_cli.optimizer.agents import Learner, ModelStore, learner_base
from memopt_cli.optimizer.agents.planning import Workspace
from memopt_cli.optimizer.malloc import trim
from memopt_cli.workloads.agents.naive import NaiveAgent
from memopt_cli.workloads.agents.rungs import ContiguousAgent, DerivedAgent, SharingAgent

if TYPE_CHECKING:
    from memopt_cli.optimizer.agents import LearnerBase, SharedModel
    from memopt_cli.optimizer.agents.model import Floats, GenerativeModel, Ints
    from memopt_cli.workloads.agents.kinds import Kind
    from memopt_cli.workloads.settings import AgentsSettings

Stepped: TypeAlias = "tuple[Ints, list[int]]"
"""The action of each agent, and the nanoseconds that each took, of a batch its share."""

AnyAgent: TypeAlias = NaiveAgent | DerivedAgent | Learner


class Minds(Protocol):
    """The agents of one variant, by slot; several threads may step different agents."""

    def begin(self, slots: Ints, kind: Kind, at_s: float) -> list[int]:
        """Make agents of one kind; return the nanoseconds of each."""

    def step(self, slots: Ints, kind: Kind, seen: Ints) -> Stepped:
        """Step agents of one kind, each named once, which see [agent, modality]."""

    def end(self, slot: int) -> None:
        """End an agent."""

    def settle(self, at_s: float) -> None:
        """Use a quiet moment."""

    def restart(self, slots: Ints) -> None:
        """Let agents begin anew; those that learn go on."""

    def did(self, slot: int, code: int) -> None:
        """Tell an agent that it did something else; one that learns cannot be told."""

    def beliefs(self, slot: int) -> Floats:
        """Return what an agent believes, the factors side by side; empty if nothing is left."""

    def history(self, slot: int) -> list[int]:
        """Return the latest actions of an agent, as many as the scenario has it remember."""


class OneByOne:
    """Agents as objects, each stepped on its own."""

    def __init__(self, settings: AgentsSettings) -> None:
        self._settings = settings
        self._agents: list[AnyAgent | None] = [None] * settings.capacity
        self._made: dict[Kind, Template] = {}

    def begin(self, slots: Ints, kind: Kind, at_s: float) -> list[int]:  # noqa: ARG002 - as minds are asked
        """Make agents of one kind."""
        took = []
        for slot in map(int, slots):
            self._agents += [None] * (slot + 1 - len(self._agents))
            started = perf_counter_ns()
            self._agents[slot] = self._template(kind).agent(slot)
            took.append(perf_counter_ns() - started)
        return took

    def step(self, slots: Ints, kind: Kind, seen: Ints) -> Stepped:  # noqa: ARG002 - as minds are asked
        """Step agents one after the other."""
        codes, took = [], []
        for slot, outcomes in zip(map(int, slots), seen.tolist(), strict=True):
            agent = self._agent(slot)
            started = perf_counter_ns()
            codes.append(agent.step(outcomes))
            took.append(perf_counter_ns() - started)
            self._trim(agent)
        return np.array(codes, dtype=np.intp), took

    def end(self, slot: int) -> None:
        """End an agent."""
        self._agents[slot] = None

    def settle(self, at_s: float) -> None:
        """Do nothing: objects have no quiet work."""

    def restart(self, slots: Ints) -> None:
        """Let agents begin anew."""
        for slot in map(int, slots):
            agent = self._agent(slot)
            if not isinstance(agent, Learner):
                agent.restart()

    def did(self, slot: int, code: int) -> None:
        """Tell an agent that it did something else."""
        agent = self._agent(slot)
        if not isinstance(agent, Learner):
            agent.did(code)

    def beliefs(self, slot: int) -> Floats:
        """Return what an agent believes."""
        return np.concatenate(self._agent(slot).beliefs)

    def history(self, slot: int) -> list[int]:
        """Return the latest actions of an agent."""
        agent = self._agent(slot)
        found = agent.history if isinstance(agent, Learner) else agent.action_history
        return found[-self._settings.history :]

    def _agent(self, slot: int) -> AnyAgent:
        agent = self._agents[slot]
        if agent is None:
            raise LookupError(f"no agent in slot {slot}")
        return agent

    def _template(self, kind: Kind) -> Template:
        found = self._made.get(kind)
        if found is None:
            found = self._made[kind] = template(kind, self._settings)
        return found

    def _trim(self, agent: AnyAgent) -> None:
        """Let a list of beliefs or actions be no longer than the scenario has it."""
        if isinstance(agent, Learner):
            return
        del agent.belief_history[: -self._settings.kept_beliefs or None]
        del agent.action_history[: -self._settings.history]


class Template(Protocol):
    """Makes agents of one kind in one layout."""

    def agent(self, slot: int) -> AnyAgent:
        """Return a new agent."""


def template(kind: Kind, settings: AgentsSettings) -> Template:
    """Return what makes agents of *kind* in the layout of a variant."""
    if kind.learns and settings.layout in ("shared", "derived", "batched"):
        return _Learners(learner_base(kind.model()), settings.history)
    match settings.layout:
        case "own":
            return _Naive(kind.model(), learns=kind.learns)
        case "contiguous":
            return _Naive(kind.model(), learns=True) if kind.learns else _Contiguous(kind.model())
        case "shared":
            return _Sharing(ContiguousAgent(kind.model()))
    model = ModelStore().intern(kind.model())
    # Making a model and compiling it take ten times what is kept of it.
    trim()
    return _Derived(model, settings.threads)


class _Naive:
    def __init__(self, model: GenerativeModel, *, learns: bool) -> None:
        self._model, self._learns = model, learns

    def agent(self, slot: int) -> NaiveAgent:  # noqa: ARG002 - as templates are asked
        return NaiveAgent(self._model, learns=self._learns)


class _Contiguous:
    def __init__(self, model: GenerativeModel) -> None:
        self._model = model

    def agent(self, slot: int) -> NaiveAgent:  # noqa: ARG002 - as templates are asked
        return ContiguousAgent(self._model)


class _Sharing:
    def __init__(self, first: ContiguousAgent) -> None:
        self._first = first

    def agent(self, slot: int) -> NaiveAgent:  # noqa: ARG002 - as templates are asked
        return SharingAgent(self._first)


class _Derived:
    def __init__(self, model: SharedModel, threads: int) -> None:
        self._model = model
        # Slots that are equal modulo the threads are never stepped at once: see `Agents`.
        self._workspaces = [Workspace(model) for _ in range(threads)]

    def agent(self, slot: int) -> DerivedAgent:
        return DerivedAgent(self._model, self._workspaces[slot % len(self._workspaces)])


class _Learners:
    def __init__(self, base: LearnerBase, history: int) -> None:
        self._base, self._history = base, history

    def agent(self, slot: int) -> Learner:  # noqa: ARG002 - as templates are asked
        return Learner(self._base, history=self._history)


def shares(took_ns: int, among: int) -> list[int]:
    """
    Return the time of a batch shared equally among its agents, to the nanosecond.

    >>> shares(10, 4)
    [2, 2, 2, 4]
    """
    each = took_ns // among
    return [each] * (among - 1) + [took_ns - each * (among - 1)]
