"""From the readings of a watched process, or of all of them, to a verdict in words."""

from __future__ import annotations

import math
from array import array
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from memopt_cli.analysis import leak, leak_outlook, leak_parts, paired
from memopt_cli.analysis.leak import FEWEST_SAMPLES
from memopt_cli.analysis.leak_signals import BYTES_EACH, Metric, Null, Pattern, Signal, together
from memopt_cli.analysis.leak_views import OF_BASELINE, Doubt
from memopt_cli.analysis.origin import origin
from memopt_cli.analysis.results import Estimate, How, Leak, LeakVerdict
from memopt_cli.analysis.steady import above, baseline, doubtful, estimate
from memopt_cli.analysis.watch_results import GrowthFindings
from memopt_cli.units import format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memopt_cli.analysis.leak import Growth
    from memopt_cli.analysis.leak_signals import Together
    from memopt_cli.analysis.readings import Readings
    from memopt_cli.analysis.watch_limits import WatchLimits
    from memopt_cli.analysis.watching import ProcessRecording

PAGE_BYTES = 4096.0
SWAPPED_BYTES = 1024**2
"""Exact memory above the resident by this much is swap: then only the exact one shows growth."""

_COLUMNS: Mapping[Metric, str] = {
    Metric.ANONYMOUS: "resident_anonymous_bytes",
    Metric.MALLOC_IN_USE: "malloc_in_use_bytes",
    Metric.MALLOC_FREE: "malloc_free_bytes",
    Metric.ALLOCATED_BLOCKS: "allocated_blocks",
}

METRICS = tuple(_COLUMNS)
"""What a watch judges by, memory seen from outside first."""

_EXACT, _OPERATIONS = "anonymous_bytes", "operations"


def signals(readings: Readings) -> list[Signal]:
    """Return each metric that was read often enough to be judged, at its own times."""
    found = []
    for metric in METRICS:
        at, values = series(readings, metric)
        if len(at) >= FEWEST_SAMPLES:
            found.append(Signal(metric, at, values, leak_parts.holes(at)))
    return found


def series(readings: Readings, metric: Metric) -> tuple[Sequence[float], Sequence[float]]:
    """Return the times at which a metric was read, and its values, as counted."""
    if metric is Metric.ANONYMOUS and _is_swapped(readings):
        return readings.series(_EXACT)
    return readings.series(_COLUMNS[metric])


def _is_swapped(readings: Readings) -> bool:
    resident = readings.column(_COLUMNS[Metric.ANONYMOUS])
    swapped = [
        exact - there
        for exact, there in zip(readings.column(_EXACT), resident, strict=True)
        if not math.isnan(exact)
    ]
    return len(swapped) >= FEWEST_SAMPLES and max(swapped) > SWAPPED_BYTES


def growth(
    metrics: Sequence[Signal],
    limits: WatchLimits,
    *,
    readings: Readings | None = None,
    null: Null | None = None,
    beside: Readings | None = None,
    now_bytes: float = 0.0,
    limit_bytes: float | None = None,
) -> GrowthFindings:
    """
    Return how memory grows, by all its metrics together.

    Args:
        metrics: As `signals` makes them; a verdict needs 24 readings.
        limits: What a user tolerates, and calls severe.
        readings: Of the process, for what it grows by per operation where these are counted.
        null: What a clean watch showed, to judge what there is above it.
        beside: The readings of the same process in that watch.
        now_bytes: What fills the limit already.
        limit_bytes: Memory that there is, for the time until a leak has filled it.
    """
    over_s = max((one.t_seconds[-1] - one.t_seconds[0] for one in metrics), default=0.0)
    per_hour = limits.leak_bytes_per_hour
    tolerance = None if per_hour is None else per_hour * over_s / 3600
    found = together(metrics, tolerance=tolerance, null=null)
    leading = _measure(found)
    judged = _unread()
    if leading is not None:
        # The operations of parts are counted apart, and so is no line through all of them.
        counted = None if any(one.breaks for one in metrics) else readings
        judged = _leak(found, leading, limits, counted, beside)
        full_in_s = leak_outlook.time_to_limit_s(
            replace(found.growths[leading], verdict=found.verdict),
            now_bytes=now_bytes,
            limit_bytes=limit_bytes,
        )
        judged = replace(judged, full_in_s=full_in_s)
    return GrowthFindings(
        leak=judged,
        pattern=found.pattern,
        measured_by=leading,
        growths=found.growths,
        starts_s={one.metric: one.t_seconds[0] for one in metrics},
        origin=origin(found),
    )


def _measure(found: Together) -> Metric | None:
    """
    Return the metric whose slope is the figure.

    Of a leak that pages hide it is what shows it. Of others it is the memory in which the
    interval is narrowest: pages come in steps, and free heap takes up what is asked for.
    """
    if not found.growths:
        return None
    if found.pattern is Pattern.HIDDEN_LEAK:
        return found.leading
    candidates = [found.measured_by, Metric.ANONYMOUS]
    if not _leaks(found, Metric.ALLOCATED_BLOCKS):
        # All that leaks is malloc's: small objects, which are not in it, do not.
        candidates.append(Metric.MALLOC_IN_USE)
    shown = [one for one in candidates if _leaks(found, one)]
    return min(shown, key=lambda one: found.growths[one].half_width, default=found.measured_by)


