"""
Numbers that change slowly, as their differences in steps of twice the error that is allowed.

What is kept is not how a value differs from the one before as it was read back, which would
add an error each time, but whole numbers of steps from the block's first value. They are exact,
so are their differences, and the error is that of one rounding however long the block.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from memopt_cli.errors import AgentError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from memopt_cli.optimizer.agents.model import Floats

BLOCK: Final = 64
_STEP_TYPES: Final = ("i1", "i2", "i4")
_MOST_STEPS: Final = 2.0**52
"""Above this a float64 cannot tell neighbouring whole numbers of steps apart."""


@dataclass(frozen=True, slots=True)
class _Block:
    """Some values, one after the other."""

    content: bytes
    """Deflated differences of steps; or, where that is not smaller, the values themselves."""

    first: bytes
    """The first value; empty where the values themselves are kept."""

    dtype: str
    """Of the differences."""


class DeltaStore:
    """
    A signal of one or more numbers over time, each within a stated error of what it was.

    Blocks of 64 are packed when they are full; one that does not get smaller so, because it
    changes fast, jumps too far, or holds NaN or infinity, is kept as it is, and exact. So full
    blocks never take more than the raw numbers do; the block that is still open takes all of
    its 64 places.
    """

    __slots__ = ("_blocks", "_error", "_open", "_used", "_width")

    def __init__(self, width: int, error: float) -> None:
        """
        Args:
            width: How many numbers a value has.
            error: How far a number that is read may be from what was written.

        Raises:
            AgentError: The width is below 1, or the error is not above 0 and finite.
        """
        import numpy as np

        if width < 1 or not 0 < error < float("inf"):
            raise AgentError(
                f"a signal of {width} numbers within {error}",
                hint="Give a width of 1 or more and a finite error above 0.",
            )
        self._width, self._error = width, error
        self._blocks: list[_Block] = []
        self._open: Floats = np.empty((BLOCK, width))
        self._used = 0

    def __len__(self) -> int:
        return len(self._blocks) * BLOCK + self._used

    @property
    def size_bytes(self) -> int:
        """What the values occupy, the block that is still open included."""
        packed = sum(len(block.content) + len(block.first) for block in self._blocks)
        return packed + self._open.nbytes

    @property
    def raw_blocks(self) -> int:
        """How many of the full blocks are kept as they are."""
        return sum(not block.first for block in self._blocks)

    def append(self, value: ArrayLike) -> None:
        """
        Remember one value more.

        Raises:
            AgentError: It does not have as many numbers as the others.
        """
        import numpy as np

        array = np.asarray(value, dtype=np.float64)
        if array.shape not in ((self._width,), () if self._width == 1 else (self._width,)):
            raise AgentError(
                f"a value of shape {array.shape} in a signal of {self._width} numbers",
                hint="Give one number for each.",
            )
        self._open[self._used] = array
        self._used += 1
        if self._used == BLOCK:
            self._blocks.append(self._packed(self._open))
            self._used = 0

    def read(self) -> Floats:
        """Return all values, [time, number], the oldest first."""
        import numpy as np

        blocks = [self._values(block) for block in self._blocks]
        return np.concatenate([*blocks, self._open[: self._used]])

    def _packed(self, values: Floats) -> _Block:
        """Return a block in its smallest form that keeps to the error."""
        import numpy as np

        raw = values.tobytes()
        with np.errstate(all="ignore"):
            steps = np.rint((values - values[0]) / (2 * self._error))
        # False for NaN as well.
        if abs(steps).max() < _MOST_STEPS:
            changes = np.diff(steps, axis=0)
            for dtype in _STEP_TYPES:
                if abs(changes).max(initial=0.0) <= np.iinfo(dtype).max:
                    # Number by number: each one's changes are alike, and deflate better so.
                    content = zlib.compress(changes.T.astype(dtype).tobytes(), 6)
                    block = _Block(content, values[0].tobytes(), dtype)
                    if self._keeps(block, values, len(raw)):
                        return block
                    break
        return _Block(raw, b"", "")

    def _keeps(self, block: _Block, values: Floats, raw_bytes: int) -> bool:
        """Say whether a block is smaller, and within the error where rounding is counted too."""
        smaller = len(block.content) + len(block.first) < raw_bytes
        return smaller and bool((abs(self._values(block) - values) <= self._error).all())

    def _values(self, block: _Block) -> Floats:
        import numpy as np

        if not block.first:
            return np.frombuffer(block.content).reshape(BLOCK, self._width)
        changes: NDArray[Any] = np.frombuffer(zlib.decompress(block.content), block.dtype)
        steps = np.zeros((BLOCK, self._width))
        changes.reshape(self._width, BLOCK - 1).T.cumsum(axis=0, dtype=np.float64, out=steps[1:])
        found: Floats = np.frombuffer(block.first) + steps * (2 * self._error)
        return found
