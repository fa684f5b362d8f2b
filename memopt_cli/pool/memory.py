"""The memory that arrays are views of, and what kinds of arrays it may hold."""

from __future__ import annotations

import math
import weakref
from operator import index
from sys import getrefcount
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

import numpy as np

from memopt_cli.errors import PoolError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

Kind: TypeAlias = "tuple[tuple[int, ...], np.dtype[Any]]"
"""A shape and a dtype, however they were spelled."""


def kind_of(shape: SupportsIndex | Sequence[SupportsIndex], dtype: DTypeLike) -> Kind:
    """
    Return *shape* and *dtype* in the one spelling that the pool knows.

    >>> kind_of(3, "f4") == kind_of([3], np.float32) == kind_of((3,), np.dtype("single"))
    True
    >>> kind_of(3, ("f4", 2))
    ((3, 2), dtype('float32'))
    """
    named = np.dtype(dtype)
    try:
        sizes = tuple(map(index, shape))  # type: ignore[arg-type] # an int raises TypeError
    except TypeError:
        sizes = (index(shape),)  # type: ignore[arg-type] # neither: numpy's own error is this one
    if named.subdtype is not None:
        return sizes + named.shape, named.base
    return sizes, named


def size_bytes_of(kind: Kind) -> int:
    """
    Return how large an array of *kind* is.

    Raises:
        PoolError: A dimension is negative, or the dtype holds Python objects.
    """
    shape, dtype = kind
    if min(shape, default=0) < 0:
        raise PoolError(f"an array of shape {shape}", hint="Give dimensions of 0 or more.")
    if dtype.hasobject:
        raise PoolError(
            f"an array of {dtype} refers to Python objects",
            hint="Pool only arrays whose values are bytes, such as numbers and structures.",
        )
    return math.prod(shape) * dtype.itemsize


class Memory:
    """
    Bytes to make arrays of, which know whether one of those arrays is still alive.

    numpy lets a view of a view refer to the array that owns the bytes, and so does whatever
    else keeps them alive: a memoryview, an iterator, a DLPack capsule, `ctypes` access. All of
    them show in the reference count of that array. When it is down to the pool's own
    reference nobody can raise it again, so the answer "nobody" stays true. Asking costs 50 ns.

    Not seen: an address kept as a number (``array.ctypes.data``), a library that keeps a
    pointer without a reference, and a weak reference to ``array.base``.
    """

    __slots__ = ("_references_alone", "array", "dirty", "flat", "used")

    def __init__(self, size_bytes: int, *, zero: bool) -> None:
        # Fresh zeros cost no clearing when they come from the kernel, as larger ones do.
        self.flat = np.zeros(size_bytes, np.uint8) if zero else np.empty(size_bytes, np.uint8)
        # Counted here and not written as a number, which differs between Python versions.
        self._references_alone = getrefcount(self.flat)
        self.dirty = not zero
        self.used = False
        # To the array of the present holder, the one that may be released; at first to none.
        self.array: weakref.ref[NDArray[Any]] = weakref.ref(self.flat)

    def is_held(self) -> bool:
        """Say whether anybody but the pool refers to the bytes."""
        return getrefcount(self.flat) > self._references_alone

    def lend(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """
        Return a new array over the first bytes, as they are.

        New each time, so that a weak reference to the last holder's array dies with it.
        """
        array: NDArray[Any] = np.ndarray(shape, dtype, self.flat)
        self.array = weakref.ref(array)
        self.used = True
        return array

    def clear(self) -> None:
        """Overwrite the bytes with zeros, unless nobody has written since they were zero."""
        if self.dirty:
            self.flat.fill(0)
        self.dirty = False