def _leaks(found: Together, metric: Metric) -> bool:
    judged = found.growths.get(metric)
    return judged is not None and judged.verdict is LeakVerdict.LEAK


def _unread() -> Leak:
    reason = f"a verdict needs {FEWEST_SAMPLES} readings: watch longer or read more often"
    return Leak(LeakVerdict.INCONCLUSIVE, None, None, None, 0, 0.0, reason)


def _leak(
    found: Together,
    metric: Metric,
    limits: WatchLimits,
    readings: Readings | None,
    beside: Readings | None,
) -> Leak:
    leading = found.growths[metric]
    leaks = found.verdict is LeakVerdict.LEAK
    unsure = found.verdict is LeakVerdict.INCONCLUSIVE
    # Longest of all: the verdict waits for the metric that takes longest to tell.
    waits = [leak_outlook.longer_s(one) for one in found.growths.values() if _is_unsure(one)]
    longer_s = max(waits, default=leak_outlook.longer_s(leading)) if unsure else None
    # By its own series the figure may be in doubt where another one shows the leak.
    told = replace(leading, verdict=found.verdict)
    at_baseline = found.besides.get(metric)
    null = beside if at_baseline is not None and at_baseline.is_null else None
    return Leak(
        verdict=found.verdict,
        slope_bytes_per_s=estimate(leading, 1.0, How.FITTED),
        slope_bytes_per_operation=per_operation(readings, metric, null),
        detectable_bytes_per_s=leading.detectable,
        samples=leading.samples,
        over_s=leading.over_s,
        reason=_reason(found, leading, longer_s),
        settled_s=leading.settled_s,
        longer_s=longer_s,
        severity=leak_outlook.severity(told, limits.severities) if leaks else None,
        baseline=baseline(at_baseline, How.FITTED),
        z=found.growths.get(found.leading, leading).z if found.leading else leading.z,
    )


def _is_unsure(growth: Growth) -> bool:
    return growth.verdict is LeakVerdict.INCONCLUSIVE


def _reason(found: Together, leading: Growth, longer_s: float | None) -> str:
    if longer_s is not None:
        doubted = found.growths.get(found.leading, leading) if found.leading else leading
        if doubted.doubt in OF_BASELINE:
            return str(doubted.doubt)
        return f"{doubtful(doubted)}: watch {format_duration(longer_s)} longer"
    if found.pattern is Pattern.NO_LEAK and leading.high is not None:
        most, over = format_size(max(0.0, leading.high) * 3600), format_duration(leading.over_s)
        return f"no more than {most}/h{above(found)}, seen for {over}"
    return f"{found.reason}{above(found)}"


def null_of(process: ProcessRecording) -> Null | None:
    """Return what the baseline showed of a process, on its clock; `None` without a baseline."""
    if process.beside is None:
        return None
    later_s = process.began_s - process.beside.began_s
    moved = [
        replace(
            one,
            t_seconds=array("d", (at + later_s for at in one.t_seconds)),
            breaks=[at + later_s for at in one.breaks],
        )
        for one in signals(process.beside.readings)
    ]
    done = [_counted(each.readings) for each in (process, process.beside)]
    return Null(moved, Doubt.BASELINE_LOAD if paired.other_load(*done) else None)


def _counted(readings: Readings) -> list[tuple[float, float]]:
    return list(zip(*readings.series(_OPERATIONS), strict=True))


def per_operation(
    readings: Readings | None, metric: Metric, beside: Readings | None = None
) -> Estimate | None:
    """
    Return by how many bytes a metric grows per operation; `None` where none were counted.

    It is fitted to the operations, not a slope over time divided by a mean rate: where
    the load comes in bursts, growth is straight only against what was done. With readings
    *beside* it, growth is what this one grows by more than those after as many operations.
    """
    own = _by_operation(readings, metric)
    null = _by_operation(beside, metric) if beside else None
    if own is None or (beside and null is None):
        return None
    quantum = BYTES_EACH.get(metric, PAGE_BYTES)
    return estimate(leak.judge(*own, baseline=null, quantum=quantum), 1.0, How.FITTED)


def _by_operation(
    readings: Readings | None, metric: Metric
) -> tuple[array[float], array[float]] | None:
    """Return operations and bytes; `None` where the count goes back or is too short."""
    each = BYTES_EACH.get(metric, 1.0)
    done, sizes = array("d"), array("d")
    if not readings:
        return None
    read = readings.column(_COLUMNS.get(metric, _COLUMNS[Metric.ANONYMOUS]))
    for count, size in zip(readings.column(_OPERATIONS), read, strict=True):
        if not (math.isnan(count) or math.isnan(size)):
            done.append(count)
            sizes.append(size * each)
    if len(done) < FEWEST_SAMPLES or any(later < before for before, later in pairwise(done)):
        return None
    return done, sizes
