"""A series in figures: its line by least squares, its range, and how sure its slope is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.analysis.statistics import fit_line, student_quantile, student_tail

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS_PER_HOUR = 3600
_QUARTILE = 0.975


@dataclass(frozen=True, slots=True)
class Trend:
    """
    What a plain least-squares line says of a series.

    It takes neighbouring samples for independent, which they are not: for a verdict use
    `memopt_cli.analysis.leak`.
    """

    slope_bytes_per_s: float
    r_squared: float
    p: float
    """Chance of such a slope from independent noise without a trend."""

    least_bytes: float
    most_bytes: float
    mean_bytes: float
    delta_bytes: float
    """Last minus first, by time."""

    points: int

    @property
    def slope_bytes_per_hour(self) -> float:
        """The slope per hour."""
        return self.slope_bytes_per_s * SECONDS_PER_HOUR


def trend(t_seconds: Sequence[float], sizes: Sequence[float]) -> Trend | None:
    """
    Return the trend of samples in any order; `None` is "not enough data": fewer than 3.

    >>> trend([2, 0, 1], [2_097_152, 0, 1_048_576]).slope_bytes_per_s
    1048576.0
    """
    line = fit_line(t_seconds, sizes)
    if line is None:
        return None
    by_time = sorted(zip(t_seconds, sizes, strict=True))
    degrees = len(sizes) - 2
    error = line.slope_half_width / student_quantile(_QUARTILE, degrees)
    return Trend(
        slope_bytes_per_s=line.slope,
        r_squared=line.r_squared,
        p=_chance(line.slope, error, degrees),
        least_bytes=min(sizes),
        most_bytes=max(sizes),
        mean_bytes=math.fsum(sizes) / len(sizes),
        delta_bytes=by_time[-1][1] - by_time[0][1],
        points=len(sizes),
    )


def _chance(slope: float, error: float, degrees: float) -> float:
    if not error:
        return 0.0 if slope else 1.0
    return 2 * student_tail(abs(slope) / error, degrees)
