"""Scratch memory is shared by all shapes, comes back after an exception, and is bounded."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import Any

import numpy as np
import pytest

from memopt_cli.errors import PoolError
from memopt_cli.pool.scratch import MAX_KEPT, MAX_KEPT_BYTES, ScratchSpace
from memopt_cli.pool.stats import PoolStats
from tests.pool.test_array_properties import run_in_threads

KIB, MIB = 1024, 1024**2


def used(scratch: ScratchSpace, size_bytes: int) -> int:
    """Use scratch memory once, and return where it is."""
    with scratch.lease(size_bytes, "u1") as array:
        return int(array.ctypes.data)


def test_all_shapes_and_dtypes_share_a_buffer() -> None:
    """What fits into an idle buffer makes no new one."""
    scratch = ScratchSpace()
    at = used(scratch, 64 * KIB)

    for shape, dtype in (((100, 20), "f8"), (7, "c16"), ((), "f4"), ((0, 3), "f4"), (65536, "?")):
        with scratch.lease(shape, dtype) as array:
            expected = np.empty(shape, dtype)
            assert (expected.shape, expected.dtype) == (array.shape, array.dtype)
            assert array.flags.c_contiguous
            assert at == array.ctypes.data
        del array

    assert scratch.stats() == PoolStats(available=1, allocated=1, created=1, reused=5)


def test_the_smallest_buffer_that_fits_is_taken() -> None:
    """A small request leaves the large buffer to a large one."""
    scratch = ScratchSpace()
    with scratch.lease(MIB, "u1"), scratch.lease(64 * KIB, "u1"), scratch.lease(4 * KIB, "u1"):
        pass

    with scratch.lease(5 * KIB, "u1"):
        assert scratch.kept_bytes == MIB + 4 * KIB
        with scratch.lease(65 * KIB, "u1"):
            assert scratch.kept_bytes == 4 * KIB


def test_sizes_that_vary_a_little_share_a_buffer() -> None:
    """A buffer is as large as the next power of two, and at least one page."""
    scratch = ScratchSpace()

    for size_bytes in (33_000, 40_000, 65_536):
        used(scratch, size_bytes)
    used(scratch, 1)

    assert scratch.stats() == PoolStats(available=1, allocated=1, created=1, reused=3)
    assert scratch.kept_bytes == 64 * KIB


def test_scratch_comes_back_after_an_exception() -> None:
    """The buffer of a block that failed is the next one's."""
    scratch = ScratchSpace()

    with suppress(ZeroDivisionError), scratch.lease(10):
        raise ZeroDivisionError

    assert scratch.stats() == PoolStats(available=1, allocated=1, created=1)


def test_nested_leases_never_share() -> None:
    """Each holder has bytes of its own."""
    scratch = ScratchSpace()

    for _ in range(2):
        with ExitStack() as stack:
            arrays = [stack.enter_context(scratch.lease(10, "u1")) for _ in range(5)]
            for number, array in enumerate(arrays):
                array.fill(number)
            assert [set(array.tolist()) for array in arrays] == [{0}, {1}, {2}, {3}, {4}]
        del arrays, array

    assert scratch.stats() == PoolStats(available=5, allocated=5, created=5, reused=5)


def test_a_buffer_that_is_still_held_is_not_lent() -> None:
    """A slice kept after the `with` keeps its values, and its buffer counts as in use."""
    scratch = ScratchSpace()
    with scratch.lease(10, "u1") as array:
        array.fill(7)
        part = array[:5]
    del array
    assert (scratch.stats().in_use, scratch.stats().available) == (1, 0)

    with scratch.lease(10, "u1", zero=True):
        assert part.tolist() == [7] * 5
    del part

    assert (scratch.stats().in_use, scratch.stats().available) == (0, 2)


