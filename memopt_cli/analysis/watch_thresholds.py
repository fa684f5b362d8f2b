"""Thresholds of a watch, judged on each process with the three outcomes of a run's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from memopt_cli.analysis import watch_limits
from memopt_cli.analysis.limits import compare
from memopt_cli.analysis.results import Estimate, LeakVerdict, ThresholdResult, Verdict
from memopt_cli.analysis.threshold_metrics import aggregate
from memopt_cli.profiler.histogram import merged
from memopt_cli.units import Dimension

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memopt_cli.analysis.results import Leak
    from memopt_cli.analysis.watch_limits import WatchLimits
    from memopt_cli.analysis.watch_results import ProcessFindings, RestartFindings, TreeFindings
    from memopt_cli.analysis.watching import ProcessRecording
    from memopt_cli.scenario.thresholds import Expression

ALL = "all processes"


def judged(
    recorded: Sequence[ProcessRecording],
    found: Sequence[ProcessFindings],
    tree: TreeFindings | None,
    limits: WatchLimits,
) -> list[ThresholdResult]:
    """
    Return every threshold for every process that it can be judged for.

    A process that did not live for the whole watch is judged only where it crosses: its
    missing figures make nothing inconclusive.
    """
    results = []
    for text in limits.thresholds:
        metric, expression = watch_limits.threshold(text)
        own = [
            result
            for recording, findings in zip(recorded, found, strict=True)
            if (result := _result(metric, expression, text, recording, findings)).verdict
            is Verdict.CROSSED
            or findings.is_whole
        ]
        if tree is not None and metric == "memory_leak_slope":
            own.append(_growth_result(expression, text, tree.growth.leak, ALL, ""))
        results += own or [_made(metric, text, ALL, "", None, expression, "no process lived long")]
    return results


def leaks(
    found: Sequence[ProcessFindings], tree: TreeFindings | None, limits: WatchLimits
) -> list[ThresholdResult]:
    """
    Return the check that every watch has: no leak, or none beyond what is tolerated.

    Of processes: all that lived for the whole watch, and any other that leaks.
    """
    results = [
        _leak_check(one.growth.leak, one.command, str(one.pid), limits)
        for one in found
        if one.is_whole or one.leaks
    ]
    if tree is not None:
        results.append(_leak_check(tree.growth.leak, ALL, "", limits))
    return results


def restarts(found: Sequence[RestartFindings], limits: WatchLimits) -> list[ThresholdResult]:
    """Return the same check for what was restarted, where its lives together tell."""
    return [
        _leak_check(one.growth.leak, one.command, f"{one.pids[0]}-{one.pids[-1]}", limits)
        for one in found
        if one.growth.leak.verdict is not LeakVerdict.INCONCLUSIVE
    ]


def _leak_check(leak: Leak, name: str, pid: str, limits: WatchLimits) -> ThresholdResult:
    per_hour = limits.leak_bytes_per_hour
    verdict = _LEAKS[leak.verdict]
    if verdict is Verdict.CROSSED and per_hour is not None and leak.slope_bytes_per_s is not None:
        verdict, _ = compare(leak.slope_bytes_per_s, "<=", per_hour / 3600, rounded=False)
    return ThresholdResult(
        metric="leak",
        expression="none" if per_hour is None else f"at most {per_hour:,.0f} B/h",
        stage=None,
        window_s=None,
        cell={"process": pid} if pid else {},
        variant=name,
        observed=leak.slope_bytes_per_s,
        dimension=Dimension.SIZE_RATE,
        verdict=verdict,
        reason=leak.reason,
        z=leak.z,
    )


_LEAKS = {
    LeakVerdict.LEAK: Verdict.CROSSED,
    LeakVerdict.NO_LEAK: Verdict.PASSED,
    LeakVerdict.INCONCLUSIVE: Verdict.INCONCLUSIVE,
}


def _result(
    metric: str,
    expression: Expression,
    text: str,
    recording: ProcessRecording,
    findings: ProcessFindings,
) -> ThresholdResult:
    name, pid = findings.command, str(findings.pid)
    if metric == "memory_leak_slope":
        return _growth_result(expression, text, findings.growth.leak, name, pid)
    observed, reason = _OBSERVERS[metric](expression, recording, findings)
    return _made(metric, text, name, pid, observed, expression, reason)


def _growth_result(
    expression: Expression, text: str, leak: Leak, name: str, pid: str
) -> ThresholdResult:
    """Return the result for growth: beyond its limit it crosses only as a leak."""
    found = _made(
        "memory_leak_slope", text, name, pid, leak.slope_bytes_per_s, expression, leak.reason
    )
    if found.verdict is not Verdict.CROSSED or leak.verdict is LeakVerdict.LEAK:
        return replace(found, z=leak.z)
    return _made("memory_leak_slope", text, name, pid, None, expression, leak.reason)


def _made(
    metric: str,
    text: str,
    name: str,
    pid: str,
    observed: Estimate | None,
    expression: Expression,
    reason: str,
) -> ThresholdResult:
    verdict = Verdict.INCONCLUSIVE
    if observed is not None:
        rounded = expression.aggregation == "p"
        verdict, reason = compare(
            observed, expression.operator, expression.limit.value, rounded=rounded
        )
    return ThresholdResult(
        metric=metric,
        expression=text.partition(":")[2].strip(),
        stage=None,
        window_s=None,
        cell={"process": pid} if pid else {},
        variant=name,
        observed=observed,
        dimension=expression.limit.dimension,
        verdict=verdict,
        reason=reason,
    )


def _pauses(
    expression: Expression, recording: ProcessRecording, _: ProcessFindings
) -> tuple[Estimate | None, str]:
    if (reason := _incomplete(recording)) is not None:
        return None, reason
    return aggregate(expression, merged(recording.pauses.values())), "no pauses"


def _pause_share(
    _: Expression, recording: ProcessRecording, findings: ProcessFindings
) -> tuple[Estimate | None, str]:
    if (reason := _incomplete(recording)) is not None:
        return None, reason
    share = findings.gc_pause_share
    return None if share is None else Estimate.exact(share), "it takes two readings"


def _incomplete(recording: ProcessRecording) -> str | None:
    """Return why the pauses that were recorded are not all, or `None`."""
    if recording.inside:
        return recording.inside
    if recording.pauses_lost:
        return f"{recording.pauses_lost:,} pauses were overwritten before they were read"
    if merged(recording.pauses.values()).count < sum(recording.readings.column("gc_pauses")):
        return "not all pauses were kept: the watch was killed"
    return None


def _peak(
    _: Expression, __: ProcessRecording, findings: ProcessFindings
) -> tuple[Estimate | None, str]:
    peak = findings.peak_rss_bytes
    return None if peak is None else Estimate.exact(float(peak)), "it was never read"


_OBSERVERS: dict[
    str,
    Callable[[Expression, ProcessRecording, ProcessFindings], tuple[Estimate | None, str]],
] = {"gc_pause": _pauses, "gc_pause_share": _pause_share, "memory_total": _peak}
