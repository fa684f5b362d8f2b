"""Two things measured in alternating pairs, and their ratio with its interval."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.analysis.statistics import student_quantile

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Ratio:
    """The geometric mean of the pairs' ratios, with its 95 % interval by Student's t."""

    value: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f}), {self.pairs} pairs"


def ratio(first: Callable[[], float], second: Callable[[], float], *, pairs: int) -> Ratio:
    """Return *first* over *second*, each called once per pair, the order changing every time."""
    logs = []
    for number in range(pairs):
        if number % 2:
            below, above = second(), first()
        else:
            above, below = first(), second()
        logs.append(math.log(above / below))
    mean = statistics.fmean(logs)
    width = student_quantile(0.975, pairs - 1) * statistics.stdev(logs) / math.sqrt(pairs)
    return Ratio(math.exp(mean), math.exp(mean - width), math.exp(mean + width), pairs)
