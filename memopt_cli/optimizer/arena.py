"""
Short byte strings packed side by side, outside the collector's and the allocator's view.

A `bytes` object of 68 bytes takes 112 and a reference 8 more; a block here takes 80.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from memopt_cli.optimizer.memory import reserve

if TYPE_CHECKING:
    import mmap

GRAIN_BYTES: Final = 16
"""Block sizes are multiples of this: at most 15 bytes of a block are unused."""

CLASSES: Final = 32
LARGEST_BLOCK_BYTES: Final = GRAIN_BYTES * CLASSES
"""Above 512 bytes an object of its own costs less than a tenth more."""

CHUNK_BYTES: Final = 256 * 1024
"""Address space taken at once per block size; memory comes a page at a time."""

INDEX_BITS: Final = 26
INDEX_MASK: Final = (1 << INDEX_BITS) - 1
LARGE: Final = CLASSES
"""The class of what is longer than any block: kept as objects."""

PLACE_BYTES: Final = 8
"""Of an object in a list."""

NO_BLOCK: Final = 0
"""Never a reference: classes count from 1."""


class Arena:
    """
    Blocks of bytes by a reference of 32 bits.

    A reference holds the block's size class and number. Freed blocks are used again for the
    same class, the latest first. Not safe for threads: the owner locks.
    """

    __slots__ = ("_classes", "_large", "_large_free")

    def __init__(self) -> None:
        self._classes: list[_BlockClass | None] = [None] * CLASSES
        self._large: list[bytes | None] = []
        self._large_free: list[int] = []

    def store(self, content: bytes) -> int:
        """
        Return the reference of a copy of *content*, which is not empty.

        Raises:
            PoolError: There is no more address space.
        """
        number = (len(content) - 1) // GRAIN_BYTES
        if number >= CLASSES:
            return (LARGE + 1) << INDEX_BITS | self._store_large(content)
        blocks = self._classes[number]
        if blocks is None:
            fresh = _BlockClass((number + 1) * GRAIN_BYTES)
            # A finaliser may have been the first.
            blocks = self._classes[number]
            if blocks is None:
                blocks = self._classes[number] = fresh
        return (number + 1) << INDEX_BITS | blocks.store(content)

    def load(self, reference: int) -> bytes:
        """Return the content of a block, followed by what else is in the block."""
        number = (reference >> INDEX_BITS) - 1
        blocks = self._classes[number] if number < CLASSES else None
        if blocks is not None:
            return blocks.load(reference & INDEX_MASK)
        return self._large[reference & INDEX_MASK]  # type: ignore[return-value] # in use

    def overwrite(self, reference: int, content: bytes) -> bool:
        """Put *content* into a block that is as large as it needs; say whether this one is."""
        number = (reference >> INDEX_BITS) - 1
        blocks = self._classes[number] if number < CLASSES else None
        if blocks is None or (len(content) - 1) // GRAIN_BYTES != number:
            return False
        blocks.write(reference & INDEX_MASK, content)
        return True

    def free(self, reference: int) -> None:
        """Make a block available to the next of its size."""
        number, index = (reference >> INDEX_BITS) - 1, reference & INDEX_MASK
        blocks = self._classes[number] if number < CLASSES else None
        if blocks is not None:
            blocks.free(index)
        else:
            self._large[index] = None
            self._large_free.append(index)

    def block_bytes(self, reference: int) -> int:
        """Return what a block occupies; of a large one, the object and its place."""
        number = (reference >> INDEX_BITS) - 1
        if number < CLASSES:
            return (number + 1) * GRAIN_BYTES
        return sys.getsizeof(self.load(reference)) + PLACE_BYTES

    def blocks_in_use(self) -> int:
        """Return how many references were stored and not freed."""
        large = len(self._large) - len(self._large_free)
        return large + sum(blocks.in_use() for blocks in self._classes if blocks is not None)

    def _store_large(self, content: bytes) -> int:
        """Keep *content* as an object and return its place."""
        while True:
            try:
                index = self._large_free.pop()
            except IndexError:
                # A finaliser may be the first to use the new place.
                self._large.append(None)
                self._large_free.append(len(self._large) - 1)
            else:
                self._large[index] = content
                return index


class _BlockClass:
    """
    Blocks of one size, in chunks; free ones are linked through their first four bytes.

    A block is taken from the list, or from the end, without a call in between: a finaliser
    that stores or frees a block gets another one.
    """

    __slots__ = ("_chunks", "_free", "_made", "_per_chunk", "_room", "_size")

    def __init__(self, size_bytes: int) -> None:
        self._size = size_bytes
        self._per_chunk = CHUNK_BYTES // size_bytes
        # Each as bytes, and as words.
        self._chunks: list[tuple[mmap.mmap, memoryview[int]]] = []
        self._made = self._room = 0
        # One more than the block's number, so that 0 ends the list.
        self._free = 0

    def store(self, content: bytes) -> int:
        """Copy *content* into a block and return its number."""
        while not self._free and self._made == self._room:
            self._grow()
        free = self._free
        if free:
            index = free - 1
            chunk, at = index // self._per_chunk, index % self._per_chunk * self._size
            self._free = self._chunks[chunk][1][at >> 2]
        else:
            index = self._made
            self._made = index + 1
            chunk, at = index // self._per_chunk, index % self._per_chunk * self._size
        self._chunks[chunk][0][at : at + len(content)] = content
        return index

    def load(self, index: int) -> bytes:
        """Return a whole block."""
        at = index % self._per_chunk * self._size
        return self._chunks[index // self._per_chunk][0][at : at + self._size]

    def write(self, index: int, content: bytes) -> None:
        """Overwrite a block."""
        at = index % self._per_chunk * self._size
        self._chunks[index // self._per_chunk][0][at : at + len(content)] = content

    def free(self, index: int) -> None:
        """Link a block into the list of free ones."""
        at = index % self._per_chunk * self._size
        self._chunks[index // self._per_chunk][1][at >> 2] = self._free
        self._free = index + 1

    def in_use(self) -> int:
        """Return how many blocks were stored and not freed, by walking the free ones."""
        count, free = self._made, self._free
        while free:
            count -= 1
            chunk, number = divmod(free - 1, self._per_chunk)
            free = self._chunks[chunk][1][number * self._size >> 2]
        return count

    def _grow(self) -> None:
        """Take the address space for one chunk more."""
        chunk = reserve(CHUNK_BYTES)
        self._chunks.append((chunk, memoryview(chunk).cast("I")))
        self._room += self._per_chunk
