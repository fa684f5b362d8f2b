"""How the findings of a watch are put into words: one line for the verdict, and its parts."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from memopt_cli.analysis.drift import FEWEST_READINGS
from memopt_cli.analysis.leak_signals import BYTES_EACH, Pattern
from memopt_cli.analysis.origin import Origin
from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.results import Estimate, LeakVerdict, Verdict
from memopt_cli.report import wording
from memopt_cli.units import Dimension, format_count, format_duration, format_size

if TYPE_CHECKING:
    from memopt_cli.analysis.attribution import Suspect
    from memopt_cli.analysis.origin import GrowthOrigin
    from memopt_cli.analysis.results import Leak
    from memopt_cli.analysis.watch_results import (
        GrowthFindings,
        ProcessFindings,
        RestartFindings,
        TreeFindings,
        WatchFindings,
    )

LONGEST_COMMAND = 60
LEAST_SHARE = 1e-4


def headline(found: WatchFindings) -> str:
    """Return the verdict as one line: what, how fast, where, and what holds it."""
    failed = f"failed: {found.reason.rstrip('.')}; " if found.outcome is Outcome.FAILED else ""
    return failed + _verdict(found)


def _verdict(found: WatchFindings) -> str:
    if found.verdict is Verdict.PASSED:
        return f"no leak: {_cleared(found)}"
    leaking = sorted((one for one in found.processes if one.leaks), key=_slope, reverse=True)
    if leaking:
        more = f", and in {len(leaking) - 1} more" if leaking[1:] else ""
        return f"leak: {rate(leaking[0].growth)} in {process(leaking[0])}{_where(leaking[0])}{more}"
    if leaks := [one for one in found.restarted if one.leaks]:
        lives = f"{len(leaks[0].pids)} lives of {leaks[0].command[:LONGEST_COMMAND]}"
        return f"leak: {rate(leaks[0].growth)} in {lives} ({pids(leaks[0])})"
    if found.tree is not None and found.tree.leaks:
        return f"leak: {rate(found.tree.growth)} over all processes, {_count(found.tree)}"
    if found.verdict is Verdict.CROSSED:
        first = next(one for one in found.thresholds if one.verdict is Verdict.CROSSED)
        limit = wording.expression(first)
        return f"crossed: {limit}, {wording.observed(first)} in {wording.cell(first)}"
    return f"inconclusive: {_doubt(found)}"


def _slope(found: ProcessFindings) -> float:
    slope = found.growth.leak.slope_bytes_per_s
    return 0.0 if slope is None else slope.value


def _where(found: ProcessFindings) -> str:
    """Return the line and the holder of a leak, as far as they were found."""
    if not found.suspects:
        return f", {_ORIGINS[found.growth.origin.origin]}" if _is_told(found) else ""
    worst = found.suspects[0]
    at = f", at {line(worst)}" if worst.file else ""
    return f"{at}, held by {worst.holder}" if worst.holder else at


def _is_told(found: ProcessFindings) -> bool:
    return found.growth.origin.origin is not Origin.NONE_SHOWN


def _count(tree: TreeFindings) -> str:
    first, last = tree.processes_first, tree.processes_last
    if last > first:
        return f"{first} at first and {last} at the end: processes leak"
    return f"{last} at the end; none of them is shown to leak alone"


def _doubt(found: WatchFindings) -> str:
    """Return the first check that did not tell, and why."""
    unsure = [one for one in found.thresholds if one.verdict is Verdict.INCONCLUSIVE]
    if unsure:
        reason = unsure[0].reason or "it was not measured"
        return f"{reason}, in {wording.cell(unsure[0])}"
    if not found.thresholds:
        return "no process lived long enough to be judged"
    if found.outcome is Outcome.RUNNING:
        return "the watch goes on, or was killed; nothing is shown to leak so far"
    return "nothing is shown to leak, and it did not end well"


def _cleared(found: WatchFindings) -> str:
    fragmented = [one for one in found.processes if one.growth.pattern is Pattern.FRAGMENTATION]
    if fragmented:
        worst = max(fragmented, key=_slope)
        return f"{process(worst)} grows by {rate(worst.growth)}, by fragmentation"
    tolerated = [one for one in found.processes if one.leaks]
    if tolerated:
        worst = max(tolerated, key=_slope)
        return f"none beyond what is tolerated; {rate(worst.growth)} in {process(worst)}"
    judged = [one for one in found.processes if one.is_whole] or list(found.processes)
    most = max(judged, key=_slope)
    others = f" and in {len(judged) - 1} others" if judged[1:] else ""
    return f"{most.growth.leak.reason}, in {process(most)}{others}"


def rate(growth: GrowthFindings) -> str:
    """Return a slope per hour with its interval."""
    found = wording.estimate(growth.leak.slope_bytes_per_s, Dimension.SIZE_RATE)
    about = "about " if growth.measured_by in BYTES_EACH else ""
    return about + found


def hourly(found: Estimate) -> str:
    """Return a figure in bytes per hour, as the others are written that are per second."""
    value, low, high = (end / 3600 for end in (found.value, found.low, found.high))
    return wording.estimate(Estimate(value, low, high, found.how), Dimension.SIZE_RATE)


def share(value: float | None) -> str:
    """
    Return a share in percent; one that rounds to nothing is not nothing.

    >>> share(0.00002), share(0.0), share(None)
    ('below 0.01 %', '0.00 %', '-')
    """
    return "below 0.01 %" if value and value < LEAST_SHARE else wording.ratio(value)


def process(found: ProcessFindings) -> str:
    """Return a process by its id and its command."""
    return f"process {found.pid} {command(found)}"


def pids(found: RestartFindings) -> str:
    """Return the processes of what was restarted, from the first to the last."""
    return f"{found.pids[0]} to {found.pids[-1]}"


def command(found: ProcessFindings) -> str:
    """Return a command that fits into a line."""
    text = found.command
    return text if len(text) <= LONGEST_COMMAND else f"{text[: LONGEST_COMMAND - 3]}..."


def line(suspect: Suspect) -> str:
    """Return the place of a suspect by its file's name; a table has the whole path."""
    return f"{PurePath(suspect.file).name}:{suspect.line}"


