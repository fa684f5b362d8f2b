"""The JSON schema of a watch's ``run.json``, published with the package."""

from __future__ import annotations

from typing import Any

from memopt_cli.report.schema import BASELINE

_NUMBER = {"type": "number"}
_COUNT = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}
_MAYBE_NUMBER = {"type": ["number", "null"]}
_MAYBE_COUNT = {"type": ["integer", "null"]}
_MAYBE_TEXT = {"type": ["string", "null"]}
_VERDICT = {"enum": ["passed", "crossed", "inconclusive"]}
_LEAK = {"enum": ["leak", "no_leak", "inconclusive"]}


def _object(properties: dict[str, Any], *, nullable: bool = False) -> dict[str, Any]:
    return {
        "type": ["object", "null"] if nullable else "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_END = {**_MAYBE_NUMBER, "description": "Null where the data do not bound it."}
_ESTIMATE = {
    "description": "A figure with its 95 % interval; null when it was not measured.",
    **_object(
        {
            "value": _NUMBER,
            "low": _END,
            "high": _END,
            "how": {"enum": ["measured", "fitted", "simulated", "projected"]},
        },
        nullable=True,
    ),
}

_DURATIONS = {
    "p50": _MAYBE_NUMBER,
    "p99": _MAYBE_NUMBER,
    "max": _MAYBE_NUMBER,
    "count": _COUNT,
    "total": _NUMBER,
}

_GROWTH = _object(
    {
        "verdict": _LEAK,
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
        "measured_by": {**_MAYBE_TEXT, "description": "The metric that the slope is of."},
        "slope_bytes_per_hour": _ESTIMATE,
        "slope_bytes_per_operation": _ESTIMATE,
        "detectable_bytes_per_hour": _MAYBE_NUMBER,
        "samples": _COUNT,
        "over_s": _NUMBER,
        "settled_s": _NUMBER,
        "longer_s": _MAYBE_NUMBER,
        "severity": {"enum": ["low", "medium", "high", "critical", None]},
        "full_in_s": _MAYBE_NUMBER,
        "remark": _MAYBE_TEXT,
        "origin": _object(
            {
                "origin": {"enum": ["python", "native", "mapped", "fragmentation", "none shown"]},
                "blocks_per_hour": _ESTIMATE,
                "malloc_bytes_per_hour": _ESTIMATE,
                "resident_bytes_per_hour": _ESTIMATE,
                "block_bytes_at_least": _MAYBE_NUMBER,
            }
        ),
        "baseline": BASELINE,
        "metrics": {
            "description": "Each metric alone; a count stands for 64 bytes each.",
            "type": "object",
            "additionalProperties": _object(
                {
                    "verdict": _LEAK,
                    "slope_bytes_per_hour": _MAYBE_NUMBER,
                    "low_bytes_per_hour": _MAYBE_NUMBER,
                    "high_bytes_per_hour": _MAYBE_NUMBER,
                    "why": _MAYBE_TEXT,
                }
            ),
        },
    }
)

_SUSPECT = {
    "description": "What grows; only in a process whose verdict is a leak are these its lines.",
    **_object(
        {
            "file": _MAYBE_TEXT,
            "line": _MAYBE_COUNT,
            "bytes_per_hour": _ESTIMATE,
            "bytes_per_operation": _ESTIMATE,
            "bytes_per_entry": _MAYBE_NUMBER,
            "holder": _MAYBE_TEXT,
            "contents": _MAYBE_TEXT,
            "grows": _array(
                _object(
                    {
                        "type": _TEXT,
                        "entries": _COUNT,
                        "entries_per_hour": _ESTIMATE,
                        "entries_per_operation": _ESTIMATE,
                    }
                )
            ),
        }
    ),
}

_PROCESS = _object(
    {
        "pid": _COUNT,
        "parent_pid": _COUNT,
        "command": _TEXT,
        "began_s": _NUMBER,
        "ended_s": _MAYBE_NUMBER,
        "whole": {**_FLAG, "description": "Whether it lived for nearly all of the watch."},
        "judged": {**_FLAG, "description": "Whether it was read often enough for a verdict."},
        "watched_s": _NUMBER,
        "growth": _GROWTH,
        "suspects": _array(_SUSPECT),
        "looks": _COUNT,
        "not_traced": _MAYBE_TEXT,
        "not_inside": {**_MAYBE_TEXT, "description": "Why no agent records inside it."},
        "gc_pause_s": _object(
            {
                **_DURATIONS,
                "share": _MAYBE_NUMBER,
                "lost": _COUNT,
                "by_generation": {"type": "object", "additionalProperties": _object(_DURATIONS)},
            },
            nullable=True,
        ),
        "cpu_share": _MAYBE_NUMBER,
        "peak_rss_bytes": _MAYBE_COUNT,
        "last_anonymous_bytes": _MAYBE_COUNT,
        "malloc_free_share": _MAYBE_NUMBER,
        "threads": _MAYBE_COUNT,
        "fds": _MAYBE_COUNT,
        "cost": _object(
            {
                "readings": _COUNT,
                "reading_p50_s": _MAYBE_NUMBER,
                "reading_max_s": _MAYBE_NUMBER,
                "reading_share": _MAYBE_NUMBER,
                "inside_p50_s": _MAYBE_NUMBER,
                "inside_total_s": _MAYBE_NUMBER,
                "inside_share": _MAYBE_NUMBER,
                "traced_s": _NUMBER,
                "traced_share": _MAYBE_NUMBER,
            }
        ),
    }
)


def json_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12) of version 1 of a watch's ``run.json``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A watch of memopt",
        **_object(
            {
                "schema_version": {"const": 1},
                "kind": {"const": "watch"},
                "summary": {**_TEXT, "description": "The verdict as one line."},
                "target": _TEXT,
                "verdict": _VERDICT,
                "exit_code": _COUNT,
                "outcome": {"enum": ["running", "finished", "interrupted", "aborted", "failed"]},
                "reason": _MAYBE_TEXT,
                "signal": _MAYBE_COUNT,
                "exit_status": _MAYBE_COUNT,
                "started_at": _TEXT,
                "wall_s": _NUMBER,
                "interval_s": _NUMBER,
                "environment": {"type": "object"},
                "baseline": {
                    **_MAYBE_TEXT,
                    "description": "The watch that growth was judged beside, as it was named.",
                },
                "limits": _object(
                    {
                        "leak_bytes_per_hour": _MAYBE_NUMBER,
                        "severity_bytes_per_s": {
                            "type": "object",
                            "additionalProperties": _NUMBER,
                        },
                        "thresholds": _array(_TEXT),
                    }
                ),
                "processes": _array(_PROCESS),
                "processes_left_out": _COUNT,
                "restarted": {
                    "description": "Programs in several processes, one after the other.",
                    **_array(
                        _object({"pids": _array(_COUNT), "command": _TEXT, "growth": _GROWTH})
                    ),
                },
                "all_processes": _object(
                    {
                        "growth": _GROWTH,
                        "processes_first": _COUNT,
                        "processes_peak": _COUNT,
                        "processes_last": _COUNT,
                    },
                    nullable=True,
                ),
                "thresholds": _array(
                    _object(
                        {
                            "metric": _TEXT,
                            "expression": _TEXT,
                            "pid": _MAYBE_COUNT,
                            "command": _TEXT,
                            "observed": _ESTIMATE,
                            "verdict": _VERDICT,
                            "reason": _MAYBE_TEXT,
                        }
                    )
                ),
            }
        ),
    }
