"""Arrays come back for their shape and dtype, zeroed, and to one holder at a time."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tracemalloc
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memopt_cli.errors import ForeignHandle, PoolError, StaleHandle
from memopt_cli.pool.arrays import ArrayPool
from memopt_cli.pool.stats import PoolInfo, PoolStats
from memopt_cli.pool.tiers import LARGE, MEDIUM, SMALL, TIERS, Tier, tier_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import DTypeLike, NDArray

KIB, MIB = 1024, 1024**2
F4 = np.dtype(np.float32)


def address(array: NDArray[Any]) -> int:
    """Return where the bytes of *array* are, without a reference to them."""
    return int(array.ctypes.data)


def used(pool: ArrayPool, shape: int | tuple[int, ...], dtype: DTypeLike = np.float64) -> int:
    """Use an array full of ones, and return where its bytes were."""
    array = pool.acquire(shape, dtype)
    array.fill(1)
    at = address(array)
    pool.release(array)
    return at


@pytest.mark.parametrize(
    "spelled", ["float32", "f4", "=f4", np.float32, F4, np.dtype("single"), np.zeros(1, F4).dtype]
)
def test_a_dtype_is_one_pool_however_it_is_spelled(spelled: DTypeLike) -> None:
    """All spellings of float32 share their arrays, and a list is as good as a tuple."""
    pool = ArrayPool()
    first = used(pool, (3, 4), np.float32)

    array = pool.acquire([np.int64(3), 4], spelled)

    assert first == address(array)
    assert list(pool.info()) == [((3, 4), F4)]
    assert pool.stats().reused == 1


def test_a_dtype_that_has_a_shape_is_a_longer_shape() -> None:
    """As numpy takes it."""
    pool = ArrayPool()
    used(pool, (3, 4), "f4")

    assert pool.acquire(3, ("f4", 4)).shape == (3, 4)
    assert pool.stats().reused == 1


@pytest.mark.parametrize(
    ("shape", "dtype"), [((4, 3), "f4"), (12, "f4"), ((3, 4), "i4"), ((3, 4), ">f4")]
)
def test_arrays_of_another_kind_are_never_mixed(
    shape: int | tuple[int, ...], dtype: DTypeLike
) -> None:
    """Another shape, type or byte order of the same size has a shelf of its own."""
    pool = ArrayPool()
    used(pool, (3, 4), "f4")

    pool.acquire(shape, dtype)

    assert (pool.stats().created, pool.stats().reused) == (2, 0)
    assert len(pool.info()) == 2


@pytest.mark.parametrize("shape", [(), 0, (0, 5), 7, (2, 3, 4)])
@pytest.mark.parametrize("dtype", ["?", "f8", "c16", "U5", "M8[s]", [("a", "i1"), ("b", "f8")]])
def test_an_array_is_as_numpy_zeros_makes_it(
    shape: int | tuple[int, ...], dtype: DTypeLike
) -> None:
    """Shape, dtype, order and zeros are numpy's, at the first use and at the second."""
    pool = ArrayPool()
    expected = np.zeros(shape, dtype)

    for _ in range(2):
        with pool.lease(shape, dtype) as array:
            assert (expected.shape, expected.dtype) == (array.shape, array.dtype)
            assert array.flags.c_contiguous
            assert array.flags.writeable
            assert expected.tobytes() == array.tobytes()
            array[...] = np.ones(shape, "i1").astype(dtype)
        del array

    assert pool.stats().reused == 1


@pytest.mark.parametrize("by_default", [True, False])
def test_zeroing_can_be_left_out(by_default: bool) -> None:
    """An acquire has the last word; otherwise the pool's own setting holds."""
    pool = ArrayPool(zero=by_default)
    used(pool, 1000)
    assert (0.0 if by_default else 1.0) == pool.acquire(1000)[999]

    used(pool, 50)
    assert (1.0 if by_default else 0.0) == pool.acquire(50, zero=not by_default)[49]


def test_an_array_cleared_once_is_cleared_again() -> None:
    """What was written after a clearing, or without one, is not handed out as zeros."""
    pool = ArrayPool()
    for zero in (True, False, True):
        with pool.lease(10, zero=zero) as array:
            assert not zero or not array.any()
            array.fill(1)
        del array

    assert not pool.acquire(10).any()
    assert pool.stats().reused == 3


def test_the_hit_rate_leaves_out_the_first_use() -> None:
    """A prepared array's first use is no reuse either."""
    pool = ArrayPool()
    pool.prepare(8, count=2)
    arrays = [pool.acquire(8) for _ in range(3)]
    assert pool.stats().reuse_ratio == 0.0

    for array in arrays:
        pool.release(array)
    del arrays, array
    pool.acquire(8)

    stats = pool.stats()
    assert (stats.allocated, stats.created, stats.reused, stats.reuse_ratio) == (3, 3, 1, 0.25)


