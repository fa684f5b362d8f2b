"""A population keeps who is who, through growth, sleep and removal."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.errors import AgentError, CorruptState, ForeignHandle, StaleHandle
from memopt_cli.optimizer.agents import TIERS, ModelStore, Population
from memopt_cli.optimizer.agents import slots as slots_module
from memopt_cli.workloads.agents.families import model_named
from tests.optimizer.agents.lives import population_of

if TYPE_CHECKING:
    from memopt_cli.optimizer.agents import Tier


@given(
    tier=st.sampled_from(TIERS),
    deeds=st.lists(
        st.tuples(
            st.sampled_from(["add", "remove", "hibernate", "wake", "step", "some", "believe"]),
            st.integers(0, 99),
        ),
        max_size=40,
    ),
)
def test_nobody_is_mistaken_for_another(  # noqa: C901 - one branch per deed
    tier: Tier, deeds: list[tuple[str, int]]
) -> None:
    """Whatever happens to others, each agent is what it would be alone in a population."""
    crowd = population_of("G3", tier, whole_history=True)
    alone: dict[int, Population] = {}
    twin: dict[int, int] = {}
    ended: list[int] = []
    for what, pick in deeds:
        handles = list(twin)
        one = handles[pick % len(handles)] if handles else None
        if what == "add":
            for handle in crowd.add(pick % 70):
                alone[handle] = population_of("G3", tier, whole_history=True)
                twin[handle] = alone[handle].add()[0]
        elif one is None:
            continue
        elif what == "remove":
            crowd.remove(one)
            ended.append(one)
            del alone[one], twin[one]
        elif what in ("hibernate", "wake"):
            getattr(crowd, what)(one)
        elif what == "believe":
            belief = np.arange(9.0) + pick
            crowd.believe(one, 0, belief)
            alone[one].believe(twin[one], 0, belief)
        else:
            chosen = handles if what == "step" else handles[pick % 3 :: 3]
            if chosen:
                seen = [[(pick + number) % 9, 0] for number in range(len(chosen))]
                found = crowd.step(seen, chosen)
                expected = [
                    int(alone[handle].step([each], [twin[handle]])[0])
                    for handle, each in zip(chosen, seen, strict=True)
                ]
                assert expected == found.tolist()
        assert len(twin) == len(crowd)
    for handle, other in twin.items():
        assert alone[handle].history(other) == crowd.history(handle)
        assert np.allclose(alone[handle].beliefs(other)[0], crowd.beliefs(handle)[0], atol=2e-3)
    for handle in ended:
        with pytest.raises(StaleHandle):
            crowd.beliefs(handle)


def test_an_agent_is_an_object_too() -> None:
    """It steps, sleeps, wakes by use, believes what it is told, and ends."""
    population = population_of("G4")
    agent, other = population.add_agent(), population.add_agent()
    code = agent.step([5, 0])
    before = agent.beliefs[0]
    agent.hibernate()

    assert (True, False) == (agent.is_asleep, other.is_asleep)
    assert np.array_equal(before, agent.beliefs[0])
    assert not agent.is_asleep
    assert ([code], []) == (agent.history, other.history)
    agent.believe(0, np.eye(16)[3])
    assert 3 == agent.beliefs[0].argmax()
    agent.beliefs[0].fill(0)
    assert 1.0 == agent.beliefs[0].sum()
    agent.remove()
    with pytest.raises(StaleHandle):
        agent.step([0, 0])
    assert 1 == len(population)


def test_the_order_of_handles_is_the_order_of_actions() -> None:
    """Also where it goes back and forth between chunks."""
    forward, backward = population_of("G20"), population_of("G20")
    first, second = forward.add(500), backward.add(500)
    seen = np.random.default_rng(1).integers((400, 3), size=(500, 2))
    shuffled = np.random.default_rng(2).permutation(500)
    expected = forward.step(seen, first)
    found = backward.step(seen[shuffled], np.array(second)[shuffled])
    assert 1 < len(forward._table.chunks)
    assert expected[shuffled].tolist() == found.tolist()
    assert np.array_equal(forward.beliefs(first[7])[0], backward.beliefs(second[7])[0])


def test_a_slot_used_again_has_another_handle() -> None:
    """The last owner's is stale, asleep or awake; those of others are foreign."""
    population, other = population_of(), population_of()
    (first,) = population.add()
    population.remove(first)
    (second,) = population.add()

    assert first != second
    assert first & 0xFFFFFF == second & 0xFFFFFF
    population.hibernate(second)
    for deed in (population.hibernate, population.wake, population.remove, population.beliefs):
        with pytest.raises(StaleHandle):
            deed(first)
    for handle in (*other.add(), 0, -1, 1 << 70, second + 1):
        with pytest.raises((ForeignHandle, OverflowError)):
            population.wake(handle)
    assert population.is_asleep(second)


