"""``run.json`` of a watch: the findings for programs. Names are public; SI units and bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from memopt_cli.report import alerts, watch_wording
from memopt_cli.report.values import HOUR_S, baseline, distribution, estimate

if TYPE_CHECKING:
    from memopt_cli.analysis.attribution import Suspect
    from memopt_cli.analysis.leak import Growth
    from memopt_cli.analysis.results import Distribution, ThresholdResult
    from memopt_cli.analysis.watch_results import (
        GrowthFindings,
        ProcessFindings,
        TreeFindings,
        WatchFindings,
    )

SCHEMA_VERSION = 1


def to_json(found: WatchFindings) -> str:
    """Return a watch as JSON text; a figure that was not measured is null."""
    return json.dumps(document(found), indent=2, allow_nan=False) + "\n"


def document(found: WatchFindings) -> dict[str, Any]:
    """Return a watch as plain values, in the shape that `report.watch_schema` gives."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "watch",
        "summary": watch_wording.headline(found),
        "target": found.target,
        "verdict": found.verdict,
        "exit_code": int(found.exit_code),
        "outcome": found.outcome,
        "reason": found.reason or None,
        "signal": found.signal,
        "exit_status": found.exit_status,
        "started_at": found.started_at,
        "wall_s": found.wall_s,
        "interval_s": found.interval_s,
        "environment": dict(found.environment),
        "baseline": found.baseline or None,
        "limits": {
            "leak_bytes_per_hour": found.limits.leak_bytes_per_hour,
            "severity_bytes_per_s": {str(k): v for k, v in found.limits.severities.items()},
            "thresholds": list(found.limits.thresholds),
        },
        "processes": [_process(one) for one in found.processes],
        "processes_left_out": found.processes_left_out,
        "restarted": [
            {"pids": list(one.pids), "command": one.command, "growth": _growth(one.growth)}
            for one in found.restarted
        ],
        "all_processes": None if found.tree is None else _tree(found.tree),
        "thresholds": [_threshold(one) for one in found.thresholds],
        "alerts": alerts.document(found.alerts),
    }


def _process(one: ProcessFindings) -> dict[str, Any]:
    return {
        "pid": one.pid,
        "parent_pid": one.parent_pid,
        "command": one.command,
        "began_s": one.began_s,
        "ended_s": one.ended_s,
        "whole": one.is_whole,
        "judged": one.is_judged,
        "watched_s": one.watched_s,
        "growth": _growth(one.growth),
        "suspects": [_suspect(suspect) for suspect in one.suspects],
        "looks": one.looks,
        "not_traced": one.not_traced or None,
        "not_inside": one.inside or None,
        "gc_pause_s": _pauses(one),
        "cpu_share": one.cpu_share,
        "peak_rss_bytes": one.peak_rss_bytes,
        "last_anonymous_bytes": one.last_anonymous_bytes,
        "malloc_free_share": one.fragmentation,
        "threads": one.threads,
        "fds": one.fds,
        "cost": {
            "readings": one.cost.readings,
            "reading_p50_s": one.cost.reading_p50_s,
            "reading_max_s": one.cost.reading_max_s,
            "reading_share": one.cost.reading_share,
            "inside_p50_s": one.cost.inside_p50_s,
            "inside_total_s": one.cost.inside_total_s,
            "inside_share": one.cost.inside_share,
            "traced_s": one.cost.traced_s,
            "traced_share": one.cost.traced_share,
        },
    }


def _tree(tree: TreeFindings) -> dict[str, Any]:
    return {
        "growth": _growth(tree.growth),
        "processes_first": tree.processes_first,
        "processes_peak": tree.processes_peak,
        "processes_last": tree.processes_last,
    }


def _growth(growth: GrowthFindings) -> dict[str, Any]:
    leak, origin = growth.leak, growth.origin
    detectable = leak.detectable_bytes_per_s
    return {
        "verdict": leak.verdict,
        "pattern": growth.pattern,
        "measured_by": growth.measured_by,
        "slope_bytes_per_hour": estimate(leak.slope_bytes_per_s, HOUR_S),
        "slope_bytes_per_operation": estimate(leak.slope_bytes_per_operation),
        "detectable_bytes_per_hour": None if detectable is None else detectable * HOUR_S,
        "samples": leak.samples,
        "over_s": leak.over_s,
        "settled_s": leak.settled_s,
        "longer_s": leak.longer_s,
        "severity": leak.severity,
        "full_in_s": leak.full_in_s,
        "remark": leak.reason or None,
        "origin": {
            "origin": origin.origin,
            "blocks_per_hour": estimate(origin.blocks_per_s, HOUR_S),
            "malloc_bytes_per_hour": estimate(origin.malloc_bytes_per_s, HOUR_S),
            "resident_bytes_per_hour": estimate(origin.resident_bytes_per_s, HOUR_S),
            "block_bytes_at_least": origin.block_bytes_at_least,
        },
        "baseline": baseline(leak.baseline),
        "metrics": {str(metric): _metric(one) for metric, one in growth.growths.items()},
    }


def _metric(found: Growth) -> dict[str, Any]:
    slope = found.slope
    return {
        "verdict": found.verdict,
        "slope_bytes_per_hour": None if slope is None else slope * HOUR_S,
        "low_bytes_per_hour": None if found.low is None else found.low * HOUR_S,
        "high_bytes_per_hour": None if found.high is None else found.high * HOUR_S,
        "why": None if found.doubt is None else found.doubt,
    }


def _suspect(suspect: Suspect) -> dict[str, Any]:
    return {
        "file": suspect.file or None,
        "line": suspect.line or None,
        "bytes_per_hour": estimate(suspect.bytes_per_hour),
        "bytes_per_operation": estimate(suspect.bytes_per_operation),
        "bytes_per_entry": suspect.bytes_per_entry,
        "holder": suspect.holder or None,
        "contents": suspect.contents or None,
        "grows": [
            {
                "type": one.type_name,
                "entries": one.entries,
                "entries_per_hour": estimate(one.per_hour),
                "entries_per_operation": estimate(one.per_operation),
            }
            for one in suspect.growths
        ],
    }


def _pauses(one: ProcessFindings) -> dict[str, Any] | None:
    if one.gc_pause is None:
        return None
    return {
        **_times(one.gc_pause),
        "share": one.gc_pause_share,
        "lost": one.pauses_lost,
        "by_generation": {
            str(generation): _times(found)
            for generation, found in one.gc_pause_by_generation.items()
        },
    }


def _times(found: Distribution) -> dict[str, Any]:
    return {**distribution(found), "total": found.total_s}


def _threshold(result: ThresholdResult) -> dict[str, Any]:
    return {
        "metric": result.metric,
        "expression": result.expression,
        "pid": _pid(result.cell.get("process", "")),
        "command": result.variant,
        "observed": estimate(result.observed),
        "verdict": result.verdict,
        "reason": result.reason or None,
    }


def _pid(text: str) -> int | None:
    """Return the last process of what was restarted; `None` of all processes together."""
    return int(text.rpartition("-")[2]) if text else None
