"""One copy of each handshake document, however many connections sent the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from threading import RLock
from types import MappingProxyType
from typing import TypeAlias

from memopt_cli.errors import StateError
from memopt_cli.optimizer.sizes import deep_size_bytes

FrozenJson: TypeAlias = (
    bool | int | float | str | tuple["FrozenJson", ...] | Mapping[str, "FrozenJson"] | None
)
"""What a JSON document is when nobody can change it: tuples and read-only mappings."""


class Capabilities:
    """
    A handshake document as it was sent, and its parsed, read-only content.

    Made by `CapabilityStore.acquire` only. Equal documents of one store are one object.
    """

    __slots__ = ("__weakref__", "_content", "_document", "_references", "_store")

    def __init__(self, document: bytes, content: FrozenJson, store: CapabilityStore) -> None:
        self._document = document
        self._content = content
        self._store = store
        self._references = 0

    def __repr__(self) -> str:
        return f"<Capabilities of {len(self._document):,} bytes, {self._references:,} references>"

    @property
    def document(self) -> bytes:
        """The exact bytes that were sent; they are the key."""
        return self._document

    @property
    def content(self) -> FrozenJson:
        """The parsed document: mappings are read-only, arrays are tuples."""
        return self._content

    def release(self) -> None:
        """Give one reference back to the store it came from; see `CapabilityStore.release`."""
        self._store.release(self)

    def size_bytes(self) -> int:
        """Return what the document and its content occupy, once for all that share them."""
        seen: set[int] = set()
        return deep_size_bytes(self._document, seen) + deep_size_bytes(self._content, seen)


@dataclass(frozen=True, slots=True)
class CapabilityStats:
    """What a store holds."""

    documents: int
    """Documents that differ."""

    references: int
    """References given out and not released."""

    document_bytes: int
    """Length of all documents, each counted once; their parsed content is not included."""


class CapabilityStore:
    """
    Documents by content, counted by reference.

    The key is the whole document, compared byte by byte: two that differ in a space are two.
    Every method may be called from any thread.
    """

    __slots__ = ("_document_bytes", "_documents", "_lock", "_references")

    def __init__(self) -> None:
        self._documents: dict[bytes, Capabilities] = {}
        self._references = 0
        self._document_bytes = 0
        # Re-entrant, because parsing may start the collector, and a finaliser may release.
        self._lock = RLock()

    def acquire(self, document: bytes) -> Capabilities:
        """
        Return the shared view of *document*, parsed if it is the first of its kind.

        Each acquire needs one release.

        Raises:
            StateError: The bytes are not JSON, or nested too deep to parse.
        """
        with self._lock:
            known = self._documents.get(document)
            if known is None:
                parsed = Capabilities(bytes(document), _parse(document), self)
                known = self._documents.setdefault(parsed.document, parsed)
                self._document_bytes += len(document) if known is parsed else 0
            known._references += 1  # noqa: SLF001 - the count belongs to the store
            self._references += 1
            return known

    def release(self, capabilities: Capabilities) -> None:
        """
        Give one reference back; the last one frees the document.

        Raises:
            StateError: This store does not hold them, or every reference was given back
                before; nothing has changed.
        """
        with self._lock:
            if self._documents.get(capabilities.document) is not capabilities:
                raise StateError(
                    f"{capabilities!r} is not held by this store",
                    hint="Release once per acquire, to the store they were acquired from.",
                )
            capabilities._references -= 1  # noqa: SLF001 - the count belongs to the store
            self._references -= 1
            if capabilities._references == 0:  # noqa: SLF001
                del self._documents[capabilities.document]
                self._document_bytes -= len(capabilities.document)

    def stats(self) -> CapabilityStats:
        """Return what the store holds now."""
        with self._lock:
            return CapabilityStats(len(self._documents), self._references, self._document_bytes)


class CapabilityTable:
    """
    Small numbers for the documents that a pool of states refers to; 0 is none.

    Takes over a reference with each `keep` and gives it back with each `release`. Every method
    may be called from any thread.
    """

    __slots__ = ("_kept", "_lock", "_numbers", "_unused", "_uses")

    def __init__(self) -> None:
        self._kept: list[Capabilities | None] = [None]
        self._uses = [0]
        self._numbers: dict[Capabilities, int] = {}
        self._unused: list[int] = []
        self._lock = RLock()

    def __getitem__(self, number: int) -> Capabilities | None:
        return self._kept[number]

    def keep(self, capabilities: Capabilities | None) -> int:
        """Return the number of a document, used once more."""
        if capabilities is None:
            return 0
        with self._lock:
            number = self._numbers.get(capabilities)
            if number is None:
                number = self._numbers[capabilities] = self._place()
                self._kept[number] = capabilities
            self._uses[number] += 1
            return number

    def release(self, number: int) -> None:
        """
        Use a document once less, and give its reference back to its store.

        Raises:
            StateError: Somebody else has released it; it is used once less all the same.
        """
        capabilities = self._kept[number]
        if capabilities is None:
            return
        with self._lock:
            self._uses[number] -= 1
            if self._uses[number] == 0:
                del self._numbers[capabilities]
                self._kept[number] = None
                self._unused.append(number)
        capabilities.release()

    def _place(self) -> int:
        if self._unused:
            return self._unused.pop()
        self._kept.append(None)
        self._uses.append(0)
        return len(self._kept) - 1


def _parse(document: bytes) -> FrozenJson:
    """Return the content of *document*, read-only at every depth."""
    try:
        return _frozen(json.loads(document))
    except ValueError as exc:
        raise StateError(
            f"capabilities of {len(document):,} bytes are not JSON: {exc}",
            hint="Send the handshake's capabilities as one JSON document in UTF-8.",
        ) from exc
    except RecursionError:
        raise StateError(
            f"capabilities of {len(document):,} bytes are nested too deep",
            hint="Refuse the peer: no handshake needs this.",
        ) from None


def _frozen(value: object) -> FrozenJson:
    """Return parsed JSON with its objects and arrays made read-only."""
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(item) for key, item in value.items()})
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    return value  # type: ignore[return-value] # what is left of JSON is immutable
