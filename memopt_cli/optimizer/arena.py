"""
Short byte strings packed side by side, outside the collector's and the allocator's view.

A `bytes` object of 68 bytes takes 112 and a reference 8 more; a block here takes 80.
"""

from __future__ import annotations

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
        """Return the reference of a copy of *content*, which is not empty."""
        number = (len(content) - 1) // GRAIN_BYTES
        if number >= CLASSES:
            return (LARGE + 1) << INDEX_BITS | self._store_large(content)
        blocks = self._classes[number]
        if blocks is None:
            blocks = self._classes[number] = _BlockClass((number + 1) * GRAIN_BYTES)
        return (number + 1) << INDEX_BITS | blocks.store(content)

    def load(self, reference: int) -> bytes:
        """Return the content of a block, followed by what else is in the block."""
        number = (reference >> INDEX_BITS) - 1
        blocks = self._classes[number] if number < CLASSES else None
        if blocks is not None:
            return blocks.load(reference & INDEX_MASK)
        return self._large[reference & INDEX_MASK]  # type: ignore[return-value] # in use

    def replace(self, reference: int, content: bytes) -> int:
        """Put *content* in the place of a block and return its reference, often the same one."""
        number = (reference >> INDEX_BITS) - 1
        blocks = self._classes[number] if number < CLASSES else None
        if blocks is not None and (len(content) - 1) // GRAIN_BYTES == number:
            blocks.write(reference & INDEX_MASK, content)
            return reference
        self.free(reference)
        return self.store(content)

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
        """Return what a block occupies; of a large one, the length of its content."""
        number = (reference >> INDEX_BITS) - 1
        if number < CLASSES:
            return (number + 1) * GRAIN_BYTES
        return len(self.load(reference))

    def _store_large(self, content: bytes) -> int:
        """Keep *content* as an object and return its place."""
        if self._large_free:
            index = self._large_free.pop()
            self._large[index] = content
            return index
        self._large.append(content)
        return len(self._large) - 1


class _BlockClass:
    """Blocks of one size, in chunks; free ones are linked through their first four bytes."""

    __slots__ = ("_chunks", "_free", "_made", "_per_chunk", "_size")

    def __init__(self, size_bytes: int) -> None:
        self._size = size_bytes
        self._per_chunk = CHUNK_BYTES // size_bytes
        self._chunks: list[mmap.mmap] = []
        self._made = 0
        # One more than the block's number, so that 0 ends the list.
        self._free = 0

    def store(self, content: bytes) -> int:
        """Copy *content* into a block and return its number."""
        if self._free:
            index = self._free - 1
            chunk, number = divmod(index, self._per_chunk)
            at = number * self._size
            self._free = int.from_bytes(self._chunks[chunk][at : at + 4], "little")
        else:
            index = self._made
            self._made += 1
            chunk, number = divmod(index, self._per_chunk)
            if chunk == len(self._chunks):
                self._chunks.append(reserve(CHUNK_BYTES))
            at = number * self._size
        self._chunks[chunk][at : at + len(content)] = content
        return index

    def load(self, index: int) -> bytes:
        """Return a whole block."""
        chunk, number = divmod(index, self._per_chunk)
        at = number * self._size
        return self._chunks[chunk][at : at + self._size]

    def write(self, index: int, content: bytes) -> None:
        """Overwrite a block."""
        chunk, number = divmod(index, self._per_chunk)
        at = number * self._size
        self._chunks[chunk][at : at + len(content)] = content

    def free(self, index: int) -> None:
        """Link a block into the list of free ones."""
        chunk, number = divmod(index, self._per_chunk)
        at = number * self._size
        self._chunks[chunk][at : at + 4] = self._free.to_bytes(4, "little")
        self._free = index + 1
