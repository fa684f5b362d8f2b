"""
What the public package pymdp computes, as values to compare with: run as a script, writes them.

``python -m tests.workloads.agents.pymdp_reference`` needs the extra ``reference``
(inferactively-pymdp 0.0.7.1). It brings some seventy packages, a documentation builder and
notebooks among them, so the tests do not: they read ``pymdp_reference.json``, and compare
with the package itself where it is installed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memopt_cli.optimizer.agents.model import dense_transition
from memopt_cli.workloads.agents.families import model_named
from memopt_cli.workloads.agents.naive import NaiveAgent
from tests.worlds import Worlds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.optimizer.agents.model import GenerativeModel

PLACE = Path(__file__).with_name("pymdp_reference.json")
CASES = (
    ("G5", 1, False),
    ("alias4", 2, False),
    ("chain3", 3, False),
    ("xy5", 4, False),
    ("G3", 5, True),
    ("xy3", 6, True),
)
"""Name, seed, and whether the agent learns A and B."""

STEPS = 12
RELOCATE_AFTER = 5
"""Early, so that the beliefs are surprised within the steps."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One agent's life: what it saw and did, and what pymdp believed at each step."""

    name: str
    seed: int
    learns: bool
    observations: list[list[int]]
    actions: list[int]
    """By the tie rule, so that every implementation is led the same way."""

    beliefs: list[list[list[float]]]
    """Per step and factor."""

    policies: list[list[float]]
    """Per step, the posterior over policies."""


def life(name: str, seed: int, *, learns: bool) -> tuple[list[list[int]], list[int]]:
    """Return what a naive agent sees and does."""
    model = model_named(name, seed)
    worlds = Worlds(model, [seed])
    agent = NaiveAgent(model, learns=learns)
    seen: list[list[int]] = []
    for step in range(STEPS):
        if step % RELOCATE_AFTER == 0:
            worlds.relocate()
        seen.append([int(outcome) for outcome in worlds.observe()[0]])
        worlds.act(np.array([agent.step(seen[-1])]))
    return seen, agent.action_history


def in_pymdp(
    name: str,
    seed: int,
    observations: Sequence[Sequence[int]],
    actions: Sequence[int],
    *,
    learns: bool,
) -> Reference:
    """Let pymdp see *observations*, and believe that it has done *actions*."""
    agent = _agent(model_named(name, seed), learns=learns)
    beliefs, policies = [], []
    for seen, code in zip(observations, actions, strict=True):
        before = agent.qs
        agent.infer_states(list(seen))
        if learns:
            agent.update_A(list(seen))
            if agent.action is not None:
                agent.update_B(before)
        posterior, _ = agent.infer_policies()
        beliefs.append([[float(each) for each in factor] for factor in agent.qs])
        policies.append([float(each) for each in posterior])
        agent.action = np.array(np.unravel_index(code, agent.num_controls), dtype=float)
    return Reference(
        name, seed, learns, [list(each) for each in observations], list(actions), beliefs, policies
    )


def _agent(model: GenerativeModel, *, learns: bool) -> Any:
    from pymdp.agent import Agent

    transitions = [dense_transition(each) for each in model.transitions]
    learning = {"pA": _arrays(model.likelihoods), "pB": _arrays(transitions)} if learns else {}
    return Agent(
        A=_arrays(model.likelihoods),
        B=_arrays(transitions),
        C=_arrays(model.preferences),
        D=_arrays(model.priors),
        gamma=model.precision,
        **learning,
    )


def _arrays(each: Sequence[Any]) -> Any:
    held = np.empty(len(each), dtype=object)
    for number, array in enumerate(each):
        held[number] = np.array(array, dtype=np.float64)
    return held


def stored() -> list[Reference]:
    """Return what the script has written."""
    return [Reference(**each) for each in json.loads(PLACE.read_text(encoding="utf-8"))]


def main() -> None:
    """Write the values of every case."""
    every = []
    for name, seed, learns in CASES:
        seen, done = life(name, seed, learns=learns)
        found = in_pymdp(name, seed, seen, done, learns=learns)
        every.append({each: getattr(found, each) for each in Reference.__slots__})
    lines = ",\n".join(json.dumps(each) for each in every)
    PLACE.write_text(f"[{lines}]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
