"""Whatever is done in whatever order, a pool of states agrees with a plain model of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from memopt_cli.errors import (
    CodecError,
    ForeignHandle,
    PoolError,
    PoolExhausted,
    StaleHandle,
    StateError,
    UnknownField,
    WrongFieldType,
)
from memopt_cli.optimizer import CapabilityStore, PayloadStore, Phase, StatePool, decode, encode
from tests.optimizer.drawing import (
    COUNTS,
    DOCUMENTS,
    INTS,
    METADATA,
    PAYLOADS,
    PENDING,
    REQUEST_IDS,
    TEXTS,
    TIMES_S,
    VALUES,
    books,
    check_books,
)

if TYPE_CHECKING:
    from collections.abc import Callable

CAPACITY = 24
SIZES = st.integers(0, 1500)
WINDOW = 3

BAD = ["double", "foreign", "stale", "next", "None", "float", "negative", "huge", "beyond"]

USES: list[Callable[[StatePool, Any], object]] = [
    StatePool.release,
    StatePool.__getitem__,
    encode,
    lambda pool, handle: pool.release_many([*pool.handles().tolist()[:1], handle]),
    lambda pool, handle: pool.column("received", [*pool.handles().tolist(), handle]),
    lambda pool, handle: pool.note_received_many(
        [*pool.handles().tolist(), handle], [5] * (len(pool) + 1), 1.0
    ),
]


@dataclass
class Model:
    """What a state holds, in plain Python."""

    phase: Phase = Phase.CONNECTING
    number: int = 0
    opened_at_s: float = 0.0
    last_seen_s: float = 0.0
    received: int = 0
    received_bytes: int = 0
    checksum: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)
    pending: tuple[int | str, ...] = ()
    retained: list[tuple[bytes, bool]] = field(default_factory=list)
    document: bytes | None = None

    def note(self, size_bytes: int, at_s: float, checksum: int | None) -> None:
        """Account for one message."""
        self.received += 1
        self.received_bytes += size_bytes
        self.last_seen_s = at_s
        if checksum is not None:
            self.checksum = checksum


class StatePoolMachine(RuleBasedStateMachine):
    """Compares a pool with a dict of models by handle."""

    def __init__(self) -> None:
        super().__init__()
        self.store, self.payloads = CapabilityStore(), PayloadStore()
        self.pool = StatePool(capacity=CAPACITY, capabilities=self.store, payloads=self.payloads)
        self.foreign = StatePool().acquire()
        self.live: dict[int, Model] = {}
        self.stale: list[int] = []
        self.acquired = 0
        self.limit = CAPACITY

    def one(self, data: st.DataObject) -> int:
        """Draw a handle in use."""
        return data.draw(st.sampled_from(sorted(self.live)))

    def hold(self, handle: int, model: Model) -> None:
        """Note who has a state, after checking that nobody has it, or ever had this handle."""
        self.acquired += 1
        assert handle not in self.live
        assert handle not in self.stale
        assert handle & 0xFF_FFFF not in {other & 0xFF_FFFF for other in self.live}
        self.live[handle] = model

    def end(self, handle: int) -> None:
        """Note that a handle is stale."""
        del self.live[handle]
        self.stale.append(handle)

    @rule()
    def acquire(self) -> None:
        """An acquire gives an empty state, or is refused at the limit."""
        if len(self.live) < self.limit:
            self.hold(self.pool.acquire(), Model())
        else:
            with pytest.raises(PoolExhausted):
                self.pool.acquire()

    @rule(count=st.integers(0, 6))
    def acquire_many(self, count: int) -> None:
        """Either all are acquired, or nothing has changed."""
        if len(self.live) + count <= self.limit:
            for handle in self.pool.acquire_many(count).tolist():
                self.hold(handle, Model())
        else:
            with pytest.raises(PoolExhausted):
                self.pool.acquire_many(count)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """A release ends the handle."""
        handle = self.one(data)
        self.pool.release(handle)
        self.end(handle)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def release_many(self, data: st.DataObject) -> None:
        """A batch ends all its handles."""
        handles = data.draw(st.lists(st.sampled_from(sorted(self.live)), unique=True))
        self.pool.release_many(handles)
        for handle in handles:
            self.end(handle)

    @rule(data=st.data(), kind=st.sampled_from(BAD), use=st.sampled_from(USES))
    def use_badly(
        self, data: st.DataObject, kind: str, use: Callable[[StatePool, Any], object]
    ) -> None:
        """What is no handle in use changes nothing, wherever it is given."""
        stale = data.draw(st.sampled_from(self.stale)) if self.stale else 0
        live = self.one(data) if self.live else 1 << 24
        bad: Any = {
            "double": stale,
            "stale": stale,
            "foreign": self.foreign,
            "next": live + (1 << 24),
            "None": None,
            "float": float(live),
            "negative": -live,
            "huge": live << 64,
            "beyond": live | 0xFF_FFFF,
        }[kind]
        before = books(self.pool, self.payloads)

        known = type(bad) is int and bad in self.stale
        with pytest.raises(StaleHandle if known else ForeignHandle):
            use(self.pool, bad)

        assert before == books(self.pool, self.payloads)

    @rule(size=st.integers(0, CAPACITY), more=st.integers(0, CAPACITY))
    def configure(self, size: int, more: int) -> None:
        """Bounds change, whatever is in use; contradictions change nothing."""
        limit = size + more
        if limit > CAPACITY:
            with pytest.raises(PoolError):
                self.pool.configure(size=size, limit=limit)
        else:
            self.pool.configure(size=size, limit=limit)
            self.limit = limit
            assert size == self.pool.info().size

    @rule()
    def trim(self) -> None:
        """Nothing that is in use is touched, and what is returned was available."""
        before = self.pool.stats()
        gone = self.pool.trim()
        after = self.pool.stats()
        assert (before.available - gone, before.in_use) == (after.available, after.in_use)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), name=st.sampled_from(COUNTS), value=INTS)
    def count(self, data: st.DataObject, name: str, value: int) -> None:
        """A count takes any int."""
        handle = self.one(data)
        setattr(self.pool[handle], name, value)
        setattr(self.live[handle], name, value)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), name=st.sampled_from(["opened_at_s", "last_seen_s"]), value=TIMES_S)
    def time(self, data: st.DataObject, name: str, value: float) -> None:
        """A time takes any float."""
        handle = self.one(data)
        setattr(self.pool[handle], name, value)
        setattr(self.live[handle], name, value)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), phase=st.sampled_from(Phase))
    def phase(self, data: st.DataObject, phase: Phase) -> None:
        """A phase changes nothing else."""
        handle = self.one(data)
        self.pool[handle].phase = self.live[handle].phase = phase

    @precondition(lambda self: self.live)
    @rule(data=st.data(), key=TEXTS, value=VALUES)
    def write_metadata(self, data: st.DataObject, key: str, value: Any) -> None:
        """An item is added or replaced."""
        handle = self.one(data)
        self.pool[handle].metadata[key] = value
        self.live[handle].metadata[key] = value

    @precondition(lambda self: self.live)
    @rule(data=st.data(), content=METADATA, shared=st.booleans())
    def replace_metadata(self, data: st.DataObject, content: dict[str, Any], shared: bool) -> None:
        """All of it is replaced, by a private copy or by one that is shared."""
        handle = self.one(data)
        if shared:
            self.pool[handle].share_metadata(content)
        else:
            self.pool[handle].metadata = content
        self.live[handle].metadata = dict(content)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def delete_metadata(self, data: st.DataObject) -> None:
        """An item is taken out."""
        handle = self.one(data)
        if metadata := self.live[handle].metadata:
            key = data.draw(st.sampled_from(list(metadata)))
            del self.pool[handle].metadata[key], metadata[key]
        else:
            with pytest.raises(KeyError):
                del self.pool[handle].metadata["user"]

    @precondition(lambda self: self.live)
    @rule(data=st.data(), request_id=REQUEST_IDS)
    def add_pending(self, data: st.DataObject, request_id: int | str) -> None:
        """A request is pending once."""
        handle = self.one(data)
        model = self.live[handle]
        if request_id in model.pending:
            with pytest.raises(StateError):
                self.pool[handle].add_pending(request_id)
        else:
            self.pool[handle].add_pending(request_id)
            model.pending += (request_id,)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        """What is answered is pending no more."""
        handle = self.one(data)
        model = self.live[handle]
        if model.pending:
            done = data.draw(st.sampled_from(model.pending))
            self.pool[handle].complete(done)
            model.pending = tuple(one for one in model.pending if one != done)
        else:
            with pytest.raises(StateError):
                self.pool[handle].complete(7)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), payload=PAYLOADS, compression=st.booleans())
    def retain(self, data: st.DataObject, payload: bytes, compression: bool) -> None:
        """The latest payloads are kept."""
        handle = self.one(data)
        self.pool[handle].retain(payload, window=WINDOW, compression=compression)
        retained = self.live[handle].retained
        retained[:] = [*retained, (payload, compression)][-WINDOW:]

    @precondition(lambda self: self.live)
    @rule(data=st.data(), document=st.none() | DOCUMENTS)
    def capabilities(self, data: st.DataObject, document: bytes | None) -> None:
        """A document takes the place of another."""
        handle = self.one(data)
        self.pool[handle].capabilities = None if document is None else self.store.acquire(document)
        self.live[handle].document = document

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def clear(self, data: st.DataObject) -> None:
        """A cleared state is as a new one."""
        handle = self.one(data)
        self.pool[handle].clear()
        self.live[handle] = Model()

    @precondition(lambda self: self.live)
    @rule(data=st.data(), number=INTS, metadata=METADATA, pending=PENDING, payload=PAYLOADS)
    def update(
        self,
        data: st.DataObject,
        number: int,
        metadata: dict[str, Any],
        pending: list[int | str],
        payload: bytes,
    ) -> None:
        """All fields are set, or none when one is refused."""
        handle = self.one(data)
        state, model = self.pool[handle], self.live[handle]
        fields = {"number": number, "metadata": metadata, "pending": pending}
        with pytest.raises(WrongFieldType):
            state.update(**fields, retained=[payload], capabilities=b"{}")
        with pytest.raises(UnknownField):
            state.update(**fields, nmber=1)
        self.agrees(handle)
        state.update(**fields, retained=[payload])
        model.number, model.pending, model.retained = number, tuple(pending), [(payload, False)]
        model.metadata |= metadata

    @precondition(lambda self: self.live)
    @rule(data=st.data(), size_bytes=SIZES, at_s=TIMES_S, checksum=INTS)
    def message(self, data: st.DataObject, size_bytes: int, at_s: float, checksum: int) -> None:
        """A message is accounted for."""
        handle = self.one(data)
        self.pool[handle].note_received(size_bytes, at_s, checksum)
        self.live[handle].note(size_bytes, at_s, checksum)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), at_s=TIMES_S, with_checksums=st.booleans())
    def messages(self, data: st.DataObject, at_s: float, with_checksums: bool) -> None:
        """A batch is accounted for as one message after the other."""
        handles = data.draw(st.lists(st.sampled_from(sorted(self.live)), max_size=90))
        sizes = [7 * place for place in range(len(handles))]
        checksums = [place << 27 for place in range(len(handles))] if with_checksums else None
        self.pool.note_received_many(handles, sizes, at_s, checksums)
        for place, handle in enumerate(handles):
            self.live[handle].note(
                sizes[place], at_s, None if checksums is None else checksums[place]
            )

    @precondition(lambda self: self.live)
    @rule(data=st.data(), compress=st.booleans())
    def copy(self, data: st.DataObject, compress: bool) -> None:
        """An encoded state is decoded into another one, or refused at the limit."""
        handle = self.one(data)
        encoded = encode(self.pool, handle, compress=compress)
        if len(self.live) >= self.limit:
            before = books(self.pool, self.payloads)
            with pytest.raises(PoolExhausted):
                decode(encoded, self.pool)
            assert before == books(self.pool, self.payloads)
            return
        model = self.live[handle]
        copied = Model(**{**model.__dict__, "metadata": dict(model.metadata)})
        copied.retained = list(model.retained)
        self.hold(decode(encoded, self.pool), copied)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def damage(self, data: st.DataObject) -> None:
        """A damaged state is refused, and changes nothing."""
        changed = bytearray(encode(self.pool, self.one(data)))
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
        before = books(self.pool, self.payloads)
        with pytest.raises(CodecError):
            decode(bytes(changed), self.pool)
        assert before == books(self.pool, self.payloads)

    @invariant()
    def counters_agree(self) -> None:
        """Nothing is counted twice, or not at all."""
        stats = self.pool.stats()
        assert (len(self.live), self.acquired) == (stats.in_use, stats.created + stats.reused)
        assert stats.in_use + stats.available == stats.total
        assert stats.allocated - stats.dropped - stats.discarded == stats.total
        assert sorted(self.live) == sorted(self.pool.handles().tolist())

    @invariant()
    def states_agree(self) -> None:
        """Every state in use is as its model."""
        for handle in self.live:
            self.agrees(handle)

    @invariant()
    def tables_agree(self) -> None:
        """Every table holds what the states refer to, and nothing else."""
        check_books(self.pool, self.store, self.payloads)
        documents = [model.document for model in self.live.values() if model.document is not None]
        assert len(set(documents)) == self.store.stats().documents
        references = Counter(
            payload
            for model in self.live.values()
            for payload, _ in model.retained
            if len(payload) >= 512
        )
        assert references.total() == self.payloads.references()

    @invariant()
    def columns_agree(self) -> None:
        """A column is the fields of all states."""
        for name in ("received_bytes", "last_seen_s", "phase"):
            handles = list(self.live)
            expected = [getattr(model, name) for model in self.live.values()]
            assert expected == self.pool.column(name, handles).tolist()

    def agrees(self, handle: int) -> None:
        """Fail unless a state shows what its model says."""
        state, model = self.pool[handle], self.live[handle]
        for name in ("phase", *COUNTS, "opened_at_s", "last_seen_s", "pending"):
            assert getattr(model, name) == getattr(state, name), name
        assert list(model.metadata.items()) == list(state.read_metadata().items())
        assert [*map(type, model.metadata.values())] == [*map(type, state.metadata.values())]
        assert tuple(payload for payload, _ in model.retained) == state.retained_payloads()
        document = None if state.capabilities is None else state.capabilities.document
        assert model.document == document


TestStatePool = StatePoolMachine.TestCase
