"""A signal comes back within its error, however long, and never takes more than it did."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents import DeltaStore
from memopt_cli.optimizer.agents.signals import BLOCK

ERROR = 1e-4


def stored(signal: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> DeltaStore:
    """Return a store of all values of a signal."""
    store = DeltaStore(signal.shape[1], ERROR)
    for value in signal:
        store.append(value)
    return store


def test_a_slow_signal_is_much_smaller() -> None:
    """A slow wave of 20 numbers over 6,400 steps takes less than a tenth."""
    times = np.arange(6400)[:, None] / 2000 + np.arange(20)
    signal = np.sin(times)
    store = stored(signal)
    assert 0 == store.raw_blocks
    assert 10 * store.size_bytes < signal.nbytes
    assert ERROR >= abs(store.read() - signal).max()


def test_the_error_does_not_add_up() -> None:
    """A drift of a third of a step, which each difference alone would round away."""
    signal = np.cumsum(np.full((640_000 // BLOCK, 1), 2 * ERROR / 3), axis=0)
    found = stored(signal).read()
    assert ERROR >= abs(found - signal).max()
    assert 0.9 * signal[-1, 0] < found[-1, 0]


def test_rounding_counts_as_error() -> None:
    """Halfway between two steps the error is all that is allowed, and a last bit is too much."""
    odd = np.random.default_rng(1).integers(-500, 500, (100 * BLOCK, 1)) * 2 + 1
    odd[::BLOCK] = 0
    signal = (0.1 + ERROR * odd).astype(np.float64)
    store = stored(signal)
    assert ERROR >= abs(store.read() - signal).max()
    assert 0 < store.raw_blocks


def test_noise_is_kept_as_it_is() -> None:
    """What cannot be made smaller is exact, and takes its own bytes and one open block."""
    signal = np.random.default_rng(1).normal(0, 1e9, (10 * BLOCK, 3))
    store = stored(signal)
    assert 10 == store.raw_blocks
    assert np.array_equal(signal, store.read())
    assert signal.nbytes + 3 * 8 * BLOCK == store.size_bytes


@pytest.mark.parametrize("jump", [1.0, 1e3, 1e6, 1e9, 1e300, np.inf, np.nan])
@pytest.mark.parametrize("place", [0, 1, BLOCK // 2, BLOCK - 1, BLOCK])
def test_after_an_overflow_everything_is_right(jump: float, place: int) -> None:
    """A jump of any size, anywhere in a block, spoils no value after it."""
    signal = np.zeros((3 * BLOCK, 2))
    signal[:, 1] = np.linspace(0, 0.01, len(signal))
    signal[place, 0] = jump
    found = stored(signal).read()
    assert np.allclose(signal, found, rtol=0, atol=ERROR, equal_nan=True)
    assert np.array_equal(np.isfinite(signal), np.isfinite(found))


@given(
    numbers=st.lists(
        st.tuples(st.floats(width=64), st.floats(-1, 1, width=32)), min_size=1, max_size=200
    )
)
def test_any_signal_comes_back(numbers: list[tuple[float, float]]) -> None:
    """Whatever it is, it is within the error, and never larger than raw with an open block."""
    signal = np.array(numbers)
    store = stored(signal)
    assert len(signal) == len(store)
    found = store.read()
    same = (signal == found) | (np.isnan(signal) & np.isnan(found))
    with np.errstate(invalid="ignore"):
        assert (same | (abs(signal - found) <= ERROR)).all()
    full = len(signal) // BLOCK * BLOCK * 16
    assert full + 16 * BLOCK >= store.size_bytes


@pytest.mark.parametrize(("width", "error"), [(0, 1.0), (1, 0.0), (1, np.inf), (1, np.nan)])
def test_a_signal_without_numbers_or_error_is_refused(width: int, error: float) -> None:
    """Nothing could be kept, or nothing could be smaller."""
    with pytest.raises(AgentError):
        DeltaStore(width, error)


def test_a_value_of_another_width_is_refused() -> None:
    """And changes nothing; a plain number is a value of one."""
    store = DeltaStore(2, ERROR)
    for value in (1.0, [1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]]):
        with pytest.raises(AgentError):
            store.append(value)
    assert 0 == len(store)
    single = DeltaStore(1, ERROR)
    single.append(3.0)
    assert [[3.0]] == single.read().tolist()