@pytest.mark.parametrize("zero", [False, True])
def test_zeros_only_where_asked_for(zero: bool) -> None:
    """Otherwise the contents are those of whoever was there before."""
    scratch = ScratchSpace()
    with scratch.lease(5, "u1") as array:
        array.fill(7)
    del array

    with scratch.lease(4, "u1", zero=zero) as array:
        assert ([0] * 4 if zero else [7] * 4) == array.tolist()
        assert array.base is not None
        assert array.base[4] == 7


def test_the_kept_count_is_bounded() -> None:
    """The buffers idle longest are let go."""
    scratch = ScratchSpace(max_kept=2)

    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(scratch.lease(10))

    assert scratch.stats() == PoolStats(available=2, allocated=5, created=5, dropped=3)


def test_the_kept_bytes_are_bounded() -> None:
    """By the sum of all, and a buffer above the bound is not kept at all."""
    scratch = ScratchSpace(max_kept_bytes=100 * KIB)
    with scratch.lease(64 * KIB, "u1"), scratch.lease(64 * KIB, "u1"):
        pass
    assert (scratch.kept_bytes, scratch.stats().dropped) == (64 * KIB, 1)

    used(scratch, 101 * KIB)
    assert (scratch.kept_bytes, scratch.stats().dropped) == (64 * KIB, 2)

    used(scratch, 90 * KIB)
    assert (scratch.kept_bytes, scratch.stats().dropped) == (90 * KIB, 3)
    assert (MAX_KEPT, MAX_KEPT_BYTES) == (8, 64 * MIB)


def test_a_buffer_held_for_too_long_is_left_to_its_holder() -> None:
    """It is discarded, and its values stay."""
    scratch = ScratchSpace(max_kept=1)
    with scratch.lease(3, "u1") as kept:
        kept.fill(7)
    used(scratch, 10)

    assert scratch.stats() == PoolStats(available=1, allocated=2, created=2, discarded=1)
    assert kept.tolist() == [7] * 3


def test_trim_and_configure_let_go() -> None:
    """Trim returns the bytes it freed; smaller bounds hold at once."""
    scratch = ScratchSpace()
    with scratch.lease(4 * KIB, "u1"), scratch.lease(4 * KIB, "u1"), scratch.lease(64 * KIB, "u1"):
        pass
    scratch.configure(max_kept_bytes=10 * KIB)
    assert scratch.kept_bytes == 8 * KIB
    scratch.configure(max_kept=1)
    assert scratch.kept_bytes == 4 * KIB

    assert scratch.trim() == 4 * KIB
    assert scratch.stats() == PoolStats(allocated=3, created=3, dropped=3)


@pytest.mark.parametrize("change", [{"max_kept": -1}, {"max_kept_bytes": -1}])
def test_a_bound_below_nothing_is_refused(change: dict[str, Any]) -> None:
    """By the constructor, and by configure, which changes nothing then."""
    with pytest.raises(PoolError, match="is -1"):
        ScratchSpace(**change)
    scratch = ScratchSpace(max_kept=1, max_kept_bytes=MIB)
    with pytest.raises(PoolError, match="is -1"):
        scratch.configure(**{"max_kept": 5, "max_kept_bytes": 5 * MIB, **change})

    with scratch.lease(10), scratch.lease(10):
        pass
    assert scratch.stats().available == 1


def test_objects_are_refused() -> None:
    """Bytes that were something else must never be read as references."""
    scratch = ScratchSpace()

    with pytest.raises(PoolError, match="refers to Python objects"), scratch.lease(3, object):
        pass

    assert scratch.stats() == PoolStats()


def test_ten_threads_share_a_scratch_space() -> None:
    """What a thread writes into its scratch is what it reads there."""
    scratch = ScratchSpace(max_kept=4)

    def work(number: int) -> None:
        for turn in range(1000):
            with scratch.lease(100 + turn * 9, "u1") as array:
                array.fill(number)
                assert (array == number).all()

    run_in_threads(work)

    stats = scratch.stats()
    assert (stats.in_use, stats.created + stats.reused) == (0, 10_000)
    assert stats.available <= 4
    assert stats.allocated - stats.dropped - stats.discarded == stats.total
