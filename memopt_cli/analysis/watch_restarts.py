"""
What a watch saw restarted: one program in several processes, one after the other.

A worker that is replaced every few minutes never lives long enough for a verdict of its
own. Its lives together do: each begins at its own level, and a leak climbs in all.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from memopt_cli.analysis import watch_growth
from memopt_cli.analysis.leak import FEWEST_SAMPLES
from memopt_cli.analysis.leak_signals import Signal
from memopt_cli.analysis.watch_results import RestartFindings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from memopt_cli.analysis.watch_limits import WatchLimits
    from memopt_cli.analysis.watching import ProcessRecording, WatchRecording

LATE = 1.5
"""In intervals: one that begins so long before the other was seen to be gone replaced it."""


def restarted(recording: WatchRecording, limits: WatchLimits) -> tuple[RestartFindings, ...]:
    """Return the growth of each program that was seen in several processes in turn."""
    found = []
    for lives in _lines(recording.processes, LATE * recording.interval_s):
        growth = watch_growth.growth(_signals(lives), limits)
        if not growth.growths:
            continue
        found.append(
            RestartFindings(
                pids=tuple(one.pid for one in lives),
                command=lives[-1].command,
                growth=growth,
            )
        )
    return tuple(found)


def _lines(
    processes: Sequence[ProcessRecording], late_s: float
) -> Iterator[Sequence[ProcessRecording]]:
    """Yield processes of one parent and command that follow each other."""
    lines: dict[tuple[int, str], list[list[ProcessRecording]]] = {}
    for one in sorted(processes, key=lambda each: each.began_s):
        same = lines.setdefault((one.parent_pid, one.command), [])
        # The one that ended last: of several workers, each is replaced by its own successor.
        free = [
            line
            for line in same
            if (ended_s := line[-1].ended_s) is not None and ended_s <= one.began_s + late_s
        ]
        if free:
            max(free, key=lambda line: line[-1].ended_s or 0.0).append(one)
        else:
            same.append([one])
    yield from (line for same in lines.values() for line in same if len(line) > 1)


def _signals(lives: Sequence[ProcessRecording]) -> list[Signal]:
    """Return each metric of all lives, with a break where the next begins."""
    found = []
    for metric in watch_growth.METRICS:
        read = [watch_growth.series(one.readings, metric) for one in lives]
        at = array("d", (each for times, _ in read for each in times))
        values = array("d", (each for _, sizes in read for each in sizes))
        breaks = [times[0] for times, _ in read[1:] if times]
        if len(at) >= FEWEST_SAMPLES:
            found.append(Signal(metric, at, values, breaks))
    return found
