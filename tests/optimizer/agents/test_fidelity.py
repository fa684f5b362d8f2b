"""A population thinks as naive agents do: in float64 to the last action."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.optimizer.agents import GenerativeModel, Learner, learner_base
from memopt_cli.workloads.agents.families import model_named
from memopt_cli.workloads.agents.naive import NaiveAgent
from tests.optimizer.agents.lives import compare
from tests.worlds import Worlds

if TYPE_CHECKING:
    from memopt_cli.optimizer.agents import Tier

FAMILIES = ("G5", "G12", "alias5", "chain3", "xy5")


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("led", [True, False])
def test_float64_is_the_same(name: str, *, led: bool) -> None:
    """Led and in worlds of their own, also where agents are surprised, and through sleep."""
    found = compare(model_named(name, 1), told=False, led=led, sleeps=True)

    assert 0 == found.others
    assert 1e-12 >= found.belief
    assert 1e-12 >= found.divergence_nat


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("tier", "nat"), [("f32", 1e-6), ("log16", 1e-6), ("sparse", 2e-3)])
def test_tiers_do_the_same_within_their_error(name: str, tier: Tier, nat: float) -> None:
    """In worlds that do what the model says, begun anew every few steps, and through sleep."""
    found = compare(model_named(name, 1), tier, sleeps=True)

    assert 0 == found.others
    assert nat >= found.divergence_nat
    # A tier that is not used at all would agree to the last bit; certain worlds round nothing.
    assert found.belief > 0 or name == "chain3"


@given(data=st.data())
def test_any_model_is_thought_with_as_naively(data: st.DataObject) -> None:
    """Uncertain or certain transitions, one or several factors, with and without zeros."""
    random = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    states = tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    outcomes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    zeros = data.draw(st.sampled_from([0.0, 0.5]))
    transitions = []
    for size in states:
        actions = data.draw(st.integers(1, 3))
        if data.draw(st.booleans()):
            transitions.append(random.integers(size, size=(size, actions)))
        else:
            transitions.append(drawn(random, (size, size, actions), zeros))
    model = GenerativeModel(
        likelihoods=tuple(drawn(random, (count, *states), zeros) for count in outcomes),
        transitions=tuple(transitions),
        preferences=tuple(random.normal(size=count) for count in outcomes),
        priors=tuple(drawn(random, (size,), zeros) for size in states),
    )
    found = compare(model, count=3, steps=8, episode=5)

    assert 0 == found.others
    assert 1e-9 >= found.belief


def drawn(random: np.random.Generator, shape: tuple[int, ...], zeros: float) -> np.ndarray:
    """Return random distributions over the first axis, with some zeros."""
    array = random.random(shape) + 0.01
    array[1:][random.random(array[1:].shape) < zeros] = 0.0
    found: np.ndarray = array / array.sum(axis=0)
    return found


@pytest.mark.parametrize("name", ["G5", "alias4", "chain3", "xy4"])
def test_learners_learn_as_naive_ones(name: str) -> None:
    """Beliefs, actions and the learned model; two learners of one base do not mix."""
    model = model_named(name, 1)
    base = learner_base(model)
    worlds = Worlds(model, [1, 2])
    naive = [NaiveAgent(model, learns=True) for _ in range(2)]
    learners = [Learner(base) for _ in range(2)]
    for _ in range(10):
        seen = worlds.observe()
        expected = [agent.step(each) for agent, each in zip(naive, seen, strict=True)]
        assert expected == [agent.step(each) for agent, each in zip(learners, seen, strict=True)]
        worlds.act(np.array(expected))
    for agent, learner in zip(naive, learners, strict=True):
        for one, other in zip(agent.beliefs, learner.beliefs, strict=True):
            assert 1e-12 >= abs(one - other).max()
        for one, other in zip(agent.A, learner.model().likelihoods, strict=True):
            assert 1e-12 >= abs(one - other).max()
        assert agent.action_history == learner.history


def test_a_learner_of_uncertain_transitions_learns_them() -> None:
    """To the same probabilities as a naive one, owning the actions it has taken only."""
    random = np.random.default_rng(3)
    model = GenerativeModel(
        likelihoods=(drawn(random, (4, 6), 0.0),),
        transitions=(drawn(random, (6, 6, 3), 0.3),),
        preferences=(random.normal(size=4),),
        priors=(np.full(6, 1 / 6),),
    )
    naive, learner = (
        NaiveAgent(model, learns=True, rate=0.5),
        Learner(learner_base(model, rate=0.5)),
    )
    for seen in random.integers(4, size=12):
        assert naive.step([seen]) == learner.step([seen])
    found = learner.model().transitions[0]

    assert 1e-12 >= abs(naive.B[0] - found).max()
    assert abs(model.transitions[0] - found).max() > 0.01
