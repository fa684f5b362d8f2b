"""Ways to keep connection states as numbers in memory, instead of an object for each."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from memopt_cli.optimizer.fields import Phase
from memopt_cli.optimizer.memory import reserve
from memopt_cli.optimizer.state_pool import StatePool
from tests.benchmarks.candidate import (
    CAPACITY,
    MESSAGE_BYTES,
    READY,
    Candidate,
    Statements,
    table_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.candidate import Content

COLUMNS = {
    "number": "I",
    "received": "I",
    "received_bytes": "I",
    "checksum": "I",
    "opened_at_s": "d",
    "last_seen_s": "d",
    "phase": "H",
    "document": "H",
}
"""Field and type, as `array` and numpy name them."""


class Rows(Candidate):
    """Numbers in columns, metadata and pending ids in lists, all by row; rows are used again."""

    statements = Statements(
        acquire="r = acquire()",
        release="release(r)",
        read="x = received[r]",
        write="received[r] = 5",
        message=(
            f"received[r] += 1; received_bytes[r] += {MESSAGE_BYTES}\n"
            "checksum[r] = 7; last_seen_s[r] = 2.0"
        ),
    )

    def __init__(self, columns: dict[str, Any]) -> None:
        super().__init__()
        self.places = table_of("I")
        self.columns = columns
        self.metadata: list[Mapping[str, str] | None] = []
        self.pending: list[tuple[int, ...]] = []
        self.unused: list[int] = []
        self.names = {"acquire": self.acquire, "release": self.drop, **columns}

    def acquire(self) -> int:
        """Return an empty row."""
        if self.unused:
            return self.unused.pop()
        self.metadata.append(None)
        self.pending.append(())
        return len(self.metadata) - 1

    def admit(self, number: int) -> Any:
        """Take a row and set what a handshake sets; the document has a number."""
        row, columns = self.acquire(), self.columns
        columns["document"][row] = number % len(self.documents)
        columns["number"][row], columns["phase"][row] = number, READY
        columns["opened_at_s"][row] = columns["last_seen_s"][row] = float(number)
        return row

    def fill(self, found: Any, content: Content) -> None:
        """Set the numbers, and the objects in the lists."""
        columns = self.columns
        columns["received"][found] = content.received
        columns["received_bytes"][found] = content.received_bytes
        columns["checksum"][found] = content.checksum
        self.pending[found] = content.pending
        self.metadata[found] = content.own()

    def drop(self, found: Any) -> None:
        """Empty a row and keep it for the next; nobody checks that it is in use."""
        self.empty(found)
        self.metadata[found] = None
        self.pending[found] = ()
        self.unused.append(found)

    @abstractmethod
    def empty(self, row: int) -> None:
        """Write zeros to the numbers of a row."""


class NumpyRows(Rows):
    name = "numpy"
    note = "a numpy record of 36 bytes, metadata and pending ids in lists; rows are not checked"

    def __init__(self) -> None:
        import numpy as np

        kind = np.dtype(list(COLUMNS.items()))
        self.table = np.frombuffer(reserve(CAPACITY * kind.itemsize), kind)
        self.zero = np.zeros(1, kind)[0]
        super().__init__({name: self.table[name] for name in COLUMNS})

    def empty(self, row: int) -> None:
        """Overwrite the record."""
        self.table[row] = self.zero


class Columns(Rows):
    name = "columns"
    note = "a stretch of memory per field, those that no idle state writes not in memory; as numpy"

    def __init__(self) -> None:
        super().__init__({name: table_of(kind) for name, kind in COLUMNS.items()})

    def empty(self, row: int) -> None:
        """Overwrite each field."""
        for column in self.columns.values():
            column[row] = 0


class States(Candidate):
    name = "StatePool"
    note = "memopt's packed records of 56 bytes, by handle, each access checked"
    statements = Statements(
        acquire="r = acquire()",
        release="release(r)",
        read="x = pool[r].received",
        read_held="x = r.received",
        write="pool[r].received = 5",
        message=f"pool[r].note_received({MESSAGE_BYTES}, 2.0, 7)",
        acquire_many="batch = acquire_many(many)",
        release_many="release_many(batch)",
        message_many="note_received_many(handles, sizes, 2.0)",
    )

    def __init__(self) -> None:
        super().__init__()
        pool = self.pool = StatePool()
        self.places = table_of("Q")
        self.names = {
            "pool": pool,
            "acquire": pool.acquire,
            "release": pool.release,
            "acquire_many": pool.acquire_many,
            "release_many": pool.release_many,
            "note_received_many": pool.note_received_many,
        }

    def admit(self, number: int) -> Any:
        """Acquire a state and set what a handshake sets."""
        handle = self.pool.acquire()
        state = self.pool[handle]
        document = self.documents[number % len(self.documents)]
        state.capabilities = self.pool.capabilities.acquire(document)
        state.number, state.phase = number, Phase.READY
        state.opened_at_s = state.last_seen_s = float(number)
        return handle

    def fill(self, found: Any, content: Content) -> None:
        """Set the fields."""
        state = self.pool[found]
        state.received, state.received_bytes = content.received, content.received_bytes
        state.checksum = content.checksum
        state.pending = content.pending
        if content.is_shared:
            state.share_metadata(content.metadata)
        else:
            state.metadata = content.metadata

    def drop(self, found: Any) -> None:
        """Release the state, which empties it."""
        self.pool.release(found)

    def held(self, found: Any) -> Any:
        """Return the state, which is made anew for each look-up."""
        return self.pool[found]
