"""What a pool has in stock: idle objects, the bounds on them, and the counters."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import partial
from itertools import repeat, starmap
from typing import TYPE_CHECKING, ClassVar, TypeVar

from memopt_cli.errors import PoolError, PoolExhausted
from memopt_cli.pool.handles import MAX_SLOTS
from memopt_cli.pool.slots import SlotTable
from memopt_cli.pool.stats import PoolInfo, PoolStats

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Stack(deque[T]):
    """A queue whose left end is its right end: what came last goes first."""

    popleft = deque.pop
    extendleft = deque.extend


class Stock(SlotTable[T]):
    """
    Idle objects in two queues, unused and released, and counters that an acquire leaves alone.

    What an acquire would have to count is worked out from the lengths of the queues, so it
    needs no lock. Each event is one store, with no call between reading and storing a counter:
    a finaliser or a signal handler that uses the pool in between, and a child forked in
    between, find counters that agree.
    """

    __slots__ = (
        "_allocated",
        "_discarded",
        "_dropped",
        "_dropped_fresh",
        "_ended",
        "_fresh",
        "_front",
        "_idle",
        "_keep",
        "_limit",
        "_max_size",
        "_size",
    )

    _newest_first: ClassVar = False

    def __init__(self, size: int, max_size: int | None, limit: int | None) -> None:
        check_bounds(size, max_size=max_size, limit=limit)
        super().__init__()
        self._size, self._max_size, self._limit = size, max_size, limit
        # The front is the queue that objects are handed out from: the unused ones come first.
        self._fresh: deque[T] = deque()
        self._idle: deque[T] = Stack() if self._newest_first else deque()
        self._front = self._idle
        self._allocated = self._ended = self._discarded = 0
        self._dropped = self._dropped_fresh = 0
        # Most released objects that may be idle, as far as that is known without counting.
        self._keep = 0

    def stats(self) -> PoolStats:
        """Return the counters as they are now."""
        with self._lock:
            fresh, available = self._count_idle()
            in_use = self._live() - available
            created = self._allocated - self._dropped_fresh - fresh
            return PoolStats(
                in_use=in_use,
                available=available,
                allocated=self._allocated,
                created=created,
                reused=in_use + self._ended + self._discarded - created,
                dropped=self._dropped + self._dropped_fresh,
                discarded=self._discarded,
            )

    def info(self) -> PoolInfo:
        """Return the configuration and the counters as they are now."""
        with self._lock:
            return PoolInfo(self._size, self._max_size, self._limit, self.stats())

    def _check_limit(self, more: int) -> None:
        """Refuse to make *more* objects if that is above the limit."""
        live = self._live() + len(self._making)
        if more and self._limit is not None and live + more > self._limit:
            raise PoolExhausted(
                f"all {live:,} objects are in use, and the limit is {self._limit:,}",
                hint="Release objects sooner, or raise the limit with configure(limit=...).",
            )

    def _live(self) -> int:
        """Return how many objects there are, idle and in use."""
        return self._allocated - self._dropped - self._dropped_fresh - self._discarded

    def _count_idle(self) -> tuple[int, int]:
        """Return how many objects nobody has used, and how many are idle with those."""
        # Acquires go on meanwhile; what is worked out from the same two numbers agrees.
        fresh = len(self._fresh)
        return fresh, fresh + len(self._idle)

    def _surplus(self) -> int:
        """Return how many idle objects are above the bounds."""
        _, available = self._count_idle()
        most_idle = MAX_SLOTS if self._max_size is None else self._max_size
        most_live = MAX_SLOTS if self._limit is None else self._limit
        return max(available - most_idle, self._live() - most_live)

    def _add_fresh(self, made: list[T]) -> None:
        """Make new objects available."""
        count = len(made)
        self._allocated += count
        self._fresh.extend(made)
        self._front = self._fresh or self._idle
        self._renew_keep()

    def _give_back(self, slots: list[int], fresh: list[T], used: list[T]) -> None:
        """Undo the beginning of an acquire."""
        self._vacant.extend(reversed(slots))
        self._fresh.extendleft(reversed(fresh))
        self._idle.extendleft(reversed(used))
        self._front = self._fresh or self._idle
        # Others may have released while an object could not be made.
        self._trim()

    def _renew_keep(self) -> None:
        """Work out how many released objects may be idle now; unused ones only get fewer."""
        if self._limit is not None and self._live() > self._limit:
            self._keep = 0
        else:
            most_idle = MAX_SLOTS if self._max_size is None else self._max_size
            self._keep = most_idle - len(self._fresh)

    def _trim(self) -> None:
        """Drop objects released last until the bounds hold."""
        for _ in range(min(self._surplus(), len(self._idle))):
            self._drop(self._idle, self._idle.pop)
        self._renew_keep()

    def _drop_oldest(self, count: int) -> None:
        """Drop *count* objects, those that were idle longest first, or as many as there are."""
        for _ in range(count):
            queue = self._fresh or self._idle
            self._drop(queue, partial(deque.popleft, queue))
        self._renew_keep()

    def _drop(self, queue: deque[T], pop: Callable[[], T]) -> None:
        """Let one object go, unless somebody has just acquired the last."""
        with suppress(IndexError):
            item = pop()
            if queue is self._fresh:
                self._dropped_fresh += 1
            else:
                self._dropped += 1
            # Last, because its finaliser may call the pool.
            del item


def check_bounds(size: int, **bounds: int | None) -> None:
    """Refuse bounds that no pool can keep; the names are those that the caller knows."""
    for name, value in (("size", size), *bounds.items()):
        if value is not None and not 0 <= value <= MAX_SLOTS:
            raise PoolError(f"{name} is {value:,}", hint=f"Give a number from 0 to {MAX_SLOTS:,}.")
    for name, bound in bounds.items():
        if bound is not None and size > bound:
            raise PoolError(
                f"size {size:,} is above {name} {bound:,}",
                hint=f"Raise {name} as well, or give a size of at most {bound:,}.",
            )


def popped(most: int, queue: deque[T]) -> list[T]:
    """Take up to *most* objects from the left of *queue*, which others may be popping from."""
    items: list[T] = []
    # What was popped before the queue was empty stays in the list.
    with suppress(IndexError):
        items.extend(starmap(queue.popleft, repeat((), most)))
    return items
