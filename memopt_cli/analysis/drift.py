"""
Whether something that wanders also climbs: a line for counts that add up.

A length or a population is the sum of what came and went, so that its noise adds
up too: neighbouring readings are not independent, their differences are. A line
through the readings would find a trend in every random walk.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from memopt_cli.analysis.results import Estimate, How
from memopt_cli.analysis.statistics import CONFIDENCE, student_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

FEWEST_READINGS = 8
"""With fewer, Student's factor is so large that only the obvious would be found."""

SURE = 0.999
"""Of a climb, before it is called one: hundreds of containers are looked at together."""

STEADY_SHARE = 0.5
"""The last third must climb at half the whole's rate: what fills up does not."""


def drift(xs: Sequence[float], ys: Sequence[float], *, sure: float = CONFIDENCE) -> Estimate | None:
    """
    Return the drift of a random walk per unit of *xs*; `None` with too few readings.

    Between two readings it grows by drift * dx with a variance in proportion to dx,
    so that the likeliest drift is last minus first (Brownian motion with drift). For
    readings whose noise does not add up the interval is too wide, never too narrow.
    """
    moves = [(x2 - x1, y2 - y1) for (x1, y1), (x2, y2) in pairwise(zip(xs, ys, strict=True))]
    moves = [(dx, dy) for dx, dy in moves if dx > 0]
    if len(moves) < FEWEST_READINGS - 1:
        return None
    over = math.fsum(dx for dx, _ in moves)
    value = math.fsum(dy for _, dy in moves) / over
    variance = math.fsum((dy - value * dx) ** 2 / dx for dx, dy in moves) / (len(moves) - 1)
    width = student_quantile((1 + sure) / 2, len(moves) - 1) * math.sqrt(variance / over)
    return Estimate(value, value - width, value + width, How.FITTED)


def climbs(xs: Sequence[float], ys: Sequence[float]) -> bool:
    """Return whether it climbs beyond doubt, and still does in the last third."""
    whole = drift(xs, ys, sure=SURE)
    if whole is None or whole.low <= 0:
        return False
    begins = xs[0] + (xs[-1] - xs[0]) * 2 / 3
    late = [(x, y) for x, y in zip(xs, ys, strict=True) if x >= begins]
    rate = (late[-1][1] - late[0][1]) / (late[-1][0] - late[0][0]) if len(late) > 1 else 0.0
    return rate >= STEADY_SHARE * whole.value
