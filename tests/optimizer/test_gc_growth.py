"""The moment to look at everything: when memory has grown by more than the units explain."""

from __future__ import annotations

import sys
from time import perf_counter_ns

import pytest

from memopt_cli.optimizer.gc_growth import FLOOR_BLOCKS, Growth


class FakeHeap:
    """An allocator whose counting takes time, on a clock of its own."""

    def __init__(self, blocks: int, counting_ns: int = 0) -> None:
        self.blocks = blocks
        self.counted = 0
        self.now_ns = 0
        self._counting_ns = counting_ns

    def count(self) -> int:
        """Return the blocks in use."""
        self.counted += 1
        self.now_ns += self._counting_ns
        return self.blocks

    def clock(self) -> int:
        """Return the time."""
        return self.now_ns


def growth_of(heap: FakeHeap) -> Growth:
    """Return what watches *heap*."""
    return Growth(heap.count, heap.clock)


def test_a_quarter_more_is_due() -> None:
    """A block above the limit is, the limit itself is not."""
    heap = FakeHeap(1_000_000)
    growth = growth_of(heap)

    heap.blocks = 1_250_000 + FLOOR_BLOCKS
    assert not growth.due(0)
    heap.blocks += 1
    assert growth.due(0)


def test_garbage_that_was_freed_does_not_raise_the_limit() -> None:
    """However often it grows and is freed, the limit stays where what lives puts it."""
    heap = FakeHeap(1_000_000)
    growth = growth_of(heap)
    before = growth.limit_blocks(0)

    for _ in range(10):
        heap.blocks = before + 1
        assert growth.due(0)
        heap.blocks = 1_000_000
        growth.looked(0)

    assert growth.limit_blocks(0) == before


@pytest.mark.parametrize(
    ("units", "explained"),
    [
        # Nobody said how many there are, there are fewer, or as many: what lived.
        (0, 1_600_000),
        (500, 1_600_000),
        (1000, 1_600_000),
        # Twice as many: what came with a thousand of them came twice.
        (2000, 2_800_000),
        # From a thousand to twenty thousand is as far as that carries.
        (20_000, 24_400_000),
        (10**9, 24_400_000),
    ],
)
def test_the_limit_follows_the_population(units: int, explained: int) -> None:
    """More units explain more memory, and fewer do not make former memory suspect."""
    heap = FakeHeap(400_000)
    growth = growth_of(heap)
    heap.blocks = 2_600_000
    assert growth.due(1000)
    heap.blocks = 1_600_000
    growth.looked(1000)

    assert growth.limit_blocks(units) == explained * 1.25 + FLOOR_BLOCKS


def test_looks_that_free_nothing_become_rarer() -> None:
    """The allowance doubles up to what lives, and is a quarter again once garbage was found."""
    heap = FakeHeap(1_000_000)
    growth = growth_of(heap)
    allowances = []
    for freed_percent in (0, 9, 0, 10, 0):
        limit = growth.limit_blocks(0)
        lived = growth._lived
        allowances.append((limit - FLOOR_BLOCKS) / lived - 1)
        heap.blocks = 10 * lived
        assert growth.due(0)
        heap.blocks -= 9 * lived * freed_percent // 100
        growth.looked(0)

    assert allowances == pytest.approx([0.25, 0.5, 1.0, 1.0, 0.25])


def test_counting_takes_a_two_hundredth_of_the_time() -> None:
    """After a counting of 1 ms there is none for 200 ms."""
    heap = FakeHeap(1_000_000, counting_ns=10**6)
    growth = growth_of(heap)
    growth.due(0)
    heap.blocks = 10**9
    heap.counted = 0

    heap.now_ns += 199_999_999
    assert (growth.due(0), heap.counted) == (False, 0)
    heap.now_ns += 1
    assert (growth.due(0), heap.counted) == (True, 1)


def test_an_allocator_that_does_not_tell_is_noticed() -> None:
    """Zero blocks is what CPython says when it does not count; the real one counts here."""
    assert growth_of(FakeHeap(0)).blind
    assert not Growth(sys.getallocatedblocks, perf_counter_ns).blind
