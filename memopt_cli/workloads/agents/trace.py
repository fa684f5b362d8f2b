"""
The naive trace: what agents that own everything see, believe and do, to judge others by.

It is computed once per kind of agent, outside every subject. A trace is of two kinds of the
same shape: a variant that knows models by their shape thinks the same with both, and the
naive ones do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from memopt_cli.workloads.agents.habitat import Habitat
from memopt_cli.workloads.agents.naive import NaiveAgent

if TYPE_CHECKING:
    from memopt_cli.optimizer.agents.model import Floats, Ints
    from memopt_cli.workloads.agents.kinds import Kind

EPISODE: Final = 25
"""Steps after which agents that do not learn are put elsewhere, and told so."""

TWIN_STEPS: Final = 5
FIRST_NUMBER: Final = 1 << 40
"""Of probes: no agent of a population has as high a number, so no world is met twice."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What some agents of one kind saw, believed and did, step by step."""

    kind: Kind
    seen: list[Ints]
    """[agent, modality] per step."""

    beliefs: list[Floats]
    """[agent, state], the factors side by side, per step."""

    codes: list[Ints]
    """The action of each agent, per step."""

    @property
    def count(self) -> int:
        """How many agents there are."""
        return len(self.codes[0])

    def restarts(self, step: int) -> bool:
        """Say whether the agents begin anew before a step."""
        return restarts(self.kind, step)


def restarts(kind: Kind, step: int) -> bool:
    """Say whether agents of *kind* are put elsewhere, and told so, before a step."""
    return bool(step) and not step % EPISODE and not kind.learns


class Wild:
    """Agents' own worlds, one kind, from which the same actions bring the same sights."""

    def __init__(self, kind: Kind, count: int, seed: int) -> None:
        self._habitat = Habitat([kind], seed=seed, capacity=count)
        self._slots = np.arange(count)
        self._settle(0)

    def seen(self, step: int, *, restart: bool) -> Ints:
        """Return what the agents see, put elsewhere before if they begin anew."""
        if restart:
            self._settle(step)
        return self._habitat.seen(self._slots, 0)

    def act(self, codes: Ints) -> None:
        """Let the agents do what they chose."""
        self._habitat.act(self._slots, 0, codes)

    def _settle(self, step: int) -> None:
        numbers = FIRST_NUMBER + step * len(self._slots) + self._slots
        self._habitat.settle(self._slots, numbers, np.zeros(len(self._slots), dtype=np.intp))


def naive_trace(kind: Kind, *, count: int, steps: int, seed: int) -> Trace:
    """Return the trace of *count* naive agents in worlds of their own."""
    wild = Wild(kind, count, seed)
    agents = _naive(kind, count)
    trace = Trace(kind, [], [], [])
    for step in range(steps):
        restart = restarts(kind, step)
        seen = wild.seen(step, restart=restart)
        _step(agents, trace, seen, restart=restart)
        wild.act(trace.codes[-1])
    return trace


def twin_trace(trace: Trace, twin: Kind, *, steps: int = TWIN_STEPS) -> Trace:
    """Return what naive agents of another model make of the same sights and actions."""
    agents = _naive(twin, trace.count)
    found = Trace(twin, [], [], [])
    for step, seen in enumerate(trace.seen[:steps]):
        _step(agents, found, seen, restart=trace.restarts(step))
        for agent, code in zip(agents, trace.codes[step].tolist(), strict=True):
            agent.did(code)
    return found


def _naive(kind: Kind, count: int) -> list[NaiveAgent]:
    model = kind.model()
    if kind.learns:
        return [NaiveAgent(model, learns=True) for _ in range(count)]
    # One that does not learn never writes to its arrays, so these may be the first one's.
    first = NaiveAgent(model)
    return [first, *(_like(first) for _ in range(count - 1))]


def _like(first: NaiveAgent) -> NaiveAgent:
    """Return an agent that reads the arrays of another: memory here is the controller's."""
    agent = object.__new__(NaiveAgent)
    vars(agent).update(vars(first))
    agent.belief_history, agent.action_history = [], []
    return agent


def _step(agents: list[NaiveAgent], trace: Trace, seen: Ints, *, restart: bool) -> None:
    codes, beliefs = [], []
    for agent, outcomes in zip(agents, seen.tolist(), strict=True):
        if restart:
            agent.restart()
        codes.append(agent.step(outcomes))
        beliefs.append(np.concatenate(agent.beliefs))
        del agent.belief_history[:], agent.action_history[:-1]
    trace.seen.append(seen)
    trace.codes.append(np.array(codes, dtype=np.intp))
    trace.beliefs.append(np.array(beliefs))
