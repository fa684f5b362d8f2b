"""
A pool of numpy arrays by shape and dtype, worth it for large ones that are freed together.

CPU time of fresh arrays over that of pooled ones, so that below one **the pool is slower**.
Both are zeroed and then written to once; mean of 7 pairs of fresh processes and its 95 %
interval, on CPython 3.11, numpy 2.4 and glibc 2.36 (`python -m tests.benchmarks.bench_arrays`):

    size       one live             eight freed together
    64 KiB     0.46 (0.43 to 0.50)   4.8 (4.7 to 4.9)
    256 KiB    0.70 (0.69 to 0.70)   9.1 (8.2 to 10.0)
    1 MiB      0.86 (0.85 to 0.86)  12.2 (11.2 to 13.3)
    4 MiB      0.96 (0.96 to 0.97)   5.3 (4.5 to 6.4)
    16 MiB     1.02 (1.00 to 1.03)   2.3 (2.0 to 2.6)
    64 MiB     2.0 (1.8 to 2.1)      2.3 (2.2 to 2.4)

An acquire and a release take 3.4 us, `numpy.empty` 0.13 us. What a pool can save is the page
faults of memory that the allocator had given back to the system: it gives back much that is
freed together, and anything of 32 MiB or more; one smaller array after another it serves from
the same warm memory, and no pool is faster than that.

**Two calls of `mallopt` do as well without a pool** for arrays below 32 MiB: with
M_MMAP_THRESHOLD at 32 MiB and M_TRIM_THRESHOLD at 2 GiB, eight freed together are 11.5 times as
fast at 64 KiB, 14.7 at 1 MiB and 2.0 at 16 MiB; at 64 MiB they change nothing. They hold for the
whole process, only with glibc, and bound and count nothing, which a pool does.

The price is memory: what is idle stays resident, eight arrays of 1 MiB at 8.1 MiB where fresh
ones leave less than 0.1 MiB. It is bounded per shape and in all, and `ArrayPool.trim` frees it.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from memopt_cli.errors import ForeignHandle, PoolError, StaleHandle
from memopt_cli.pool.memory import kind_of
from memopt_cli.pool.shelves import Rack
from memopt_cli.pool.tiers import MIB, TIERS, Tier, check_tiers
from memopt_cli.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray

    from memopt_cli.pool.memory import Kind, Memory
    from memopt_cli.pool.shelves import Shelf
    from memopt_cli.pool.stats import PoolInfo, PoolStats

MAX_IDLE_BYTES = 256 * MIB
"""Most bytes of idle arrays of all shapes together, unless told otherwise."""


class ArrayPool:
    """
    C-contiguous numpy arrays for reuse, one shelf per shape and dtype, zeroed when handed out.

    An array counts as in use until it was released *and* nobody refers to it any more, be it
    by its name, a view, a slice or a memoryview; only then can somebody else have it. So a
    name that outlives its release, as that of a `with` does, costs one array more and never a
    shared one. `Memory` says which references cannot be seen.

    Every method may be called from any thread; one lock guards them, and arrays are cleared
    outside it. An array belongs to one thread at a time. Do not release from a finaliser: it
    may run in the middle of another release. Drop the array instead, and `sweep`.
    """

    __slots__ = ("__weakref__", "_lent", "_lock", "_rack", "_zero")

    def __init__(
        self,
        *,
        tiers: tuple[Tier, ...] = TIERS,
        max_idle_bytes: int = MAX_IDLE_BYTES,
        zero: bool = True,
    ) -> None:
        """
        Args:
            tiers: Bounds by the size of an array, smallest first; the last is for any size.
            max_idle_bytes: Most bytes of idle arrays, of all shapes together.
            zero: Hand arrays out zeroed; otherwise they hold what the last holder wrote.

        Raises:
            PoolError: The bounds contradict each other.
        """
        check_tiers(tiers)
        _check_bytes(max_idle_bytes)
        self._zero = zero
        self._lock = RLock()
        self._rack = Rack(tiers, max_idle_bytes)
        # By the id of the array that owns the bytes, which lives as long as its entry.
        self._lent: dict[int, tuple[Shelf, Memory]] = {}

    def acquire(
        self,
        shape: SupportsIndex | Sequence[SupportsIndex],
        dtype: DTypeLike = np.float64,
        *,
        zero: bool | None = None,
    ) -> NDArray[Any]:
        """
        Return an array that nobody else has; it does not own its memory, so it cannot `resize`.

        Args:
            shape: As `numpy.zeros` takes it.
            dtype: As `numpy.zeros` takes it.
            zero: Whether to clear it, other than the pool does by default.

        Raises:
            PoolError: A dimension is negative, or the dtype holds Python objects.
        """
        kind = kind_of(shape, dtype)
        zeroed = self._zero if zero is None else zero
        with self._lock:
            shelf = self._rack.shelf(kind)
            memory = self._rack.take(shelf, zero=zeroed)
            array = shelf.lend(memory)
            self._lent[id(memory.flat)] = shelf, memory
        if zeroed:
            memory.clear()
        memory.dirty = True
        return array

    def release(self, array: NDArray[Any]) -> None:
        """
        Make *array* available again, as soon as its holder and all views of it are gone.

        Raises:
            StaleHandle: It was released before; nothing has changed.
            ForeignHandle: It is no array of this pool, or only a view of one, or was released
                and let go since because it was held for too long; nothing has changed.
        """
        owner = getattr(array, "base", None)
        with self._lock:
            loan = self._lent.get(id(owner))
            if loan is None or loan[1].array() is not array:
                raise self._refusal(array)
            self._end(*loan)

    @contextmanager
    def lease(
        self,
        shape: SupportsIndex | Sequence[SupportsIndex],
        dtype: DTypeLike = np.float64,
        *,
        zero: bool | None = None,
    ) -> Iterator[NDArray[Any]]:
        """Acquire an array for the length of a `with`, and release it however that ends."""
        array = self.acquire(shape, dtype, zero=zero)
        try:
            yield array
        finally:
            self.release(array)

    def prepare(
        self,
        shape: SupportsIndex | Sequence[SupportsIndex],
        dtype: DTypeLike = np.float64,
        count: int | None = None,
    ) -> None:
        """
        Make arrays of a shape until *count* are available, the tier's number if None.

        Their pages are written to, so that the first use finds them in memory.

        Raises:
            PoolError: The pool would not keep that many.
        """
        kind = kind_of(shape, dtype)
        with self._lock:
            shelf = self._rack.shelf(kind)
            wanted = shelf.tier.at_start if count is None else count
            try:
                _check_count(wanted, self._rack.most_idle(shelf), shelf.size_bytes)
                for _ in range(wanted - shelf.stats().available):
                    memory = shelf.make(zero=False)
                    memory.clear()
                    self._rack.keep(shelf, memory)
                shelf.ready = wanted
            finally:
                self._rack.take_down_if_empty(shelf)

    def sweep(self) -> int:
        """Take back the arrays whose holders dropped them without a release; return how many."""
        with self._lock:
            lost = [entry for entry in self._lent.values() if not entry[1].is_held()]
            for shelf, memory in lost:
                shelf.reclaimed += 1
                self._end(shelf, memory)
            return len(lost)

    def trim(self) -> int:
        """
        Let all idle arrays go, and return how many bytes that frees.

        They go to the allocator, which may keep them. Of 64 MiB in arrays of 64 KiB, 1 MiB or
        16 MiB, `bench_arrays` finds all back at the system, before a `malloc_trim` and after.
        """
        with self._lock:
            return self._rack.clear()

    @property
    def idle_bytes(self) -> int:
        """Bytes of idle arrays, those included that somebody holds after the release."""
        with self._lock:
            return self._rack.idle_bytes

    def stats(self) -> PoolStats:
        """
        Return the counters of all shapes together.

        An array that the pool let go, because it was full or was trimmed, is *discarded* if
        somebody still held it and *dropped* if not.
        """
        with self._lock:
            return self._rack.stats()

    def info(self) -> dict[Kind, PoolInfo]:
        """Return bounds and counters of each shape and dtype that the pool has arrays of."""
        with self._lock:
            return self._rack.info()

    def configure(
        self,
        *,
        tiers: tuple[Tier, ...] | None = None,
        max_idle_bytes: int | None = None,
        zero: bool | None = None,
    ) -> None:
        """
        Change what is given, and let idle arrays go until the new bounds hold.

        Raises:
            PoolError: The bounds contradict each other; nothing has changed.
        """
        with self._lock:
            new_tiers = self._rack.tiers if tiers is None else tiers
            new_bytes = self._rack.max_idle_bytes if max_idle_bytes is None else max_idle_bytes
            check_tiers(new_tiers)
            _check_bytes(new_bytes)
            self._zero = self._zero if zero is None else zero
            self._rack.configure(new_tiers, new_bytes)

    def _end(self, shelf: Shelf, memory: Memory) -> None:
        """End a loan."""
        del self._lent[id(memory.flat)]
        self._rack.put_back(shelf, memory)

    def _refusal(self, array: object) -> PoolError:
        """Say why *array* cannot be released."""
        if not isinstance(array, np.ndarray):
            return ForeignHandle(f"an object of type {type(array).__name__} is no array")
        if id(array.base) in self._lent:
            return ForeignHandle(
                "the array is a view of one of this pool",
                hint="Release the array that acquire returned.",
            )
        if self._rack.has_idle(array.base):
            return StaleHandle(
                "the array was released before",
                hint="Forget an array when it is released; nobody else gets it until then.",
            )
        return ForeignHandle(
            "the array is not on loan from this pool",
            hint="Release it to the pool that it was acquired from, and once.",
        )


def _check_bytes(max_idle_bytes: int) -> None:
    """Refuse a bound below nothing."""
    if max_idle_bytes < 0:
        raise PoolError(f"max_idle_bytes is {max_idle_bytes:,}", hint="Give 0 or more.")


def _check_count(count: int, most: int, size_bytes: int) -> None:
    """Refuse to prepare more than would be kept."""
    if not 0 <= count <= most:
        raise PoolError(
            f"{count:,} idle arrays of {format_size(size_bytes)} each",
            hint=f"The pool keeps 0 to {most:,} of them; configure larger bounds.",
        )
