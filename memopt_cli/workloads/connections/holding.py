"""How a server gets and keeps its connections' records: made anew each time, or pooled."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from memopt_cli.pool.connections import ConnectionPool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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

    def pool(self) -> None:
        """There is no pool."""


class Table(Generic[T]):
    """
    A new record for each connection, in a list by slot.

    The list is made at the start, so a connection costs its record and no entry of
    a dictionary, which is 130 to 170 bytes more.
    """

    def __init__(self, create: Callable[[], T], *, capacity: int) -> None:
        self._create = create
        self._records: list[T | None] = [None] * capacity
        self._alive = 0

    def take(self, slot: int) -> T:
        """Make a record and keep it."""
        if slot >= len(self._records):
            self._records.extend([None] * (slot + 1 - len(self._records)))
        record = self._records[slot] = self._create()
        self._alive += 1
        return record

    def __getitem__(self, slot: int) -> T:
        record = self._records[slot]
        if record is None:
            raise LookupError(f"there is no connection in slot {slot}")
        return record

    def give(self, slot: int) -> None:
        """Forget the record."""
        self._records[slot] = None
        self._alive -= 1

    def __len__(self) -> int:
        return self._alive

    def slots(self) -> list[int]:
        """Return the slots in use, in order."""
        return [slot for slot, record in enumerate(self._records) if record is not None]

    def pool(self) -> None:
        """There is no pool."""


class Pooled(Generic[T]):
    """
    Records from a connection pool; a slot keeps the eight bytes of its handle.

    No handle is 0: the pool's tag is part of it.
    """

    def __init__(
        self,
        create: Callable[[], T],
        reset: Callable[[T], None],
        *,
        size: int,
        max_size: int,
        capacity: int,
    ) -> None:
        self._pool: ConnectionPool[T] = ConnectionPool(create, reset, size=size, max_size=max_size)
        self._handles = array("Q", bytes(8 * capacity))
        self._alive = 0

    def take(self, slot: int) -> T:
        """Acquire a record."""
        if slot >= len(self._handles):
            self._handles.extend([0] * (slot + 1 - len(self._handles)))
        handle = self._handles[slot] = self._pool.acquire()
        self._alive += 1
        return self._pool[handle]

    def __getitem__(self, slot: int) -> T:
        return self._pool[self._handles[slot]]

    def give(self, slot: int) -> None:
        """Release the record; the pool resets it."""
        self._pool.release(self._handles[slot])
        self._handles[slot] = 0
        self._alive -= 1

    def __len__(self) -> int:
        return self._alive

    def slots(self) -> list[int]:
        """Return the slots in use, in order."""
        return [slot for slot, handle in enumerate(self._handles) if handle]

    def pool(self) -> dict[str, float | None]:
        """Return the pool's counters."""
        stats = self._pool.stats()
        return {
            "reuse_ratio": stats.reuse_ratio,
            "created": stats.created,
            "reused": stats.reused,
            "in_use": stats.in_use,
            "available": stats.available,
        }
