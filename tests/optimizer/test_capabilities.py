"""Equal handshakes are kept once, and only as long as somebody uses them."""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping

import pytest

from memopt_cli.errors import StateError
from memopt_cli.optimizer import CapabilityStats, CapabilityStore

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


def test_documents_with_equal_hashes_never_mix() -> None:
    """The content decides, not its hash."""

    class Colliding(bytes):
        def __hash__(self) -> int:
            return 7

        __eq__ = bytes.__eq__

    store = CapabilityStore()

    one, two = store.acquire(Colliding(b"[1]")), store.acquire(Colliding(b"[2]"))

    assert (one.content, two.content) == ((1,), (2,))


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
