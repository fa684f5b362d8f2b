"""Every variant remembers the same, and forgets all of it when the connection ends."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.optimizer.retention import PayloadStore
from memopt_cli.profiler.heap import HeapReader
from memopt_cli.profiler.histogram import Histogram
from memopt_cli.workloads.connections.compact import CompactRecords
from memopt_cli.workloads.connections.holding import Packed, Registry
from memopt_cli.workloads.connections.naive import NaiveRecords
from memopt_cli.workloads.connections.observing import Remembered
from memopt_cli.workloads.connections.population import Connections
from memopt_cli.workloads.connections.receiving import BorrowedBuffers, through_own_buffer
from memopt_cli.workloads.connections.traffic import Payloads, handshake_documents
from memopt_cli.workloads.population import WRITES, Forgotten

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.optimizer.state import CompactState
    from memopt_cli.workloads.connections.naive import Record
    from memopt_cli.workloads.population import InProcess

    Made = Callable[..., Connections[Any]]
    Driven = Callable[[InProcess], None]

WORK: dict[str, dict[str, Any]] = {
    "plain": {},
    "retained": {"retained_messages": 4},
    "a few messages over and over": {"retained_messages": 4, "distinct_messages": 3},
    "no receive buffer": {"receive_buffer_bytes": 0, "retained_messages": 2},
    "one byte buffer": {"receive_buffer_bytes": 1},
    "messages larger than every buffer class": {
        "message_sizes_bytes": (13, 70_000, 1_200_000),
        "receive_buffer_bytes": 65536,
        "retained_messages": 1,
    },
    "one document": {"distinct_capabilities": 1, "capabilities_size_bytes": 1},
}


@pytest.mark.parametrize("work", WORK)
def test_equal_behaviour(work: str, variant: dict[str, Any], made: Made, driven: Driven) -> None:
    """Each variant has the baseline's digest, and each of its units the baseline's state."""
    baseline, other = made(**WORK[work]), made(**WORK[work], **variant)
    driven(baseline)
    driven(other)
    assert other.alive() == baseline.alive()
    assert [other.observe(s) for s in other.alive()] == [
        baseline.observe(s) for s in baseline.alive()
    ]
    assert other.digest() == baseline.digest()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"capabilities_size_bytes": 900},
        {"distinct_capabilities": 2},
        {"message_sizes_bytes": (14, 900, 9000)},
        {"retained_messages": 1},
        {"distinct_messages": 2},
    ],
    ids=str,
)
def test_other_work_other_digest(
    change: dict[str, Any], variant: dict[str, Any], made: Made, driven: Driven
) -> None:
    """What clients send and what is kept shows in the digest."""
    one, other = made(**variant), made(**variant, **change)
    driven(one)
    driven(other)
    assert one.digest() != other.digest()


class _ForgetsMetadata(CompactRecords):
    """An optimizer that saves by dropping what requests have stored."""

    def message(self, state: CompactState, kind: int, at_s: float, *, writes: bool) -> None:
        super().message(state, kind, at_s, writes=writes)
        for key in list(state.metadata):
            state.update(metadata={key: ""})


class _TruncatesRetained(NaiveRecords):
    """An optimizer that saves by cutting what it keeps."""

    def message(self, record: Record, kind: int, at_s: float, *, writes: bool) -> None:
        super().message(record, kind, at_s, writes=writes)
        record["retained"][-1] = record["retained"][-1][:10]


class _LosesDocument(NaiveRecords):
    """An optimizer that saves by keeping no handshake document."""

    def open(self, record: Record, number: int, document: bytes, at_s: float) -> None:
        super().open(record, number, document, at_s)
        record["capabilities"] = {}


class _CountsOneLess(NaiveRecords):
    """An optimizer that forgets to count the bytes of a message."""

    def message(self, record: Record, kind: int, at_s: float, *, writes: bool) -> None:
        super().message(record, kind, at_s, writes=writes)
        record["stats"]["received_bytes"] -= 1


def _faulty(kind: type[NaiveRecords]) -> Connections[Any]:
    records = kind(
        Payloads((13, 900, 9000), 1), receive_buffer_bytes=256, retained_messages=2, borrowed=None
    )
    documents = handshake_documents(700, 3, 1)
    return Connections(
        records, Registry(records.create), documents, leak_bytes=0, latency=Histogram()
    )


@pytest.mark.parametrize("kind", [_TruncatesRetained, _LosesDocument, _CountsOneLess])
def test_dropped_field_shows(kind: type[NaiveRecords], made: Made, driven: Driven) -> None:
    """A variant that drops a field has another digest than the baseline."""
    baseline, same, faulty = made(retained_messages=2), _faulty(NaiveRecords), _faulty(kind)
    for population in (baseline, same, faulty):
        driven(population)
    assert same.digest() == baseline.digest()
    assert faulty.digest() != baseline.digest()


def test_forgotten_metadata_shows(made: Made, driven: Driven) -> None:
    """A compact variant that drops metadata has another digest than the baseline."""
    records = _ForgetsMetadata(
        Payloads((13, 900, 9000), 1), retained_messages=0, compression=False, borrowed=None
    )
    holding = Packed(size=0, max_size=None, payloads=None)
    documents = handshake_documents(700, 3, 1)
    faulty = Connections(records, holding, documents, leak_bytes=0, latency=Histogram())
    baseline = made()
    driven(baseline)
    driven(faulty)
    assert faulty.digest() != baseline.digest()


OTHER: dict[str, Any] = {
    "number": 2,
    "phase": "closed",
    "opened_at_s": 2.0,
    "last_seen_s": 2.0,
    "received": 2,
    "received_bytes": 2,
    "checksum": 2,
    "metadata": {"user": "b"},
    "pending": (1, 3),
    "retained": (b"b",),
    "capabilities": b"b",
}


@pytest.mark.parametrize("name", OTHER)
def test_every_field_is_observed(name: str) -> None:
    """States that differ in one field are different bytes."""
    state = Remembered(1, "ready", 1.0, 1.0, 1, 1, 1, {"user": "a"}, (1, 2), (b"a",), b"a")
    assert OTHER.keys() == {field.name for field in fields(Remembered)}
    assert replace(state, **{name: OTHER[name]}).to_bytes() != state.to_bytes()


def _emptied(population: Connections[Any]) -> None:
    population.shrink(population.alive(), 99.0)


def test_all_closed_is_empty(variant: dict[str, Any], made: Made, driven: Driven) -> None:
    """After the last departure no unit, document reference or pooled record is in use."""
    population = made(retained_messages=2, **variant)
    driven(population)
    _emptied(population)
    pool = population.pool() or {"in_use": 0}
    assert (population.units, population.alive(), pool["in_use"]) == (0, [], 0)
    if isinstance(records := population._records, CompactRecords):
        stats = records._capabilities.stats()
        assert (stats.documents, stats.references) == (0, 0)


def test_closed_states_keep_nothing(driven: Driven) -> None:
    """After the last departure no message is kept, neither by a state nor in the store."""
    payloads = PayloadStore()
    records = CompactRecords(
        Payloads((13, 900, 9000), 1), retained_messages=2, compression=True, borrowed=None
    )
    holding = Packed(size=0, max_size=None, payloads=payloads)
    documents = handshake_documents(700, 3, 1)
    population = Connections(records, holding, documents, leak_bytes=0, latency=Histogram())
    driven(population)
    assert len(payloads) > 0
    _emptied(population)
    assert len(payloads) == 0


def test_idle_records_above_the_bound_are_given_back(made: Made) -> None:
    """A packed pool returns its end to the system when more is idle than the variant keeps."""
    population = made(compact=True, pool_size=10, pool_max_size=30)
    population.grow(range(100), 1.0)
    population.shrink(range(50, 100), 2.0)
    pool = population.pool()
    assert pool is not None
    assert (pool["in_use"], pool["available"]) == (50, 0)
    kept = made(compact=True, pool_size=10, pool_max_size=60)
    kept.grow(range(100), 1.0)
    kept.shrink(range(50, 100), 2.0)
    pool = kept.pool()
    assert pool is not None
    assert (pool["in_use"], pool["available"]) == (50, 50)


def test_pool_reuses(made: Made, driven: Driven) -> None:
    """The pool's counters tell what was made and what was used again."""
    population = made(pool_size=10, pool_max_size=30)
    driven(population)
    pool = population.pool()
    assert pool is not None
    assert (pool["in_use"], pool["reuse_ratio"]) != (0, 0.0)
    assert pool["created"] >= 50  # type: ignore[operator] # a counter of this pool is never None


