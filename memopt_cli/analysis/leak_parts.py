"""
A series in parts: what restarted, was resumed, or was not read for a while.

At a gap memory may be at any other level, and that is no growth. So each part has a
level of its own, and all have one slope: that within the parts. Gaps count no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from memopt_cli.analysis.leak_blocks import Floats, Numbers

    Parts = NDArray[np.int64]

HOLE = 20.0
"""
A time without samples of so many usual intervals is a gap.

On a busy machine readings are late by up to 16 intervals without anything having stopped
(the longest of the labelled corpus); a level of its own then costs a part of the slope's
certainty, and nothing else.
"""

MOST_PARTS = 50
"""Of the longest; more of them would each have too few blocks to show a slope."""


def holes(times: Numbers) -> list[float]:
    """
    Return when each part after the first begins, by the times alone.

    >>> holes([0, 1, 2, 3, 4, 100, 101])
    [100.0]
    """
    import numpy as np

    at = np.asarray(times, dtype=float)
    if len(at) < 3:  # noqa: PLR2004 - no interval is the usual one
        return []
    steps = np.diff(at)
    return [float(one) for one in at[1:][steps > HOLE * float(np.median(steps))]]


def numbered(times: Floats, breaks: Sequence[float]) -> Parts:
    """Return the number of the part that each sample is in, from 0 without a gap in them."""
    import numpy as np

    found = np.searchsorted(np.sort(np.asarray(breaks, dtype=float)), times, side="right")
    return np.unique(found, return_inverse=True)[1]


def closed(times: Floats, part: Parts) -> Floats:
    """Return the times without what lies between parts: there one usual interval passes."""
    import numpy as np

    if not len(times) or not part[-1]:
        return times
    steps = np.diff(times)
    begins = np.diff(part) > 0
    usual = float(np.median(steps[~begins])) if (~begins).any() else 0.0
    return np.concatenate([[0.0], np.cumsum(np.where(begins, usual, steps))])


def columns(part: Parts) -> list[Floats]:
    """Return what a regression needs beside its constant, for a level of each part."""
    import numpy as np

    return [(part == number).astype(float) for number in np.unique(part)[1:]]


def joined(at: Floats, levels: Floats, part: Parts) -> Floats:
    """Return levels, a column per quantile, moved onto the line of their common slope."""
    import numpy as np

    levels_of = columns(part)
    if not levels_of:
        return levels
    design = np.column_stack([np.ones(len(at)), at - at.mean(), *levels_of])
    found = np.linalg.lstsq(design, levels, rcond=None)[0]
    return np.asarray(levels - design[:, 2:] @ found[2:])


def longest(at: Floats, part: Parts) -> float:
    """Return the time that the longest part takes, between the middles of its blocks."""
    import numpy as np

    return max(float(np.ptp(at[part == number])) for number in np.unique(part))


def since_begin(at: Floats, part: Parts) -> Floats:
    """Return the time since the part's begin, as a share of the longest part."""
    import numpy as np

    began = np.array([at[part == number][0] for number in part])
    return np.asarray((at - began) / max(longest(at, part), np.finfo(float).tiny))
