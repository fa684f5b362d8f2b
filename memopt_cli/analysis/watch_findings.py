"""From the recording of a watch to its findings: every figure of its report is made here."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from memopt_cli.analysis import (
    alert_series,
    pairing,
    watch_growth,
    watch_restarts,
    watch_thresholds,
    watch_tree,
)
from memopt_cli.analysis.durations import distribution
from memopt_cli.analysis.ending import exit_code
from memopt_cli.analysis.leak import FEWEST_SAMPLES
from memopt_cli.analysis.leak_outlook import memory_limit_bytes
from memopt_cli.analysis.limits import worst
from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.results import Verdict
from memopt_cli.analysis.watch_launchers import without_launchers
from memopt_cli.analysis.watch_results import ProcessFindings, WatchCost, WatchFindings
from memopt_cli.profiler.histogram import merged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.readings import Readings
    from memopt_cli.analysis.results import ThresholdResult
    from memopt_cli.analysis.watch_limits import WatchLimits
    from memopt_cli.analysis.watching import ProcessRecording, WatchRecording

WHOLE = 0.9
"""A process that lived for this share of the watch must have a verdict; others may."""


def judge(recording: WatchRecording, limits: WatchLimits) -> WatchFindings:
    """
    Return what a watch means.

    A leak that was seen is one however the watch ended. A person who ends a watch has
    seen what there was; one that was killed, or whose target failed, cannot pass.
    """
    recording = pairing.watch_with_baseline(without_launchers(recording))
    limit_bytes = memory_limit_bytes(recording.environment)
    now_bytes = float(sum(_last_rss_bytes(one, recording) for one in recording.processes))
    processes = tuple(
        _process(number, one, recording, limits, now_bytes, limit_bytes)
        for number, one in enumerate(recording.processes)
    )
    tree = watch_tree.tree(recording, limits, now_bytes=now_bytes, limit_bytes=limit_bytes)
    restarted = watch_restarts.restarted(recording, limits)
    results = (
        *watch_thresholds.leaks(processes, tree, limits),
        *watch_thresholds.restarts(restarted, limits),
        *watch_thresholds.judged(recording.processes, processes, tree, limits),
    )
    verdict = _verdict(recording.outcome, results)
    return WatchFindings(
        target=recording.target,
        started_at=recording.started_at,
        interval_s=recording.interval_s,
        outcome=recording.outcome,
        reason=recording.reason,
        signal=recording.signal,
        exit_status=recording.exit_status,
        environment=recording.environment,
        wall_s=recording.wall_s,
        processes=processes,
        processes_left_out=recording.processes_left_out,
        tree=tree,
        limits=limits,
        thresholds=results,
        verdict=verdict,
        exit_code=exit_code(recording.outcome, recording.signal, verdict),
        alerts=alert_series.of_watch(recording, processes, tree),
        restarted=restarted,
        baseline=recording.baseline_name,
    )


def _process(
    number: int,
    recorded: ProcessRecording,
    watch: WatchRecording,
    limits: WatchLimits,
    now_bytes: float,
    limit_bytes: float | None,
) -> ProcessFindings:
    readings = recorded.readings
    last = readings[-1] if readings else None
    watched_s = readings[-1].at_s - readings[0].at_s if readings else 0.0
    lived_s = (watch.wall_s if recorded.ended_s is None else recorded.ended_s) - recorded.began_s
    pauses = merged(recorded.pauses.values())
    return ProcessFindings(
        number=number,
        pid=recorded.pid,
        parent_pid=recorded.parent_pid,
        command=recorded.command,
        began_s=recorded.began_s,
        ended_s=recorded.ended_s,
        is_whole=lived_s >= WHOLE * watch.wall_s,
        is_judged=len(readings) >= FEWEST_SAMPLES,
        watched_s=watched_s,
        growth=watch_growth.growth(
            watch_growth.signals(readings),
            limits,
            readings=readings,
            null=watch_growth.null_of(recorded),
            beside=recorded.beside.readings if recorded.beside else None,
            now_bytes=now_bytes,
            limit_bytes=limit_bytes,
        ),
        suspects=recorded.suspects,
        looks=recorded.looks,
        not_traced=recorded.not_traced,
        inside=recorded.inside,
        gc_pause=None if recorded.inside else distribution(pauses),
        gc_pause_by_generation={}
        if recorded.inside
        else {generation: distribution(one) for generation, one in sorted(recorded.pauses.items())},
        gc_pause_share=_share(None if recorded.inside else pauses.total_s, watched_s),
        pauses_lost=recorded.pauses_lost,
        cpu_share=_share(last.cpu_s - readings[0].cpu_s if last else None, watched_s),
        peak_rss_bytes=max(readings.column("rss_bytes"), default=None),
        last_anonymous_bytes=last.resident_anonymous_bytes if last else None,
        fragmentation=_fragmentation(readings),
        threads=last.threads if last else None,
        fds=last.fds if last else None,
        cost=_cost(recorded, watched_s),
    )


def _share(part_s: float | None, watched_s: float) -> float | None:
    return None if part_s is None or watched_s <= 0 else part_s / watched_s


def _fragmentation(readings: Readings) -> float | None:
    halves = [readings.column(f"malloc_{name}_bytes") for name in ("in_use", "free")]
    for in_use, free in zip(*map(reversed, halves), strict=True):
        if not math.isnan(in_use + free):
            return float(free / (in_use + free)) if in_use + free else None
    return None


def _cost(recorded: ProcessRecording, watched_s: float) -> WatchCost:
    costs = recorded.readings.column("cost_s")
    inside = () if recorded.inside else recorded.readings.column("inside_cost_s")
    inside_total_s = sum(inside) if inside else None
    return WatchCost(
        readings=len(costs),
        reading_p50_s=statistics.median(costs) if costs else None,
        reading_max_s=max(costs, default=None),
        reading_share=_share(sum(costs), watched_s),
        inside_p50_s=statistics.median(inside) if inside else None,
        inside_total_s=inside_total_s,
        inside_share=_share(inside_total_s, watched_s),
        traced_s=recorded.traced_s,
        traced_share=_share(recorded.traced_s, watched_s),
    )


def _last_rss_bytes(process: ProcessRecording, watch: WatchRecording) -> int:
    """Return what a process held at the end, nothing if it had ended well before."""
    gone = process.ended_s is not None and process.ended_s < WHOLE * watch.wall_s
    return process.readings[-1].rss_bytes if process.readings and not gone else 0


def _verdict(outcome: Outcome, results: Sequence[ThresholdResult]) -> Verdict:
    """Return the worst of all checks; a watch that could judge nothing is inconclusive."""
    if not results:
        return Verdict.INCONCLUSIVE
    verdict = worst([result.verdict for result in results])
    if verdict is Verdict.PASSED and outcome not in {Outcome.FINISHED, Outcome.INTERRUPTED}:
        return Verdict.INCONCLUSIVE
    return verdict
