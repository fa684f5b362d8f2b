"""The sum over all processes of a watch: what no single one of them shows."""

from __future__ import annotations

import statistics
from array import array
from itertools import pairwise
from typing import TYPE_CHECKING

from memopt_cli.analysis import leak_parts, watch_growth
from memopt_cli.analysis.leak import FEWEST_SAMPLES
from memopt_cli.analysis.leak_signals import Metric, Null, Signal
from memopt_cli.analysis.watch_results import TreeFindings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from memopt_cli.analysis.watch_limits import WatchLimits
    from memopt_cli.analysis.watching import ProcessRecording, WatchRecording

    Floats = NDArray[np.float64]

STALE = 2.5
"""Readings older than this many intervals stand for no present one."""

MOST_POINTS = 2000
"""That are kept for drawing."""

MOST_SUMS = 100_000
"""A watch that has more intervals is added up less often, so that a tree stays bounded."""


def tree(
    recording: WatchRecording,
    limits: WatchLimits,
    *,
    now_bytes: float,
    limit_bytes: float | None,
) -> TreeFindings | None:
    """
    Return the growth of all processes together; `None` if there was only one.

    The sum is that of anonymous memory, and of what is known inside where every living
    process told it. Pages that processes share since a fork count in each.
    """
    if len(recording.processes) < 2:  # noqa: PLR2004 - one process is no tree
        return None
    metrics, times, living = _sums(recording)
    null = None if recording.baseline is None else Null(_sums(recording.baseline)[0])
    found = watch_growth.growth(
        metrics, limits, null=null, now_bytes=now_bytes, limit_bytes=limit_bytes
    )
    counts = [int(count) for count in living.sum(axis=0)]
    return TreeFindings(
        growth=found,
        points=_points(metrics, times, counts),
        processes_first=next((count for count in counts if count), 0),
        processes_peak=max(counts, default=0),
        processes_last=counts[-1] if counts else 0,
    )


def _sums(recording: WatchRecording) -> tuple[list[Signal], Floats, NDArray[np.bool_]]:
    """Return each metric summed, with the times of the sums and who lived at each."""
    times = _grid(recording)
    living = _living(recording.processes, times)
    metrics = [
        signal
        for metric in watch_growth.METRICS
        if (signal := _summed(recording, metric, times, living)) is not None
    ]
    return metrics, times, living


def _grid(recording: WatchRecording) -> Floats:
    """Return the times at which the processes are added up."""
    import numpy as np

    ends_s = max((p.readings[-1].at_s for p in recording.processes if p.readings), default=0.0)
    step_s = max(recording.interval_s, ends_s / MOST_SUMS)
    # A little late, so that what is read once an interval has been read by then; and not
    # after the last reading, when processes that end with the watch are gone one by one.
    return np.arange(step_s / 2, ends_s, step_s)


def _living(processes: Sequence[ProcessRecording], times: Floats) -> NDArray[np.bool_]:
    """Return, a row per process, whether it lived at each time."""
    import numpy as np

    return np.array(
        [
            (times >= one.began_s) & (times < (np.inf if one.ended_s is None else one.ended_s))
            for one in processes
        ]
    )


def _summed(
    recording: WatchRecording, metric: Metric, times: Floats, living: NDArray[np.bool_]
) -> Signal | None:
    """Return the sum at those times at which every living process was read."""
    import numpy as np

    total = np.zeros(len(times))
    known = living.any(axis=0)
    for process, lives in zip(recording.processes, living, strict=True):
        at, values = watch_growth.series(process.readings, metric)
        if not at:
            known &= ~lives
            continue
        latest = np.searchsorted(at, times, side="right") - 1
        age = times - np.asarray(at)[np.maximum(latest, 0)]
        fresh = (latest >= 0) & (age <= STALE * _pace(at, recording.interval_s))
        known &= fresh | ~lives
        total += np.where(lives & fresh, np.asarray(values)[np.maximum(latest, 0)], 0.0)
    if known.sum() < FEWEST_SAMPLES:
        return None
    at = array("d", times[known].tobytes())
    return Signal(metric, at, array("d", total[known].tobytes()), leak_parts.holes(at))


def _pace(at: Sequence[float], interval_s: float) -> float:
    gaps = [later - before for before, later in pairwise(at)]
    return max(interval_s, statistics.median(gaps) if gaps else 0.0)


def _points(
    metrics: Sequence[Signal], times: Floats, counts: Sequence[int]
) -> tuple[tuple[float, int, int], ...]:
    if not metrics or metrics[0].metric is not Metric.ANONYMOUS:
        return ()
    summed = metrics[0]
    step = max(1, len(summed.t_seconds) // MOST_POINTS)
    kept = summed.t_seconds[::step]
    # Each of them is one of the times.
    living = [counts[int(number)] for number in times.searchsorted(kept)]
    sizes = map(round, summed.values[::step])
    return tuple(zip(kept, living, sizes, strict=True))
