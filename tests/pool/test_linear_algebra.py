"""Results in pooled arrays and in the caller's are numpy's own, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.errors import PoolError
from memopt_cli.pool.arrays import ArrayPool
from memopt_cli.pool.linear_algebra import dot, einsum, matmul

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Shape = tuple[int, ...]
DTYPES = ("f8", "f4", ">f4", "c8", "i2", "?")


def operand(shape: Shape, dtype: str = "f8", seed: int = 0) -> NDArray[Any]:
    """Return numbers whose sums round, so that another order of adding them would show."""
    numbers = np.random.default_rng(seed).normal(size=shape) * 3
    return numbers.astype(dtype)


def poisoned_pool(expected: NDArray[Any]) -> ArrayPool:
    """Return a pool whose array for the result is full of nonsense."""
    pool = ArrayPool()
    array = pool.acquire(expected.shape, expected.dtype)
    array.fill(77)
    pool.release(array)
    return pool


def check(plain: Callable[..., Any], pooled: Callable[..., NDArray[Any]], *arguments: Any) -> None:
    """Fail unless both ways to give an *out* return what numpy returns."""
    expected = np.asarray(plain(*arguments))
    pool = poisoned_pool(expected)
    result = pooled(*arguments, out=pool)
    mine = np.full_like(expected, 77, order="C")

    assert mine is pooled(*arguments, out=mine)
    for found in (result, mine):
        assert (expected.shape, expected.dtype) == (found.shape, found.dtype)
        assert np.array_equal(expected, found)
    assert (pool.stats().in_use, pool.stats().reused) == (1, 1)
    pool.release(result)


@pytest.mark.parametrize("left_dtype", DTYPES)
@pytest.mark.parametrize("right_dtype", DTYPES)
def test_all_dtypes_mix_as_in_numpy(left_dtype: str, right_dtype: str) -> None:
    """The result has numpy's dtype, in the native byte order."""
    left, right = operand((3, 4), left_dtype, 1), operand((4, 5), right_dtype, 2)

    check(np.matmul, matmul, left, right)
    check(np.dot, dot, left, right)
    check(np.einsum, einsum, "ij,jk->ik", left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3, 4), (4, 5)),
        ((4,), (4, 5)),
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((0, 4), (4, 5)),
        ((3, 0), (0, 5)),
        ((2, 3, 4), (4, 5)),
        ((2, 3, 4), (2, 4, 5)),
        ((7, 1, 3, 4), (2, 4, 5)),
        ((4,), (2, 4, 5)),
        ((2, 3, 4), (4,)),
        ((64, 300), (300, 65)),
    ],
)
def test_matmul_is_numpys(left: Shape, right: Shape) -> None:
    """For matrices, vectors, stacks that are broadcast, and dimensions of nothing."""
    check(np.matmul, matmul, operand(left, seed=1), operand(right, seed=2))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3, 4), (4, 5)),
        ((4,), (4,)),
        ((), (3, 4)),
        ((3,), ()),
        ((), ()),
        ((2, 3, 4), (4,)),
        ((4,), (6, 4, 5)),
        ((2, 3, 4), (6, 4, 5)),
        ((3, 0), (0, 5)),
        ((64, 300), (300, 65)),
    ],
)
def test_dot_is_numpys(left: Shape, right: Shape) -> None:
    """For scalars too, and for stacks, which dot combines otherwise than matmul does."""
    check(np.dot, dot, operand(left, seed=1), operand(right, seed=2))


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk", [(3, 4), (4, 5)]),
        ("ij,jk->ki", [(3, 4), (4, 5)]),
        ("ba", [(3, 4)]),
        ("ii", [(4, 4)]),
        ("ii->i", [(4, 4)]),
        ("i,i", [(4,), (1,)]),
        ("i,i->i", [(4,), (1,)]),
        ("i,i->i", [(1,), (4,)]),
        ("i,j->ij", [(4,), (5,)]),
        ("ij->", [(3, 4)]),
        (" i j , j -> i ", [(3, 4), (4,)]),
        ("...ij,...jk->...ik", [(6, 1, 3, 4), (2, 4, 5)]),
        ("...ij,jk", [(2, 3, 4), (4, 5)]),
        ("i...->...", [(3, 4, 5)]),
        ("i...j->j...i", [(3, 4, 5)]),
        ("ij,ij,kj->k", [(3, 4), (3, 4), (5, 4)]),
        ("ij->ij", [(0, 4)]),
    ],
)
def test_einsum_is_numpys(subscripts: str, shapes: list[Shape]) -> None:
    """Explicit or implicit, with diagonals, axes of one, ellipses and spaces."""
    arrays = [operand(shape, seed=seed) for seed, shape in enumerate(shapes)]

    check(np.einsum, einsum, subscripts, *arrays)