@pytest.mark.parametrize(
    ("size_bytes", "tier"),
    [
        (0, SMALL),
        (64 * KIB, SMALL),
        (64 * KIB + 1, MEDIUM),
        (MIB, MEDIUM),
        (MIB + 1, LARGE),
        (2**40, LARGE),
    ],
)
def test_a_tier_ends_where_it_says(size_bytes: int, tier: Tier) -> None:
    """Both sides of each boundary; the numbers are those of the specification."""
    assert tier is tier_of(TIERS, size_bytes)
    assert [(each.at_start, each.most_idle) for each in TIERS] == [(10, 100), (5, 50), (2, 10)]


@pytest.mark.parametrize(("size_bytes", "tier"), [(8, SMALL), (65 * KIB, MEDIUM), (2 * MIB, LARGE)])
def test_idle_arrays_are_bounded_by_their_tier(size_bytes: int, tier: Tier) -> None:
    """One more than the tier keeps is let go; preparing makes as many as it starts with."""
    pool = ArrayPool(max_idle_bytes=2**40, zero=False)
    pool.prepare(size_bytes, "u1")
    assert tier.at_start == pool.stats().available

    arrays = [pool.acquire(size_bytes, "u1") for _ in range(tier.most_idle + 1)]
    while arrays:
        pool.release(arrays.pop())

    info = pool.info()[(size_bytes,), np.dtype("u1")]
    assert (tier.at_start, tier.most_idle) == (info.size, info.max_size)
    assert (tier.most_idle, 1) == (info.stats.available, info.stats.dropped)


def test_idle_bytes_are_bounded_over_all_shapes() -> None:
    """The shape unused longest gives way; an array larger than the bound is not kept at all."""
    pool = ArrayPool(max_idle_bytes=1000)
    for size in (400, 300, 301):
        used(pool, size, "u1")
    assert [shape for shape, _ in pool.info()] == [(300,), (301,)]
    assert pool.idle_bytes == 601

    used(pool, 1001, "u1")

    assert pool.idle_bytes == 601
    assert (pool.stats().dropped, pool.stats().allocated) == (2, 4)


def test_the_shape_released_last_gives_way_last() -> None:
    """Not the one that came last into the pool."""
    pool = ArrayPool(max_idle_bytes=1000)
    pool.prepare(300, "u1", 2)
    used(pool, 301, "u1")
    used(pool, 300, "u1")

    used(pool, 302, "u1")

    assert [shape for shape, _ in pool.info()] == [(300,), (302,)]


def test_shapes_that_are_never_used_again_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bookkeeping is bounded too, and the counters stay."""
    monkeypatch.setattr("memopt_cli.pool.shelves.MOST_IDLE_KINDS", 3)
    pool = ArrayPool()

    for size in range(10):
        used(pool, size)

    assert [shape for shape, _ in pool.info()] == [(7,), (8,), (9,)]
    assert pool.stats() == PoolStats(
        in_use=0, available=3, allocated=10, created=10, reused=0, dropped=7
    )


def test_the_last_released_is_the_next_handed_out() -> None:
    """It is the one that is still in the processor's cache."""
    pool = ArrayPool()
    first, second = pool.acquire(5), pool.acquire(5)
    at = address(second)
    pool.release(first)
    pool.release(second)
    del first, second

    assert at == address(pool.acquire(5))


HOLDS: dict[str, Callable[[NDArray[Any]], object]] = {
    "its name": lambda array: array,
    "a slice": lambda array: array[1:],
    "a slice of a slice": lambda array: array[1:][1:].T,
    "a view of another class": lambda array: array.view(np.recarray)[1:],
    "a memoryview": lambda array: array.data,
    "a part of a memoryview": lambda array: array.data[1:],
    "an iterator": np.nditer,
    "flat": lambda array: array.flat,
    "dlpack": lambda array: array.__dlpack__(),
    "ctypes": lambda array: array.ctypes.data_as(ctypes.c_void_p),
    "its owner": lambda array: array.base,
    "strides": lambda array: np.lib.stride_tricks.as_strided(array, (1,)),
    "a closure": lambda array: lambda: array,
}


@pytest.mark.parametrize("hold", HOLDS.values(), ids=HOLDS)
def test_memory_that_somebody_refers_to_is_not_handed_out(
    hold: Callable[[NDArray[Any]], object],
) -> None:
    """It counts as in use until the last reference is gone, and is available then."""
    pool = ArrayPool()
    array = pool.acquire((4, 4))
    at = address(array)
    held = hold(array)
    pool.release(array)
    del array

    assert (pool.stats().in_use, pool.stats().available) == (1, 0)
    assert at != address(other := pool.acquire((4, 4)))

    del held
    assert (pool.stats().in_use, pool.stats().available) == (1, 1)
    assert at == address(pool.acquire((4, 4)))
    assert other.shape == (4, 4)


