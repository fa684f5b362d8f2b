"""The JSON schema of a watch's ``run.json``, published with the package."""

from __future__ import annotations

from typing import Any

from memopt_cli.report.shapes import (
    ALERTS,
    BASELINE,
    COUNT,
    DURATIONS,
    ESTIMATE,
    FLAG,
    LEAK_VERDICT,
    MAYBE_NUMBER,
    MAYBE_TEXT,
    MAYBE_WHOLE,
    NUMBER,
    SEVERITY,
    TEXT,
    VERDICT,
    array_of,
    document,
    object_of,
)

_TIMES = {**DURATIONS, "total": NUMBER}

_GROWTH = object_of(
    {
        "verdict": LEAK_VERDICT,
        "pattern": {
            "enum": [
                "leak",
                "hidden leak",
                "leak outside Python",
                "fragmentation",
                "no leak",
                "inconclusive",
            ]
        },
        "measured_by": {**MAYBE_TEXT, "description": "The metric that the slope is of."},
        "slope_bytes_per_hour": ESTIMATE,
        "slope_bytes_per_operation": ESTIMATE,
        "detectable_bytes_per_hour": MAYBE_NUMBER,
        "samples": COUNT,
        "over_s": NUMBER,
        "settled_s": NUMBER,
        "longer_s": MAYBE_NUMBER,
        "severity": SEVERITY,
        "full_in_s": MAYBE_NUMBER,
        "remark": MAYBE_TEXT,
        "origin": object_of(
            {
                "origin": {"enum": ["python", "native", "mapped", "fragmentation", "none shown"]},
                "blocks_per_hour": ESTIMATE,
                "malloc_bytes_per_hour": ESTIMATE,
                "resident_bytes_per_hour": ESTIMATE,
                "block_bytes_at_least": MAYBE_NUMBER,
            }
        ),
        "baseline": BASELINE,
        "metrics": {
            "description": "Each metric alone; a count stands for 64 bytes each.",
            "type": "object",
            "additionalProperties": object_of(
                {
                    "verdict": LEAK_VERDICT,
                    "slope_bytes_per_hour": MAYBE_NUMBER,
                    "low_bytes_per_hour": MAYBE_NUMBER,
                    "high_bytes_per_hour": MAYBE_NUMBER,
                    "why": MAYBE_TEXT,
                }
            ),
        },
    }
)

_SUSPECT = {
    "description": "What grows; only in a process whose verdict is a leak are these its lines.",
    **object_of(
        {
            "file": MAYBE_TEXT,
            "line": MAYBE_WHOLE,
            "bytes_per_hour": ESTIMATE,
            "bytes_per_operation": ESTIMATE,
            "bytes_per_entry": MAYBE_NUMBER,
            "holder": MAYBE_TEXT,
            "contents": MAYBE_TEXT,
            "grows": array_of(
                object_of(
                    {
                        "type": TEXT,
                        "entries": COUNT,
                        "entries_per_hour": ESTIMATE,
                        "entries_per_operation": ESTIMATE,
                    }
                )
            ),
        }
    ),
}

_PROCESS = object_of(
    {
        "pid": COUNT,
        "parent_pid": COUNT,
        "command": TEXT,
        "began_s": NUMBER,
        "ended_s": MAYBE_NUMBER,
        "whole": {**FLAG, "description": "Whether it lived for nearly all of the watch."},
        "judged": {**FLAG, "description": "Whether it was read often enough for a verdict."},
        "watched_s": NUMBER,
        "growth": _GROWTH,
        "suspects": array_of(_SUSPECT),
        "looks": COUNT,
        "not_traced": MAYBE_TEXT,
        "not_inside": {**MAYBE_TEXT, "description": "Why no agent records inside it."},
        "gc_pause_s": object_of(
            {
                **_TIMES,
                "share": MAYBE_NUMBER,
                "lost": COUNT,
                "by_generation": {"type": "object", "additionalProperties": object_of(_TIMES)},
            },
            nullable=True,
        ),
        "cpu_share": MAYBE_NUMBER,
        "peak_rss_bytes": MAYBE_WHOLE,
        "last_anonymous_bytes": MAYBE_WHOLE,
        "malloc_free_share": MAYBE_NUMBER,
        "threads": MAYBE_WHOLE,
        "fds": MAYBE_WHOLE,
        "cost": object_of(
            {
                "readings": COUNT,
                "reading_p50_s": MAYBE_NUMBER,
                "reading_max_s": MAYBE_NUMBER,
                "reading_share": MAYBE_NUMBER,
                "inside_p50_s": MAYBE_NUMBER,
                "inside_total_s": MAYBE_NUMBER,
                "inside_share": MAYBE_NUMBER,
                "traced_s": NUMBER,
                "traced_share": MAYBE_NUMBER,
            }
        ),
    }
)


def json_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12) of version 1 of a watch's ``run.json``."""
    return document(
        "A watch of memopt",
        object_of(
            {
                "schema_version": {"const": 1},
                "kind": {"const": "watch"},
                "summary": {**TEXT, "description": "The verdict as one line."},
                "target": TEXT,
                "verdict": VERDICT,
                "exit_code": COUNT,
                "outcome": {"enum": ["running", "finished", "interrupted", "aborted", "failed"]},
                "reason": MAYBE_TEXT,
                "signal": MAYBE_WHOLE,
                "exit_status": MAYBE_WHOLE,
                "started_at": TEXT,
                "wall_s": NUMBER,
                "interval_s": NUMBER,
                "environment": {"type": "object"},
                "baseline": {
                    **MAYBE_TEXT,
                    "description": "The watch that growth was judged beside, as it was named.",
                },
                "limits": object_of(
                    {
                        "leak_bytes_per_hour": MAYBE_NUMBER,
                        "severity_bytes_per_s": {
                            "type": "object",
                            "additionalProperties": NUMBER,
                        },
                        "thresholds": array_of(TEXT),
                    }
                ),
                "processes": array_of(_PROCESS),
                "processes_left_out": COUNT,
                "restarted": {
                    "description": "Programs in several processes, one after the other.",
                    **array_of(
                        object_of({"pids": array_of(COUNT), "command": TEXT, "growth": _GROWTH})
                    ),
                },
                "all_processes": object_of(
                    {
                        "growth": _GROWTH,
                        "processes_first": COUNT,
                        "processes_peak": COUNT,
                        "processes_last": COUNT,
                    },
                    nullable=True,
                ),
                "thresholds": array_of(
                    object_of(
                        {
                            "metric": TEXT,
                            "expression": TEXT,
                            "pid": MAYBE_WHOLE,
                            "command": TEXT,
                            "observed": ESTIMATE,
                            "verdict": VERDICT,
                            "reason": MAYBE_TEXT,
                        }
                    )
                ),
                "alerts": ALERTS,
            }
        ),
    )
