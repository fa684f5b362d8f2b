"""A population of agents does the same whatever keeps it, and forgets who left."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memopt_cli.profiler.histogram import Histogram
from memopt_cli.scenario.load import Load
from memopt_cli.workloads.agents.families import model_named
from memopt_cli.workloads.agents.kinds import Turns, kinds_of
from memopt_cli.workloads.agents.naive import NaiveAgent
from memopt_cli.workloads.agents.population import Agents, build
from memopt_cli.workloads.agents.sizes import copied_bytes
from memopt_cli.workloads.settings import AgentsSettings
from memopt_cli.workloads.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memopt_cli.workloads.transcript import Tick

SETTINGS = AgentsSettings(
    models=("G4", "xy4", "chain3"),
    shares=(0.5, 0.3, 0.2),
    distinct_models=2,
    learners=0.2,
    history=20,
    kept_beliefs=3,
    layout="own",
    tier="f64",
    hibernate_s=None,
    threads=1,
    fault="none",
    leak_bytes=0,
    leak_per_cycle_bytes=0,
    capacity=12,
    seed=1,
)

LOAD = Load.model_validate(
    {
        "arrival_rate": "1/s",
        "message_rate": "1.5/s",
        "stages": [
            {"name": "up", "duration": "3s", "units": 20},
            {"name": "steady", "duration": "12s", "units": 20},
            {"name": "down", "duration": "2s", "units": 5},
        ],
    }
)

WAYS: dict[str, dict[str, Any]] = {
    "own": {"threads": 3},
    "contiguous": {"layout": "contiguous"},
    "shared": {"layout": "shared"},
    "derived": {"layout": "derived"},
    "derived in threads": {"layout": "derived", "threads": 3},
    "batched": {"layout": "batched"},
    "in threads": {"layout": "batched", "threads": 4},
    "asleep": {"layout": "batched", "hibernate_s": 1.0},
    "f32": {"layout": "batched", "tier": "f32"},
    "log16": {"layout": "batched", "tier": "log16", "hibernate_s": 0.5},
    "sparse": {"layout": "batched", "tier": "sparse"},
}


def ticks(**keys: Any) -> Iterator[Tick]:
    """Return the ticks of the load, half of the agents doing all steps but the first."""
    return iter(Transcript(LOAD, seed=1, **{"active": 0.5, "greetings": 1, **keys}))


def lived(settings: AgentsSettings, *, seed_of_load: int = 1) -> tuple[Agents, Histogram]:
    """Return a population that has lived through the load, and what was timed."""
    latency = Histogram()
    population = build(settings, latency=latency)
    for tick in Transcript(LOAD, seed=seed_of_load, active=0.5, greetings=1):
        population.grow(np.frombuffer(tick.arrivals, np.uint32).tolist(), tick.ends_s)
        speakers = np.frombuffer(tick.message_slots, np.uint32).tolist()
        population.drive(speakers, tick.message_codes, tick.ends_s)
        population.shrink(np.frombuffer(tick.departures, np.uint32).tolist(), tick.ends_s)
    return population, latency


@pytest.fixture(scope="module")
def naive() -> str:
    """Return the digest of naive agents."""
    return lived(SETTINGS)[0].digest()


@pytest.mark.parametrize("way", WAYS)
def test_every_way_does_the_same(way: str, naive: str) -> None:
    """Layouts, tiers, threads and sleep change nothing that the world or the agent can see."""
    population, _ = lived(replace(SETTINGS, **WAYS[way]))

    assert naive == population.digest()
    assert 5 == population.units


@pytest.mark.parametrize("change", [{"seed": 2}, {"learners": 0.0}, {"history": 19}])
def test_other_work_has_another_digest(change: dict[str, Any], naive: str) -> None:
    """Other worlds, other minds and a shorter memory all show."""
    assert naive != lived(replace(SETTINGS, **change))[0].digest()


def test_a_deleted_belief_shows_in_what_is_done(naive: str) -> None:
    """An agent that forgets what it believes acts otherwise."""
    forgetful = replace(SETTINGS, layout="batched", fault="forgets")

    assert naive != lived(forgetful)[0].digest()


@pytest.mark.parametrize("way", [{}, {"layout": "batched", "threads": 2}])
def test_every_operation_is_timed(way: dict[str, Any]) -> None:
    """One duration for each arrival, step and departure, of a batch its share."""
    _, latency = lived(replace(SETTINGS, **way))

    assert sum(tick.operations for tick in ticks()) == latency.count
    assert latency.total_s > 0


def test_beliefs_and_actions_of_naive_agents_are_bounded() -> None:
    """What is kept of the past is what the scenario says, not all of it."""
    population, _ = lived(SETTINGS)
    agents = [agent for agent in population.minds._agents if agent is not None]  # type: ignore[attr-defined] # of objects

    assert max(len(agent.belief_history) for agent in agents) == 3
    assert max(len(agent.action_history) for agent in agents) <= 20


def test_kinds_come_in_their_shares() -> None:
    """After any number of agents, each kind is within one of its share."""
    shares = [share for _, share in kinds_of(SETTINGS)]
    turns, counts = Turns(shares), [0] * len(shares)
    for done in range(1, 200):
        counts[turns.next()] += 1
        assert max(abs(n - share * done) for n, share in zip(counts, shares, strict=True)) < 1.01

    assert pytest.approx(1.0) == sum(shares)


@pytest.mark.parametrize("name", ["G6", "alias5", "chain4", "xy6"])
def test_the_forewarned_size_is_below_the_true_one(name: str) -> None:
    """By less than 5 %: what a naive agent copies is known before numpy is."""
    agent = NaiveAgent(model_named(name, 1))
    true = sum(each.nbytes for group in (agent.A, agent.B, agent.C, agent.D) for each in group)

    assert 0.95 * true < copied_bytes(name) <= true


def test_half_of_the_agents_do_all_but_the_first_steps() -> None:
    """Turns go round among those who are there longest; messages are counted, not drawn."""
    steady = [tick for tick in ticks() if tick.stage == 1]
    greeted = sum(len(tick.arrivals) // 4 for tick in steady)

    assert 12 * 1.5 * 20 * 0.5 == sum(len(tick.message_codes) for tick in steady) - greeted
