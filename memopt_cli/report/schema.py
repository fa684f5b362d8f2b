"""The JSON schema of ``run.json``, published with the package."""

from __future__ import annotations

from typing import Any

from memopt_cli.report.agents_schema import DENSITY, FIDELITY, PROFILE, RUNG
from memopt_cli.report.connections_schema import CONNECTIONS
from memopt_cli.report.ranking_schema import RANKING
from memopt_cli.report.shapes import (
    ALERTS,
    BASELINE,
    COUNT,
    DURATIONS,
    ESTIMATE,
    LABELS,
    LEAK_VERDICT,
    MAYBE_COUNT,
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

_OUTCOME = {"enum": ["running", "finished", "interrupted", "aborted", "failed", "stopped"]}

_LEAK = object_of(
    {
        "verdict": LEAK_VERDICT,
        "slope_bytes_per_hour": ESTIMATE,
        "slope_bytes_per_operation": ESTIMATE,
        "detectable_bytes_per_hour": MAYBE_NUMBER,
        "growth_in_24h_bytes": {
            **ESTIMATE,
            "description": "At the slope of the steady part; projected if that was shorter.",
        },
        "over_s": NUMBER,
        "settled_s": NUMBER,
        "longer_s": MAYBE_NUMBER,
        "severity": SEVERITY,
        "full_in_s": MAYBE_NUMBER,
        "remark": MAYBE_TEXT,
        "sites": {"type": "array"},
        "baseline": BASELINE,
    }
)

_PART = object_of(
    {
        "starts_s": NUMBER,
        "ends_s": NUMBER,
        "began_at": TEXT,
        "ended_at": TEXT,
        "rebuilt_s": NUMBER,
    }
)

_VARIANT = object_of(
    {
        "name": TEXT,
        "cell": LABELS,
        "outcome": _OUTCOME,
        "failure": MAYBE_TEXT,
        "units": TEXT,
        "units_peak": COUNT,
        "digest": MAYBE_TEXT,
        "transcript": MAYBE_TEXT,
        "same_work": {"type": ["boolean", "null"]},
        "memory_per_unit_bytes": ESTIMATE,
        "memory_per_unit_loaded_bytes": ESTIMATE,
        "memory_per_unit_basis": {"enum": ["anonymous", "heap_in_use"]},
        "memory_per_unit_cross_check_bytes": ESTIMATE,
        "memory_per_unit_remark": MAYBE_TEXT,
        "plateaus": array_of(object_of({"units": COUNT, "bytes": COUNT})),
        "fixed_bytes": ESTIMATE,
        "peak_uss_bytes": MAYBE_WHOLE,
        "peak_rss_bytes": MAYBE_WHOLE,
        "kernel_per_unit_bytes": ESTIMATE,
        "retained_bytes": ESTIMATE,
        "leak": _LEAK,
        "gc_pause_s": object_of(
            {
                **DURATIONS,
                "share": MAYBE_NUMBER,
                "by_generation": array_of(COUNT),
                "lost": COUNT,
            },
            nullable=True,
        ),
        "operation_latency_s": object_of(DURATIONS),
        "operations": MAYBE_COUNT,
        "operations_per_s": MAYBE_NUMBER,
        "busy_s": MAYBE_NUMBER,
        "cpu_s": MAYBE_NUMBER,
        "wall_s": MAYBE_NUMBER,
        "pool": {"type": ["object", "null"], "additionalProperties": MAYBE_NUMBER},
        "fidelity": FIDELITY,
        "sampling": object_of(
            {
                "samples": COUNT,
                "p50_s": MAYBE_NUMBER,
                "exact_p50_s": MAYBE_NUMBER,
                "max_s": MAYBE_NUMBER,
            }
        ),
        "stages": array_of(
            object_of(
                {
                    "name": TEXT,
                    "starts_s": NUMBER,
                    "ends_s": NUMBER,
                    "units": MAYBE_WHOLE,
                }
            )
        ),
    },
    # Only real connections have the one, only resumed variants the other.
    optional={
        "connections": CONNECTIONS,
        "parts": {
            "description": "What was lived without an interruption; times of the load, and UTC.",
            **array_of(_PART),
        },
    },
)

_THRESHOLD = object_of(
    {
        "metric": TEXT,
        "expression": TEXT,
        "stage": MAYBE_TEXT,
        "window_s": MAYBE_NUMBER,
        "cell": LABELS,
        "variant": MAYBE_TEXT,
        "observed": ESTIMATE,
        "verdict": VERDICT,
        "reason": MAYBE_TEXT,
    }
)


def json_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12) of version 1 of ``run.json``."""
    return document(
        "A run of memopt",
        object_of(
            {
                "schema_version": {"const": 1},
                "scenario": TEXT,
                "tags": LABELS,
                "verdict": VERDICT,
                "exit_code": COUNT,
                "outcome": _OUTCOME,
                "reason": MAYBE_TEXT,
                "started_at": TEXT,
                "wall_s": NUMBER,
                "simulated_s": MAYBE_NUMBER,
                "clock": {"enum": ["virtual", "wall"]},
                "environment": {"type": "object"},
                "baseline": {
                    **MAYBE_TEXT,
                    "description": "The run that growth was judged beside, as it was named.",
                },
                "variants": array_of(_VARIANT),
                "rankings": array_of(RANKING),
                "thresholds": array_of(_THRESHOLD),
                "alerts": ALERTS,
            },
            # Only runs of agents have these.
            optional={
                "ladder": array_of(RUNG),
                "operation_profile": array_of(PROFILE),
                "density": array_of(DENSITY),
            },
        ),
    )
