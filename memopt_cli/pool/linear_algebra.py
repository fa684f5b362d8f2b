"""
`dot`, `matmul` and `einsum` with the result in a pooled array, or in one of the caller's.

The result is numpy's own, only the memory it is written to differs. What that can save is the
page faults of a fresh result, so it shows where the result is large and the arithmetic little.
CPU time of the plain call over the pooled one, below one **the pool is slower**; measured as in
`memopt_cli.pool.arrays`, float64, one thread:

    operation                         one live              eight freed together
    matmul, 64 x 64                   0.60 (0.60 to 0.60)   0.60 (0.60 to 0.61)
    matmul, 256 x 256                 0.98 (0.97 to 0.98)   1.36 (1.33 to 1.38)
    matmul, 1024 x 1024               1.01 (1.00 to 1.01)   1.06 (1.00 to 1.13)
    dot, 1024 x 4 by 4 x 1024         0.95 (0.94 to 0.97)   2.4 (2.3 to 2.5)
    einsum "i,j->ij", 512 by 512      0.87 (0.87 to 0.87)   9.0 (8.5 to 9.5)
    einsum "i,j->ij", 2048 by 2048    2.1 (2.0 to 2.2)      2.0 (1.9 to 2.1)

In memory a pool keeps the results it is given back, as many as were live at once: eight of
1024 x 1024 left 64 to 68 MiB resident, where the plain calls left 0.3 to 3.9 MiB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from memopt_cli.errors import PoolError
from memopt_cli.pool.arrays import ArrayPool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

Shape: TypeAlias = tuple[int, ...]
Destination: TypeAlias = "ArrayPool | NDArray[Any]"
"""A pool, whose array the caller releases, or a C-contiguous array of the caller's own."""


def dot(left: ArrayLike, right: ArrayLike, *, out: Destination) -> NDArray[Any]:
    """
    Return `numpy.dot` of both in *out*; a scalar result is an array without dimensions.

    Raises:
        PoolError: *out* has another shape, dtype or layout than the result, is read-only, or
            shares memory with an operand; nothing was written.
        ValueError: The operands do not fit together; nothing stays acquired.
    """
    first, second = operands = np.asarray(left), np.asarray(right)
    shape = _dot_shape(first.shape, second.shape)
    return _into(out, shape, operands, lambda array: np.dot(first, second, out=array))


def matmul(left: ArrayLike, right: ArrayLike, *, out: Destination) -> NDArray[Any]:
    """
    Return `numpy.matmul` of both in *out*; a scalar result is an array without dimensions.

    Raises:
        PoolError: As of `dot`.
        ValueError: The operands do not fit together; nothing stays acquired.
    """
    first, second = operands = np.asarray(left), np.asarray(right)
    shape = _matmul_shape(first.shape, second.shape)
    return _into(out, shape, operands, lambda array: np.matmul(first, second, out=array))


def einsum(subscripts: str, *operands: ArrayLike, out: Destination) -> NDArray[Any]:
    """
    Return `numpy.einsum` of the operands in *out*; a scalar result has no dimensions.

    Raises:
        PoolError: As of `dot`.
        ValueError: The operands do not fit the subscripts; nothing stays acquired.
    """
    arrays = [np.asarray(operand) for operand in operands]
    shape = _einsum_shape(subscripts, [array.shape for array in arrays])
    return _into(out, shape, arrays, lambda array: np.einsum(subscripts, *arrays, out=array))


def _into(
    out: Destination,
    shape: Shape,
    operands: Sequence[NDArray[Any]],
    compute: Callable[[NDArray[Any]], object],
) -> NDArray[Any]:
    """Let *compute* write a result of *shape* to the array that *out* is or gives."""
    # By dtype and not by value, as all three do; the byte order is always the native one.
    dtype = np.result_type(*(operand.dtype for operand in operands))
    if not isinstance(out, ArrayPool):
        _check_out(out, shape, dtype, operands)
        compute(out)
        return out
    # Not cleared, because all three write every element.
    array = out.acquire(shape, dtype, zero=False)
    try:
        compute(array)
    except BaseException:
        out.release(array)
        raise
    return array


