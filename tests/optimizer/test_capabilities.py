"""Equal handshakes are kept once, and only as long as somebody uses them."""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping

import pytest

from memopt_cli.errors import StateError, WrongFieldType
from memopt_cli.optimizer import (
    Capabilities,
    CapabilityStats,
    CapabilityStore,
    StatePool,
    capabilities,
)
from tests.optimizer.intruding import interrupted

DOCUMENT = b'{"tools": {"listChanged": true}, "versions": [1, [2, 3]]}'


def test_a_thousand_connections_hold_one_copy() -> None:
    """Equal bytes from different buffers are one object."""
    store = CapabilityStore()

    held = [store.acquire(bytes(bytearray(DOCUMENT))) for _ in range(1000)]

    assert len({id(capabilities) for capabilities in held}) == 1
    assert CapabilityStats(1, 1000, len(DOCUMENT)) == store.stats()


def test_documents_that_differ_never_mix() -> None:
    """One changed byte, even a space, makes another document."""
    store = CapabilityStore()
    documents = [json.dumps({"limit": number}).encode() for number in range(1000)]
    documents.append(documents[0].replace(b" ", b"  "))

    held = [store.acquire(document) for document in documents]

    assert documents == [capabilities.document for capabilities in held]
    assert [json.loads(document) for document in documents] == [item.content for item in held]
    assert store.stats().documents == 1001


def test_documents_with_equal_hashes_never_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    """The content decides, not its hash."""

    class Colliding(bytes):
        def __hash__(self) -> int:
            return 7

        __eq__ = bytes.__eq__

    # The store takes a copy of what it is given, as plain bytes: let it be one of these.
    monkeypatch.setattr(capabilities, "bytes", Colliding, raising=False)
    store = CapabilityStore()

    one, two = store.acquire(b"[1]"), store.acquire(b"[2]")

    assert (7, 7) == (hash(one.document), hash(two.document))
    assert (one.content, two.content) == ((1,), (2,))


def test_a_document_may_be_any_buffer() -> None:
    """A receive buffer that is used again afterwards changes nothing."""
    store = CapabilityStore()
    memory = bytearray(b"[1]")
    one = store.acquire(memory)
    memory[:] = b"[2]"

    assert one is store.acquire(memoryview(b"[1]"))
    assert one is not store.acquire(memory)


def test_the_last_release_frees_the_document() -> None:
    """While one reference is left the document stays, and then it goes."""
    store = CapabilityStore()
    capabilities = store.acquire(DOCUMENT)
    store.acquire(DOCUMENT)
    watched = weakref.ref(capabilities)

    store.release(capabilities)
    assert store.stats().references == 1
    store.release(capabilities)
    del capabilities

    assert watched() is None
    assert CapabilityStats(0, 0, 0) == store.stats()


def test_one_release_too_many_changes_nothing() -> None:
    """It is an error, also when others use an equal document by now."""
    store = CapabilityStore()
    old = store.acquire(DOCUMENT)
    store.release(old)
    store.acquire(DOCUMENT)
    before = store.stats()

    with pytest.raises(StateError, match="not held by this store"):
        store.release(old)

    assert before == store.stats()


def test_another_stores_capabilities_are_refused() -> None:
    """Stores count their own references only."""
    store, other = CapabilityStore(), CapabilityStore()
    store.acquire(DOCUMENT)

    with pytest.raises(StateError, match="not held by this store") as caught:
        store.release(other.acquire(DOCUMENT))

    assert caught.value.hint
    assert store.stats().references == 1


def test_the_content_is_read_only_at_every_depth() -> None:
    """Nobody can change what others share."""
    content = CapabilityStore().acquire(DOCUMENT).content
    assert isinstance(content, Mapping)
    inner = content["tools"]

    with pytest.raises(TypeError):
        content["tools"] = None  # type: ignore[index] # read-only: that is tested
    with pytest.raises(TypeError):
        inner["listChanged"] = False  # type: ignore[index] # read-only: that is tested

    assert content["versions"] == (1, (2, 3))


@pytest.mark.parametrize("document", [b"", b"{", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_what_is_no_json_is_refused(document: bytes) -> None:
    """A peer's nonsense is an error with a hint, and leaves nothing behind."""
    store = CapabilityStore()

    with pytest.raises(StateError) as caught:
        store.acquire(document)

    assert caught.value.hint
    assert CapabilityStats(0, 0, 0) == store.stats()


def test_a_finaliser_may_acquire_and_release() -> None:
    """Wherever it comes in between, each document is there once and every reference counts."""
    for acts in ("acquire", "release"):
        step, reached = 0, True
        while reached:
            step += 1
            store = CapabilityStore()
            held = [store.acquire(DOCUMENT)] if acts == "release" else []

            def act(store: CapabilityStore = store, held: list[Capabilities] = held) -> None:
                """Acquire, or release what was acquired."""
                if held:
                    store.release(held.pop())
                else:
                    held.append(store.acquire(DOCUMENT))

            def intrude(store: CapabilityStore = store) -> None:
                """Be the first and the last to use the document, twice."""
                for _ in range(2):
                    other = store.acquire(DOCUMENT)
                    assert store.stats().references >= 1
                    store.release(other)

            reached = interrupted(act, step, intrude)
            assert (len(held), len(held)) == (store.stats().documents, store.stats().references)
            for capabilities_held in held:
                store.release(capabilities_held)
            assert CapabilityStats(0, 0, 0) == store.stats()


def test_a_pool_gives_documents_numbers_and_takes_them_back() -> None:
    """As few as there are documents at a time, whoever comes and goes."""
    store = CapabilityStore()
    pool = StatePool(capabilities=store)
    handles = pool.acquire_many(100).tolist()
    for turn in range(5):
        for number, handle in enumerate(handles):
            pool[handle].capabilities = store.acquire(f"[{turn}, {number % 10}]".encode())
        assert [f"[{turn}, {number % 10}]".encode() for number in range(100)] == [
            getattr(pool[handle].capabilities, "document", None) for handle in handles
        ]

    assert (10, 10, 100) == (
        len(pool.documents),
        store.stats().documents,
        store.stats().references,
    )
    assert len(pool.documents._kept) <= 21
    pool.release_many(handles)
    assert (0, CapabilityStats(0, 0, 0)) == (len(pool.documents), store.stats())
    assert [None] * len(pool.documents._kept) == pool.documents._kept


def test_what_is_no_document_is_refused() -> None:
    """A state keeps the document it has when it is given a document's bytes in place of one."""
    store = CapabilityStore()
    state = (pool := StatePool(capabilities=store))[pool.acquire()]
    state.capabilities = store.acquire(b"[1]")
    with pytest.raises(WrongFieldType, match="capabilities is of type bytes"):
        state.capabilities = b"[2]"  # type: ignore[assignment] # that is the point
    assert b"[1]" == getattr(state.capabilities, "document", None)
    state.capabilities = None
    assert (None, CapabilityStats(0, 0, 0)) == (state.capabilities, store.stats())


def test_documents_of_several_stores_are_kept_apart() -> None:
    """Equal bytes of two stores are two documents, each given back to its own."""
    stores = [CapabilityStore() for _ in range(2)]
    pool = StatePool()
    handles = pool.acquire_many(2).tolist()
    for handle, store in zip(handles, stores, strict=True):
        pool[handle].capabilities = store.acquire(DOCUMENT)

    assert 2 == len(pool.documents)
    assert pool[handles[0]] == pool[handles[1]]
    pool.release(handles[0])
    assert [0, 1] == [store.stats().references for store in stores]
