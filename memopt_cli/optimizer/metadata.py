"""
The metadata of many connections: packed side by side, or one copy for all that are equal.

A private entry is packed into a block of an arena: the number of its *shape* (its keys, in
order, one tuple for all states that have them) and the values. Four values of 14 characters
take 80 bytes, where a dictionary takes 500. A shared entry is kept once, however many
connections have it, and costs each of them nothing.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator, Mapping, MutableMapping
from threading import RLock
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from memopt_cli.optimizer.arena import NO_BLOCK, Arena
from memopt_cli.optimizer.fields import MetadataValue, check_metadata_item

if TYPE_CHECKING:
    from memopt_cli.optimizer.state import CompactState

NO_ENTRY: Final = NO_BLOCK
NO_METADATA: Final[Mapping[str, MetadataValue]] = MappingProxyType({})

SHAPE_BYTES: Final = 2
MOST_SHAPES: Final = 4096
"""Keys come from peers, who may never send the same ones twice: later shapes are not kept."""

OWN_KEYS: Final = 0
"""The shape of an entry whose keys are packed with its values."""

CANONICAL: Final = 2
"""The version of `marshal` that writes equal bytes for equal content: no references."""


class MetadataTable:
    """
    Entries by a reference of 32 bits; the caller knows which are shared.

    `marshal` packs them: it is the fastest that the standard library has and keeps every type
    apart. What it writes never leaves the process. Every method may be called from any thread.
    """

    __slots__ = ("_arena", "_lock", "_numbers", "_shapes", "_shared")

    def __init__(self) -> None:
        self._arena = Arena()
        self._shapes: list[tuple[str, ...]] = [()]
        self._numbers: dict[tuple[str, ...], int] = {}
        self._shared = _SharedEntries()
        self._lock = RLock()

    def read(self, reference: int, *, shared: bool) -> Mapping[str, MetadataValue]:
        """Return the content of an entry; of a private one, a dictionary of the caller's."""
        if reference == NO_ENTRY:
            return NO_METADATA
        if shared:
            return self._shared.content(reference)
        return self._unpacked(self._arena.load(reference))

    def write(self, reference: int, content: Mapping[str, MetadataValue]) -> int:
        """Replace a private entry, or make one, and return its reference."""
        with self._lock:
            if not content:
                self.free(reference, shared=False)
                return NO_ENTRY
            packed = self._packed(content)
            if reference == NO_ENTRY:
                return self._arena.store(packed)
            return self._arena.replace(reference, packed)

    def share(self, content: Mapping[str, MetadataValue]) -> int:
        """Return the reference of the one entry with this content, counted once more."""
        with self._lock:
            return self._shared.acquire(content) if content else NO_ENTRY

    def free(self, reference: int, *, shared: bool) -> None:
        """Let an entry go; a shared one when nobody has it any more."""
        if reference == NO_ENTRY:
            return
        with self._lock:
            if shared:
                self._shared.release(reference)
            else:
                self._arena.free(reference)

    def entry_bytes(self, reference: int, *, shared: bool) -> int:
        """Return what an entry costs its connection alone: nothing if it is shared."""
        if reference == NO_ENTRY or shared:
            return 0
        return self._arena.block_bytes(reference)

    def _packed(self, content: Mapping[str, MetadataValue]) -> bytes:
        keys = tuple(content)
        number = self._numbers.get(keys)
        if number is None:
            if len(self._shapes) > MOST_SHAPES:
                return OWN_KEYS.to_bytes(SHAPE_BYTES, "little") + marshal.dumps(dict(content))
            number = self._numbers[keys] = len(self._shapes)
            self._shapes.append(keys)
        return number.to_bytes(SHAPE_BYTES, "little") + marshal.dumps(tuple(content.values()))

    def _unpacked(self, block: bytes) -> dict[str, MetadataValue]:
        number = block[0] | block[1] << 8
        # What follows the values in their block is ignored, which `marshal` promises.
        content = marshal.loads(memoryview(block)[SHAPE_BYTES:])  # noqa: S302 - our own bytes
        if number == OWN_KEYS:
            found: dict[str, MetadataValue] = content
            return found
        return dict(zip(self._shapes[number], content, strict=True))


class _SharedEntries:
    """Entries by content, counted by reference."""

    __slots__ = ("_contents", "_counts", "_keys", "_references", "_unused")

    def __init__(self) -> None:
        # Number 0 is nobody's.
        self._contents: list[Mapping[str, MetadataValue]] = [NO_METADATA]
        self._counts = [0]
        self._keys = [b""]
        self._references: dict[bytes, int] = {}
        self._unused: list[int] = []

    def content(self, reference: int) -> Mapping[str, MetadataValue]:
        return self._contents[reference]

    def acquire(self, content: Mapping[str, MetadataValue]) -> int:
        # As bytes, because True, 1 and 1.0 are equal and must not be merged.
        key = marshal.dumps(list(content.items()), CANONICAL)
        reference = self._references.get(key)
        if reference is None:
            reference = self._references[key] = self._place()
            self._contents[reference] = MappingProxyType(dict(content))
            self._keys[reference] = key
        self._counts[reference] += 1
        return reference

    def release(self, reference: int) -> None:
        self._counts[reference] -= 1
        if self._counts[reference] == 0:
            del self._references[self._keys[reference]]
            self._contents[reference], self._keys[reference] = NO_METADATA, b""
            self._unused.append(reference)

    def _place(self) -> int:
        if self._unused:
            return self._unused.pop()
        self._contents.append(NO_METADATA)
        self._counts.append(0)
        self._keys.append(b"")
        return len(self._contents) - 1


class StateMetadata(MutableMapping[str, MetadataValue]):
    """
    The metadata of one state, as a mapping: reading unpacks, writing packs anew.

    Writing to shared metadata makes a private copy first.
    """

    __slots__ = ("_state",)

    def __init__(self, state: CompactState) -> None:
        self._state = state

    def __getitem__(self, key: str) -> MetadataValue:
        return self._state.read_metadata()[key]

    def __setitem__(self, key: str, value: MetadataValue) -> None:
        check_metadata_item("metadata", key, value)
        self._state.write_metadata({**self._state.read_metadata(), key: value})

    def __delitem__(self, key: str) -> None:
        left = dict(self._state.read_metadata())
        del left[key]
        self._state.write_metadata(left)

    def __iter__(self) -> Iterator[str]:
        return iter(self._state.read_metadata())

    def __len__(self) -> int:
        return len(self._state.read_metadata())

    def __repr__(self) -> str:
        return repr(dict(self._state.read_metadata()))
