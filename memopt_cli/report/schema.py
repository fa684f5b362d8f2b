"""The JSON schema of ``run.json``, published with the package."""

from __future__ import annotations

from typing import Any

_NUMBER = {"type": "number"}
_COUNT = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
_MAYBE_NUMBER = {"type": ["number", "null"]}
_MAYBE_TEXT = {"type": ["string", "null"]}
_ESTIMATE = {
    "description": "A figure with its 95 % interval; null when it was not measured.",
    "oneOf": [
        {"type": "null"},
        {
            "type": "object",
            "properties": {
                "value": _NUMBER,
                "low": _NUMBER,
                "high": {**_MAYBE_NUMBER, "description": "Null where the data do not bound it."},
                "how": {"enum": ["measured", "fitted", "simulated", "projected"]},
            },
            "required": ["value", "low", "high", "how"],
            "additionalProperties": False,
        },
    ],
}
_VERDICT = {"enum": ["passed", "crossed", "inconclusive"]}
_OUTCOME = {"enum": ["running", "finished", "interrupted", "aborted", "failed", "stopped"]}


def _object(properties: dict[str, Any], *, nullable: bool = False) -> dict[str, Any]:
    return {
        "type": ["object", "null"] if nullable else "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_DURATIONS = {"p50": _MAYBE_NUMBER, "p99": _MAYBE_NUMBER, "max": _MAYBE_NUMBER, "count": _COUNT}

_LEAK_VERDICT = {"enum": ["leak", "no_leak", "inconclusive"]}

BASELINE = {
    "description": "A clean run that growth was judged beside; null without one.",
    **_object(
        {
            "is_null": {
                "type": "boolean",
                "description": "Whether the slopes beside this are what the run grows by more.",
            },
            "verdict": {**_LEAK_VERDICT, "description": "Of the baseline by itself."},
            "slope_bytes_per_hour": _ESTIMATE,
            "over_s": _NUMBER,
            "longer_s": {
                **_MAYBE_NUMBER,
                "description": "How much longer a baseline should go that is not shown clean.",
            },
            "alone_verdict": {**_LEAK_VERDICT, "description": "Of the run without a baseline."},
            "alone_slope_bytes_per_hour": _ESTIMATE,
        },
        nullable=True,
    ),
}

_LEAK = _object(
    {
        "verdict": _LEAK_VERDICT,
        "slope_bytes_per_hour": _ESTIMATE,
        "slope_bytes_per_operation": _ESTIMATE,
        "detectable_bytes_per_hour": _MAYBE_NUMBER,
        "growth_in_24h_bytes": {
            **_ESTIMATE,
            "description": "At the slope of the steady part; projected if that was shorter.",
        },
        "over_s": _NUMBER,
        "settled_s": _NUMBER,
        "longer_s": _MAYBE_NUMBER,
        "severity": {"enum": ["low", "medium", "high", "critical", None]},
        "full_in_s": _MAYBE_NUMBER,
        "remark": _MAYBE_TEXT,
        "sites": {"type": "array"},
        "baseline": BASELINE,
    }
)

_FIDELITY = {
    "description": "How agents thought against naive ones; null where that was not measured.",
    **_object(
        {
            "steps": _COUNT,
            "actions": _MAYBE_NUMBER,
            "free_steps": _COUNT,
            "free": _MAYBE_NUMBER,
            "posterior": _MAYBE_NUMBER,
            "kl_nat": _MAYBE_NUMBER,
            "faults": {"type": "array", "items": _TEXT},
        },
        nullable=True,
    ),
}

_VARIANT = _object(
    {
        "name": _TEXT,
        "cell": {"type": "object", "additionalProperties": _TEXT},
        "outcome": _OUTCOME,
        "failure": _MAYBE_TEXT,
        "units": _TEXT,
        "units_peak": _COUNT,
        "digest": _MAYBE_TEXT,
        "transcript": _MAYBE_TEXT,
        "same_work": {"type": ["boolean", "null"]},
        "memory_per_unit_bytes": _ESTIMATE,
        "memory_per_unit_loaded_bytes": _ESTIMATE,
        "memory_per_unit_basis": {"enum": ["anonymous", "heap_in_use"]},
        "memory_per_unit_cross_check_bytes": _ESTIMATE,
        "memory_per_unit_remark": _MAYBE_TEXT,
        "plateaus": {"type": "array", "items": _object({"units": _COUNT, "bytes": _COUNT})},
        "fixed_bytes": _ESTIMATE,
        "peak_uss_bytes": {"type": ["integer", "null"]},
        "peak_rss_bytes": {"type": ["integer", "null"]},
        "kernel_per_unit_bytes": _ESTIMATE,
        "retained_bytes": _ESTIMATE,
        "leak": _LEAK,
        "gc_pause_s": _object(
            {
                **_DURATIONS,
                "share": _MAYBE_NUMBER,
                "by_generation": {"type": "array", "items": _COUNT},
                "lost": _COUNT,
            },
            nullable=True,
        ),
        "operation_latency_s": _object(_DURATIONS),
        "operations": {"type": ["integer", "null"], "minimum": 0},
        "operations_per_s": _MAYBE_NUMBER,
        "busy_s": _MAYBE_NUMBER,
        "cpu_s": _MAYBE_NUMBER,
        "wall_s": _MAYBE_NUMBER,
        "pool": {"type": ["object", "null"], "additionalProperties": _MAYBE_NUMBER},
        "fidelity": _FIDELITY,
        "sampling": _object(
            {
                "samples": _COUNT,
                "p50_s": _MAYBE_NUMBER,
                "exact_p50_s": _MAYBE_NUMBER,
                "max_s": _MAYBE_NUMBER,
            }
        ),
        "stages": {
            "type": "array",
            "items": _object(
                {
                    "name": _TEXT,
                    "starts_s": _NUMBER,
                    "ends_s": _NUMBER,
                    "units": {"type": ["integer", "null"]},
                }
            ),
        },
    }
)

_MAYBE_COUNT = {"type": ["integer", "null"], "minimum": 0}

_CONNECTIONS = {
    "description": "Of real connections; other workloads have none.",
    **_object(
        {
            "servers": _COUNT,
            "drivers": _COUNT,
            "asked": _MAYBE_COUNT,
            "held": _MAYBE_COUNT,
            "verified": {"type": ["integer", "null"]},
            "connect_s": _MAYBE_NUMBER,
            "connect_others_share": _MAYBE_NUMBER,
            "connect_p50_s": _MAYBE_NUMBER,
            "connect_p99_s": _MAYBE_NUMBER,
            "connect_max_s": _MAYBE_NUMBER,
            "slow_connects": _COUNT,
            "kernel_buffers_per_unit_bytes": _ESTIMATE,
            "answered": _COUNT,
            "not_answered": _COUNT,
            "failures": {"type": "object", "additionalProperties": _COUNT},
            "limited_by": _MAYBE_TEXT,
            "sockets_before": _MAYBE_COUNT,
            "sockets_after": _MAYBE_COUNT,
            "plateaus": {
                "type": "array",
                "items": _object(
                    {
                        "asked": _COUNT,
                        "ready": _COUNT,
                        "accepted": {"type": ["integer", "null"]},
                        "answered": _MAYBE_COUNT,
                        "settled_s": _NUMBER,
                        "at_rest": {"type": "boolean"},
                        "slab_bytes": _MAYBE_COUNT,
                        "buffers_bytes": _MAYBE_COUNT,
                    }
                ),
            },
            "kept": _object(
                {
                    "verdict": {"enum": ["leak", "no_leak", "inconclusive"]},
                    "bytes_per_closed": _ESTIMATE,
                    "waves": {
                        "type": "array",
                        "items": _object({"closed": _COUNT, "bytes": {"type": "integer"}}),
                    },
                    "remark": _MAYBE_TEXT,
                }
            ),
        }
    ),
}
_VARIANT["properties"]["connections"] = _CONNECTIONS
# Only resumed variants have it.
_VARIANT["properties"]["parts"] = {
    "type": "array",
    "description": "What was lived without an interruption; times of the load, and UTC.",
    "items": _object(
        {
            "starts_s": _NUMBER,
            "ends_s": _NUMBER,
            "began_at": _TEXT,
            "ended_at": _TEXT,
            "rebuilt_s": _NUMBER,
        }
    ),
}

_BOUNDED = {
    "value": _NUMBER,
    "low": {**_MAYBE_NUMBER, "description": "Null where the data do not bound it."},
    "high": {**_MAYBE_NUMBER, "description": "Null where the data do not bound it."},
}

_CHANGE = {
    "description": "A measure of the reference and of a variant; null when either has none.",
    **_object(
        {
            "before": _NUMBER,
            "after": _NUMBER,
            "saved": {"description": "Before minus after.", **_object(_BOUNDED)},
            "factor": {
                "description": "Before divided by after; null where no difference is shown.",
                **_object(_BOUNDED, nullable=True),
            },
            "shown": {"type": "boolean", "description": "Whether the intervals are apart."},
        },
        nullable=True,
    ),
}

_RANKING = _object(
    {
        "cell": {"type": "object", "additionalProperties": _TEXT},
        "reference": _TEXT,
        "ranked": {
            "type": "array",
            "items": _object(
                {
                    "place": {"type": "integer", "minimum": 1},
                    "variant": _TEXT,
                    "summary": _TEXT,
                    "costs_memory": {"type": "boolean"},
                    "memory_per_unit_bytes": _CHANGE,
                    "memory_per_unit_loaded_bytes": _CHANGE,
                    "peak_uss_bytes": _CHANGE,
                    "retained_bytes": _CHANGE,
                    "gc_pause_max_s": _CHANGE,
                    "gc_pause_share": _CHANGE,
                    "operation_latency_p50_s": _CHANGE,
                    "busy_s_per_operation": _CHANGE,
                }
            ),
        },
        "refused": {
            "type": "array",
            "items": _object(
                {
                    "variant": _TEXT,
                    "reason": {"enum": ["other_work", "unfinished", "unsound", "uncompared"]},
                }
            ),
        },
    }
)

_RUNG = {
    "description": "A variant of agents, and by what factor it fell against the one before.",
    **_object(
        {
            "variant": _TEXT,
            "cell": {"type": "object", "additionalProperties": _TEXT},
            "total_bytes": _MAYBE_NUMBER,
            "steps_per_s": _MAYBE_NUMBER,
            "memory_factor": _MAYBE_NUMBER,
            "time_factor": _MAYBE_NUMBER,
        }
    ),
}

_DENSITY = {
    "description": "How many agents of a variant fit a memory limit; by what is computed, too.",
    **_object(
        {
            "variant": _TEXT,
            "cell": {"type": "object", "additionalProperties": _TEXT},
            "limit_bytes": _COUNT,
            "agents": _COUNT,
            "is_full": {"type": "boolean"},
            "peak_bytes": _COUNT,
            "computed_agents": _MAYBE_NUMBER,
            "computed_bytes_per_agent": _NUMBER,
            "computed_is_least": {"type": "boolean"},
        }
    ),
}

_PROFILE = {
    "description": "What a step of a variant's agents consists of, and what stays of them.",
    **_object(
        {
            "variant": _TEXT,
            "cell": {"type": "object", "additionalProperties": _TEXT},
            "agents": _COUNT,
            "rounds": _COUNT,
            "steps": _COUNT,
            "parts": {
                "type": "array",
                "items": _object(
                    {
                        "name": {"enum": ["perceive", "update", "plan"]},
                        "s_per_step": _NUMBER,
                        "peak_bytes": _COUNT,
                        "kept_bytes_per_step": _NUMBER,
                    }
                ),
            },
            "created_bytes_per_agent": _NUMBER,
            "retained_bytes_per_agent": _NUMBER,
            "given_back": _MAYBE_NUMBER,
            "lines": {
                "type": "array",
                "items": _object({"place": _TEXT, "bytes_per_agent": _NUMBER}),
            },
        }
    ),
}

_THRESHOLD = _object(
    {
        "metric": _TEXT,
        "expression": _TEXT,
        "stage": _MAYBE_TEXT,
        "window_s": _MAYBE_NUMBER,
        "cell": {"type": "object", "additionalProperties": _TEXT},
        "variant": _MAYBE_TEXT,
        "observed": _ESTIMATE,
        "verdict": _VERDICT,
        "reason": _MAYBE_TEXT,
    }
)


def json_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12) of version 1 of ``run.json``."""
    schema = _object(
        {
            "schema_version": {"const": 1},
            "scenario": _TEXT,
            "tags": {"type": "object", "additionalProperties": _TEXT},
            "verdict": _VERDICT,
            "exit_code": _COUNT,
            "outcome": _OUTCOME,
            "reason": _MAYBE_TEXT,
            "started_at": _TEXT,
            "wall_s": _NUMBER,
            "simulated_s": _MAYBE_NUMBER,
            "clock": {"enum": ["virtual", "wall"]},
            "environment": {"type": "object"},
            "baseline": {
                **_MAYBE_TEXT,
                "description": "The run that growth was judged beside, as it was named.",
            },
            "variants": {"type": "array", "items": _VARIANT},
            "rankings": {"type": "array", "items": _RANKING},
            "thresholds": {"type": "array", "items": _THRESHOLD},
        }
    )
    # Only runs of agents have these.
    schema["properties"]["ladder"] = {"type": "array", "items": _RUNG}
    schema["properties"]["operation_profile"] = {"type": "array", "items": _PROFILE}
    schema["properties"]["density"] = {"type": "array", "items": _DENSITY}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A run of memopt",
        **schema,
    }
