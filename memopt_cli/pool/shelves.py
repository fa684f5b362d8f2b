"""The shelf for arrays of one shape and dtype, and the rack of all shelves of a pool."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from memopt_cli.pool.memory import Kind, Memory, size_bytes_of
from memopt_cli.pool.stats import PoolInfo, PoolStats
from memopt_cli.pool.tiers import tier_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memopt_cli.pool.tiers import Tier

MOST_IDLE_KINDS = 1000
"""Most shapes and dtypes with idle arrays; beyond it, bookkeeping would outgrow the arrays."""


class Shelf:
    """
    The arrays of one shape and dtype: how many are lent, which are idle, and the counters.

    The one released last is handed out first, because it is still in the processor's cache.
    This is no `ObjectPool`, whose queue cannot ask whether somebody still refers to an object:
    here that is what makes one available, and the release cannot know it.
    Not safe for threads: the pool that owns the shelf locks.
    """

    __slots__ = (
        "allocated",
        "created",
        "discarded",
        "dropped",
        "dtype",
        "idle",
        "lent",
        "ready",
        "reclaimed",
        "reused",
        "shape",
        "size_bytes",
        "tier",
    )

    def __init__(self, kind: Kind, tiers: tuple[Tier, ...]) -> None:
        """
        Raises:
            PoolError: A dimension is negative, or the dtype holds Python objects.
            ValueError: No array can have as many dimensions or bytes.
        """
        shape, dtype = kind
        size_bytes = size_bytes_of(kind)
        # All its elements are one, so it costs no memory; numpy refuses what cannot be.
        np.broadcast_to(np.empty((), dtype), shape)
        self.shape = shape
        self.dtype = dtype
        self.tier = tier_of(tiers, size_bytes)
        self.size_bytes = size_bytes
        self.idle: list[Memory] = []
        """Oldest release first. Some may still be held by those who released them."""
        self.lent = self.ready = 0
        self.allocated = self.created = self.reused = 0
        self.dropped = self.discarded = self.reclaimed = 0

    def make(self, *, zero: bool) -> Memory:
        """Return new memory of the right size."""
        memory = Memory(self.size_bytes, zero=zero)
        self.allocated += 1
        return memory

    def take(self) -> Memory | None:
        """Remove and return the idle memory released last that nobody holds, if there is one."""
        idle = self.idle
        for place in range(len(idle) - 1, -1, -1):
            if not idle[place].is_held():
                return idle.pop(place)
        return None

    def lend(self, memory: Memory) -> NDArray[Any]:
        """Return an array of *memory* and count it."""
        if memory.used:
            self.reused += 1
        else:
            self.created += 1
        self.lent += 1
        return memory.lend(self.shape, self.dtype)

    def let_go_oldest(self) -> int:
        """Forget the memory that has been idle longest, and return how many bytes that frees."""
        memory = self.idle.pop(0)
        if memory.is_held():
            self.discarded += 1
            return 0
        self.dropped += 1
        return self.size_bytes

    def stats(self) -> PoolStats:
        """Return the counters; what was released and is still held counts as in use."""
        still_held = sum(memory.is_held() for memory in self.idle)
        return PoolStats(
            in_use=self.lent + still_held,
            available=len(self.idle) - still_held,
            allocated=self.allocated,
            created=self.created,
            reused=self.reused,
            dropped=self.dropped,
            discarded=self.discarded,
            reclaimed=self.reclaimed,
        )

    def info(self) -> PoolInfo:
        """Return the bounds and the counters."""
        return PoolInfo(self.ready, self.tier.most_idle, None, self.stats())


class Rack:
    """
    The shelves of a pool, and how much may lie idle on them; not safe for threads either.

    A shelf without an array in use or idle is taken down, and only its counters stay.
    """

    __slots__ = ("_idle_shelves", "_past", "_shelves", "idle_bytes", "max_idle_bytes", "tiers")

    def __init__(self, tiers: tuple[Tier, ...], max_idle_bytes: int) -> None:
        self.tiers = tiers
        self.max_idle_bytes = max_idle_bytes
        self.idle_bytes = 0
        self._shelves: dict[Kind, Shelf] = {}
        # Those that have something idle, the one with the latest release last.
        self._idle_shelves: OrderedDict[Shelf, None] = OrderedDict()
        self._past = PoolStats()

    def shelf(self, kind: Kind) -> Shelf:
        """Return the shelf of *kind*, a new one if there is none."""
        shelf = self._shelves.get(kind)
        if shelf is None:
            shelf = self._shelves[kind] = Shelf(kind, self.tiers)
        return shelf

    def take(self, shelf: Shelf, *, zero: bool) -> Memory:
        """Return idle memory of *shelf*, or new memory."""
        memory = shelf.take()
        if memory is not None:
            self.idle_bytes -= shelf.size_bytes
            if not shelf.idle:
                del self._idle_shelves[shelf]
            return memory
        try:
            return shelf.make(zero=zero)
        except BaseException:
            self.take_down_if_empty(shelf)
            raise

    def put_back(self, shelf: Shelf, memory: Memory) -> None:
        """End a loan, and keep the memory if the bounds allow it."""
        shelf.lent -= 1
        if shelf.tier.most_idle and shelf.size_bytes <= self.max_idle_bytes:
            self.keep(shelf, memory)
        else:
            shelf.dropped += 1
            self.take_down_if_empty(shelf)

    def keep(self, shelf: Shelf, memory: Memory) -> None:
        """Put *memory* on its shelf, and let older memory go until the bounds hold."""
        shelf.idle.append(memory)
        self.idle_bytes += shelf.size_bytes
        self._idle_shelves[shelf] = None
        self._idle_shelves.move_to_end(shelf)
        if len(shelf.idle) > shelf.tier.most_idle:
            self._let_go_oldest(shelf)
        self._shrink_to(self.max_idle_bytes)

    def most_idle(self, shelf: Shelf) -> int:
        """Return how many arrays of *shelf* would be kept, if there were no others."""
        most = shelf.tier.most_idle
        return min(most, self.max_idle_bytes // shelf.size_bytes) if shelf.size_bytes else most

    def clear(self) -> int:
        """Let all idle memory go, and return how many bytes that frees."""
        return self._shrink_to(-1)

    def configure(self, tiers: tuple[Tier, ...], max_idle_bytes: int) -> None:
        """Change the bounds, and let idle memory go until they hold."""
        self.tiers, self.max_idle_bytes = tiers, max_idle_bytes
        for shelf in self._shelves.values():
            shelf.tier = tier_of(tiers, shelf.size_bytes)
        for shelf in list(self._idle_shelves):
            while len(shelf.idle) > shelf.tier.most_idle:
                self._let_go_oldest(shelf)
        self._shrink_to(max_idle_bytes)

    def has_idle(self, owner: object) -> bool:
        """Say whether *owner*, an array that owns its bytes, is that of idle memory."""
        return any(memory.flat is owner for shelf in self._idle_shelves for memory in shelf.idle)

    def stats(self) -> PoolStats:
        """Return the counters of all shelves there are and were."""
        return sum((shelf.stats() for shelf in self._shelves.values()), self._past)

    def info(self) -> dict[Kind, PoolInfo]:
        """Return bounds and counters of each shelf."""
        return {kind: shelf.info() for kind, shelf in self._shelves.items()}

    def take_down_if_empty(self, shelf: Shelf) -> None:
        """Keep only the counters of a shelf that has nothing left."""
        if not shelf.lent and not shelf.idle:
            del self._shelves[shelf.shape, shelf.dtype]
            self._past += shelf.stats()

    def _shrink_to(self, most_bytes: int) -> int:
        """Let go what was idle on the shelf unused longest, until the bounds hold."""
        freed_bytes = 0
        while self._idle_shelves and (
            self.idle_bytes > most_bytes or len(self._idle_shelves) > MOST_IDLE_KINDS
        ):
            freed_bytes += self._let_go_oldest(next(iter(self._idle_shelves)))
        return freed_bytes

    def _let_go_oldest(self, shelf: Shelf) -> int:
        """Let the oldest idle memory of *shelf* go, and return how many bytes that frees."""
        freed_bytes = shelf.let_go_oldest()
        self.idle_bytes -= shelf.size_bytes
        if not shelf.idle:
            del self._idle_shelves[shelf]
            self.take_down_if_empty(shelf)
        return freed_bytes
