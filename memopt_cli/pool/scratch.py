"""Scratch memory that computations of any shape and dtype share, one after the other."""

from __future__ import annotations

from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from memopt_cli.errors import PoolError
from memopt_cli.pool.memory import Memory, kind_of, size_bytes_of
from memopt_cli.pool.stats import PoolStats

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray

MAX_KEPT = 8
"""Most idle buffers: a computation seldom nests more scratch arrays than that."""

MAX_KEPT_BYTES = 64 * 1024**2
"""Most bytes of idle buffers together."""

SMALLEST_BYTES = 4096
"""The smallest buffer made, one page: smaller ones would crowd out those worth keeping."""


class ScratchSpace:
    """
    Arrays for the length of a `with`, from a few buffers that fit any shape and dtype.

    Unlike an `ArrayPool` it keeps nothing per shape: a request takes the smallest idle buffer
    that is large enough. **The contents are whatever was there before** unless *zero* is asked
    for. A buffer that somebody still refers to after its `with`, by a slice for example, is
    not lent again before that ends; `Memory` says which references cannot be seen.

    A lease costs about 5 us, so it is for arrays that cost more than that to make anew, as
    measured in `memopt_cli.pool.arrays`. Every method may be called from any thread, and
    leases may nest.
    """

    __slots__ = (
        "__weakref__",
        "_allocated",
        "_created",
        "_discarded",
        "_dropped",
        "_idle",
        "_lent",
        "_lock",
        "_max_kept",
        "_max_kept_bytes",
        "_reused",
    )

    def __init__(self, *, max_kept: int = MAX_KEPT, max_kept_bytes: int = MAX_KEPT_BYTES) -> None:
        """
        Args:
            max_kept: Most idle buffers.
            max_kept_bytes: Most bytes of idle buffers together.

        Raises:
            PoolError: A bound is below zero.
        """
        _check_bounds(max_kept, max_kept_bytes)
        self._max_kept = max_kept
        self._max_kept_bytes = max_kept_bytes
        self._lock = RLock()
        # The longest idle first. Some may still be held by those who had them.
        self._idle: list[Memory] = []
        self._lent = self._allocated = self._created = self._reused = 0
        self._dropped = self._discarded = 0

    @contextmanager
    def lease(
        self,
        shape: SupportsIndex | Sequence[SupportsIndex],
        dtype: DTypeLike = np.float64,
        *,
        zero: bool = False,
    ) -> Iterator[NDArray[Any]]:
        """
        Yield an array for the length of a `with`, and take it back however that ends.

        Raises:
            PoolError: A dimension is negative, or the dtype holds Python objects.
        """
        kind = kind_of(shape, dtype)
        memory = self._take(size_bytes_of(kind))
        try:
            array = memory.lend(*kind)
            if zero:
                memory.flat[: array.nbytes].fill(0)
            yield array
        finally:
            self._put_back(memory)

    def trim(self) -> int:
        """Let all idle buffers go, and return how many bytes that frees."""
        with self._lock:
            return self._shrink_to(0, 0)

    def configure(self, *, max_kept: int | None = None, max_kept_bytes: int | None = None) -> None:
        """
        Change the bounds given, and let idle buffers go until they hold.

        Raises:
            PoolError: A bound is below zero; nothing has changed.
        """
        with self._lock:
            kept = self._max_kept if max_kept is None else max_kept
            kept_bytes = self._max_kept_bytes if max_kept_bytes is None else max_kept_bytes
            _check_bounds(kept, kept_bytes)
            self._max_kept, self._max_kept_bytes = kept, kept_bytes
            self._shrink_to(kept, kept_bytes)

    @property
    def kept_bytes(self) -> int:
        """Bytes of idle buffers, those included that somebody holds after the `with`."""
        with self._lock:
            return sum(memory.flat.nbytes for memory in self._idle)

    def stats(self) -> PoolStats:
        """
        Return the counters; what is still held after its `with` counts as in use.

        A buffer that was let go is *discarded* if somebody still held it and *dropped* if not.
        """
        with self._lock:
            still_held = sum(memory.is_held() for memory in self._idle)
            return PoolStats(
                in_use=self._lent + still_held,
                available=len(self._idle) - still_held,
                allocated=self._allocated,
                created=self._created,
                reused=self._reused,
                dropped=self._dropped,
                discarded=self._discarded,
            )

    def _take(self, size_bytes: int) -> Memory:
        """Return the smallest idle buffer that nobody holds and that is large enough."""
        with self._lock:
            fitting = [
                memory
                for memory in self._idle
                if memory.flat.nbytes >= size_bytes and not memory.is_held()
            ]
            if fitting:
                memory = min(fitting, key=lambda each: each.flat.nbytes)
                self._idle.remove(memory)
                self._reused += 1
            else:
                memory = Memory(self._capacity(size_bytes), zero=False)
                self._allocated += 1
                self._created += 1
            self._lent += 1
            return memory

    def _capacity(self, size_bytes: int) -> int:
        """Return the next power of two, so that sizes that vary a little share a buffer."""
        rounded = max(SMALLEST_BYTES, 1 << max(size_bytes - 1, 0).bit_length())
        # The exact size, where only that could be kept.
        return size_bytes if rounded > self._max_kept_bytes else rounded

    def _put_back(self, memory: Memory) -> None:
        """End a lease, and keep the buffer if the bounds allow it."""
        with self._lock:
            self._lent -= 1
            if self._max_kept == 0 or memory.flat.nbytes > self._max_kept_bytes:
                self._dropped += 1
                return
            self._idle.append(memory)
            self._shrink_to(self._max_kept, self._max_kept_bytes)

    def _shrink_to(self, most: int, most_bytes: int) -> int:
        """Let the buffers go that were idle longest, until the bounds hold; return bytes freed."""
        freed_bytes = 0
        while len(self._idle) > most or self.kept_bytes > most_bytes:
            memory = self._idle.pop(0)
            if memory.is_held():
                self._discarded += 1
            else:
                self._dropped += 1
                freed_bytes += memory.flat.nbytes
        return freed_bytes


def _check_bounds(max_kept: int, max_kept_bytes: int) -> None:
    """Refuse bounds below nothing."""
    for name, value in (("max_kept", max_kept), ("max_kept_bytes", max_kept_bytes)):
        if value < 0:
            raise PoolError(f"{name} is {value:,}", hint="Give 0 or more.")
