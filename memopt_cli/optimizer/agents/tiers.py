"""
Where the beliefs of a chunk of agents are kept, in one of four precisions.

======  =======================  ==================================================
tier    bytes per state          error
======  =======================  ==================================================
f64     8                        none: the posterior as it was computed
f32     4                        6e-8 of each belief
log16   2                        2.9e-4 of each belief plus 1e-16
sparse  6 per state above 1e-8   6e-8 of those; the others become their mean
======  =======================  ==================================================

What the sparse tier forgets is the order among states that are nearly ruled out. An agent
whose world does what its model says does not miss it; one that is surprised, as by being
put elsewhere, decides by nothing else. For such worlds lower `dropped_below` to 1e-17, which
is below what inference adds to every belief; where the likelihood is sparse this costs
little.

Inference is in float64 for every tier. So equal beliefs are stored as equal values, and
actions that are exactly equal stay so: computed in float32 they would differ by rounding,
and the tie rule would need a tolerance that also hides real differences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self, TypeAlias, get_args

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents.packing import DROPPED_BELOW, SparseRows, from_log16, to_log16
from memopt_cli.optimizer.memory import reserve

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from memopt_cli.optimizer.agents.model import Floats, Ints
    from memopt_cli.optimizer.agents.shared import SharedModel

Tier: TypeAlias = Literal["f64", "f32", "log16", "sparse"]
TIERS: Final[tuple[Tier, ...]] = get_args(Tier)
_DTYPES: Final = {"f64": "f8", "f32": "f4", "log16": "u2"}

CHUNK_BYTES: Final = 1 << 20
"""Of dense beliefs; taken as address space, of which memory comes a page at a time."""

MOST_CHUNK_ROWS: Final = 4096


class BeliefRows(Protocol):
    """The beliefs of one chunk's agents, [row, state], the factors side by side."""

    @property
    def size_bytes(self) -> int:
        """What the first rows, as many as are in use, occupy."""

    def read(self, rows: Ints, out: Floats) -> None:
        """Write the beliefs of *rows*, which are in order, to *out*."""

    def write(self, rows: Ints, beliefs: Floats) -> None:
        """Replace the beliefs of *rows*, which are in order and differ."""

    def pack(self, row: int) -> bytes:
        """Return one row as it is kept."""

    def unpack(self, row: int, content: bytes) -> None:
        """Replace one row by what `pack` has returned."""

    def copy_row(self, row: int, source: Self, source_row: int) -> None:
        """Replace one row by one of another chunk of the population."""

    def shorten(self, rows: int) -> None:
        """Forget all but the first *rows*."""


def check_tier(tier: str) -> None:
    """
    Do nothing if there is such a tier.

    Raises:
        AgentError: There is none.
    """
    if tier not in TIERS:
        raise AgentError(f"there is no tier {tier!r}", hint=f"Use one of {', '.join(TIERS)}.")