@given(rows=st.integers(0, 9), inner=st.integers(0, 9), columns=st.integers(0, 9))
def test_any_matrices(rows: int, inner: int, columns: int) -> None:
    """Strided and transposed operands give numpy's result."""
    left, right = operand((2 * rows, inner), seed=1)[::2], operand((columns, inner), seed=2).T

    check(np.matmul, matmul, left, right)
    check(np.dot, dot, left, right)
    check(np.einsum, einsum, "ij,jk", left, right)


def test_lists_and_numbers_are_operands_too() -> None:
    """As in numpy."""
    check(np.dot, dot, [1, 2], [3.5, 4])
    check(np.dot, dot, 2, operand((3,), "f4"))
    check(np.matmul, matmul, [[1, 2]], [[3], [4]])
    check(np.einsum, einsum, "i,->i", [1, 2], 3)


CALLS: dict[str, Callable[..., NDArray[Any]]] = {
    "dot": dot,
    "matmul": matmul,
    "einsum": lambda left, right, *, out: einsum("ij,jk->ik", left, right, out=out),
}


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return *array*, no longer writable."""
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((3, 6)), r"out has shape \(3, 6\) and dtype float64, the result \(3, 5\)"),
        (np.zeros((3, 1)), "out has shape"),
        (np.zeros(15), "out has shape"),
        (np.zeros((3, 5), "f4"), "dtype float32, the result"),
        (np.zeros((3, 5), ">f8"), "dtype >f8"),
        (np.zeros((5, 3)).T, "out is not C-contiguous"),
        (np.zeros((3, 10))[:, ::2], "out is not C-contiguous"),
        (read_only(np.zeros((3, 5))), "out is read-only"),
        ([[0.0] * 5] * 3, "out is of type list"),
        (None, "out is of type NoneType"),
    ],
)
def test_an_out_that_does_not_fit_is_refused(
    call: Callable[..., NDArray[Any]], out: Any, message: str
) -> None:
    """With what was found and what to give instead, before anything is written."""
    with pytest.raises(PoolError, match=message) as caught:
        call(operand((3, 4)) + 9, operand((4, 5)) + 9, out=out)

    assert caught.value.hint
    assert not np.any(out)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_out_that_overlaps_an_operand_is_refused(call: Callable[..., NDArray[Any]]) -> None:
    """Also by a part, and not when only the ranges interleave."""
    memory = operand((8, 4))
    before = memory.copy()

    with pytest.raises(PoolError, match="out shares memory with operand 1"):
        call(memory[:4], operand((4, 4)), out=memory[:4])
    with pytest.raises(PoolError, match="out shares memory with operand 2"):
        call(operand((4, 4)), memory[3:7], out=memory[:4])
    assert np.array_equal(before, memory)

    wide = operand((3, 9))
    left, right = wide[:, :3], operand((3, 2))
    expected = call(left, right, out=np.empty((3, 2)))
    call(left, right, out=wide[1, 3:].reshape(3, 2))
    assert np.array_equal(expected, wide[1, 3:].reshape(3, 2))


@pytest.mark.parametrize(
    "run",
    [
        lambda pool: matmul(np.zeros((3, 4)), np.zeros((5, 6)), out=pool),
        lambda pool: matmul(np.zeros((2, 3, 4)), np.zeros((3, 4, 5)), out=pool),
        lambda pool: matmul(2.0, np.zeros(3), out=pool),
        lambda pool: dot(np.zeros((3, 4)), np.zeros((5, 6)), out=pool),
        lambda pool: einsum("ij,jk", np.zeros((3, 4)), np.zeros((5, 6)), out=pool),
        lambda pool: einsum("ij,jk", np.zeros((3, 4)), out=pool),
        lambda pool: einsum("ij->ik", np.zeros((3, 4)), out=pool),
        lambda pool: einsum("ijk", np.zeros((3, 4)), out=pool),
        lambda pool: einsum("i", np.zeros((3, 4)), out=pool),
        lambda pool: einsum("i!", np.zeros((3, 4)), out=pool),
    ],
)
def test_operands_that_do_not_fit_are_numpys_error(run: Callable[[ArrayPool], object]) -> None:
    """And no array stays acquired."""
    pool = ArrayPool()

    with pytest.raises(ValueError, match=r"\w"):
        run(pool)

    assert pool.stats().in_use == 0


def test_a_result_may_be_an_operand_of_the_next() -> None:
    """A chain of products takes as many arrays as are live at once."""
    pool = ArrayPool()
    model, expected = operand((20, 20)), operand((20, 20), seed=1)
    result = matmul(model, expected, out=pool)
    expected = model @ expected

    for _ in range(8):
        following = matmul(model, result, out=pool)
        pool.release(result)
        result = following
        expected = model @ expected

    assert np.array_equal(expected, result)
    assert pool.stats().allocated == 2
