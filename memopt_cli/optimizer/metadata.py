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
MOST_SHAPE_CHARACTERS: Final = 1024
"""Keys come from peers, who may never send the same ones twice, or very long ones: shapes
beyond these bounds are not kept, and their keys are packed with their values."""

OWN_KEYS: Final = bytes(SHAPE_BYTES)
"""The number of the shape of an entry whose keys are packed with its values."""

CANONICAL: Final = 2
"""The version of `marshal` that writes equal bytes for equal content: no references."""


class MetadataTable:
    """
    Entries by a reference of 32 bits; the caller knows which are shared.

    `marshal` packs them: it is the fastest that the standard library has and keeps every type
    apart. What it writes never leaves the process. Reading may be done from any thread; for
    all else the owner locks.
    """

    __slots__ = ("_arena", "_numbers", "_shapes", "_shapes_made", "_shared")

    def __init__(self) -> None:
        self._arena = Arena()
        # By their numbers, which begin an entry; and the numbers by shape.
        self._shapes: dict[bytes, tuple[str, ...]] = {}
        self._numbers: dict[tuple[str, ...], bytes] = {}
        self._shapes_made = 0
        self._shared = _SharedEntries()

    def read(self, reference: int, *, shared: bool) -> Mapping[str, MetadataValue]:
        """Return the content of an entry; of a private one, a dictionary of the caller's."""
        if reference == NO_ENTRY:
            return NO_METADATA
        if shared:
            return self._shared.content(reference)
        return self._unpacked(self._arena.load(reference))

    def pack(self, content: Mapping[str, MetadataValue]) -> bytes:
        """Return *content*, which is not empty, as the bytes of a private entry."""
        keys = tuple(content)
        number = self._numbers.get(keys) or self._new_shape(keys)
        if number == OWN_KEYS:
            return OWN_KEYS + marshal.dumps(dict(content))
        return number + marshal.dumps(tuple(content.values()))

    def store(self, packed: bytes) -> int:
        """Return the reference of a new private entry."""
        return self._arena.store(packed)

    def overwrite(self, reference: int, packed: bytes) -> bool:
        """Replace a private entry where it is, if it fits there; say whether it did."""
        return self._arena.overwrite(reference, packed)

    def share(self, content: Mapping[str, MetadataValue]) -> int:
        """Return the reference of the one entry with this content, counted once more."""
        return self._shared.acquire(content) if content else NO_ENTRY

    def free(self, reference: int, *, shared: bool) -> None:
        """Let an entry go; a shared one when nobody has it any more."""
        if reference == NO_ENTRY:
            return
        if shared:
            self._shared.release(reference)
        else:
            self._arena.free(reference)

    def entry_bytes(self, reference: int, *, shared: bool) -> int:
        """Return what an entry costs its connection alone: nothing if it is shared."""
        if reference == NO_ENTRY or shared:
            return 0
        return self._arena.block_bytes(reference)

    def entries(self) -> tuple[int, int]:
        """Return how many private and how many shared entries there are."""
        return self._arena.blocks_in_use(), len(self._shared)

    def _new_shape(self, keys: tuple[str, ...]) -> bytes:
        """Return the number of a new shape, `OWN_KEYS` if it is not kept."""
        if sum(map(len, keys)) > MOST_SHAPE_CHARACTERS:
            return OWN_KEYS
        made = self._shapes_made + 1
        if made > MOST_SHAPES:
            return OWN_KEYS
        self._shapes_made = made
        number = made.to_bytes(SHAPE_BYTES, "little")
        self._shapes[number] = keys
        self._numbers[keys] = number
        return number

    def _unpacked(self, block: bytes) -> dict[str, MetadataValue]:
        number = block[:SHAPE_BYTES]
        # What follows the values in their block is ignored, which `marshal` promises.
        content = marshal.loads(memoryview(block)[SHAPE_BYTES:])  # noqa: S302 - our own bytes
        if number == OWN_KEYS:
            found: dict[str, MetadataValue] = content
            return found
        return dict(zip(self._shapes[number], content, strict=True))


class _SharedEntries:
    """
    Entries by content, counted by reference.

    A count changes in the same breath as the look-up: no call in between, in which a finaliser
    could let the entry go.
    """

    __slots__ = ("_contents", "_counts", "_keys", "_references", "_unused")

    def __init__(self) -> None:
        # Number 0 is nobody's.
        self._contents: list[Mapping[str, MetadataValue]] = [NO_METADATA]
        self._counts = [0]
        self._keys = [b""]
        self._references: dict[bytes, int] = {}
        self._unused: list[int] = []

    def __len__(self) -> int:
        """Return how many entries that differ are kept."""
        return len(self._references)

    def content(self, reference: int) -> Mapping[str, MetadataValue]:
        return self._contents[reference]

    def acquire(self, content: Mapping[str, MetadataValue]) -> int:
        # As bytes, because True, 1 and 1.0 are equal and must not be merged.
        key = marshal.dumps(list(content.items()), CANONICAL)
        while True:
            try:
                reference = self._references[key]
                self._counts[reference] += 1
            except KeyError:
                self._add(key, MappingProxyType(dict(content)))
            else:
                return reference

    def release(self, reference: int) -> None:
        self._counts[reference] -= 1
        if self._counts[reference] == 0:
            del self._references[self._keys[reference]]
            self._contents[reference], self._keys[reference] = NO_METADATA, b""
            self._unused.append(reference)

    def _add(self, key: bytes, content: Mapping[str, MetadataValue]) -> None:
        """Keep an entry that nobody has yet, unless it is there by now."""
        reference = self._place()
        if key in self._references:
            self._unused.append(reference)
            return
        self._contents[reference], self._keys[reference] = content, key
        self._references[key] = reference

    def _place(self) -> int:
        """Return a number that is nobody's."""
        while True:
            try:
                return self._unused.pop()
            except IndexError:
                # A finaliser may be the first to use the new place.
                self._contents.append(NO_METADATA)
                self._keys.append(b"")
                self._counts.append(0)
                self._unused.append(len(self._counts) - 1)


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
