"""What is asked of a way to keep connection states, so that all can be measured alike."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from memopt_cli.optimizer.memory import reserve
from memopt_cli.workloads.connections.observing import KEYS, PENDING, stored_value
from memopt_cli.workloads.connections.traffic import handshake_documents

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCUMENT_BYTES, DISTINCT_DOCUMENTS = 1024, 8
"""The handshake documents of memopt's own scenarios."""

DISTINCT_CONTENTS = 100
"""Of shared metadata."""

CAPACITY = 1 << 22
READY = 1
MESSAGE_BYTES = 64
BATCH = 1000


def table_of(kind: str) -> memoryview[int]:
    """
    Return a table of handles (Q) or rows (I) that occupies memory where it is written.

    An array would first fill memory that the process has freed, and seem to cost less.
    """
    return memoryview(reserve(CAPACITY * array(kind).itemsize)).cast(kind)  # type: ignore[call-overload, no-any-return] # of any kind


@dataclass(frozen=True, slots=True)
class Statements:
    """
    The operations on one state `r`, as statements that are timed in place.

    A call around each would cost more than some of them.
    """

    acquire: str
    """Sets `r`."""

    release: str
    read: str
    write: str
    message: str
    """One more received, its bytes, its time and the checksum."""

    read_held: str | None = None
    """Reads from an `r` that was looked up before, if that is not the handle itself."""

    acquire_many: str | None = None
    """Sets `batch` to 1,000, if there is a call for many."""

    release_many: str | None = None
    message_many: str | None = None
    """Messages of `sizes` on all of `handles`."""


@dataclass(frozen=True, slots=True)
class Content:
    """What an active connection has beyond an idle one."""

    received: int
    pending: tuple[int, ...]
    metadata: Mapping[str, str]
    is_shared: bool
    """Whether many connections have this very metadata."""

    @property
    def received_bytes(self) -> int:
        """Of all messages."""
        return self.received * MESSAGE_BYTES

    @property
    def checksum(self) -> int:
        """Any number of 32 bits."""
        return self.received * 7919

    def own(self) -> Mapping[str, str]:
        """Return the metadata as an object keeps it: its own dictionary, or the shared one."""
        return self.metadata if self.is_shared else dict(self.metadata)


def metadata_of(number: int) -> dict[str, str]:
    """Return four values of 14 characters that no other number has."""
    return {key: stored_value(number * len(KEYS) + place) for place, key in enumerate(KEYS)}


def content_of(number: int, shared: list[dict[str, str]]) -> Content:
    """Return what connection *number* has, its metadata one of *shared* if there are any."""
    received = 1000 + number % 1000
    metadata = shared[number % len(shared)] if shared else metadata_of(number)
    pending = tuple(range(received - PENDING, received))
    return Content(received, pending, metadata, is_shared=bool(shared))


class Candidate(ABC):
    """A population of states, and the table by which a connection's is found."""

    name: ClassVar[str]
    note: ClassVar[str]
    statements: ClassVar[Statements]

    places: list[Any] | dict[int, Any] | memoryview[int]
    """What each connection's state is found by: the object itself, its handle or its row."""

    names: dict[str, Any]
    """What the statements use, beside `r` and `places`."""

    count = 0
    """Connections alive."""

    def __init__(self) -> None:
        self.documents = handshake_documents(DOCUMENT_BYTES, DISTINCT_DOCUMENTS, 1)
        self.parsed = [json.loads(document) for document in self.documents]

    @abstractmethod
    def admit(self, number: int) -> Any:
        """Acquire the state of a connection, do the handshake, and return what it is found by."""

    @abstractmethod
    def fill(self, found: Any, content: Content) -> None:
        """Make a state active."""

    @abstractmethod
    def drop(self, found: Any) -> None:
        """Release a state, if it is not enough to forget it."""

    def held(self, found: Any) -> Any:
        """Return the object that a handle stands for."""
        return found

    def grow(self, count: int) -> None:
        """Admit *count* more connections."""
        for number in range(self.count, self.count + count):
            self.put(number, self.admit(number))
        self.count += count

    def put(self, number: int, found: Any) -> None:
        """Enter a new connection into the table."""
        self.places[number] = found

    def replace(self, numbers: list[int]) -> None:
        """Have as many connections arrive as then leave, each in the place of another."""
        # No tuples: they are tracked, and nothing but the states may wake the collector.
        arrived = [self.admit(number) for number in numbers]
        for place in range(len(numbers)):
            number = numbers[place]
            old = self.places[number]
            self.places[number] = arrived[place]
            self.drop(old)
