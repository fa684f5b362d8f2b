"""Models are shared by content and never by shape; what is written to one is nobody else's."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents import (
    LearnerBase,
    ModelStore,
    Population,
    SharedModel,
)
from memopt_cli.optimizer.agents.learning import CopyOnWriteRows, learner_base
from memopt_cli.optimizer.agents.model import dense_transition
from memopt_cli.optimizer.agents.moves import CertainMoves, UncertainMoves
from memopt_cli.optimizer.agents.outcomes import JointOutcomes
from memopt_cli.workloads.agents.families import model_named


def test_equal_content_is_one_model_however_it_is_given() -> None:
    """Another object, another layout, matrices in place of successors, and zeros of any sign."""
    model = model_named("G5", 1)
    store = ModelStore()
    shared = store.intern(model)
    dense = replace(model, transitions=(dense_transition(model.transitions[0]),))
    turned = replace(model, likelihoods=tuple(np.asfortranarray(a) for a in model.likelihoods))

    assert shared is store.intern(model_named("G5", 1))
    assert shared is store.intern(dense)
    assert shared is store.intern(turned)
    for name in ("likelihoods", "priors"):
        signed = tuple(np.where(each == 0, -0.0, each) for each in getattr(model, name))
        change: dict[str, Any] = {name: signed}
        assert shared is store.intern(replace(model, **change))
    assert 1 == len(store)


@given(data=st.data())
def test_one_changed_number_is_another_model(data: st.DataObject) -> None:
    """Of the same shape, in any array, by the least amount."""
    model = model_named("xy3", 1)
    model = replace(model, transitions=tuple(map(dense_transition, model.transitions)))
    field = data.draw(st.sampled_from(["likelihoods", "transitions", "preferences", "priors"]))
    arrays = [np.array(each) for each in getattr(model, field)]
    array = data.draw(st.sampled_from(arrays))
    place = data.draw(st.integers(0, array.size - 1))
    array.flat[place] = np.nextafter(array.flat[place], 9.0)
    change: dict[str, Any] = {field: tuple(arrays)}
    changed = replace(model, **change)
    store = ModelStore()
    one, other = store.intern(model), store.intern(changed)

    assert one is not other
    assert 2 == len(store)


def test_settings_are_content() -> None:
    """Another precision or tolerance decides otherwise."""
    model, store = model_named("G3", 1), ModelStore()
    models = [model, replace(model, precision=8.0), replace(model, tie=1e-3)]
    shared = [store.intern(each) for each in models]

    assert 3 == len(store)
    assert [16.0, 8.0, 16.0] == [each.precision for each in shared]


def test_the_last_user_takes_the_model_along() -> None:
    """A store keeps nothing that nobody uses."""
    store = ModelStore()
    population = Population(store.intern(model_named("G4", 1)))
    other = Population(store.intern(model_named("G4", 1)))
    gone = weakref.ref(population.model)
    del population
    gc.collect()
    assert 1 == len(store)
    del other
    gc.collect()

    assert gone() is None
    assert (0, 0) == (len(store), store.size_bytes)


@pytest.mark.parametrize("certain", [True, False])
@pytest.mark.parametrize("name", ["G4", "chain3"])
def test_what_is_written_to_the_given_model_changes_nobody(name: str, *, certain: bool) -> None:
    """Not the shared one, and not what learners of it share, also where a copy needs no turning."""
    model = model_named(name, 1)
    # Factors of one action are contiguous whichever way they are turned.
    moves = model.transitions if certain else tuple(map(uncertain, model.transitions))
    model = replace(model, transitions=moves)
    shared, base = ModelStore().intern(model), learner_base(model)
    before = contents(shared, base)
    for array in (*model.likelihoods, *model.priors, *model.preferences, *model.transitions):
        array.fill(0)

    assert all(map(np.array_equal, before, contents(shared, base)))


def uncertain(successors: np.ndarray) -> np.ndarray:
    """Return transitions that mostly lead where *successors* do."""
    array = dense_transition(successors)
    found: np.ndarray = 0.9 * array + 0.1 / len(array)
    return found


def contents(shared: SharedModel, base: LearnerBase) -> list[np.ndarray]:
    """Return copies of what decides how agents think."""
    found = [shared.priors, shared.utility, shared.ambiguity]
    for size, moves in zip(shared.states, shared.moves, strict=True):
        found.append(moves.after(np.eye(size), np.zeros(size, dtype=int)))
    model = base.model
    groups = (model.likelihoods, model.transitions, model.preferences, model.priors)
    found += [array for group in groups for array in group]
    found += [*base.likelihood_counts, *base.transition_counts]
    return [np.array(array) for array in found]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4), st.floats(-9, 9)), max_size=30))
def test_copies_on_write_lose_no_edit_and_share_none(edits: list[tuple[int, int, float]]) -> None:
    """Two views of one array, each with its own changes, the array unchanged."""
    shared = np.arange(15.0).reshape(5, 3)
    views = [CopyOnWriteRows(shared), CopyOnWriteRows(shared)]
    expected = [shared.copy(), shared.copy()]
    touched: list[set[int]] = [set(), set()]
    for who, row, change in edits:
        views[who].add(row, np.full(3, change))
        expected[who][row] += change
        touched[who].add(row)

    assert np.array_equal(np.arange(15.0).reshape(5, 3), shared)
    for view, array, rows in zip(views, expected, touched, strict=True):
        assert np.array_equal(array, view.whole())
        assert np.array_equal(array, np.array([view.row(row) for row in range(5)]))
        assert len(rows) * 24 == view.own_bytes
        with pytest.raises(ValueError, match="read-only"):
            view.row(0)[0] = 1


@given(
    successors=st.integers(1, 6).flatmap(
        lambda size: st.lists(
            st.lists(st.integers(0, size - 1), min_size=2, max_size=2),
            min_size=size,
            max_size=size,
        )
    ),
    seed=st.integers(0, 99),
)
def test_gathers_are_matrices(successors: list[list[int]], seed: int) -> None:
    """Whatever leads where, also all to one state and nothing to others."""
    array = np.array(successors)
    states = len(array)
    beliefs = np.random.default_rng(seed).random((4, states))
    certain, matrices = CertainMoves(array), UncertainMoves(dense_transition(array))
    actions = np.array([0, 1, 1, 0])
    padded = np.vstack([beliefs.T, np.zeros((1, 4))])
    one, other = np.empty((states * 2, 4)), np.empty((states * 2, 4))
    certain.after_all(padded, one)
    matrices.after_all(padded, other)

    assert np.allclose(certain.after(beliefs, actions), matrices.after(beliefs, actions))
    assert np.allclose(other, one)


@pytest.mark.parametrize("name", ["G12", "alias4", "chain3", "xy5"])
def test_joint_outcomes_are_the_product_of_modalities(name: str) -> None:
    """Likelihoods of every observation, predictions, and what cannot happen."""
    model = model_named(name, 1)
    joint = JointOutcomes(model)
    states = int(np.prod(model.states))
    observations = np.argwhere(np.ones(model.outcomes))[:: 1 + np.prod(model.outcomes) // 500]
    expected = np.ones((len(observations), states))
    for modality, likelihood in enumerate(model.likelihoods):
        expected *= likelihood.reshape(len(likelihood), -1)[observations[:, modality]]
    found = np.empty_like(expected)
    joint.likelihood(joint.rows(observations), found)
    belief = np.random.default_rng(1).random((states, 2))
    predicted = np.empty((joint.count, 2))
    joint.predict(belief, predicted, np.empty_like(predicted))
    rows = joint.rows(observations)
    possible = rows < joint.count

    assert np.allclose(expected, found, rtol=1e-14, atol=0)
    assert np.allclose(expected[possible] @ belief, predicted[rows[possible]])
    assert np.array_equal(possible, expected.any(axis=1))


def test_too_many_joint_outcomes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the memory is taken."""
    monkeypatch.setattr("memopt_cli.optimizer.agents.outcomes.MOST_ENTRIES", 100)
    with pytest.raises(AgentError, match="joint outcomes"):
        ModelStore().intern(model_named("G5", 1))


def test_the_model_costs_a_fraction_of_its_arrays() -> None:
    """7.7 MB as arrays, below 0.2 MB as shared."""
    model = model_named("G20", 1)
    dense = replace(model, transitions=(dense_transition(model.transitions[0]),))

    assert 7.70e6 == pytest.approx(dense.size_bytes, rel=2e-3)
    assert ModelStore().intern(model).size_bytes < 0.2e6
