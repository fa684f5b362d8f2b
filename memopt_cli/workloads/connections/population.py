"""The population: connections that arrive, send messages and leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from memopt_cli.optimizer.retention import PayloadStore
from memopt_cli.workloads.connections.compact import CompactRecords
from memopt_cli.workloads.connections.holding import Packed, Pooled, Registry
from memopt_cli.workloads.connections.naive import NaiveRecords, Record
from memopt_cli.workloads.connections.receiving import BorrowedBuffers
from memopt_cli.workloads.connections.traffic import Payloads, handshake_documents
from memopt_cli.workloads.population import WRITES, Forgotten, InProcess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memopt_cli.profiler.histogram import Histogram
    from memopt_cli.workloads.connections.holding import Holding
    from memopt_cli.workloads.connections.observing import Remembered
    from memopt_cli.workloads.settings import ConnectionsSettings

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Records(Protocol[T_contra]):
    """How one connection's state is kept and worked on."""

    def open(self, record: T_contra, number: int, document: bytes, at_s: float, /) -> None:
        """Do the handshake."""

    def message(self, record: T_contra, kind: int, at_s: float, /, *, writes: bool) -> None:
        """Work on one message."""

    def close(self, record: T_contra, /) -> None:
        """End the connection."""

    def remembered(self, record: T_contra, /) -> Remembered:
        """Return all that the connection knows."""


class Connections(InProcess, Generic[T]):
    """Connections of one variant."""

    def __init__(
        self,
        records: Records[T],
        holding: Holding[T],
        documents: Sequence[bytes],
        *,
        leak_bytes: int,
        latency: Histogram,
    ) -> None:
        super().__init__(latency)
        self._records = records
        self._holding = holding
        self._documents = documents
        self._arrived = 0
        self._leak = Forgotten(leak_bytes) if leak_bytes else None

    @property
    def units(self) -> int:
        """Connections alive."""
        return len(self._holding)

    def open(self, slot: int, at_s: float) -> None:
        """Accept one connection; clients take turns with their handshake documents."""
        number = self._arrived
        self._arrived += 1
        document = self._documents[number % len(self._documents)]
        self._records.open(self._holding.take(slot), number, document, at_s)

    def message(self, slot: int, code: int, at_s: float) -> None:
        """Work on one message."""
        writes = bool(code & WRITES)
        self._records.message(self._holding[slot], code & ~WRITES, at_s, writes=writes)
        if self._leak is not None:
            self._leak.forget()

    def close(self, slot: int, at_s: float) -> None:  # noqa: ARG002 - as populations are told
        """End one connection."""
        self._records.close(self._holding[slot])
        self._holding.give(slot)

    def shrink(self, slots: Sequence[int], at_s: float) -> None:
        """End the connections of *slots*, then let the pool use the quiet moment."""
        super().shrink(slots, at_s)
        self._holding.settle()

    def observe(self, slot: int) -> bytes:
        """Return all that the connection in *slot* knows."""
        return self._records.remembered(self._holding[slot]).to_bytes()

    def alive(self) -> list[int]:
        """Return the slots in use, in order."""
        return self._holding.slots()

    def pool(self) -> Mapping[str, float | None] | None:
        """Return the pool's counters, or `None` where the variant has no pool."""
        return self._holding.pool()


def build(settings: ConnectionsSettings, *, latency: Histogram) -> InProcess:
    """Return the population that a variant of a scenario describes."""
    payloads = Payloads(
        settings.message_sizes_bytes, settings.seed, distinct=settings.distinct_messages
    )
    documents = handshake_documents(
        settings.capabilities_size_bytes, settings.distinct_capabilities, settings.seed
    )
    borrowed = BorrowedBuffers() if settings.pool_size is not None else None
    if settings.compact:
        packed = CompactRecords(
            payloads,
            retained_messages=settings.retained_messages,
            compression=settings.compression,
            borrowed=borrowed,
        )
        return _population(packed, _packed(settings), documents, settings, latency)
    naive = NaiveRecords(
        payloads,
        receive_buffer_bytes=settings.receive_buffer_bytes,
        retained_messages=settings.retained_messages,
        borrowed=borrowed,
    )
    return _population(naive, _held(naive, settings), documents, settings, latency)


def _packed(settings: ConnectionsSettings) -> Packed:
    return Packed(
        size=settings.pool_size or 0,
        max_size=settings.pool_max_size,
        payloads=PayloadStore() if settings.shared_payloads else None,
    )


def _held(naive: NaiveRecords, settings: ConnectionsSettings) -> Holding[Record]:
    if settings.pool_size is None:
        return Registry(naive.create)
    return Pooled(
        naive.create,
        naive.reset,
        size=settings.pool_size,
        max_size=settings.pool_max_size,
    )


def _population(
    records: Records[T],
    holding: Holding[T],
    documents: Sequence[bytes],
    settings: ConnectionsSettings,
    latency: Histogram,
) -> Connections[T]:
    return Connections(records, holding, documents, leak_bytes=settings.leak_bytes, latency=latency)