def verdict(growth: GrowthFindings) -> str:
    """Return a verdict on growth with its pattern, where that says more."""
    told = wording.leak(growth.leak)
    says_more = growth.pattern in {
        Pattern.HIDDEN_LEAK,
        Pattern.OUTSIDE_LEAK,
        Pattern.FRAGMENTATION,
    }
    return f"{told} ({growth.pattern})" if says_more else told


def remark(leak: Leak) -> str:
    """Return what a verdict rests on, and what comes of it."""
    return wording.leak_remark(leak)


_ORIGINS = {
    Origin.PYTHON: "in Python's objects",
    Origin.NATIVE: "in native memory",
    Origin.MAPPED: "in memory that neither Python nor malloc gave out",
    Origin.FRAGMENTATION: "in free memory that is not given back",
}


def origin(found: GrowthOrigin) -> str:
    """Return in words who asked for what grows."""
    match found.origin:
        case Origin.PYTHON:
            return "Python: its count of allocated blocks grows along"
        case Origin.NATIVE:
            least = found.block_bytes_at_least
            size = f", unless by objects of {format_size(least)} or more each" if least else ""
            return f"native: malloc has handed out more, and not to Python{size}"
        case Origin.MAPPED:
            return (
                "mapped: neither Python nor malloc has handed out more; an extension that maps "
                "memory itself, or gaps in Python's arenas"
            )
        case Origin.FRAGMENTATION:
            return "fragmentation: free memory that malloc does not give back"
        case _:
            return "not shown"


def blocks(found: GrowthOrigin) -> str:
    """Return the slope of the count of blocks, per hour."""
    slope = found.blocks_per_s
    if slope is None:
        return wording.NOT_MEASURED
    ends = (slope.value, slope.low, slope.high)
    value, low, high = (format_count(end * 3600) for end in ends)
    return f"{value} blocks/h ({low} to {high})"


def basis(growth: GrowthFindings) -> str:
    """Return the series whose slope is the figure."""
    if growth.measured_by is None:
        return wording.NOT_MEASURED
    if growth.measured_by in BYTES_EACH:
        return f"{growth.measured_by}, at {BYTES_EACH[growth.measured_by]:.0f} B each"
    return str(growth.measured_by)


def lived(found: ProcessFindings, wall_s: float) -> str:
    """Return when a process came and went."""
    ended = "the end" if found.ended_s is None else format_duration(found.ended_s)
    if found.ended_s is not None and found.is_whole:
        ended = f"its end at {ended}"
    began = "the start" if found.began_s <= wall_s * 0.01 else format_duration(found.began_s)
    return f"{began} to {ended}"


def suspicion(found: ProcessFindings) -> str:
    """Return what the lines of a process are: its leak, or evidence that proves nothing."""
    match found.growth.leak.verdict:
        case LeakVerdict.LEAK:
            return "These lines make what is kept:"
        case LeakVerdict.NO_LEAK:
            return "Grows, not called a leak: in sum the process does not grow by it."
        case _:
            return "Grows, not (yet) called a leak:"


def unfound(found: ProcessFindings) -> str:
    """Return why no line is named for a leak."""
    if found.inside:
        return f"where it leaks is not known: {found.inside}"
    if found.not_traced:
        return f"where it leaks is not known: {found.not_traced}"
    if found.looks < FEWEST_READINGS:
        times = "once" if found.looks == 1 else f"{found.looks} times"
        counted = f"its objects were counted {times}" if found.looks else "nothing was counted"
        return f"where it leaks is not known yet: {counted}, {FEWEST_READINGS} are needed"
    return "no type and no container of Python's was seen to grow"
