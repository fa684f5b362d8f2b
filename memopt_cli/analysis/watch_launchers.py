"""
What a watched program was before it was itself: the shell of a launcher, up to its exec.

A version manager's ``python`` is a script that becomes the interpreter. Where that takes
longer than the first reading is put off, the script was recorded too: a process with the
number of the program, and another memory.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from memopt_cli.analysis.leak import FEWEST_SAMPLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.watching import ProcessRecording, WatchRecording


def without_launchers(recording: WatchRecording) -> WatchRecording:
    """
    Return a watch, and its baseline, with each launcher as the program that it became.

    The program has its place and has lived since then; the launcher's readings are left out.
    They are too few for a verdict, none is above the program's highest, and no agent was in
    it: no result rests on them. A program that starts itself anew is no launcher.
    """
    found: list[ProcessRecording] = []
    becoming: dict[tuple[int, int], int] = {}
    for number, one in enumerate(recording.processes):
        place = becoming.pop(_identity(one), None)
        if place is None:
            place = len(found)
            found.append(one)
        else:
            found[place] = replace(one, began_s=found[place].began_s)
        if _is_launcher(one, recording.processes[number + 1 :]):
            becoming[_identity(one)] = place
    baseline = None if recording.baseline is None else without_launchers(recording.baseline)
    return replace(recording, processes=tuple(found), baseline=baseline)


def _identity(one: ProcessRecording) -> tuple[int, int]:
    """Return what a process keeps when it becomes another program."""
    return one.pid, one.parent_pid


def _is_launcher(one: ProcessRecording, others: Sequence[ProcessRecording]) -> bool:
    became = [other for other in others if _identity(other) == _identity(one)]
    return (
        bool(became)
        and all(other.command != one.command for other in became)
        and not one.pauses
        and len(one.readings) < FEWEST_SAMPLES
        and _peak_bytes(one) <= _peak_bytes(became[0])
    )


def _peak_bytes(one: ProcessRecording) -> int:
    return max(one.readings.column("rss_bytes"), default=0)
