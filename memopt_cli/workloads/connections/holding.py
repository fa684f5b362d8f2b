"""How a server gets and keeps its connections' records: made anew, pooled, or packed."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from memopt_cli.optimizer.memory import reserve, whole_pages
from memopt_cli.optimizer.state_pool import StatePool
from memopt_cli.pool.connections import ConnectionPool
from memopt_cli.pool.handles import MAX_SLOTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memopt_cli.optimizer.retention import PayloadStore
    from memopt_cli.optimizer.state import CompactState
    from memopt_cli.pool.stats import PoolStats

HANDLE_BYTES = 8

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Holding(Protocol[T_co]):
    """The records of the connections alive, by slot."""

    def take(self, slot: int) -> T_co:
        """Return an empty record for a new connection in *slot*."""

    def __getitem__(self, slot: int) -> T_co: ...

    def give(self, slot: int) -> None:
        """Let the record of *slot* go."""

    def __len__(self) -> int: ...

    def slots(self) -> list[int]:
        """Return the slots in use, in order."""

    def settle(self) -> None:
        """Use a quiet moment, after some have left."""

    def pool(self) -> Mapping[str, float | None] | None:
        """Return the pool's counters, if there is one."""


class Registry(Generic[T]):
    """A new record for each connection, in a dictionary: what an ordinary server does."""

    def __init__(self, create: Callable[[], T]) -> None:
        self._create = create
        self._records: dict[int, T] = {}

    def take(self, slot: int) -> T:
        """Make a record and keep it."""
        record = self._records[slot] = self._create()
        return record

    def __getitem__(self, slot: int) -> T:
        return self._records[slot]

    def give(self, slot: int) -> None:
        """Forget the record."""
        del self._records[slot]

    def __len__(self) -> int:
        return len(self._records)

    def slots(self) -> list[int]:
        """Return the slots in use, in order."""
        return sorted(self._records)

    def settle(self) -> None:
        """There is nothing to do."""

    def pool(self) -> None:
        """There is no pool."""


class Pooled(Generic[T]):
    """Records from a connection pool; a slot keeps the eight bytes of its handle."""

    def __init__(
        self,
        create: Callable[[], T],
        reset: Callable[[T], None],
        *,
        size: int,
        max_size: int | None,
    ) -> None:
        self._pool: ConnectionPool[T] = ConnectionPool(create, reset, size=size, max_size=max_size)
        self._handles = HandleTable()

    def take(self, slot: int) -> T:
        """Acquire a record."""
        handle = self._handles[slot] = self._pool.acquire()
        return self._pool[handle]

    def __getitem__(self, slot: int) -> T:
        return self._pool[self._handles[slot]]

    def give(self, slot: int) -> None:
        """Release the record; the pool resets it."""
        self._pool.release(self._handles[slot])
        self._handles[slot] = 0

    def __len__(self) -> int:
        return self._pool.stats().in_use

    def slots(self) -> list[int]:
        """Return the slots in use, in order."""
        return self._handles.slots()

    def settle(self) -> None:
        """The pool has dropped what it does not keep."""

    def pool(self) -> dict[str, float | None]:
        """Return the pool's counters."""
        return _counters(self._pool.stats())


class Packed:
    """Compact states; a slot keeps the eight bytes of its handle."""

    def __init__(self, *, size: int, max_size: int | None, payloads: PayloadStore | None) -> None:
        """
        Args:
            size: Records made ready beforehand.
            max_size: Most idle records kept; None keeps all, and shows no pool's counters.
            payloads: Where kept messages are shared.
        """
        self.states = StatePool(size=size, payloads=payloads)
        self._max_size = max_size
        self._handles = HandleTable()

    def take(self, slot: int) -> CompactState:
        """Acquire a state."""
        handle = self._handles[slot] = self.states.acquire()
        return self.states[handle]

    def __getitem__(self, slot: int) -> CompactState:
        return self.states[self._handles[slot]]

    def give(self, slot: int) -> None:
        """Release the state, which empties it."""
        self.states.release(self._handles[slot])
        self._handles[slot] = 0

    def __len__(self) -> int:
        return len(self.states)

    def slots(self) -> list[int]:
        """Return the slots in use, in order."""
        return self._handles.slots()

    def settle(self) -> None:
        """Give memory back to the system when more is idle than is kept."""
        if self._max_size is not None and self.states.stats().available > self._max_size:
            self.states.trim()
            self._handles.trim()

    def pool(self) -> dict[str, float | None] | None:
        """Return the pool's counters, where the variant has a pool."""
        return None if self._max_size is None else _counters(self.states.stats())


class HandleTable:
    """
    Handles by slot, eight bytes for each slot that was ever used; no handle is 0.

    In memory that is provided as it is written, so that its eight bytes are part of what
    one more connection costs.
    """

    def __init__(self) -> None:
        self._memory = reserve(HANDLE_BYTES * MAX_SLOTS)
        self._handles: memoryview[int] = memoryview(self._memory).cast("Q")
        self._used = 0

    def __setitem__(self, slot: int, handle: int) -> None:
        self._handles[slot] = handle
        if slot >= self._used:
            self._used = slot + 1

    def __getitem__(self, slot: int) -> int:
        return self._handles[slot]

    def trim(self) -> None:
        """Give the memory behind the last slot that has a handle back to the system."""
        while self._used and not self._handles[self._used - 1]:
            self._used -= 1
        first, left = whole_pages(HANDLE_BYTES * self._used, len(self._memory))
        self._memory.madvise(mmap.MADV_DONTNEED, first, left)

    def slots(self) -> list[int]:
        """Return the slots that have a handle, in order."""
        return [slot for slot, handle in enumerate(self._handles[: self._used]) if handle]


def _counters(stats: PoolStats) -> dict[str, float | None]:
    return {
        "reuse_ratio": stats.reuse_ratio,
        "created": stats.created,
        "reused": stats.reused,
        "in_use": stats.in_use,
        "available": stats.available,
    }
