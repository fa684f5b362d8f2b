"""Packed beliefs hold their error, never grow, lose no edit, and keep no exact zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents import LazyBeliefArray
from memopt_cli.optimizer.agents.packing import LOG_ERROR, SparseRows, from_log16, to_log16

BELIEFS = st.lists(
    st.one_of(st.floats(1e-30, 1.0), st.sampled_from([0.0, 1e-8, 1e-9, 1.0])),
    min_size=1,
    max_size=40,
).filter(lambda values: sum(values) > 1e-20)


def normalised(values: list[float]) -> np.ndarray:
    """Return a distribution."""
    array = np.array(values)
    found: np.ndarray = array / array.sum()
    return found


@given(BELIEFS)
def test_logarithms_hold_their_error(values: list[float]) -> None:
    """Relative to the belief and the 1e-16 that inference adds; nothing becomes zero."""
    assert LOG_ERROR < 2.9e-4
    belief = normalised(values)
    found = np.empty_like(belief)
    from_log16(to_log16(belief), found)

    assert found.min() > 0
    assert (abs(found - belief) <= 1.001 * LOG_ERROR * (belief + 1e-16) + 1e-22).all()


@given(BELIEFS, st.integers(1, 4))
def test_sparse_rows_keep_what_matters_and_its_sum(values: list[float], rows: int) -> None:
    """Above 1e-8 as float32, the rest as its mean; never more than dense float32 and a header."""
    belief = np.array([np.roll(normalised(values), row) for row in range(rows)])
    form = SparseRows((belief.shape[1],))
    packed = form.pack(belief)
    found = np.empty_like(belief)
    form.unpack(packed, rows, found)
    kept = belief > 1e-8

    assert len(packed) <= rows * (belief.shape[1] * 4 + 8)
    assert np.allclose(belief[kept], found[kept], rtol=1e-7, atol=0)
    assert np.allclose(belief.sum(axis=1), found.sum(axis=1), rtol=1e-6)
    assert (abs(found - belief)[~kept] <= 1e-8).all()


def test_each_factor_has_a_floor_of_its_own() -> None:
    """What is dropped from one is not spread over another."""
    form = SparseRows((4, 5))
    belief = np.array([[1.0, 0, 0, 0, 1.0, 4e-9, 0, 0, 0]])
    found = np.empty_like(belief)
    form.unpack(form.pack(belief), 1, found)

    assert [1.0, 0, 0, 0, 1.0] == found[0, :5].tolist()
    assert [1e-9] * 4 == pytest.approx(found[0, 5:].tolist(), rel=1e-6)


def test_what_is_at_the_limit_is_dropped() -> None:
    """Of three states one is kept: its count, floor, index and value."""
    assert 4 + 4 + 2 + 4 == len(SparseRows((3,)).pack(np.array([[1e-8, 1e-8, 1.0]])))


def test_states_are_told_apart_however_many_there_are() -> None:
    """The last of 65,537 needs an index of more than 16 bits."""
    form = SparseRows((65_537,))
    belief = np.zeros((2, 65_537))
    belief[0, -1] = belief[1, 0] = 1.0
    found = np.empty_like(belief)
    form.unpack(form.pack(belief), 2, found)

    assert np.array_equal(belief, found)


def test_few_states_take_few_bytes_and_many_are_said_not_to() -> None:
    """95 % zeros are at least 10 times smaller than float32; random ones are not compressible."""
    random = np.random.default_rng(1)
    sharp = np.zeros(2_000)
    sharp[random.choice(2_000, 100, replace=False)] = 0.01

    assert 4 * 2_000 / LazyBeliefArray(sharp).size_bytes >= 10
    assert LazyBeliefArray(sharp).is_compressed
    dense = LazyBeliefArray(random.random(2_000))
    assert not dense.is_compressed
    assert dense.size_bytes <= 4 * 2_000 + 8


def test_no_edit_through_the_dense_view_is_lost() -> None:
    """While anybody holds the array, or a view of it, it is the belief."""
    lazy = LazyBeliefArray(np.full(100, 0.01))
    packed_bytes = lazy.size_bytes
    array = lazy.dense()
    part = array[40:]
    assert packed_bytes + 800 == lazy.size_bytes
    array[:] = 0
    array[3] = 1
    del array

    assert not lazy.pack()
    part[2] = 1.0
    assert 2.0 == lazy.dense().sum()
    del part
    assert lazy.pack()
    assert 100 > lazy.size_bytes
    found = lazy.dense()
    assert {3: 0.5, 42: 0.5} == {int(at): float(found[at]) for at in np.flatnonzero(found)}


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1), st.booleans()), max_size=20))
def test_edits_and_packing_in_any_order(edits: list[tuple[int, float, bool]]) -> None:
    """The belief is the last one written, within float32 and the floor."""
    lazy = LazyBeliefArray(np.full(10, 0.1))
    expected = np.full(10, 0.1)
    for place, value, packs in edits:
        lazy.dense()[place] = value
        expected[place] = value
        if packs and expected.sum() > 1e-6:
            assert lazy.pack()
            expected /= expected.sum()
        assert np.allclose(expected, lazy.dense(), rtol=1e-5, atol=2e-8)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, -0.25])
def test_what_is_no_distribution_is_refused_and_kept(value: float) -> None:
    """At the beginning, and when it was written later: the array stays as it was written."""
    with pytest.raises(AgentError):
        LazyBeliefArray(np.array([0.5, value]))
    lazy = LazyBeliefArray(np.array([0.5, 0.5]))
    lazy.dense()[1] = value
    with pytest.raises(AgentError):
        lazy.pack()
    assert np.array_equal(np.array([0.5, value]), lazy.dense(), equal_nan=True)
