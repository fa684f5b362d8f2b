"""A pool of states costs what its records cost, and says what more a state costs."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tracemalloc
from array import array
from typing import Any

import pytest
from hypothesis import given, settings

from memopt_cli.errors import PoolExhausted, StaleHandle
from memopt_cli.optimizer import CapabilityStore, PayloadStore, StatePool, decode, encode
from memopt_cli.optimizer.records import RECORD_BYTES
from tests.optimizer.drawing import CONTENTS, Content

DOCUMENT = json.dumps(
    {"tools": [{"name": f"tool-{number}", "description": "x" * 90} for number in range(8)]}
)


def naive_record(number: int) -> dict[str, Any]:
    """Return the record that a first version of a server keeps for each connection."""
    return {
        "id": number,
        "phase": "connecting",
        "client": {"name": f"probe-{number}", "version": "1.0"},
        "capabilities": json.loads(DOCUMENT),
        "metadata": {},
        "pending": {},
        "stats": {"received": 0, "received_bytes": 0, "checksum": 0},
        "timestamps": {"opened_at": float(number), "last_seen": float(number)},
    }


GROWTH = """
import gc, json, sys
from array import array
from memopt_cli.optimizer import StatePool

def resident_bytes():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096

pool, count = StatePool(), 200_000
handles = array("Q", bytes(8 * count))
gc.collect()
before, blocks = resident_bytes(), sys.getallocatedblocks()
for place in range(count):
    handles[place] = pool.acquire()
grown, made = resident_bytes() - before, sys.getallocatedblocks() - blocks
for place in range(1, count):
    pool.release(handles[place])
# Once with another pool, which loads numpy.
warm = StatePool(capacity=9)
warm.release_many(warm.acquire_many(9))
warm.trim()
full = resident_bytes()
trimmed = pool.trim()
returned = full - resident_bytes()
print(json.dumps([grown / count, made, trimmed, returned / count]))
"""


def test_an_idle_record_is_below_a_fifth_of_a_naive_one() -> None:
    """In memory of a process it costs 56 bytes and no object, and trim returns them."""
    tracemalloc.start()
    naive = [naive_record(number) for number in range(1000)]
    naive_bytes = tracemalloc.get_traced_memory()[0] / len(naive)
    tracemalloc.stop()

    # In a process of its own: in this one, others come and go.
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, check=True)
    grown_bytes, blocks, trimmed, returned_bytes = json.loads(done.stdout)

    assert blocks < 100
    assert grown_bytes < naive_bytes / 5
    assert RECORD_BYTES * 0.98 < grown_bytes < RECORD_BYTES * 1.05
    # With its four bytes among the idle ones; what trimming itself used, malloc may keep.
    assert 199_999 == trimmed
    assert returned_bytes > 0.85 * (RECORD_BYTES + 4)


def test_nothing_is_allocated_until_it_is_set() -> None:
    """Reading what is absent, counting and noting small requests makes no object."""
    pool = StatePool(size=1000)
    handles = array("Q", pool.acquire_many(1000).tobytes())

    def use_all() -> None:
        """Do what most connections do."""
        for handle in handles:
            state = pool[handle]
            state.number = handle & 0xFFFF
            state.note_received(1000, 2.5, 77)
            state.add_pending(1)
            state.add_pending(2)
            state.complete(1)
            assert (None, None) == (state.get("metadata"), state.get("retained"))
            assert {} == state.metadata
            assert 2 == state.pending[0]
            state.complete(2)

    use_all()
    gc.collect()
    before = sys.getallocatedblocks()
    use_all()
    gc.collect()

    assert abs(sys.getallocatedblocks() - before) < 50
    assert ({}, {}, {}) == (pool._counts, pool._pending, pool._retained)


def test_a_lease_ends_with_its_block() -> None:
    """However that ends, and also if the state was released in it."""
    pool = StatePool(limit=1)
    with pytest.raises(ZeroDivisionError), pool.lease() as state:
        state.number = 1 // 0
    with pool.lease() as state:
        state.number = 7
        with pytest.raises(PoolExhausted), pool.lease():
            pass
    with pytest.raises(StaleHandle):
        _ = state.number
    with pytest.raises(StaleHandle), pool.lease() as state:
        pool.release(state.handle)

    assert 0 == len(pool)


def blocks_bytes(pool: StatePool) -> int:
    """Return the blocks of metadata in use, by the sizes of their classes."""
    classes = [blocks for blocks in pool.metadata._arena._classes if blocks is not None]
    return sum(blocks.in_use() * blocks._size for blocks in classes)


@settings(max_examples=max(settings().max_examples // 2, 15))
@given(content=CONTENTS)
def test_the_size_estimate_is_near_what_is_measured(content: Content) -> None:
    """
    The estimate is within 20 % of the growth by equal states, each with objects of its own.

    Compared are 100 estimates with: what `tracemalloc` counts for tables, ids and payloads,
    blocks of metadata by their size class, and 56 bytes for each record. The document of the
    capabilities is not, because it is shared.
    """
    pool = StatePool()
    encoded = encode(pool, content.put(pool))
    decode(encoded, pool)
    blocks = blocks_bytes(pool)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        handles = array("Q", [decode(encoded, pool) for _ in range(100)])
        grown = tracemalloc.get_traced_memory()[0] - before - sys.getsizeof(handles)
    finally:
        tracemalloc.stop()
    grown += blocks_bytes(pool) - blocks + 100 * RECORD_BYTES

    estimated = sum(pool[handle].size_estimate().total_bytes for handle in handles)

    assert estimated == pytest.approx(grown, rel=0.2)


WITHOUT_NUMPY = """
import sys
import memopt_cli.optimizer
from memopt_cli.optimizer import (
    CapabilityStore, PayloadStore, StatePool, compression_report, decode, encode
)
pool = StatePool(size=10, payloads=PayloadStore())
handle = pool.acquire()
state = pool[handle]
state.update(number=2**40, metadata={"a": 1}, pending=["x"], retained=[bytes(600)])
state.capabilities = pool.capabilities.acquire(b"[1]")
state.share_metadata({"a": 2})
state.note_received(1, 1.0, 1)
state.size_estimate()
copy = decode(encode(pool, handle, compress=True), pool)
assert pool[copy] == state
compression_report(pool, [handle], clock=lambda: 0.0)
pool.configure(size=20, limit=30)
pool.info()
state.clear()
pool.release(handle)
pool.release(copy)
with pool.lease():
    pass
assert "numpy" not in sys.modules, "numpy was imported"
pool.acquire_many(1)
assert "numpy" in sys.modules
"""


def test_only_batches_load_numpy() -> None:
    """A process that uses states one by one does not pay for numpy."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NUMPY], capture_output=True, text=True, check=False
    )

    assert ("", "", 0) == (done.stdout, done.stderr, done.returncode)


def test_a_pool_may_share_its_documents_with_others() -> None:
    """Decoded states of two pools refer to one copy."""
    store = CapabilityStore()
    one, other = (StatePool(capabilities=store, payloads=PayloadStore()) for _ in range(2))
    handle = one.acquire()
    one[handle].capabilities = store.acquire(b"[1]")

    copy = decode(encode(one, handle), other)

    assert one[handle].capabilities is other[copy].capabilities
    assert (1, 2) == (store.stats().documents, store.stats().references)
