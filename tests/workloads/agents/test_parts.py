"""The parts of a step are told apart in every layout, and nothing stays of how."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from memopt_cli.optimizer.agents import learning
from memopt_cli.optimizer.agents import minds as rows
from memopt_cli.profiler.histogram import Histogram
from memopt_cli.workloads.agents import parts, rungs
from memopt_cli.workloads.agents.naive import NaiveAgent
from memopt_cli.workloads.agents.parts import PERCEIVE, PLAN, UPDATE, told_apart
from memopt_cli.workloads.agents.population import Agents, build
from tests.workloads.agents.test_population import SETTINGS, WAYS

SLOTS = list(range(10))
STEP = bytes(10)


def grown(**way: Any) -> Agents:
    """Return a population of ten agents that have done a step."""
    population = build(replace(SETTINGS, **way), latency=Histogram())
    population.grow(SLOTS, 0.0)
    population.drive(SLOTS, STEP, 0.0)
    return population


@pytest.mark.parametrize("learners", [0.0, 1.0])
@pytest.mark.parametrize("way", WAYS)
def test_each_part_takes_time(way: str, learners: float) -> None:
    """Of every layout and tier, and of agents that learn."""
    population = grown(**{**WAYS[way], "threads": 1, "learners": learners})
    with told_apart(population.minds) as meter:
        population.drive(SLOTS, STEP, 0.0)

    assert all(meter.took_ns[part] > 0 for part in (PERCEIVE, UPDATE, PLAN))


def test_everything_is_restored() -> None:
    """Also when a step fails: the functions are the same, and minds have none of their own."""
    population = grown()
    before = [getattr(owner, name) for owner, name, _ in parts._FUNCTIONS]
    with told_apart(population.minds):
        assert NaiveAgent.infer_states is not before[0]
        with pytest.raises(LookupError):
            population.drive([99], STEP[:1], 0.0)

    assert before == [getattr(owner, name) for owner, name, _ in parts._FUNCTIONS]
    assert "step" not in vars(population.minds)


def test_being_watched_changes_nothing() -> None:
    """The same is done."""
    watched, alone = grown(), grown()
    with told_apart(watched.minds):
        watched.drive(SLOTS, STEP, 0.0)
    alone.drive(SLOTS, STEP, 0.0)

    assert alone.digest() == watched.digest()


def test_memory_is_the_part_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte held while planning, and 10 kB kept by perceiving, are found there."""
    kept: list[bytes] = []
    population = grown(layout="own", learners=0.0)
    plan, perceive = NaiveAgent.infer_policies, NaiveAgent.infer_states

    def wasteful(self: NaiveAgent) -> Any:
        held = bytes(1_000_000)
        return plan(self) + len(held[:0])

    def hoarding(self: NaiveAgent, observation: Any) -> Any:
        kept.append(bytes(10_000))
        return perceive(self, observation)

    monkeypatch.setattr(NaiveAgent, "infer_policies", wasteful)
    monkeypatch.setattr(NaiveAgent, "infer_states", hoarding)
    tracemalloc.start()
    with told_apart(population.minds) as meter:
        population.drive(SLOTS, STEP, 0.0)
    tracemalloc.stop()

    assert meter.peak_bytes[PLAN] >= 1_000_000 > 10 * meter.peak_bytes[PERCEIVE]
    assert 100_000 <= meter.kept_bytes[PERCEIVE] < 150_000
    assert meter.kept_bytes[PLAN] < 50_000


def test_what_is_replaced_is_what_steps_use() -> None:
    """A function that was renamed, or is called by another name, would go unnoticed."""
    assert {rows, rungs, learning} <= {owner for owner, _, _ in parts._FUNCTIONS}
    assert all(callable(getattr(owner, name)) for owner, name, _ in parts._FUNCTIONS)
