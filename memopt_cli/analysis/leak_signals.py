"""
Several metrics of one process, one verdict.

Each sees something that the others do not. The resident set sees all memory, but free
heap absorbs a small leak (seen in 1 of 12 programs); the heap in use sees native leaks
too; allocated blocks and object counts see what Python keeps, and nothing of what an
extension does. Where they differ, the difference is the finding.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from memopt_cli.analysis import leak, paired
from memopt_cli.analysis.results import LeakVerdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memopt_cli.analysis.leak import Growth
    from memopt_cli.analysis.leak_views import Doubt
    from memopt_cli.analysis.paired import Beside


class Metric(StrEnum):
    """What a series counts, named as a report names it."""

    ANONYMOUS = "anonymous memory"
    RSS = "resident set"
    USS = "USS"
    HEAP_IN_USE = "heap in use"
    """Of both allocators: malloc's blocks and Python's small objects."""

    MALLOC_IN_USE = "malloc in use"
    """Of malloc alone: Python's objects of up to 512 bytes are not in it."""

    MALLOC_FREE = "malloc free"
    """Held by malloc for what comes: it tells fragmentation from memory that malloc never had."""

    TRACED = "traced bytes"
    ALLOCATED_BLOCKS = "allocated blocks"
    OBJECTS = "objects"


class Pattern(StrEnum):
    """What several metrics show together."""

    LEAK = "leak"
    HIDDEN_LEAK = "hidden leak"
    """What the process uses grows in heap that was free: the resident set does not show it."""

    OUTSIDE_LEAK = "leak outside Python"
    """The process grows and Python's own objects do not: an extension, or fragmentation."""

    FRAGMENTATION = "fragmentation"
    """The process grows and its heap in use does not."""

    NO_LEAK = "no leak"
    INCONCLUSIVE = "inconclusive"


OUTSIDE = (Metric.ANONYMOUS, Metric.RSS, Metric.USS)
"""What the kernel charges, the surest first: file pages flip between shared and private."""

INSIDE = (
    Metric.HEAP_IN_USE,
    Metric.MALLOC_IN_USE,
    Metric.TRACED,
    Metric.ALLOCATED_BLOCKS,
    Metric.OBJECTS,
)
"""What the process knows itself, the most complete first."""

HALVES = (Metric.MALLOC_IN_USE, Metric.ALLOCATED_BLOCKS)
"""Neither is all of the heap: both must be steady where both were read."""

FREE_SHARE = 0.5
"""Malloc's free memory must make up so much of the process's growth to be its reason."""

BYTES_EACH = {Metric.ALLOCATED_BLOCKS: 64.0, Metric.OBJECTS: 64.0}
"""Counts are judged as bytes, at the size of a usual small object."""

_PAGED = 4096.0


@dataclass(frozen=True, slots=True)
class Signal:
    """One metric's samples, at times of its own."""

    metric: Metric
    t_seconds: Sequence[float]
    values: Sequence[float]
    """Bytes, or a count."""

    breaks: Sequence[float] = ()
    """Times at which a part with a level of its own begins."""


@dataclass(frozen=True, slots=True)
class Null:
    """What was read of a clean run, for what it is judged beside."""

    signals: Sequence[Signal]
    """Their times count from where those of the run do."""

    unfit: Doubt | None = None
    """Why it cannot be compared with, if that is known."""

    def signal(self, metric: Metric) -> Signal:
        """Return what was read of a metric, which may be nothing."""
        return next((one for one in self.signals if one.metric is metric), Signal(metric, (), ()))


@dataclass(frozen=True, slots=True)
class Together:
    """What several metrics show."""

    verdict: LeakVerdict
    pattern: Pattern
    reason: str
    leading: Metric | None
    """The metric that decided, `None` without any."""

    growths: Mapping[Metric, Growth]
    """Of each metric that was judged, in bytes (a count at 64 bytes each)."""

    besides: Mapping[Metric, Beside] = field(default_factory=dict)
    """The same beside a baseline, where there is one."""

    @property
    def measured_by(self) -> Metric:
        """The metric whose slope is the figure: the leading one, unless it is a count or a half."""
        outside = next((one for one in OUTSIDE if one in self.growths), None)
        hidden = self.pattern is Pattern.HIDDEN_LEAK
        if self.leading in HALVES and outside is not None and not hidden:
            return outside
        if self.leading is not None and self.leading not in BYTES_EACH:
            return self.leading
        return next(one for one in (*OUTSIDE, *INSIDE) if one in self.growths)


def together(
    signals: Sequence[Signal], *, tolerance: float | None = None, null: Null | None = None
) -> Together:
    """
    Return one verdict on a process; any metric may be missing.

    Memory seen from outside is left out where Python's allocations were traced: the
    tracer's own table grows.

    Args:
        signals: Each metric once.
        tolerance: Bytes of growth over the run that a user calls harmless.
        null: Of a clean run; growth is then what this one grows by more.
    """
    traced = any(one.metric is Metric.TRACED for one in signals)
    judged = [
        one for one in signals if not (traced and one.metric in OUTSIDE) and len(one.t_seconds)
    ]
    besides = {} if null is None else {one.metric: _beside(one, null, tolerance) for one in judged}
    growths = (
        {one.metric: _judged(one, tolerance) for one in judged}
        if null is None
        else {metric: beside.growth for metric, beside in besides.items()}
    )
    outside = next((metric for metric in OUTSIDE if metric in growths), None)
    inside = [metric for metric in INSIDE if metric in growths]
    pattern, leading = _pattern(growths, outside, inside)
    verdict = _VERDICTS[pattern]
    reason = _reason(pattern, leading, outside, halves=set(HALVES) <= growths.keys())
    return Together(verdict, pattern, reason, leading, growths, besides)


