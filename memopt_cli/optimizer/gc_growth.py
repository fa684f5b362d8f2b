"""When a program has grown by more than its units explain: time to look at everything again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST_GROWTH = 0.25
"""By how much the blocks in use may exceed what lived; CPython's own rule is a quarter, too."""

MOST_GROWTH = 1.0
"""The same where the looks so far have freed next to nothing: they were not worth it."""

FREED_WORTH = 0.1
"""The share of the growth that a look has to free to be worth it."""

FLOOR_BLOCKS = 100_000
"""Growth that is not worth a look: about 6 MB of small objects."""

FURTHEST = 20
"""A look at a population says nothing of one more than so many times as large."""

COUNTING_SHARE = 0.005
"""The most of all time that is spent on counting blocks."""


class Growth:
    """
    Tells when so many more blocks are in use that garbage may be among them.

    Garbage in cycles is at most what was allocated and not freed, so it is bounded by the
    growth of the blocks in use, whatever the program does. Resident memory would not do: after
    a look it stays high where survivors are scattered, and the limit would climb with it.

    A program is allowed a quarter more at first. Where a look shows that the growth was alive,
    the allowance doubles, up to what lived; where it frees garbage it is a quarter again. So
    memory is bounded by twice what lives, and by a quarter more once garbage was found.

    Counting visits every pool of the allocator, 0.2 ms at 100,000 nested dictionaries and
    2 ms at a million, and is done so rarely that it costs half a percent of the time at most.
    """

    __slots__ = (
        "_base",
        "_blocks",
        "_clock",
        "_found",
        "_growth",
        "_lived",
        "_not_before_ns",
        "_units",
    )

    def __init__(self, blocks: Callable[[], int], clock: Callable[[], int]) -> None:
        """
        Args:
            blocks: Counts the blocks in use, as `sys.getallocatedblocks`.
            clock: Nanoseconds from any beginning.
        """
        self._blocks = blocks
        self._clock = clock
        self._base = self._lived = self._found = blocks()
        self._growth = LEAST_GROWTH
        self._units = 0
        self._not_before_ns = 0

    @property
    def blind(self) -> bool:
        """Whether the allocator does not tell, as with ``PYTHONMALLOC=malloc``."""
        return self._base == 0

    def due(self, units: int) -> bool:
        """Say whether *units* that are alive do not explain the blocks that are in use."""
        began_ns = self._clock()
        if began_ns < self._not_before_ns:
            return False
        self._found = self._blocks()
        ended_ns = self._clock()
        self._not_before_ns = ended_ns + round((ended_ns - began_ns) / COUNTING_SHARE)
        return self._found > self.limit_blocks(units)

    def looked(self, units: int) -> None:
        """Take what is in use now as alive: everything has been looked at since `due`."""
        lived = self._blocks()
        if self._found - lived < FREED_WORTH * (self._found - self._lived):
            self._growth = min(2 * self._growth, MOST_GROWTH)
        else:
            self._growth = LEAST_GROWTH
        self._lived = lived
        self._units = units

    def limit_blocks(self, units: int) -> int:
        """
        Return the blocks that may be in use while *units* are alive.

        What lived after the last look may grow by the allowance. Where there are more units now,
        what came with the former ones may first grow in proportion, twentyfold at most: what a
        few units share would else be multiplied as if each had its own.
        """
        allowed = self._lived
        if self._units:
            population = max(0, self._lived - self._base)
            scale = min(units / self._units, FURTHEST)
            allowed = max(allowed, self._base + round(population * scale))
        return round(allowed * (1 + self._growth)) + FLOOR_BLOCKS
