"""A long series as a figure shows it: no more points than it has columns, and no peak lost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS = 1000
"""Of the time axis; a figure of eight inches at 144 dots has about as many to draw into."""


def thinned(
    points: Sequence[tuple[float, float]], *, columns: int = COLUMNS
) -> list[tuple[float, float]]:
    """
    Return the lowest and the highest point of each column of time, and the two ends.

    A line through these covers the same dots as one through all points, where every n-th
    would lose a spike. A series of at most four points a column is returned as it is.

    Args:
        points: Time and value, in order of time.
        columns: Into so many equal parts the time is cut.

    >>> thinned([(float(at), at == 7) for at in range(20)], columns=2)
    [(0.0, False), (7.0, True), (10.0, False), (19.0, False)]
    """
    if len(points) <= 4 * columns:
        return list(points)
    began, over = points[0][0], points[-1][0] - points[0][0]
    kept = {0, len(points) - 1}
    lowest = highest = 0
    column = -1
    for index, (at, value) in enumerate(points):
        here = min(columns - 1, math.floor((at - began) / over * columns)) if over else 0
        if here != column:
            kept |= {lowest, highest}
            column, lowest, highest = here, index, index
        elif value < points[lowest][1]:
            lowest = index
        elif value > points[highest][1]:
            highest = index
    kept |= {lowest, highest}
    return [points[index] for index in sorted(kept)]