def _judged(signal: Signal, tolerance: float | None) -> Growth:
    return leak.judge(
        signal.t_seconds,
        _sizes(signal),
        quantum=_quantum(signal.metric),
        tolerance=tolerance,
        breaks=signal.breaks,
    )


def _beside(signal: Signal, null: Null, tolerance: float | None) -> Beside:
    other = null.signal(signal.metric)
    return paired.judge(
        (signal.t_seconds, _sizes(signal)),
        (other.t_seconds, _sizes(other)),
        quantum=_quantum(signal.metric),
        tolerance=tolerance,
        unfit=null.unfit,
        breaks=(signal.breaks, other.breaks),
    )


def _sizes(signal: Signal) -> Sequence[float]:
    each = BYTES_EACH.get(signal.metric)
    return signal.values if each is None else [value * each for value in signal.values]


def _quantum(metric: Metric) -> float:
    return _PAGED if metric in OUTSIDE else BYTES_EACH.get(metric, 1.0)


def _pattern(
    growths: Mapping[Metric, Growth], outside: Metric | None, inside: Sequence[Metric]
) -> tuple[Pattern, Metric | None]:
    growing = [one for one in inside if growths[one].verdict is LeakVerdict.LEAK]
    grows_outside = outside is not None and growths[outside].verdict is LeakVerdict.LEAK
    if growing:
        hidden = outside is not None and not grows_outside
        return (Pattern.HIDDEN_LEAK if hidden else Pattern.LEAK), growing[0]
    steady = [one for one in inside if growths[one].verdict is LeakVerdict.NO_LEAK]
    if outside is not None and grows_outside:
        if Metric.HEAP_IN_USE in steady:
            return Pattern.FRAGMENTATION, Metric.HEAP_IN_USE
        if set(HALVES) <= set(steady) and _is_free(growths, outside):
            return Pattern.FRAGMENTATION, outside
        return (Pattern.OUTSIDE_LEAK if steady else Pattern.LEAK), outside
    leading = inside[0] if inside else outside
    if leading is Metric.MALLOC_IN_USE:
        leading = next((one for one in HALVES if one in inside and one not in steady), leading)
    if leading is not None and growths[leading].verdict is LeakVerdict.NO_LEAK:
        complete = leading in {*OUTSIDE, Metric.HEAP_IN_USE, Metric.TRACED}
        if complete or (outside and growths[outside].verdict is LeakVerdict.NO_LEAK):
            return Pattern.NO_LEAK, leading
    return Pattern.INCONCLUSIVE, leading


def _is_free(growths: Mapping[Metric, Growth], outside: Metric) -> bool:
    """Return whether what the process grows by is shown to be malloc's free memory."""
    grown, free = growths[outside].slope, growths.get(Metric.MALLOC_FREE)
    if grown is None or free is None or free.slope is None or free.low is None:
        return False
    return free.low > 0 and free.slope >= FREE_SHARE * grown


def _reason(
    pattern: Pattern, leading: Metric | None, outside: Metric | None, *, halves: bool
) -> str:
    """Return what the pattern rests on; *halves*: malloc and Python's blocks were both read."""
    if halves and pattern is Pattern.OUTSIDE_LEAK:
        return (
            f"{leading} grows, and neither Python nor malloc has handed out more: memory that an "
            "extension maps itself, or gaps in Python's arenas"
        )
    if halves and pattern is Pattern.FRAGMENTATION:
        return f"{outside} grows by what malloc holds free: fragmentation, no leak"
    return {
        Pattern.LEAK: f"{leading} grows",
        Pattern.HIDDEN_LEAK: f"{leading} grows in heap that was free; {outside} does not show it",
        Pattern.OUTSIDE_LEAK: f"{leading} grows and Python's objects do not: look at extensions, "
        "or read the heap in use to tell it from fragmentation",
        Pattern.FRAGMENTATION: f"{outside} grows and heap in use does not: fragmentation, no leak",
        Pattern.NO_LEAK: f"{leading} does not grow",
        Pattern.INCONCLUSIVE: f"{leading} does not tell" if leading else "nothing was measured",
    }[pattern]


_VERDICTS = {
    Pattern.LEAK: LeakVerdict.LEAK,
    Pattern.HIDDEN_LEAK: LeakVerdict.LEAK,
    Pattern.OUTSIDE_LEAK: LeakVerdict.LEAK,
    Pattern.FRAGMENTATION: LeakVerdict.NO_LEAK,
    Pattern.NO_LEAK: LeakVerdict.NO_LEAK,
    Pattern.INCONCLUSIVE: LeakVerdict.INCONCLUSIVE,
}
