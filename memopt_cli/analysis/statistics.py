"""Straight lines with intervals, and the Student distribution they need."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE = 0.95
_ENOUGH_FOR_A_LINE = 3
_CONVERGED = 1e-15


@dataclass(frozen=True, slots=True)
class Line:
    """
    A least-squares line ``y = intercept + slope * x``, with 95 % half-widths.

    The half-widths come from the residuals and Student's t with n - 2 degrees of
    freedom; they say nothing of errors that all points share.
    """

    slope: float
    intercept: float
    slope_half_width: float
    intercept_half_width: float
    points: int
    r_squared: float


def fit_line(xs: Sequence[float], ys: Sequence[float]) -> Line | None:
    """
    Return the least-squares line, or `None` with fewer than three points or equal xs.

    The order of the points does not matter.

    >>> fit_line([3, 1, 2], [7, 3, 5]).slope
    2.0
    """
    count = len(xs)
    if count < _ENOUGH_FOR_A_LINE:
        return None
    mean_x, mean_y = math.fsum(xs) / count, math.fsum(ys) / count
    spread = math.fsum((x - mean_x) ** 2 for x in xs)
    if spread <= 0:
        return None
    slope = math.fsum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    intercept = mean_y - slope * mean_x
    residual = math.fsum((y - intercept - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    total = math.fsum((y - mean_y) ** 2 for y in ys)
    error = math.sqrt(residual / (count - 2))
    t = student_quantile((1 + CONFIDENCE) / 2, count - 2)
    return Line(
        slope=slope,
        intercept=intercept,
        slope_half_width=t * error / math.sqrt(spread),
        intercept_half_width=t * error * math.sqrt(1 / count + mean_x**2 / spread),
        points=count,
        r_squared=1.0 if total == 0 else 1 - residual / total,
    )


def student_quantile(probability: float, degrees: float) -> float:
    """
    Return the quantile of Student's t distribution, by bisection of its exact integral.

    Scipy would do; it is 87 MB and 0.6 s of import for one number.

    >>> round(student_quantile(0.975, 3), 3), round(student_quantile(0.975, 1e9), 3)
    (3.182, 1.96)
    """
    if not 0.5 <= probability < 1:  # noqa: PLR2004 - from the median up
        raise ValueError(f"the probability must be in [0.5, 1), not {probability}")
    low, high = 0.0, 1.0
    while _student_cdf(high, degrees) < probability:
        low, high = high, high * 2
    for _ in range(100):
        middle = (low + high) / 2
        if _student_cdf(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def student_tail(t: float, degrees: float) -> float:
    """
    Return P(T > t) for t >= 0.

    >>> round(student_tail(3.182, 3), 3)
    0.025
    """
    return 0.5 * _regularised_beta(degrees / (degrees + t * t), degrees / 2, 0.5)


def _student_cdf(t: float, degrees: float) -> float:
    """Return P(T <= t) for t >= 0 (Abramowitz and Stegun, 1964, 26.7.1)."""
    return 1 - student_tail(t, degrees)


def _regularised_beta(x: float, a: float, b: float) -> float:
    """
    Return the regularised incomplete beta function I_x(a, b).

    By its continued fraction, evaluated with Lentz's method (W. J. Lentz, 1976),
    on the side where it converges fast.
    """
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _regularised_beta(1 - x, b, a)
    log_front = a * math.log(x) + b * math.log1p(-x)
    log_front += math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(log_front) * _beta_fraction(x, a, b) / a


def _beta_fraction(x: float, a: float, b: float) -> float:
    """Return the continued fraction of I_x(a, b) (Abramowitz and Stegun, 1964, 26.5.8)."""
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        factor = 1.0
        for term in (even, odd):
            d = 1 / (1 + term * d)
            c = 1 + term / c
            factor = c * d
            value *= factor
        if abs(factor - 1) < _CONVERGED:
            break
    return value