def rows_per_chunk(model: SharedModel, tier: Tier) -> int:
    """Return how many agents a chunk holds: a whole number of inference's blocks."""
    import numpy as np

    # A sparse row is small, but nobody knows how small; as if it were a fortieth.
    row_bytes = (
        model.width / 5 if tier == "sparse" else model.width * np.dtype(_DTYPES[tier]).itemsize
    )
    rows = min(int(CHUNK_BYTES / row_bytes), MOST_CHUNK_ROWS)
    return max(rows // model.block_rows, 1) * model.block_rows


def belief_rows(
    model: SharedModel, tier: Tier, rows: int, dropped_below: float = DROPPED_BELOW
) -> BeliefRows:
    """Return room for the beliefs of *rows* agents."""
    if tier == "sparse":
        return RaggedRows(model, rows, dropped_below)
    return DenseRows(model, tier, rows)


class DenseRows:
    """One number per state, in pages of its own that go back to the system with the chunk."""

    __slots__ = ("_array", "_used")

    def __init__(self, model: SharedModel, tier: Tier, rows: int) -> None:
        import numpy as np

        dtype = np.dtype(_DTYPES[tier])
        # From the system and not from malloc, which keeps what is freed below its ceiling,
        # and raises that to the largest block it has seen freed.
        memory = reserve(rows * model.width * dtype.itemsize)
        self._array: np.ndarray[Any, Any] = np.ndarray((rows, model.width), dtype, memory)
        self._used = 0

    @property
    def size_bytes(self) -> int:
        """What the rows in use occupy."""
        return self._used * int(self._array[0].nbytes)

    def read(self, rows: Ints, out: Floats) -> None:
        """Write the beliefs of *rows* to *out*."""
        found = self._array[_as_slice(rows)]
        if found.dtype.kind == "u":
            from_log16(found, out)
        else:
            out[:] = found

    def write(self, rows: Ints, beliefs: Floats) -> None:
        """Replace the beliefs of *rows*."""
        coded = to_log16(beliefs) if self._array.dtype.kind == "u" else beliefs
        self._array[_as_slice(rows)] = coded
        self._used = max(self._used, int(rows[-1]) + 1)

    def pack(self, row: int) -> bytes:
        """Return one row as it is kept."""
        packed: bytes = self._array[row].tobytes()
        return packed

    def unpack(self, row: int, content: bytes) -> None:
        """Replace one row by what `pack` has returned."""
        import numpy as np

        self._array[row] = np.frombuffer(content, self._array.dtype)
        self._used = max(self._used, row + 1)

    def copy_row(self, row: int, source: Self, source_row: int) -> None:
        """Replace one row by one of another chunk of the population."""
        self._array[row] = source._array[source_row]

    def shorten(self, rows: int) -> None:
        """Forget all but the first *rows*."""
        self._used = min(self._used, rows)


class RaggedRows:
    """The states that matter, a string of bytes per block of inference."""

    __slots__ = ("_blocks", "_form", "_per_block", "_width")

    def __init__(self, model: SharedModel, rows: int, dropped_below: float) -> None:
        self._form = SparseRows(model.states, dropped_below)
        self._width, self._per_block = model.width, model.block_rows
        # The rows of a block, and their content.
        self._blocks: list[tuple[int, bytes]] = [(0, b"")] * -(-rows // model.block_rows)

    @property
    def size_bytes(self) -> int:
        """What the rows in use occupy."""
        return sum(len(content) for _, content in self._blocks)

    def read(self, rows: Ints, out: Floats) -> None:
        """Write the beliefs of *rows* to *out*."""
        for block, start, stop in self._parts(rows):
            within = rows[start:stop] - block * self._per_block
            count, content = self._blocks[block]
            if len(within) == count:
                self._form.unpack(content, count, out[start:stop])
            else:
                out[start:stop] = self._block(block, count)[within]

    def write(self, rows: Ints, beliefs: Floats) -> None:
        """Replace the beliefs of *rows*."""
        for block, start, stop in self._parts(rows):
            within = rows[start:stop] - block * self._per_block
            count = max(self._blocks[block][0], int(within[-1]) + 1)
            whole = beliefs[start:stop]
            if len(within) < count:
                whole = self._block(block, count)
                whole[within] = beliefs[start:stop]
            self._blocks[block] = count, self._form.pack(whole)

    def pack(self, row: int) -> bytes:
        """Return one row as it is kept."""
        block, within = divmod(row, self._per_block)
        return self._form.pack(self._block(block, self._blocks[block][0])[within : within + 1])

    def unpack(self, row: int, content: bytes) -> None:
        """Replace one row by what `pack` has returned."""
        import numpy as np

        belief = np.empty((1, self._width))
        self._form.unpack(content, 1, belief)
        self.write(np.array([row]), belief)

    def copy_row(self, row: int, source: Self, source_row: int) -> None:
        """Replace one row by one of another chunk of the population."""
        self.unpack(row, source.pack(source_row))

    def shorten(self, rows: int) -> None:
        """Forget all but the first *rows*."""
        for block, (count, _) in enumerate(self._blocks):
            left = min(max(rows - block * self._per_block, 0), count)
            if left < count:
                self._blocks[block] = left, self._form.pack(self._block(block, count)[:left])

    def _block(self, block: int, rows: int) -> Floats:
        """Return the beliefs of a block, made *rows* long with zeros."""
        import numpy as np

        beliefs = np.zeros((rows, self._width))
        count, content = self._blocks[block]
        if count:
            self._form.unpack(content, count, beliefs[:count])
        return beliefs

    def _parts(self, rows: Ints) -> Iterator[tuple[int, int, int]]:
        """Yield each block that *rows* fall into, and which of them do."""
        start = 0
        while start < len(rows):
            block = int(rows[start]) // self._per_block
            stop = int(rows.searchsorted((block + 1) * self._per_block))
            yield block, start, stop
            start = stop


def _as_slice(rows: Ints) -> slice | Ints:
    """Return rows that follow each other as a slice, which is read without being gathered."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows
