"""The naive agent thinks as the public package pymdp does, and owns all that it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents import GenerativeModel
from memopt_cli.workloads.agents.families import model_named
from memopt_cli.workloads.agents.naive import NaiveAgent
from tests.workloads.agents.pymdp_reference import Reference, in_pymdp, life, stored

if TYPE_CHECKING:
    from collections.abc import Sequence

TOLERANCE = 1e-12


def chosen(posterior: Sequence[float], agent: NaiveAgent) -> int:
    """Return the action code that the tie rule takes from a posterior over policies."""
    agent.policy_posterior = np.array(posterior)
    return agent._select()


def assert_thinks_as(expected: Reference) -> None:
    """Compare every step of a naive agent with what pymdp has believed."""
    agent = NaiveAgent(model_named(expected.name, expected.seed), learns=expected.learns)
    judge = NaiveAgent(model_named(expected.name, expected.seed))
    for step, seen in enumerate(expected.observations):
        assert chosen(expected.policies[step], judge) == agent.step(seen)
        for factor, belief in enumerate(expected.beliefs[step]):
            assert TOLERANCE >= abs(np.array(belief) - agent.beliefs[factor]).max()
        assert TOLERANCE >= abs(np.array(expected.policies[step]) - agent.policy_posterior).max()
    assert expected.actions == agent.action_history


@pytest.mark.parametrize("expected", stored(), ids=lambda each: f"{each.name}-{each.learns}")
def test_agrees_with_what_pymdp_has_computed(expected: Reference) -> None:
    """Posteriors over states and policies within 1e-12, actions equal under the tie rule."""
    assert_thinks_as(expected)


@pytest.mark.parametrize(
    ("name", "seed", "learns"),
    [
        ("G6", 11, False),
        ("alias5", 12, False),
        ("chain4", 13, False),
        ("xy6", 14, False),
        ("G4", 15, True),
        ("xy4", 16, True),
    ],
)
def test_agrees_with_pymdp_where_it_is_installed(name: str, seed: int, *, learns: bool) -> None:
    """The same on models that no stored value was made of."""
    pytest.importorskip("pymdp", reason="pymdp is in the extra 'reference', not in 'test'")
    seen, done = life(name, seed, learns=learns)
    assert_thinks_as(in_pymdp(name, seed, seen, done, learns=learns))


def test_an_agent_owns_deep_copies() -> None:
    """What one agent learns is in no other's arrays, and in no model."""
    model = model_named("G5", 1)
    first, second = NaiveAgent(model, learns=True), NaiveAgent(model)
    before = [each.copy() for each in (*second.A, *second.B)]
    for _ in range(3):
        first.step([0, 0])

    assert all(
        np.array_equal(each, now) for each, now in zip(before, (*second.A, *second.B), strict=True)
    )
    assert np.array_equal(model.likelihoods[0], second.A[0])
    assert not np.array_equal(first.A[0], second.A[0])


def test_uncertain_transitions_are_learned_by_their_counts() -> None:
    """Of the action taken, entry by entry as the formula has it; what cannot be never becomes."""
    model = GenerativeModel(
        likelihoods=(np.array([[0.7, 0.2, 0.1], [0.3, 0.8, 0.9]]),),
        transitions=(
            np.array([[[0.5], [0.2], [0.0]], [[0.3], [0.8], [0.6]], [[0.2], [0], [0.4]]]),
        ),
        preferences=(np.array([0.0, 1.0]),),
        priors=(np.full(3, 1 / 3),),
    )
    agent = NaiveAgent(model, learns=True, counts=2.0, rate=0.5)
    agent.step([0])
    (before,) = agent.beliefs
    agent.step([1])
    (after,) = agent.beliefs
    counts = np.zeros((3, 3))
    for ahead, now in np.ndindex(3, 3):
        known = model.transitions[0][ahead, now, 0]
        counts[ahead, now] = 2 * known + (0.5 * after[ahead] * before[now] if known else 0)

    assert TOLERANCE >= abs(counts / counts.sum(axis=0) - agent.B[0][:, :, 0]).max()


def test_of_equal_actions_the_lowest_is_taken() -> None:
    """Within the tie tolerance of the highest; not one beyond it."""
    agent = NaiveAgent(model_named("G3", 1))

    assert 1 == chosen([0.1, 0.3, 0.3 + 9e-7, 0.2, 0.1], agent)
    assert 2 == chosen([0.1, 0.3, 0.3 + 2e-6, 0.2, 0.1], agent)


@pytest.mark.parametrize("observation", [[0], [0, 0, 0], [25, 0], [0, -1]])
def test_an_observation_that_cannot_be_is_refused(observation: list[int]) -> None:
    """Too few, too many, too high or negative; the agent has not moved."""
    agent = NaiveAgent(model_named("G5", 1))
    with pytest.raises(AgentError, match="modalities with"):
        agent.step(observation)
    assert [] == agent.action_history