def test_a_weak_reference_does_not_outlive_the_release() -> None:
    """The next holder's array is a new one, which the last holder cannot reach."""
    pool = ArrayPool()
    array = pool.acquire(5)
    weakly = weakref.ref(array)
    pool.release(array)
    del array

    assert pool.acquire(5) is not None
    assert weakly() is None


def test_a_kept_name_costs_one_array_more_and_not_the_reuse() -> None:
    """A loop whose name outlives each `with` alternates between two arrays."""
    pool = ArrayPool()

    for _ in range(100):
        with pool.lease(50) as array:
            array.fill(1)

    stats = pool.stats()
    assert (stats.allocated, stats.reused) == (2, 98)
    assert (stats.in_use, stats.available) == (1, 1)


def test_memory_held_for_too_long_is_left_to_its_holder() -> None:
    """A full shelf lets go of what is still held, which stays the holder's."""
    pool = ArrayPool(tiers=(Tier(None, 0, 1),))
    kept = pool.acquire(5)
    kept.fill(7)
    pool.release(kept)
    used(pool, 5)

    assert (pool.stats().discarded, pool.stats().available) == (1, 1)
    used(pool, 5)
    assert kept.tolist() == [7.0] * 5
    with pytest.raises(ForeignHandle, match="not on loan"):
        pool.release(kept)


def test_a_second_release_is_stale() -> None:
    """Releasing twice is refused and changes no counter."""
    pool = ArrayPool()
    array = pool.acquire(5)
    pool.release(array)
    before = pool.stats()

    with pytest.raises(StaleHandle, match="released before"):
        pool.release(array)

    assert before == pool.stats()


def foreign_arrays(array: NDArray[Any]) -> dict[str, tuple[object, str]]:
    """Return what the pool of *array* must not take back, with what it says about it."""
    other = ArrayPool()
    return {
        "of another pool": (other.acquire(5), "not on loan"),
        "of no pool": (np.zeros(5), "not on loan"),
        "a view of another": (np.zeros(5)[1:], "not on loan"),
        "a part": (array[1:], "a view of one"),
        "the whole seen anew": (array[:], "a view of one"),
        "its owner": (array.base, "not on loan"),
        "a list": ([0.0], "type list is no array"),
        "nothing": (None, "type NoneType is no array"),
    }


@pytest.mark.parametrize("what", foreign_arrays(np.zeros(5)))
def test_what_is_not_on_loan_is_foreign(what: str) -> None:
    """It is refused with a reason, changes no counter, and leaves the loan as it was."""
    pool = ArrayPool()
    array = pool.acquire(5)
    foreign, reason = foreign_arrays(array)[what]
    before = pool.stats()

    with pytest.raises(ForeignHandle, match=reason):
        pool.release(foreign)  # type: ignore[arg-type] # refused: that is tested

    assert before == pool.stats()
    pool.release(array)


def test_a_lease_ends_however_its_block_does() -> None:
    """The array is back after an exception."""
    pool = ArrayPool()

    with suppress(ZeroDivisionError), pool.lease(5):
        raise ZeroDivisionError

    assert (pool.stats().in_use, pool.stats().available) == (0, 1)


def test_an_array_dropped_without_a_release_is_swept() -> None:
    """One sweep takes it back; what is only viewed stays with its viewer."""
    pool = ArrayPool()
    pool.acquire(5)
    part = pool.acquire(5)[2:]
    assert pool.stats().in_use == 2

    assert pool.sweep() == 1
    assert pool.sweep() == 0
    stats = pool.stats()
    assert (stats.in_use, stats.available, stats.reclaimed) == (1, 1, 1)

    del part
    assert pool.sweep() == 1


def test_trim_gives_the_bytes_back() -> None:
    """Python's allocator holds none of them after it, and the counters agree."""
    pool = ArrayPool()
    tracemalloc.start()
    try:
        pool.prepare(MIB, "u1", 4)
        held = pool.acquire(MIB, "u1")
        before_bytes = tracemalloc.get_traced_memory()[0]
        assert pool.trim() == 3 * MIB
        freed_bytes = before_bytes - tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert 3 * MIB <= freed_bytes < 3 * MIB + 64 * KIB
    assert pool.idle_bytes == 0
    assert pool.stats() == PoolStats(in_use=1, available=0, allocated=4, created=1, dropped=3)
    assert len(held) == MIB


