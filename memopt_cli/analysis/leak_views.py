"""
One view of a series, from some block on: its nine fits, and what speaks against a leak.

Every threshold stands here with its reason. They were chosen on half of the program
families of a labelled corpus at a time and scored on the other half; the scores are
`python -m tests.benchmarks.bench_leak`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from memopt_cli.analysis import leak_blocks, leak_parts, level_shifts
from memopt_cli.analysis.leak_blocks import FEWEST_TAIL_BLOCKS, Blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.analysis.leak_blocks import Floats
    from memopt_cli.analysis.leak_parts import Parts
    from memopt_cli.analysis.level_shifts import Fit

WARM_UPS = (0.0, 0.2, 0.4)
"""Shares of a part that are dropped in turn: a slope that needs its first fifth is a warm-up."""

MIDDLE, LOWER = -1, 1
"""Columns of the quantiles: the median; the quarter, which is above one collection's trough."""

SURE = 1.96
"""Standard errors of a slope that is not none, in 95 % of runs."""

FITS_MAY_DISSENT = 2
"""Of nine: the troughs of a jagged series, or the shortest part, may be too noisy to say."""

SURE_IF_SMALL = 4.0
"""
Standard errors where the growth would still be harmless.

Programs that leak nothing creep: by up to 130 KiB in half an hour, at 2 to 5 errors.
The highest of these rest on a few steps. This or `SPREAD_IF_SMALL` alone keeps the
corpus without a false alarm; both stand, for its margin is thin and neither costs a leak.
"""

SMALL_MAY_DISSENT = 1

SURE_AFTER_WARM_UP = 8.0
"""
Standard errors where harmless growth follows a warm-up of more than twice its size.

The tail of a warm-up (a heap that still fills its gaps) reaches 7.2 in the runs that
this was chosen on. Leaks of that size are found if they are surer, and missed if not.
"""

WARM_UP_TIMES = 2.0

GOES_ON = 0.4
"""The later half must climb by this share of the whole slope: what has ended is no leak."""

SLOWING = -2.3
"""Standard errors of a bend downwards; 1 in 100 of a normal error is beyond it."""

SLOWED_TO = 0.75
"""The slope at the end over that at the start, below which a bend is a slowing."""

PARTS = 8
SPREAD, SPREAD_IF_SMALL = 1.0, 1.5
"""
Student's t of the growth from each eighth to the next.

Growth that rests on a step or two has one large increment among small ones, t = 1;
a leak, even one of lumps, has many.
"""

EVENLY = 0.2
"""
The middle one of these growths over their mean, at least.

Three or four steps with nothing between them are more than level shifts explain; most
eighths of such a run do not grow at all. Of those, half are still called a leak.
"""

SMALLEST_GROWTH_BYTES = 16 * 1024
SMALLEST_QUANTA = 5
"""Growth of fewer than four or five pages is rounding."""


class Doubt(StrEnum):
    """Why growth is not called a leak."""

    FEW = "too few samples"
    SLOWS = "its growth slows down, as of something that fills up"
    ENDED = "its growth has ended or is about to"
    NO_HIGH = "it is no higher than before it settled"
    SMALL = "its growth is within the resolution of the reading"
    UNSURE = "its growth is not told from its noise"
    CREEP = "its growth is small, and no surer than the creep of programs that do not leak"
    LUMPS = "its growth rests on a few steps"
    BASELINE_SHORT = "the baseline does not cover the run: make it as long, with the same interval"
    BASELINE_LEAKS = "the baseline itself grows as a leak does: compare with a clean run"
    BASELINE_UNSURE = "the baseline alone is not shown to be clean: run it longer"
    BASELINE_SHRINKS = "it grows only beside a baseline that shrinks"
    BASELINE_LOAD = "the baseline worked at another rate: compare under the same load"


OF_BASELINE = frozenset(
    {
        Doubt.BASELINE_SHORT,
        Doubt.BASELINE_LEAKS,
        Doubt.BASELINE_UNSURE,
        Doubt.BASELINE_SHRINKS,
        Doubt.BASELINE_LOAD,
    }
)
"""What a longer run does not settle."""


