"""
A line through blocks, with level shifts beside it and an honest standard error.

A step that memory takes once (an import, a buffer that doubles) is no slope, and
blocks are still correlated; both make a plain line far too sure of itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from memopt_cli.analysis import leak_parts
from memopt_cli.analysis.leak_blocks import waves
from memopt_cli.analysis.statistics import CONFIDENCE, student_quantile

if TYPE_CHECKING:
    from memopt_cli.analysis.leak_blocks import Floats
    from memopt_cli.analysis.leak_parts import Parts

MOST_SHIFTS = 2
"""With more, a staircase of a leak would be explained away as shifts."""

SHIFT_LEAVES = 0.4
"""
A shift is believed if it leaves less than this of the residual sum of squares.

One shift takes about a quarter of a straight line's noise by chance, and three
quarters of the residual of a real step.
"""

AS_MUCH = 1e-6
"""
Shares that differ by less are equal: of shifts that explain the same the first is taken.

Of whole pages many do, and some leave just what is not believed. The last digits, which
differ between releases of numpy and between processors, must not decide on an interval.
"""

MOST_CORRELATION = 0.97
"""Above, an AR(1) residual is not told from a random walk, and its error has no bound."""

ENOUGH_DEGREES = 200
"""Student's t is the normal distribution to within 0.6 % from here on."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The slope of one line, in bytes per unit of x."""

    slope: float
    error: float
    """Its standard error."""

    degrees: float
    """Of freedom, at least one."""

    @property
    def half_width(self) -> float:
        """Half of the slope's 95 % interval."""
        return student(self.degrees) * self.error

    @property
    def z(self) -> float:
        """The slope in standard errors; infinite where nothing is left over."""
        if self.error:
            return self.slope / self.error
        return math.copysign(math.inf, self.slope) if self.slope else 0.0


@dataclass(frozen=True, slots=True)
class Bend:
    """How a slope changes from the start of a part to its end."""

    z: float
    """The quadratic term in standard errors: negative where growth slows down."""

    kept: float
    """Slope at the end over slope at the start; infinite where it did not start."""


def fit(x: Floats, y: Floats, *, cycle: float | None = None, part: Parts | None = None) -> Fit:
    """
    Return the line through blocks, with a cycle and at most two level shifts beside it.

    The standard error is that of AR(1) residuals, whose correlation is corrected for
    its bias towards zero (F. H. C. Marriott and J. A. Pope, 1954); the degrees of
    freedom are those of the number of independent blocks that it leaves. Each part has a
    level of its own.
    """
    import numpy as np

    levels = [] if part is None else leak_parts.columns(part)
    columns = [np.ones(len(x)), x - x.mean(), *levels]
    if cycle is not None and len(x) >= 12:  # noqa: PLR2004 - else more columns than they bear
        columns += waves(x, cycle)
    design = _with_shifts(np.column_stack(columns), y)
    found = np.linalg.lstsq(design, y, rcond=None)[0]
    rest = y - design @ found
    rho = _correlation(rest)
    count = len(x)
    variance = float(rest @ rest) / max(1, count - design.shape[1])
    share = float(np.linalg.pinv(design.T @ design)[1, 1])
    error = math.sqrt(variance * share * (1 + rho) / (1 - rho))
    degrees = (count - len(levels)) * (1 - rho) / (1 + rho) - 1
    return Fit(float(found[1]), 0.0 if _is_rounding(rest, y) else error, max(1.0, degrees))


def bend(x: Floats, y: Floats, part: Parts | None = None) -> Bend:
    """
    Return the quadratic term of blocks, with the standard error of AR(1) residuals.

    Of a series in parts it is that of each part about its own begin: what restarts warms
    up again each time, and never bends over the whole.
    """
    import numpy as np

    parted = part is not None and part[-1] > part[0]
    u = leak_parts.since_begin(x, part) if parted and part is not None else _share_of(x)
    levels = leak_parts.columns(part) if parted and part is not None else []
    design = np.column_stack([np.ones(len(u)), u, u * u, *levels])
    found = np.linalg.lstsq(design, y, rcond=None)[0]
    rest = y - design @ found
    rho = _correlation(rest)
    variance = float(rest @ rest) / max(1, len(u) - design.shape[1])
    share = float(np.linalg.pinv(design.T @ design)[2, 2])
    error = math.sqrt(variance * share * (1 + rho) / (1 - rho))
    starts, bends = float(found[1]), float(found[2])
    kept = (starts + 2 * bends) / starts if starts > 0 else math.inf
    if error == 0 or _is_rounding(rest, y):
        return Bend(math.copysign(math.inf, bends) if abs(bends) > abs(starts) / 1e6 else 0.0, kept)
    return Bend(bends / error, kept)


def _share_of(x: Floats) -> Floats:
    import numpy as np

    return np.asarray((x - x[0]) / (x[-1] - x[0]))


def student(degrees: float) -> float:
    """Return the 97.5 % quantile, interpolated between whole degrees in 1/degrees."""
    if degrees >= ENOUGH_DEGREES:
        return _student(ENOUGH_DEGREES)
    low = math.floor(degrees)
    share = (1 / low - 1 / degrees) * low * (low + 1)
    return _student(low) + (_student(low + 1) - _student(low)) * share


@cache
def _student(degrees: int) -> float:
    return student_quantile((1 + CONFIDENCE) / 2, degrees)


def _with_shifts(design: Floats, y: Floats) -> Floats:
    """Return the columns of a regression with those level shifts that explain most."""
    import numpy as np

    count = len(y)
    basis = np.linalg.qr(design)[0]
    rest = y - basis @ (basis.T @ y)
    # Column j steps at block j + 2: a shift of one block at either end is an outlier.
    steps = (np.arange(count)[:, None] >= np.arange(2, count - 1)[None, :]).astype(float)
    for _ in range(MOST_SHIFTS):
        left = float(rest @ rest)
        if _is_rounding(rest, y):
            break
        new = steps - basis @ (basis.T @ steps)
        size = (new * new).sum(axis=0)
        usable = size > 1e-6  # noqa: PLR2004 - what is no combination of the others
        taken = np.where(usable, (new.T @ rest) ** 2 / np.where(usable, size, 1), 0)
        best = int(np.argmax(taken >= (1 - AS_MUCH) * taken.max()))
        if left - taken[best] >= (SHIFT_LEAVES - AS_MUCH) * left:
            break
        unit = new[:, best] / math.sqrt(size[best])
        basis = np.column_stack([basis, unit])
        design = np.column_stack([design, steps[:, best]])
        rest = rest - unit * (unit @ rest)
    return design


def _is_rounding(rest: Floats, y: Floats) -> bool:
    """Return whether what is left over is the rounding of the arithmetic."""
    import numpy as np

    scale = max(1.0, float(np.abs(y).max()))
    return float(rest @ rest) <= 1e-24 * scale**2 * len(y)


def _correlation(rest: Floats) -> float:
    """Return the correlation of neighbouring residuals, corrected for its bias, not below 0."""
    total = float(rest @ rest)
    if total <= 0:
        return 0.0
    rho = float(rest[1:] @ rest[:-1]) / total
    rho += (1 + 4 * max(rho, 0.0)) / len(rest)
    return min(MOST_CORRELATION, max(0.0, rho))