def test_trim_counts_no_byte_that_somebody_still_holds() -> None:
    """Those are not freed, only left to their holder."""
    pool = ArrayPool()
    array = pool.acquire(100, "u1")
    pool.release(array)

    assert pool.trim() == 0
    assert (pool.stats().discarded, pool.stats().total) == (1, 0)
    assert len(array) == 100


def test_a_pool_frees_what_it_holds_when_it_goes() -> None:
    """Nothing of a pool waits for the cycle collector; arrays in use stay valid."""
    pool = ArrayPool()
    array = pool.acquire(5)
    pool.prepare(5, count=3)
    alive = weakref.ref(pool)

    del pool

    assert alive() is None
    array.fill(1)
    assert array.sum() == 5


def test_configure_changes_real_sizes() -> None:
    """Smaller bounds hold at once, larger ones from then on, and the rest stays."""
    pool = ArrayPool()
    pool.prepare(10, "u1", 8)
    pool.configure(tiers=(Tier(None, 0, 3),))
    assert pool.info()[(10,), np.dtype("u1")] == PoolInfo(
        8, 3, None, PoolStats(available=3, allocated=8, dropped=5)
    )

    pool.configure(max_idle_bytes=20, zero=False)
    assert (pool.idle_bytes, pool.stats().dropped) == (20, 6)

    used(pool, 10, "u1")
    assert pool.acquire(10, "u1")[0] == 1

    pool.configure(max_idle_bytes=1000)
    pool.prepare(10, "u1", 3)
    assert pool.idle_bytes == 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tiers": ()}, "tiers end at"),
        ({"tiers": (Tier(10, 1, 2),)}, "tiers end at"),
        ({"tiers": (Tier(None, 1, 2), Tier(None, 1, 2))}, "tiers end at"),
        ({"tiers": (Tier(20, 1, 2), Tier(10, 1, 2), Tier(None, 1, 2))}, "tiers end at"),
        ({"tiers": (Tier(None, 3, 2),)}, "starts with 3 arrays and keeps 2"),
        ({"tiers": (Tier(None, -1, 2),)}, "starts with -1"),
        ({"max_idle_bytes": -1}, "max_idle_bytes is -1"),
    ],
)
def test_bounds_that_contradict_each_other_are_refused(
    change: dict[str, Any], message: str
) -> None:
    """By the constructor, and by configure, which changes nothing then."""
    with pytest.raises(PoolError, match=message):
        ArrayPool(**change)

    pool = ArrayPool()
    pool.prepare(5)
    before = pool.info()
    with pytest.raises(PoolError, match=message) as caught:
        pool.configure(**change, zero=False)
    assert caught.value.hint
    assert before == pool.info()
    assert pool.acquire(5)[0] == 0


def test_an_unknown_key_is_an_error() -> None:
    """A misspelt option is not ignored."""
    with pytest.raises(TypeError, match="max_idle"):
        ArrayPool().configure(max_idle=3)  # type: ignore[call-arg] # refused: that is tested


@pytest.mark.parametrize("count", [-1, 4])
def test_preparing_what_would_not_be_kept_is_refused(count: int) -> None:
    """Above a bound or below zero, with the number that would be."""
    pool = ArrayPool(max_idle_bytes=30)

    with pytest.raises(PoolError, match="idle arrays of") as caught:
        pool.prepare(10, "u1", count)

    assert caught.value.hint == "The pool keeps 0 to 3 of them; configure larger bounds."
    assert pool.info() == {}


@pytest.mark.parametrize(
    ("shape", "dtype", "error"),
    [
        ((3, -1), "f4", PoolError),
        (3, object, PoolError),
        (3, [("a", "O")], PoolError),
        (2.5, "f4", TypeError),
        ((2.5,), "f4", TypeError),
        ((1,) * 100, "f4", ValueError),
        (3, "no such type", TypeError),
    ],
)
def test_an_array_that_cannot_be_is_refused(shape: Any, dtype: Any, error: type[Exception]) -> None:
    """Neither a counter nor a shelf remembers it."""
    pool = ArrayPool()

    with pytest.raises(error):
        pool.acquire(shape, dtype)

    assert (pool.stats(), pool.info()) == (PoolStats(), {})


def test_running_out_of_memory_leaves_the_pool_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """No array is counted that could not be made."""

    def fail(*_: object) -> None:
        raise MemoryError

    pool = ArrayPool()
    monkeypatch.setattr(np, "zeros", fail)

    with pytest.raises(MemoryError):
        pool.acquire(5)

    assert (pool.stats(), pool.info()) == (PoolStats(), {})


def test_the_pool_package_does_not_load_numpy() -> None:
    """A process that pools connections does not pay for arrays."""
    command = "import sys, memopt_cli.pool; print('numpy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True)

    assert found.stdout == b"False\n"
