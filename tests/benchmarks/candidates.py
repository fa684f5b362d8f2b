"""
Ways to keep the state of many connections, each as one would write it for itself.

All keep the same fields: number, phase, times, counts, checksum, the handshake document,
metadata and pending request ids. All but the naive one share the handshake document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from memopt_cli.pool.objects import ObjectPool
from memopt_cli.workloads.connections.naive import NaiveRecords
from memopt_cli.workloads.connections.traffic import Payloads
from tests.benchmarks.candidate import MESSAGE_BYTES, READY, Candidate, Statements, table_of
from tests.benchmarks.candidates_packed import Columns, NumpyRows, States

if TYPE_CHECKING:
    from tests.benchmarks.candidate import Content


class Naive(Candidate):
    name = "naive"
    note = "nested dicts with a parsed handshake each, as memopt's baseline; no receive buffer"
    statements = Statements(
        acquire="r = create()",
        release="r = None",
        read="x = r['stats']['received']",
        write="r['stats']['received'] = 5",
        message=(
            f"s = r['stats']; s['received'] += 1; s['received_bytes'] += {MESSAGE_BYTES}\n"
            "s['checksum'] = 7; r['last_seen'] = 2.0"
        ),
    )

    def __init__(self) -> None:
        super().__init__()
        self.places = {}
        payloads = Payloads((MESSAGE_BYTES,), 1)
        self.records = NaiveRecords(
            payloads, receive_buffer_bytes=0, retained_messages=0, borrowed=None
        )
        self.names = {"create": self.records.create}

    def admit(self, number: int) -> Any:
        """Make a record and put it into the state after a handshake."""
        record = self.records.create()
        record["receive_buffer"] = None
        document = self.documents[number % len(self.documents)]
        self.records.open(record, number, document, float(number))
        return record

    def fill(self, found: Any, content: Content) -> None:
        """Fill the dictionaries; of shared metadata, the values are shared."""
        found["pending"].extend(content.pending)
        found["metadata"].update(content.metadata)
        found["stats"].update(
            received=content.received,
            received_bytes=content.received_bytes,
            checksum=content.checksum,
        )

    def drop(self, found: Any) -> None:
        """Nothing more than to forget it."""


class NaiveNoDocument(Naive):
    name = "naive, no doc"
    note = "the same, of clients whose handshake document is empty"

    def __init__(self) -> None:
        super().__init__()
        self.documents = (b"{}",)


class Flat:
    """A connection of slots."""

    __slots__ = (
        "capabilities",
        "checksum",
        "last_seen_s",
        "metadata",
        "number",
        "opened_at_s",
        "pending",
        "phase",
        "received",
        "received_bytes",
        "retained",
    )

    def __init__(self) -> None:
        self.number = self.phase = self.received = self.received_bytes = self.checksum = 0
        self.opened_at_s = self.last_seen_s = 0.0
        self.capabilities: Any = None
        self.metadata: Any = None
        self.pending: tuple[int, ...] = ()
        self.retained: tuple[bytes, ...] = ()


class Struct(msgspec.Struct, gc=False):
    """A connection that the collector does not see."""

    number: int = 0
    phase: int = 0
    opened_at_s: float = 0.0
    last_seen_s: float = 0.0
    received: int = 0
    received_bytes: int = 0
    checksum: int = 0
    capabilities: Any = None
    metadata: Any = None
    pending: tuple[int, ...] = ()
    retained: tuple[bytes, ...] = ()


class Slots(Candidate):
    name = "slots"
    note = "an object with __slots__ each, fresh"
    make: type[Flat | Struct] = Flat
    statements = Statements(
        acquire="r = make()",
        release="r = None",
        read="x = r.received",
        write="r.received = 5",
        message=(
            f"r.received += 1; r.received_bytes += {MESSAGE_BYTES}\n"
            "r.checksum = 7; r.last_seen_s = 2.0"
        ),
    )

    def __init__(self) -> None:
        super().__init__()
        self.places = []
        self.names = {"make": self.make}

    def admit(self, number: int) -> Any:
        """Make an object and set what a handshake sets."""
        return self.greeted(self.make(), number)

    def greeted(self, state: Flat | Struct, number: int) -> Flat | Struct:
        """Set what a handshake sets; the document is shared."""
        state.capabilities = self.parsed[number % len(self.parsed)]
        state.number, state.phase = number, READY
        state.opened_at_s = state.last_seen_s = float(number)
        return state

    def fill(self, found: Any, content: Content) -> None:
        """Set the fields."""
        found.received, found.received_bytes = content.received, content.received_bytes
        found.checksum = content.checksum
        found.pending = content.pending
        found.metadata = content.own()

    def drop(self, found: Any) -> None:
        """Nothing more than to forget it."""

    def put(self, number: int, found: Any) -> None:  # noqa: ARG002 - as all are called
        """Append to the list of all."""
        assert isinstance(self.places, list)
        self.places.append(found)


class SlotsPool(Slots):
    name = "slots pool"
    note = "the same objects in memopt's ObjectPool, by handle"
    statements = Statements(
        acquire="r = acquire()",
        release="release(r)",
        read="x = pool[r].received",
        read_held="x = r.received",
        write="pool[r].received = 5",
        message=(
            f"s = pool[r]; s.received += 1; s.received_bytes += {MESSAGE_BYTES}\n"
            "s.checksum = 7; s.last_seen_s = 2.0"
        ),
        acquire_many="batch = acquire_many(many)",
        release_many="release_many(batch)",
    )

    def __init__(self) -> None:
        super().__init__()
        pool = self.pool = ObjectPool(Flat, Flat.__init__)
        self.places = table_of("Q")
        self.names = {
            "pool": pool,
            "acquire": pool.acquire,
            "release": pool.release,
            "acquire_many": pool.acquire_many,
            "release_many": pool.release_many,
        }

    def admit(self, number: int) -> Any:
        """Acquire an object and set what a handshake sets."""
        handle = self.pool.acquire()
        self.greeted(self.pool[handle], number)
        return handle

    def fill(self, found: Any, content: Content) -> None:
        """Set the fields."""
        super().fill(self.pool[found], content)

    def drop(self, found: Any) -> None:
        """Release the object, which empties it."""
        self.pool.release(found)

    def held(self, found: Any) -> Any:
        """Return the object."""
        return self.pool[found]

    def put(self, number: int, found: Any) -> None:
        """Enter the handle."""
        self.places[number] = found


class Structs(Slots):
    name = "msgspec"
    note = "a msgspec.Struct with gc=False each, fresh"
    make = Struct


ALL = (Naive, NaiveNoDocument, Slots, SlotsPool, Structs, NumpyRows, Columns, States)
CANDIDATES: dict[str, type[Candidate]] = {each.name: each for each in ALL}
OURS = States.name
LARGE = (Slots.name, SlotsPool.name, Structs.name, States.name)
"""Those that are also measured with a million connections."""
