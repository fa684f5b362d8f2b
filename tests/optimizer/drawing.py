"""Contents of connection states, drawn at random, and the books of the pool that holds them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from memopt_cli.optimizer import Phase, encode

if TYPE_CHECKING:
    from memopt_cli.optimizer import CapabilityStore, PayloadStore, StatePool

EDGES = st.sampled_from([0, 1, 2**32 - 2, 2**32 - 1, 2**32, 2**63, 2**64, -1, -(2**63) - 1])
INTS = st.integers() | st.integers(-(2**200), 2**200) | EDGES
TEXTS = st.text(max_size=40) | st.sampled_from(["", "half \ud83d of a pair", "long " * 100])
VALUES = TEXTS | INTS | st.floats(allow_nan=False) | st.booleans() | st.none()
METADATA = st.dictionaries(TEXTS, VALUES, max_size=6)
TIMES_S = st.floats(allow_nan=False)
REQUEST_IDS = st.integers(0, 9) | INTS | TEXTS
PENDING = st.lists(REQUEST_IDS, max_size=6, unique=True)
DOCUMENTS = st.dictionaries(
    st.text(max_size=8), st.lists(st.integers(), max_size=4), max_size=5
).map(lambda content: json.dumps(content).encode())
PAYLOADS = st.binary(max_size=80) | st.sampled_from([b"ping" * 50, b"pong" * 300, bytes(600)])
COUNTS = ("number", "received", "received_bytes", "checksum")


@dataclass
class Content:
    """What a state is to hold."""

    fields: dict[str, Any] = field(default_factory=dict)
    retained: list[tuple[bytes, bool]] = field(default_factory=list)
    document: bytes | None = None
    shares_metadata: bool = False

    def put(self, pool: StatePool) -> int:
        """Acquire a state that holds all this, and return its handle."""
        handle = pool.acquire()
        state = pool[handle]
        state.update(**self.fields)
        if self.shares_metadata:
            state.share_metadata(self.fields.get("metadata", {}))
        for payload, compression in self.retained:
            state.retain(payload, window=4, compression=compression)
        if self.document is not None:
            state.capabilities = pool.capabilities.acquire(self.document)
        return handle


CONTENTS = st.builds(
    Content,
    fields=st.fixed_dictionaries(
        {},
        optional={
            "phase": st.sampled_from(Phase),
            "opened_at_s": TIMES_S,
            "last_seen_s": TIMES_S,
            "metadata": METADATA,
            "pending": PENDING,
            **dict.fromkeys(COUNTS, INTS),
        },
    ),
    retained=st.lists(st.tuples(PAYLOADS, st.booleans()), max_size=6),
    document=st.none() | DOCUMENTS,
    shares_metadata=st.booleans(),
)


def books(pool: StatePool, payloads: PayloadStore | None = None) -> dict[str, Any]:
    """Return all that a pool and its stores count, to be compared before and after."""
    counted: dict[str, Any] = {
        "stats": pool.stats(),
        "metadata": pool.metadata.entries(),
        "shapes": dict(pool.metadata._shapes),
        "documents": len(pool.documents),
        "capabilities": pool.capabilities.stats(),
        "elsewhere": (dict(pool._counts), dict(pool._pending), dict(pool._retained)),
    }
    if payloads is not None:
        counted["payloads"] = (len(payloads), payloads.references())
    return counted


def check_books(
    pool: StatePool, store: CapabilityStore, payloads: PayloadStore | None = None
) -> None:
    """Fail unless every table holds exactly what the states in use refer to."""
    states = [pool[handle] for handle in pool.handles().tolist()]
    stats = pool.stats()
    assert len(states) == stats.in_use == len(pool)
    assert stats.allocated - stats.dropped - stats.discarded == stats.total
    shared = Counter(
        repr(list(state.read_metadata().items())) for state in states if _shares(pool, state.handle)
    )
    own = sum(state.has_metadata for state in states) - shared.total()
    assert (own, len(shared)) == pool.metadata.entries()
    documents = [state.capabilities for state in states if state.capabilities is not None]
    assert len(set(documents)) == len(pool.documents) == store.stats().documents
    assert len(documents) == store.stats().references
    wheres = {(handle & 0xFF_FFFF) * 14 for handle in pool.handles().tolist()}
    assert {at // 14 * 14 for at in pool._counts} | set(pool._pending) <= wheres
    assert {at for at, kept in pool._retained.items() if kept} == set(pool._retained) <= wheres
    if payloads is not None:
        kept = [one for state in states for one in state._kept() if one in payloads]
        assert (len(payloads), payloads.references()) == (len({*map(id, kept)}), len(kept))


def check_empty(pool: StatePool, store: CapabilityStore) -> None:
    """Fail unless a pool without states holds nothing of those it had."""
    assert (len(pool), pool.metadata.entries(), len(pool.documents)) == (0, (0, 0), 0)
    assert ({}, {}, {}) == (pool._counts, pool._pending, pool._retained)
    assert store.stats().references == 0


def seen(pool: StatePool, handle: int) -> tuple[object, ...]:
    """Return what a state shows, each value with its type, and whether it is shared."""
    state = pool[handle]
    return encode(pool, handle), state.retained_compressed(), _shares(pool, handle)


def _shares(pool: StatePool, handle: int) -> bool:
    from memopt_cli.optimizer.records import CONTROL, METADATA_SHARED, WORDS

    return bool(pool.words[(handle & 0xFF_FFFF) * WORDS + CONTROL] & METADATA_SHARED)
