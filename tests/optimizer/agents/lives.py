"""Agents led through the same life, naive and as a population."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from memopt_cli.optimizer.agents import ModelStore, Population
from memopt_cli.workloads.agents.families import model_named
from memopt_cli.workloads.agents.naive import NaiveAgent
from tests.worlds import Worlds

if TYPE_CHECKING:
    from memopt_cli.optimizer.agents import GenerativeModel, Tier


@dataclass(frozen=True, slots=True)
class Difference:
    """How a population was different from naive agents."""

    belief: float
    """Largest difference of a probability."""

    divergence_nat: float
    """Largest KL(naive || population)."""

    others: int
    """Actions that were not the naive ones."""

    steps: int


def compare(
    model: GenerativeModel,
    tier: Tier = "f64",
    *,
    count: int = 4,
    steps: int = 30,
    episode: int = 11,
    told: bool = True,
    led: bool = True,
    sleeps: bool = False,
) -> Difference:
    """
    Let both live through the same observations and say how they differed.

    Args:
        model: Of all agents.
        tier: Of the population.
        count: How many agents.
        steps: Of each.
        episode: After how many steps everybody is put elsewhere.
        told: Whether the agents are told that, and begin anew.
        led: Whether the population is made to do what the naive agents do, or acts in worlds
            of its own.
        sleeps: Whether somebody goes to sleep before every step.
    """
    naive = [NaiveAgent(model) for _ in range(count)]
    population = Population(ModelStore().intern(model), tier=tier, whole_history=True)
    handles = population.add(count)
    worlds, own = Worlds(model, range(count)), Worlds(model, range(count))
    belief = divergence = 0.0
    for step in range(steps):
        if step % episode == episode - 1:
            worlds.relocate()
            own.relocate()
            if told:
                population.restart(handles)
                for agent in naive:
                    agent.restart()
        if sleeps:
            population.hibernate(handles[step % count])
        seen = worlds.observe()
        expected = np.array([agent.step(each) for agent, each in zip(naive, seen, strict=True)])
        chosen = population.step(own.observe(), handles)
        if led:
            for number in np.flatnonzero(chosen != expected):
                population.did(handles[number], int(expected[number]))
        worlds.act(expected)
        own.act(expected if led else chosen)
        for agent, handle in zip(naive, handles, strict=True):
            for one, other in zip(agent.beliefs, population.beliefs(handle), strict=True):
                held = one > 0
                belief = max(belief, float(abs(one - other).max()))
                found = float((one[held] * np.log(one[held] / other[held])).sum())
                divergence = max(divergence, found)
    others = sum(
        sum(map(int.__ne__, agent.action_history, population.history(handle)))
        for agent, handle in zip(naive, handles, strict=True)
    )
    return Difference(belief, divergence, others, count * steps)


def population_of(name: str = "G4", tier: Tier = "f64", **settings: object) -> Population:
    """Return an empty population."""
    shared = ModelStore().intern(model_named(name, 1))
    return Population(shared, tier=tier, **settings)  # type: ignore[arg-type] # of the test's own
