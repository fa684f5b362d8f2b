"""Agents as rows of columns: beliefs, histories and what else each remembers."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from memopt_cli.optimizer.agents.rings import WORD_BYTES, Digits, Rings, ring_words
from memopt_cli.optimizer.agents.tiers import Tier, belief_rows
from memopt_cli.optimizer.memory import reserve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memopt_cli.optimizer.agents.shared import SharedModel

HEAD: Final = struct.Struct("<qi")
"""Of a packed agent: how many actions it has done, and the latest."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What all chunks of a population have in common."""

    model: SharedModel
    tier: Tier
    digits: Digits
    history: int
    """Actions that a row remembers at least."""

    dropped_below: float
    """Of the sparse tier: beliefs that are replaced by their mean."""

    @property
    def longest_bytes(self) -> int:
        """Bound on a packed agent: no tier's row is longer than one of float64."""
        beliefs = 8 * (self.model.width + len(self.model.states) + 1)
        return HEAD.size + WORD_BYTES * ring_words(self.digits, self.history) + beliefs


class Chunk:
    """Rows for some agents; the first `used` are in use."""

    __slots__ = ("beliefs", "codes", "last_used_s", "rings", "row_bytes", "slots", "used")

    def __init__(self, kind: Kind, rows: int) -> None:
        import numpy as np

        width = ring_words(kind.digits, kind.history)
        self.beliefs = belief_rows(kind.model, kind.tier, rows, kind.dropped_below)
        # One piece from the system for all columns, so that it goes back to it with the chunk.
        self.row_bytes = WORD_BYTES * (width + 3)
        memory = reserve(rows * self.row_bytes)

        def column(dtype: str, at_bytes: int, *shape: int) -> NDArray[Any]:
            return np.ndarray((rows, *shape), dtype, memory, rows * at_bytes)

        self.last_used_s = column("f8", 0)
        self.codes = column("i4", 8)
        self.slots = column("i4", 12)
        words, counts = column("u8", 24, width), column("i8", 16)
        self.rings = Rings(words, counts, kind.digits, kind.history)
        self.used = 0

    def copy_row(self, row: int, source: Chunk, source_row: int) -> None:
        """Make a row that of another chunk, or of this one."""
        self.beliefs.copy_row(row, source.beliefs, source_row)
        self.rings.words[row] = source.rings.words[source_row]
        self.rings.counts[row] = source.rings.counts[source_row]
        self.codes[row] = source.codes[source_row]
        self.slots[row] = source.slots[source_row]
        self.last_used_s[row] = source.last_used_s[source_row]

    def pack(self, row: int) -> bytes:
        """Return all that the agent of a row is, but its slot."""
        rings = self.rings
        head = HEAD.pack(rings.counts[row], self.codes[row])
        return b"".join((head, rings.words[row].tobytes(), self.beliefs.pack(row)))

    def unpack(self, row: int, content: bytes) -> None:
        """Make the agent of a row what `pack` has returned."""
        import numpy as np

        self.rings.counts[row], self.codes[row] = HEAD.unpack_from(content)
        width = self.rings.words.shape[1]
        self.rings.words[row] = np.frombuffer(content, np.uint64, width, HEAD.size)
        self.beliefs.unpack(row, content[HEAD.size + self.rings.words[row].nbytes :])
