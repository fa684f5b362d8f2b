"""
From a memory series to blocks: what the leak verdict is fitted to.

Neighbouring samples are not independent, spikes and collections pull a line to and
fro, and a warm-up bends it. So the series is cut into blocks, of which the lower
quantiles count; a cycle becomes one block, or is fitted beside the line; and the
part before the series settles is found rather than assumed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.analysis import leak_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from memopt_cli.analysis.leak_parts import Parts

    Floats = NDArray[np.float64]
    Numbers = Sequence[float] | Floats

QUANTILES = (0.0, 0.25, 0.5)
"""
What stands for a block: its trough, its quarter, its middle.

A trough ignores spikes and what a collection will take back; a middle is steadier. A
leak lifts all three.
"""

FEWEST_BLOCKS, MOST_BLOCKS = 8, 36
"""Eight are the fewest that show a spread; more than 36 of them are no longer independent."""

FEWEST_PART_BLOCKS = 3
"""A part of fewer shows a level, and no slope that its noise would leave."""

SAMPLES_PER_BLOCK = 4
"""The fewest whose lower quantiles differ from one another."""

CYCLE_CORRELATION = 0.3
"""A peak of the autocorrelation above this is a cycle; noise of 60 samples reaches 0.25."""

FEWEST_LONG_CYCLES = 2.4
"""One cycle and a bit is no cycle yet: its rise cannot be told from a trend."""

LONG_CYCLE_CORRELATION = 0.5
LONG_CYCLE_REST = 0.35
"""A long cycle is fitted beside the line only if it leaves at most so much of the variation."""

FEWEST_TAIL_BLOCKS = 6
"""A line through fewer has hardly any degrees of freedom left."""

LATEST_SETTLING = 0.6
"""What settles later than this leaves too little to judge; then the part from here is judged."""

WORTH_LEAVING_OUT = 1.5
"""A warm-up is left out only if that makes the criterion so many times smaller."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """A series cut into blocks of equal numbers of samples."""

    at: Floats
    """Mean time of each block, from 0."""

    levels: Floats
    """Bytes, a row per block and a column per quantile."""

    cycle: float | None
    """Period of a cycle that is longer than a block, in the unit of `at`."""

    part: Parts
    """The number of the part that each block is in; each part has a level of its own."""


def ordered(t_seconds: Numbers, sizes: Numbers) -> tuple[Floats, Floats]:
    """Return finite samples in order of time, from time 0."""
    import numpy as np

    times, values = np.asarray(t_seconds, dtype=float), np.asarray(sizes, dtype=float)
    kept = np.isfinite(times) & np.isfinite(values)
    times, values = times[kept], values[kept]
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    return (times - times[0] if len(times) else times), values


def quantum_of(sizes: Floats) -> int:
    """Return the resolution of a series: a page if all values are whole pages, else a byte."""
    import numpy as np

    return 1 if np.any(sizes % 4096) else 4096


def cut(times: Floats, sizes: Floats, part: Parts, null: Floats | None = None) -> Blocks:
    """
    Return the blocks of a series, less those of a clean run at the same times.

    Quantiles are taken of each series before they are subtracted: the difference of
    two sawtooths out of step has no trough. No block reaches over a gap.
    """
    import numpy as np

    if not part[-1]:
        at, levels = _cut(times, sizes, null, _block_size(sizes))
        return Blocks(at, levels, _long_cycle(at, levels[:, -1]), np.zeros(len(at), dtype=int))
    counts = np.bincount(part)
    size = _block_size(leak_parts.joined(times, sizes[:, None], part)[:, 0])
    # A part must be cut into several, as long as enough samples stand behind each.
    usual = int(np.median(counts)) // FEWEST_PART_BLOCKS
    size = max(SAMPLES_PER_BLOCK, min(size, usual))
    long = np.nonzero(counts >= FEWEST_PART_BLOCKS * size)[0]
    kept = sorted(long[np.argsort(-counts[long], kind="stable")][: leak_parts.MOST_PARTS])
    pieces = [
        _cut(times[at], sizes[at], None if null is None else null[at], size)
        for at in (part == number for number in kept)
    ]
    none = np.zeros((0, len(QUANTILES)))
    return Blocks(
        np.concatenate([np.zeros(0), *(at for at, _ in pieces)]),
        np.concatenate([none, *(levels for _, levels in pieces)]),
        None,
        np.repeat(np.arange(len(pieces)), [len(at) for at, _ in pieces]),
    )


def _cut(times: Floats, sizes: Floats, null: Floats | None, size: int) -> tuple[Floats, Floats]:
    """Return the middles and the levels of the blocks of one part."""
    import numpy as np

    count = len(sizes) // size
    # Blocks of unequal size would have troughs at unequal distances from their middles. What
    # does not fill a block is left out at the start, where it matters least.
    first = len(sizes) - count * size

    def troughs(values: Floats) -> Floats:
        return np.quantile(values[first:].reshape(count, size), QUANTILES, axis=1).T

    at = times[first:].reshape(count, size).mean(axis=1)
    levels = troughs(sizes)
    return at, levels if null is None else levels - troughs(null)


def settled(blocks: Blocks, quantum: float) -> int:
    """
    Return the block from which a straight line fits best for the number of blocks it uses.

    The marginal standard error rule for the end of a warm-up (K. P. White, 1997), with
    the variance about a line in place of that about a mean, so that a leak is no
    warm-up. Every tail's line comes from sums over the tail.
    """
    import numpy as np

    if blocks.cycle is not None:
        return 0
    x = blocks.at - blocks.at[-1]
    level = leak_parts.joined(blocks.at, blocks.levels, blocks.part)[:, -1]
    y = level - np.median(level)
    count = np.arange(len(x), 0, -1.0)
    sums = [np.cumsum(one[::-1])[::-1] for one in (x, y, x * x, x * y, y * y)]
    sum_x, sum_y, sum_xx, sum_xy, sum_yy = sums
    spread = sum_xx - sum_x**2 / count
    shared = sum_xy - sum_x * sum_y / count
    rest = sum_yy - sum_y**2 / count - shared**2 / np.where(spread > 0, spread, np.inf)
    # A staircase of pages fits a line no better than the steps allow.
    error = (np.maximum(rest, 0) + count * quantum**2 / 12) / count**2
    latest = min(int(LATEST_SETTLING * len(x)), len(x) - FEWEST_TAIL_BLOCKS)
    tails = error[: latest + 1]
    if tails[0] <= WORTH_LEAVING_OUT * tails.min():
        return 0
    return int(np.argmin(tails))


def _block_size(sizes: Floats) -> int:
    """Return the samples of a cycle where that gives a fair number of blocks, else four or more."""
    cycle = _short_cycle(sizes)
    if cycle is not None:
        return cycle
    count = len(sizes)
    usual = max(SAMPLES_PER_BLOCK, math.ceil(count / MOST_BLOCKS))
    return min(usual, count // FEWEST_BLOCKS)


def _short_cycle(sizes: Floats) -> int | None:
    """Return the samples of a cycle that repeats 8 to 36 times, if there is one."""
    import numpy as np

    count = len(sizes)
    rest = _detrended(sizes)
    width = 1 << (2 * count - 1).bit_length()
    spectrum = np.fft.rfft(rest, width)
    correlation = np.fft.irfft(spectrum * spectrum.conj(), width)[:count]
    longest = count // FEWEST_BLOCKS
    peak = _peak(correlation, max(2, count // MOST_BLOCKS), longest)
    return peak if peak and correlation[peak] > CYCLE_CORRELATION * correlation[0] else None


def _long_cycle(at: Floats, level: Floats) -> float | None:
    """Return the period of a cycle that repeats 2.4 times or more, in units of *at*."""
    import numpy as np

    count = len(level)
    rest = _detrended(level)
    correlation = np.array([rest[lag:] @ rest[: count - lag] for lag in range(count)])
    longest = int(count / FEWEST_LONG_CYCLES)
    peak = _peak(correlation, 4, longest)
    if peak is None or peak == longest:
        return None
    # The correlation fades with the overlap, count - lag, that it is summed over.
    if correlation[peak] * count < LONG_CYCLE_CORRELATION * correlation[0] * (count - peak):
        return None
    first = peak * (at[-1] - at[0]) / (count - 1)
    left = {float(p): _left(at, level, float(p)) for p in first * np.linspace(0.85, 1.15, 13)}
    best = min(left, key=lambda period: left[period])
    return best if left[best] <= LONG_CYCLE_REST * (rest @ rest) else None


def _peak(correlation: Floats, shortest: int, longest: int) -> int | None:
    """Return the lag of the highest correlation after its first fall below zero."""
    import numpy as np

    below = np.nonzero(correlation < 0)[0]
    if correlation[0] <= 0 or not len(below):
        return None
    shortest = max(shortest, int(below[0]))
    if longest <= shortest:
        return None
    return shortest + int(np.argmax(correlation[shortest : longest + 1]))


def _detrended(values: Floats) -> Floats:
    import numpy as np

    x = np.arange(len(values)) - (len(values) - 1) / 2
    about = values - values.mean()
    return np.asarray(about - x * (x @ about) / (x @ x))


def _left(at: Floats, level: Floats, period: float) -> float:
    """Return the residual sum of squares of a line with a cycle."""
    import numpy as np

    columns = np.column_stack([np.ones(len(at)), at, *waves(at, period)])
    rest = level - columns @ np.linalg.lstsq(columns, level, rcond=None)[0]
    return float(rest @ rest)


def waves(at: Floats, period: float) -> tuple[Floats, Floats]:
    """Return the two columns of a regression that are a cycle of any phase."""
    import numpy as np

    angle = 2 * math.pi * at / period
    return np.sin(angle), np.cos(angle)


def without_cycle(blocks: Blocks) -> Floats:
    """Return the levels less the cycle that was found, with all parts on one line."""
    import numpy as np

    if blocks.cycle is None:
        return leak_parts.joined(blocks.at, blocks.levels, blocks.part)
    wave = np.column_stack(waves(blocks.at, blocks.cycle))
    line = np.column_stack([np.ones(len(blocks.at)), blocks.at - blocks.at.mean(), wave])
    found = np.linalg.lstsq(line, blocks.levels, rcond=None)[0]
    return np.asarray(blocks.levels - wave @ found[2:])
