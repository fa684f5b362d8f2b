"""One copy of each handshake document, however many connections sent the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from memopt_cli.errors import StateError
from memopt_cli.optimizer.forking import Locked
from memopt_cli.optimizer.records import MOST_DOCUMENTS
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


class CapabilityStore(Locked):
    """
    Documents by content, counted by reference.

    The key is the whole document, compared byte by byte: two that differ in a space are two.
    Every method may be called from any thread.
    """

    __slots__ = ("_document_bytes", "_documents", "_references")

    def __init__(self) -> None:
        super().__init__()
        self._documents: dict[bytes, Capabilities] = {}
        self._references = 0
        self._document_bytes = 0

    def acquire(self, document: bytes | bytearray | memoryview) -> Capabilities:
        """
        Return the shared view of *document*, parsed if it is the first of its kind.

        Each acquire needs one release.

        Raises:
            StateError: The bytes are not JSON, or nested too deep to parse.
        """
        content = bytes(document)
        known = self._referred_to(content)
        if known is None:
            parsed = Capabilities(content, _parse(content), self)
            while known is None:
                self._add(parsed)
                known = self._referred_to(content)
        return known

    def release(self, capabilities: Capabilities) -> None:
        """
        Give one reference back; the last one frees the document.

        Raises:
            StateError: This store does not hold them, or every reference was given back
                before; nothing has changed.
        """
        document = capabilities.document
        length = len(document)
        with self._lock:
            try:
                # No call between the look-up and the last store: see `Locked`.
                if self._documents[document] is capabilities:
                    references = capabilities._references - 1  # noqa: SLF001 - the store counts
                    capabilities._references = references  # noqa: SLF001 - the store counts
                    self._references -= 1
                    if not references:
                        del self._documents[document]
                        self._document_bytes -= length
                    return
            except KeyError:
                pass
        raise StateError(
            f"{capabilities!r} is not held by this store",
            hint="Release once per acquire, to the store they were acquired from.",
        )

    def stats(self) -> CapabilityStats:
        """Return what the store holds now."""
        with self._lock:
            return CapabilityStats(len(self._documents), self._references, self._document_bytes)

    def _referred_to(self, document: bytes) -> Capabilities | None:
        """Return a document that is known, with one more reference."""
        with self._lock:
            try:
                known = self._documents[document]
                known._references += 1  # noqa: SLF001 - the store counts
                self._references += 1
            except KeyError:
                return None
            return known

    def _add(self, parsed: Capabilities) -> None:
        """Keep a document that nobody refers to yet, unless an equal one is there by now."""
        document = parsed.document
        length = len(document)
        with self._lock:
            if document not in self._documents:
                self._documents[document] = parsed
                self._document_bytes += length


class CapabilityTable:
    """
    Small numbers for the documents that a pool of states refers to; 0 is none.

    Holds one reference for each `keep`; `release` returns whose it was. Reading may be done
    from any thread; for all else the owner locks.
    """

    __slots__ = ("_kept", "_numbers", "_unused", "_uses")

    def __init__(self) -> None:
        self._kept: list[Capabilities | None] = [None]
        self._uses = [0]
        self._numbers: dict[Capabilities, int] = {}
        self._unused: list[int] = []

    def __len__(self) -> int:
        """Return how many documents are referred to."""
        return len(self._numbers)

    def __getitem__(self, number: int) -> Capabilities | None:
        return self._kept[number]

    def keep(self, capabilities: Capabilities | None) -> int:
        """
        Return the number of a document, used once more.

        Raises:
            StateError: As many documents are kept as there are numbers.
        """
        if capabilities is None:
            return 0
        while True:
            try:
                # No call between the look-up and the count: see `Locked`.
                number = self._numbers[capabilities]
                self._uses[number] += 1
            except KeyError:
                self._add(capabilities)
            else:
                return number

    def release(self, number: int) -> Capabilities | None:
        """Use a document once less, and return it: one reference to it is the caller's again."""
        capabilities = self._kept[number]
        if capabilities is not None:
            self._uses[number] -= 1
            if not self._uses[number]:
                del self._numbers[capabilities]
                self._kept[number] = None
                self._unused.append(number)
        return capabilities

    def _add(self, capabilities: Capabilities) -> None:
        """Give a document that has none a number, unless it has one by now."""
        number = self._place()
        if capabilities in self._numbers:
            self._unused.append(number)
            return
        self._kept[number] = capabilities
        self._numbers[capabilities] = number

    def _place(self) -> int:
        """Return a number that is nobody's."""
        while True:
            try:
                return self._unused.pop()
            except IndexError:
                # A finaliser may be the first to use the new place.
                if len(self._kept) > MOST_DOCUMENTS:
                    raise StateError(
                        f"{MOST_DOCUMENTS:,} documents are in use",
                        hint="Use one pool of states less than this is shared by.",
                    ) from None
                self._kept.append(None)
                self._uses.append(0)
                self._unused.append(len(self._uses) - 1)


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