def test_a_slot_whose_generations_are_used_up_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handle never names a second agent."""
    monkeypatch.setattr(slots_module, "LAST_GENERATION", 3)
    population = population_of()
    handles = []
    for _ in range(3):
        handles += population.add()
        population.remove(handles[-1])

    assert [0, 0, 1] == [handle & 0xFFFFFF for handle in handles]
    assert 3 == len(set(handles))


@pytest.mark.parametrize(
    ("observations", "named"),
    [
        ([[0, 0]], None),
        ([[0, 0], [0, 0]], [0]),
        ([[0, 0], [0, 0]], [0, 0]),
        ([[0, 16], [0, 0]], None),
        ([[16, 0], [0, 0]], None),
        ([[-1, 0], [0, 0]], None),
        ([[0], [0]], None),
        ([0, 0], None),
        ([[0.0, 0.0], [np.nan, 0.0]], None),
    ],
)
def test_a_wrong_observation_changes_nobody(
    observations: list[list[int]], named: list[int] | None
) -> None:
    """Counts, doubles, outcomes that do not exist, shapes, and numbers that are not whole."""
    population = population_of("G4")
    handles = population.add(2)
    before = [population.beliefs(handle)[0] for handle in handles]
    with pytest.raises(AgentError):
        population.step(observations, None if named is None else [handles[n] for n in named])

    assert [[], []] == [population.history(handle) for handle in handles]
    after = [population.beliefs(handle)[0] for handle in handles]
    assert all(map(np.array_equal, before, after))


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    "belief",
    [
        np.full(16, np.nan),
        np.full(15, 1.0),
        np.zeros(16),
        np.r_[-1.0, np.ones(15)],
        np.inf * np.ones(16),
    ],
)
def test_a_belief_that_is_none_is_refused(tier: Tier, belief: np.ndarray) -> None:
    """NaN above all: one would spread to everything that is computed from it."""
    population = population_of("G4", tier)
    agent = population.add_agent()
    before = agent.beliefs[0]
    with pytest.raises(AgentError):
        agent.believe(0, belief)
    with pytest.raises(AgentError, match="factor"):
        agent.believe(1, np.ones(16))

    assert np.array_equal(before, agent.beliefs[0])


def test_another_deed_is_remembered_as_done() -> None:
    """In the history and in what is expected next; impossible ones are refused."""
    one, other = (population_of("G4", history=30) for _ in range(2))
    (first,), (second,) = one.add(), other.add()
    with pytest.raises(AgentError, match="the latest being -1"):
        one.did(first, 0)
    for step in range(60):
        one.step([[step % 16, 0]])
        other.step([[step % 16, 0]])
        one.did(first, step % 5)
        other.did(second, 4)
        other.did(second, step % 5)

    assert [step % 5 for step in range(30, 60)] == one.history(first) == other.history(second)
    assert np.array_equal(one.beliefs(first)[0], other.beliefs(second)[0])
    with pytest.raises(AgentError, match="action 5 of 5"):
        one.did(first, 5)


def test_who_is_idle_sleeps_and_memory_follows() -> None:
    """By the given clock; use, also by waking, puts it off."""
    now = [0.0]
    population = population_of("G12", clock=lambda: now[0])
    handles = population.add(2_000)
    every = population.stats()
    now[0] = 10.0
    population.step(np.zeros((5, 2), dtype=int), handles[:5])
    population.wake(handles[7])
    now[0] = 15.0

    assert 1_994 == population.hibernate_idle(10.0)
    few = population.stats()
    assert (6, 1_994, 2_000) == (few.awake, few.asleep, len(population))
    assert 6 * 144 * 8 == few.belief_bytes
    assert few.row_bytes < every.row_bytes / 2
    assert set(handles[:5]) | {handles[7]} == {int(each) for each in population.handles()}
    assert 0 == population.hibernate_idle(10.0)


def test_a_changed_record_is_noticed_and_a_full_disk_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who cannot be read stays asleep, who cannot be written stays awake."""
    population = population_of("G4")
    first, second = population.add(2)
    population.step([[3, 0], [4, 0]])
    before = population.beliefs(second)[0]
    population.hibernate(first)
    dormitory = population._table._dormitory
    assert dormitory is not None
    os.pwrite(dormitory._file, b"?", 40)
    with pytest.raises(CorruptState):
        population.wake(first)
    assert population.is_asleep(first)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(OSError, match="space"):
        population.hibernate(second)
    assert not population.is_asleep(second)
    assert np.array_equal(before, population.beliefs(second)[0])


def test_threads_do_what_one_would() -> None:
    """30 agents, 50 steps each, by 10 threads: the same histories as one after the other."""
    together, serial = population_of("G5"), population_of("G5")
    handles, others = together.add(30), serial.add(30)

    def live(number: int) -> None:
        for step in range(50):
            together.step([[(number + step) % 25, 0]], [handles[number]])
            if step % 10 == 9:
                together.hibernate(handles[(number * 7) % 30])

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(live, range(30)))
    for number, other in enumerate(others):
        for step in range(50):
            serial.step([[(number + step) % 25, 0]], [other])
        assert serial.history(other) == together.history(handles[number])


def test_settings_that_cannot_be_are_refused() -> None:
    """A tier that does not exist, and histories of less than nothing."""
    shared = ModelStore().intern(model_named("G3", 1))
    with pytest.raises(AgentError, match="tier"):
        Population(shared, tier="f16")  # type: ignore[arg-type] # what the test is about
    for settings in ({"history": -1}, {"history": 0, "whole_history": True}):
        with pytest.raises(AgentError, match="history"):
            Population(shared, **settings)  # type: ignore[arg-type] # what the test is about


@pytest.mark.parametrize(("tier", "most"), [("f64", 3400), ("f32", 1800), ("log16", 1000)])
def test_an_agent_costs_its_row(tier: Tier, most: int) -> None:
    """Belief, history of 256 and the rest, counted from the arrays."""
    population = population_of("G20", tier)
    population.add(2_000)
    found = population.stats()
    each = (found.belief_bytes + found.slot_bytes) / 2_000 + population._table.chunks[0].row_bytes

    assert each < most
