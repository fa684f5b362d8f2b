"""The ranking of variants in the JSON schema of ``run.json``."""

from __future__ import annotations

from memopt_cli.report.shapes import BOUNDED, FLAG, LABELS, NUMBER, TEXT, array_of, object_of

_CHANGE = {
    "description": "A measure of the reference and of a variant; null when either has none.",
    **object_of(
        {
            "before": NUMBER,
            "after": NUMBER,
            "saved": {"description": "Before minus after.", **object_of(BOUNDED)},
            "factor": {
                "description": "Before divided by after; null where no difference is shown.",
                **object_of(BOUNDED, nullable=True),
            },
            "shown": {"type": "boolean", "description": "Whether the intervals are apart."},
        },
        nullable=True,
    ),
}

RANKING = object_of(
    {
        "cell": LABELS,
        "reference": TEXT,
        "ranked": array_of(
            object_of(
                {
                    "place": {"type": "integer", "minimum": 1},
                    "variant": TEXT,
                    "summary": TEXT,
                    "costs_memory": FLAG,
                    "memory_per_unit_bytes": _CHANGE,
                    "memory_per_unit_loaded_bytes": _CHANGE,
                    "peak_uss_bytes": _CHANGE,
                    "retained_bytes": _CHANGE,
                    "gc_pause_max_s": _CHANGE,
                    "gc_pause_share": _CHANGE,
                    "operation_latency_p50_s": _CHANGE,
                    "busy_s_per_operation": _CHANGE,
                }
            )
        ),
        "refused": array_of(
            object_of(
                {
                    "variant": TEXT,
                    "reason": {"enum": ["other_work", "unfinished", "unsound", "uncompared"]},
                }
            )
        ),
    }
)
