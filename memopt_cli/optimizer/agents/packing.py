"""
Beliefs in fewer bytes: as logarithms of 16 bits, or only the states that matter.

A posterior holds no exact zero, so that a surprise can move it. Both forms keep that:
a logarithm has no zero, and what the sparse form drops is spread evenly over the states it
was dropped from. Without that floor an agent whose belief is wrong stays wrong for ever.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents.model import SMALLEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memopt_cli.optimizer.agents.model import Floats, Ints

LOG_STEPS: Final = 65_535
LOG_RANGE: Final = -math.log(SMALLEST)
LOG_ERROR: Final = math.exp(LOG_RANGE / LOG_STEPS / 2) - 1
"""Largest error of a belief, relative to the belief plus 1e-16: 2.9e-4."""

LOWEST: Final = 1e-22
"""What is read where a belief is too small for its logarithm to tell it from 0."""

DROPPED_BELOW: Final = 1e-8
"""Beliefs at or below this are not kept one by one."""

DENSE: Final = 0xFFFF_FFFF
"""In place of a count: the row has every state, without indices."""


def to_log16(beliefs: Floats) -> NDArray[Any]:
    """
    Return ln(belief + 1e-16) in 65,536 equal steps.

    Inference adds the same 1e-16, so the error is relative to what it uses. Without it as
    many steps would be spent on the differences between beliefs of nearly nothing.
    """
    import numpy as np

    steps = np.log(beliefs + SMALLEST)
    steps *= -LOG_STEPS / LOG_RANGE
    np.clip(steps, 0, LOG_STEPS, out=steps)
    return np.rint(steps, out=steps).astype(np.uint16)


def from_log16(codes: NDArray[Any], out: Floats) -> None:
    """Write the beliefs of *codes* to *out*."""
    import numpy as np

    np.multiply(codes, -LOG_RANGE / LOG_STEPS, out=out)
    np.exp(out, out=out)
    out -= SMALLEST
    np.maximum(out, LOWEST, out=out)


class SparseRows:
    """
    Rows of beliefs of some factors as one string of bytes.

    In this order: the count of each row, the floor of each row and factor (float32), the
    indices of the rows one after the other, and their values (float32). A row whose indices
    and values would take more than its values alone is kept dense, so a row never takes more
    than dense float32 does, plus four bytes and four per factor.
    """

    __slots__ = ("_dropped_below", "_edges", "_index_type", "_width")

    def __init__(self, states: tuple[int, ...], dropped_below: float = DROPPED_BELOW) -> None:
        """
        Args:
            states: How many each factor has.
            dropped_below: Beliefs at or below this are replaced by their mean.
        """
        import numpy as np

        self._dropped_below = dropped_below
        self._edges = np.concatenate(([0], np.cumsum(states)))
        self._width = int(self._edges[-1])
        self._index_type = np.dtype(np.uint16 if self._width <= 1 << 16 else np.uint32)

    @property
    def _entry_bytes(self) -> int:
        return self._index_type.itemsize + 4

    def pack(self, beliefs: Floats) -> bytes:
        """Return *beliefs*, [row, state], as bytes."""
        import numpy as np

        kept = beliefs > self._dropped_below
        counts = kept.sum(axis=1)
        dense = counts * self._entry_bytes > self._width * 4
        kept[dense] = True
        floors = self._floors(beliefs, kept)
        listed = kept & ~dense[:, None]
        _, index = np.nonzero(listed)
        counts[dense] = DENSE
        parts = (
            counts.astype(np.uint32),
            floors.astype(np.float32),
            index.astype(self._index_type),
            beliefs[kept].astype(np.float32),
        )
        return b"".join(part.tobytes() for part in parts)

    def unpack(self, content: bytes, rows: int, out: Floats) -> None:
        """Write the *rows* beliefs in *content* to *out*, [row, state]."""
        import numpy as np

        factors = len(self._edges) - 1
        counts = np.frombuffer(content, np.uint32, rows).astype(np.intp)
        floors = np.frombuffer(content, np.float32, rows * factors, rows * 4)
        dense = counts == DENSE
        listed = int(counts[~dense].sum())
        start = rows * 4 * (1 + factors)
        index = np.frombuffer(content, self._index_type, listed, start)
        values = np.frombuffer(content, np.float32, -1, start + index.nbytes)
        sizes = np.diff(self._edges)
        out[:] = np.repeat(floors.reshape(rows, factors), sizes, axis=1)
        places = self._places(counts, dense, index)
        out.reshape(-1)[places] = values

    def _floors(self, beliefs: Floats, kept: NDArray[Any]) -> Floats:
        """Return, per row and factor, the mean of what is dropped."""
        import numpy as np

        starts = self._edges[:-1]
        dropped = np.add.reduceat(np.where(kept, 0.0, beliefs), starts, axis=1)
        numbers = np.add.reduceat(~kept, starts, axis=1, dtype=np.intp)
        floors: Floats = dropped / np.maximum(numbers, 1)
        return floors

    def _places(self, counts: Ints, dense: NDArray[Any], index: NDArray[Any]) -> Ints:
        """Return where each value stands in the rows written side by side."""
        import numpy as np

        rows = np.arange(len(counts))
        if not dense.any():
            places: Ints = np.repeat(rows, counts) * self._width + index
            return places
        sizes = np.where(dense, self._width, counts)
        within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        within[np.repeat(~dense, sizes)] = index
        whole: Ints = np.repeat(rows, sizes) * self._width + within
        return whole


def checked_belief(belief: Floats, states: int) -> Floats:
    """
    Return *belief* as float64 that sums to 1.

    Raises:
        AgentError: It has another shape, is negative anywhere, NaN or infinite, or all zero.
    """
    import numpy as np

    array = np.array(belief, dtype=np.float64)
    if array.shape != (states,):
        raise AgentError(
            f"a belief of shape {array.shape} over {states} states",
            hint="Give one probability per state of the factor.",
        )
    total = float(array.sum())
    if not np.isfinite(array).all() or array.min() < 0 or total <= 0:
        raise AgentError(
            f"a belief from {array.min()} to {array.max()} that sums to {total}",
            hint="Give finite probabilities, none negative and not all zero.",
        )
    array /= total
    return array