def test_message_to_nobody(variant: dict[str, Any], made: Made) -> None:
    """A message to a slot that nobody holds is a fault of the load, not passed over."""
    population = made(**variant)
    population.grow([0], 1.0)
    population.shrink([0], 2.0)
    with pytest.raises(Exception, match=r"0|slot|released|given out"):
        population.drive([0], b"\0", 3.0)


def test_only_operations_are_timed(ticks: Any, made: Made, driven: Driven) -> None:
    """Each arrival, message and departure is one latency, and observing is none."""
    population = made()
    latency = Histogram()
    population._record = latency.record
    driven(population)
    population.digest()
    assert latency.count == sum(tick.operations for tick in ticks)


@pytest.mark.parametrize("leak_bytes", [1, 8, 24, 64, 100, 1024, 20_480])
def test_planted_leak(leak_bytes: int) -> None:
    """A planted leak grows by its bytes per message, with all that the allocators add to it."""
    forgotten, heap = Forgotten(leak_bytes), HeapReader()
    assert heap.read().in_use_bytes is not None
    # Holes that others have left are filled first: eight megabytes even them out.
    messages = min(400_000, max(400, 8_000_000 // leak_bytes))
    before = heap.read().in_use_bytes or 0
    for _ in range(messages):
        forgotten.forget()
    grown = (heap.read().in_use_bytes or 0) - before
    assert grown / messages == pytest.approx(leak_bytes, rel=0.01)


def test_leak_is_per_message(variant: dict[str, Any], made: Made) -> None:
    """Arrivals and departures leak nothing; each message leaves one object of the leak's size."""
    population = made(leak_bytes=64, **variant)
    assert population._leak is not None
    population.grow([0, 1], 1.0)
    population.drive([0, 1, 0], bytes([0, WRITES, 1]), 2.0)
    population.shrink([0, 1], 3.0)
    kept = sum(sys.getsizeof(one) for one in population._leak._kept)
    assert kept + population._leak._owed_bytes == 3 * 64


@pytest.mark.parametrize("size_bytes", [600, 1024, 4000, 20_000])
def test_handshake_documents(size_bytes: int) -> None:
    """Documents have about the wanted size, are distinct, and are JSON."""
    documents = handshake_documents(size_bytes, 8, seed=1)
    assert [len(one) for one in documents] == pytest.approx([size_bytes] * 8, abs=150)
    assert len(set(documents)) == 8
    assert [json.loads(one)["clientInfo"]["name"] for one in documents] == [
        f"client-{number}" for number in range(8)
    ]


def test_payload_sizes() -> None:
    """A message has exactly the size of its kind, wherever it is cut from the text."""
    payloads = Payloads((1, 13, 65536), seed=1)
    for number in range(50):
        sizes = [len(payloads.arriving(number, 7 * number, kind)) for kind in range(3)]
        assert sizes == [1, 13, 65536]


def test_payloads_differ() -> None:
    """Two messages of a connection are not the same bytes, and compression finds some in them."""
    payloads = Payloads((500,), seed=1)
    assert len({bytes(payloads.arriving(n, m, 0)) for n in range(20) for m in range(20)}) == 400


@pytest.mark.parametrize("step", [0, 1, 7, 100, 5000])
def test_own_buffer(step: int) -> None:
    """Whatever the buffer's size, the message is whole."""
    message = bytes(range(256)) * 4
    assert through_own_buffer(memoryview(message), bytearray(step)) == message


def test_borrowed_buffer() -> None:
    """A borrowed buffer holds the message, and is given back although the work failed."""
    buffers = BorrowedBuffers()
    held = b""
    with suppress(ZeroDivisionError), buffers.hold(memoryview(b"abc")) as view:
        held = bytes(view)
        raise ZeroDivisionError
    assert (held, buffers._pool.stats().in_use) == (b"abc", 0)
