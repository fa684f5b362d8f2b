"""What real connections have in the JSON schema of ``run.json``."""

from __future__ import annotations

from memopt_cli.report.shapes import (
    COUNT,
    ESTIMATE,
    FLAG,
    LEAK_VERDICT,
    MAYBE_COUNT,
    MAYBE_NUMBER,
    MAYBE_TEXT,
    MAYBE_WHOLE,
    NUMBER,
    array_of,
    object_of,
)

CONNECTIONS = {
    "description": "Of real connections; other workloads have none.",
    **object_of(
        {
            "servers": COUNT,
            "drivers": COUNT,
            "asked": MAYBE_COUNT,
            "held": MAYBE_COUNT,
            "verified": MAYBE_WHOLE,
            "connect_s": MAYBE_NUMBER,
            "connect_others_share": MAYBE_NUMBER,
            "connect_p50_s": MAYBE_NUMBER,
            "connect_p99_s": MAYBE_NUMBER,
            "connect_max_s": MAYBE_NUMBER,
            "slow_connects": COUNT,
            "kernel_buffers_per_unit_bytes": ESTIMATE,
            "answered": COUNT,
            "not_answered": COUNT,
            "failures": {"type": "object", "additionalProperties": COUNT},
            "limited_by": MAYBE_TEXT,
            "sockets_before": MAYBE_COUNT,
            "sockets_after": MAYBE_COUNT,
            "plateaus": array_of(
                object_of(
                    {
                        "asked": COUNT,
                        "ready": COUNT,
                        "accepted": MAYBE_WHOLE,
                        "answered": MAYBE_COUNT,
                        "settled_s": NUMBER,
                        "at_rest": FLAG,
                        "slab_bytes": MAYBE_COUNT,
                        "buffers_bytes": MAYBE_COUNT,
                    }
                )
            ),
            "kept": object_of(
                {
                    "verdict": LEAK_VERDICT,
                    "bytes_per_closed": ESTIMATE,
                    "waves": array_of(object_of({"closed": COUNT, "bytes": {"type": "integer"}})),
                    "remark": MAYBE_TEXT,
                }
            ),
        }
    ),
}