def _check_out(
    out: object, shape: Shape, dtype: np.dtype[Any], operands: Sequence[NDArray[Any]]
) -> None:
    """Refuse an *out* that the result would not fit, or that would change under the reader."""
    if not isinstance(out, np.ndarray):
        raise PoolError(
            f"out is of type {type(out).__name__}", hint="Give an ArrayPool or a numpy array."
        )
    if out.shape != shape or out.dtype != dtype:
        raise PoolError(
            f"out has shape {out.shape} and dtype {out.dtype}, the result {shape} and {dtype}",
            hint=f"Give an array made by numpy.empty({shape}, '{dtype}').",
        )
    if not (out.flags.c_contiguous and out.flags.writeable):
        fault = "not C-contiguous" if out.flags.writeable else "read-only"
        raise PoolError(f"out is {fault}", hint="Give a writable array, not a slice across rows.")
    for place, operand in enumerate(operands, start=1):
        if np.shares_memory(out, operand):
            raise PoolError(
                f"out shares memory with operand {place}",
                hint="Give memory of its own: the operand would change while it is read.",
            )


def _dot_shape(left: Shape, right: Shape) -> Shape:
    """
    Return the shape of `numpy.dot`, right where the operands fit together.

    >>> _dot_shape((2, 3), (5, 3, 4)), _dot_shape((2, 3), (3,)), _dot_shape((), (7,))
    ((2, 5, 4), (2,), (7,))
    """
    if not left or not right:
        return left + right
    return left[:-1] + right[:-2] + right[-1:] * (len(right) > 1)


def _matmul_shape(left: Shape, right: Shape) -> Shape:
    """
    Return the shape of `numpy.matmul`, right where the operands fit together.

    >>> _matmul_shape((5, 2, 3), (3, 4)), _matmul_shape((3,), (3, 4)), _matmul_shape((3,), (3,))
    ((5, 2, 4), (4,), ())
    """
    rows = left[-2:-1]
    columns = right[-1:] if len(right) > 1 else ()
    return np.broadcast_shapes(left[:-2], right[:-2]) + rows + columns


def _einsum_shape(subscripts: str, shapes: Sequence[Shape]) -> Shape:
    """
    Return the shape of `numpy.einsum`, right where the operands fit the subscripts.

    >>> _einsum_shape("ij,jk", [(2, 3), (3, 4)]), _einsum_shape("...ij->...j", [(5, 6, 2, 3)])
    ((2, 4), (5, 6, 3))
    """
    terms, arrow, result = subscripts.replace(" ", "").partition("->")
    sizes: dict[str, int] = {}
    unnamed: list[Shape] = []
    for term, shape in zip(terms.split(","), shapes, strict=False):
        before, _, after = term.partition("...")
        tail = len(shape) - len(after)
        unnamed.append(shape[len(before) : tail])
        named = [*zip(before, shape, strict=False), *zip(after, shape[tail:], strict=False)]
        for label, size in named:
            # An axis of one is repeated along the axis of the same label.
            sizes[label] = size if sizes.get(label, 1) == 1 else sizes[label]
    if not arrow:
        once = sorted(label for label in sizes if terms.count(label) == 1)
        result = "..." * ("..." in terms) + "".join(once)
    before, dots, after = result.partition("...")
    middle = np.broadcast_shapes(*unnamed) if dots else ()
    return _sized(before, sizes) + middle + _sized(after, sizes)


def _sized(labels: str, sizes: dict[str, int]) -> Shape:
    """Return the sizes of *labels*; that of an unknown one is left for numpy to refuse."""
    return tuple(sizes.get(label, 1) for label in labels)
