"""Models are what their names say, are made again from a seed, and refuse what is no model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents.model import GenerativeModel, dense_transition, successors_of
from memopt_cli.workloads.agents.families import model_named
from memopt_cli.workloads.agents.naive import NaiveAgent
from tests.worlds import Worlds


@pytest.mark.parametrize(
    ("name", "states", "outcomes", "actions", "owned_mb"),
    [
        ("G5", (25,), (25, 3), (5,), 0.031),
        ("G20", (400,), (400, 3), (5,), 7.70),
        ("alias10", (100,), (8, 3), (5,), 0.41),
        ("chain10", (100, 4, 2), (100, 5, 3, 3), (5, 1, 1), 1.11),
        ("xy20", (20, 20), (20, 20, 3), (3, 3), 0.157),
    ],
)
def test_shapes_and_bytes(
    name: str,
    states: tuple[int, ...],
    outcomes: tuple[int, ...],
    actions: tuple[int, ...],
    owned_mb: float,
) -> None:
    """Factors, modalities and actions, and what a naive agent's arrays occupy."""
    model = model_named(name, 1)
    agent = NaiveAgent(model)
    owned = sum(each.nbytes for each in (*agent.A, *agent.B, *agent.C, *agent.D))

    assert (states, outcomes, actions) == (model.states, model.outcomes, model.actions)
    assert owned_mb == pytest.approx(owned / 1e6, rel=0.01)


def test_a_seed_makes_the_same_model_again_and_another_seed_another() -> None:
    """By content, in every array that the seed decides."""
    one, again, other = (model_named("G6", seed) for seed in (1, 1, 2))

    assert all(map(np.array_equal, one.likelihoods, again.likelihoods))
    assert not np.array_equal(one.likelihoods[1], other.likelihoods[1])


@pytest.mark.parametrize("name", ["Q5", "G", "G2", "G101", "20", "G5x"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    """Unknown families, and sides that are missing or out of range."""
    with pytest.raises(AgentError):
        model_named(name, 1)


def test_certain_transitions_and_successors_are_the_same() -> None:
    """There and back; an uncertain transition has no successors."""
    model = model_named("G4", 1)
    dense = dense_transition(model.transitions[0])
    found = successors_of(dense)
    assert found is not None
    assert np.array_equal(model.transitions[0], found)

    # Two next states in one column and none in another are as many entries as columns.
    broken = np.array([[[1.0], [0.0]], [[1.0], [0.0]]])
    assert successors_of(broken) is None


def spoilt(model: GenerativeModel, field: str, value: float) -> dict[str, Any]:
    """Return the arrays of one field with one entry replaced."""
    arrays = [np.array(each, dtype=np.float64) for each in getattr(model, field)]
    arrays[0][(0,) * arrays[0].ndim] = value
    return {field: tuple(arrays)}


@pytest.mark.parametrize("field", ["likelihoods", "preferences", "priors", "transitions"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_are_refused(field: str, value: float) -> None:
    """In every array of a model."""
    model = model_named("G3", 1)
    model = replace(model, transitions=(dense_transition(model.transitions[0]),))
    with pytest.raises(AgentError, match="NaN"):
        replace(model, **spoilt(model, field, value))


@pytest.mark.parametrize("field", ["likelihoods", "priors"])
def test_what_is_no_distribution_is_refused(field: str) -> None:
    """Sums that are not 1, and negative entries."""
    model = model_named("G3", 1)
    for value in (0.5, -0.1):
        with pytest.raises(AgentError, match="no distribution"):
            replace(model, **spoilt(model, field, value))


def test_arrays_that_disagree_are_refused() -> None:
    """Counts, shapes, and successors that are no states."""
    model, other = model_named("G3", 1), model_named("G4", 1)
    wrong: list[dict[str, Any]] = [
        {"transitions": other.transitions},
        {"likelihoods": other.likelihoods},
        {"preferences": model.preferences[:1]},
        {"transitions": ()},
        {"priors": ()},
        {"transitions": (np.full((9, 5), 9),)},
        {"transitions": (np.full((9, 5), 0.5),)},
        {"precision": np.nan},
    ]
    for each in wrong:
        with pytest.raises(AgentError):
            replace(model, **each)


def test_worlds_are_independent_and_repeatable() -> None:
    """What one agent does changes nothing for another, and the same seed is the same world."""
    model = model_named("G5", 1)
    together, alone = Worlds(model, [1, 2]), Worlds(model, [2])
    for step in range(20):
        if step % 7 == 0:
            together.relocate()
            alone.relocate()
        assert together.observe()[1].tolist() == alone.observe()[0].tolist()
        together.act(np.array([step % 5, 3]))
        alone.act(np.array([3]))


def test_worlds_draw_what_the_model_says() -> None:
    """How often an outcome is seen, and where an uncertain transition leads."""
    model = GenerativeModel(
        likelihoods=(np.array([[0.2, 0.0], [0.8, 1.0]]),),
        transitions=(np.array([[[0.3], [0.3]], [[0.7], [0.7]]]),),
        preferences=(np.zeros(2),),
        priors=(np.array([1.0, 0.0]),),
    )
    worlds = Worlds(model, range(4000))
    assert 0.8 == pytest.approx(worlds.observe().mean(), abs=0.03)
    worlds.act(np.zeros(4000, dtype=int))
    assert 0.7 + 0.3 * 0.8 == pytest.approx(worlds.observe().mean(), abs=0.03)