@dataclass(frozen=True, slots=True)
class View:
    """The series from one block on."""

    start: int
    fits: tuple[Fit, ...]
    blocks: Blocks
    levels: Floats
    """Of all blocks, less the cycle."""

    quantum: float

    @property
    def slope(self) -> float:
        """The median of the quantiles' slopes over the whole view."""
        return sorted(fit.slope for fit in self.fits[:3])[1]

    @property
    def steady_slope(self) -> float:
        """The median of all nine, which a warm-up left over does not carry."""
        return sorted(fit.slope for fit in self.fits)[len(self.fits) // 2]

    @property
    def interval(self) -> tuple[float, float]:
        """The hull of the nine intervals, widened by the resolution."""
        at = self.blocks.at
        span = leak_parts.longest(at[self.start :], self.blocks.part[self.start :])
        reach = self.quantum / (2 * span)
        low = min(fit.slope - fit.half_width for fit in self.fits)
        return low - reach, max(fit.slope + fit.half_width for fit in self.fits) + reach

    def z(self, dissenting: int) -> float:
        """Return the smallest z when some fits may dissent."""
        return sorted(fit.z for fit in self.fits)[dissenting]


def view(blocks: Blocks, start: int, quantum: float) -> View:
    """Return the view from a block on; the shortest of its parts has six blocks."""
    count = len(blocks.at)
    starts = [
        min(round(start + share * (count - start)), count - FEWEST_TAIL_BLOCKS)
        for share in WARM_UPS
    ]
    fits = tuple(
        level_shifts.fit(
            blocks.at[at:],
            blocks.levels[at:, column],
            cycle=blocks.cycle,
            part=blocks.part[at:],
        )
        for at in starts
        for column in range(blocks.levels.shape[1])
    )
    return View(start, fits, blocks, leak_blocks.without_cycle(blocks), quantum)


def doubt(view: View, tolerance: float, over: float) -> Doubt | None:
    """Return the first reason why a view does not show a leak."""
    x, levels = view.blocks.at[view.start :], view.levels[view.start :]
    grown, lower = view.steady_slope * over, levels[:, LOWER]
    small = grown < tolerance
    spread = SPREAD_IF_SMALL if small else SPREAD
    tests: tuple[tuple[Doubt, Callable[[], bool]], ...] = (
        (Doubt.SMALL, lambda: grown < _resolved(view.quantum)),
        (Doubt.UNSURE, lambda: not small and view.z(FITS_MAY_DISSENT) < SURE),
        (Doubt.SLOWS, lambda: _slows(x, levels, view.blocks.part[view.start :])),
        (Doubt.CREEP, lambda: small and view.z(SMALL_MAY_DISSENT) < _needed(view, grown)),
        (Doubt.ENDED, lambda: not _goes_on(x, lower)),
        (Doubt.NO_HIGH, lambda: not _is_new_high(view)),
        (Doubt.LUMPS, lambda: _is_in_steps(lower, spread)),
    )
    return next((doubt for doubt, holds in tests if holds()), None)


def _resolved(quantum: float) -> float:
    """Return the smallest growth that is more than rounding."""
    return max(SMALLEST_QUANTA * quantum, SMALLEST_GROWTH_BYTES)


def _needed(view: View, growth: float) -> float:
    """Return the standard errors that harmless growth needs: more after a large warm-up."""
    import numpy as np

    if not view.start:
        return SURE_IF_SMALL
    level = view.levels[:, LOWER]
    settled = float(np.median(level[view.start : view.start + 3]))
    warm_up = settled - float(level[: min(view.start, 2)].min())
    return SURE_AFTER_WARM_UP if warm_up > WARM_UP_TIMES * growth else SURE_IF_SMALL


def _slows(x: Floats, levels: Floats, part: Parts) -> bool:
    bends = [
        level_shifts.bend(x, levels[:, column], numbers)
        for column in (LOWER, MIDDLE)
        for numbers in ((None, part) if part[-1] > part[0] else (None,))
    ]
    return any(one.z < SLOWING and one.kept < SLOWED_TO for one in bends)


def _goes_on(x: Floats, level: Floats) -> bool:
    import numpy as np

    half = round(len(x) / 2)
    whole = float(np.polyfit(x - x[0], level, 1)[0])
    late = float(np.polyfit(x[half:] - x[half], level[half:], 1)[0])
    return whole > 0 and late >= GOES_ON * whole


def _is_new_high(view: View) -> bool:
    """Return whether the end is higher than all before it settled: a cycle's rise is not."""
    import numpy as np

    level = view.levels[:, LOWER]
    return not view.start or float(np.median(level[-3:])) >= float(level[: view.start].max())


def _is_in_steps(level: Floats, spread: float) -> bool:
    """Return whether few of the growths from each eighth to the next make up all of it."""
    import numpy as np

    edges = np.linspace(0, len(level), min(PARTS, len(level) // 2) + 1).round().astype(int)
    parts = [np.median(level[a:b]) for a, b in itertools.pairwise(edges)]
    steps = np.diff(parts)
    deviation, mean = float(steps.std(ddof=1)), float(steps.mean())
    if mean <= 0 or float(np.median(steps)) < EVENLY * mean:
        return True
    return mean * float(np.sqrt(len(steps))) < spread * deviation


def detectable(view: View, tolerance: float, over: float) -> float:
    """Return the lesser of what shows as harmful growth, and what shows though harmless."""
    low, high = view.interval
    width = (high - low) / 2
    smallest = _resolved(view.quantum)
    needed = _needed(view, smallest) / SURE
    return min(max(width, tolerance / over), max(width * needed, smallest / over))
