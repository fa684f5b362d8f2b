"""What runs of agents have in the JSON schema of ``run.json``."""

from __future__ import annotations

from memopt_cli.report.shapes import (
    COUNT,
    FLAG,
    LABELS,
    MAYBE_NUMBER,
    NUMBER,
    TEXT,
    array_of,
    object_of,
)

FIDELITY = {
    "description": "How agents thought against naive ones; null where that was not measured.",
    **object_of(
        {
            "steps": COUNT,
            "actions": MAYBE_NUMBER,
            "free_steps": COUNT,
            "free": MAYBE_NUMBER,
            "posterior": MAYBE_NUMBER,
            "kl_nat": MAYBE_NUMBER,
            "faults": array_of(TEXT),
        },
        nullable=True,
    ),
}

RUNG = {
    "description": "A variant of agents, and by what factor it fell against the one before.",
    **object_of(
        {
            "variant": TEXT,
            "cell": LABELS,
            "total_bytes": MAYBE_NUMBER,
            "steps_per_s": MAYBE_NUMBER,
            "memory_factor": MAYBE_NUMBER,
            "time_factor": MAYBE_NUMBER,
        }
    ),
}

DENSITY = {
    "description": "How many agents of a variant fit a memory limit; by what is computed, too.",
    **object_of(
        {
            "variant": TEXT,
            "cell": LABELS,
            "limit_bytes": COUNT,
            "agents": COUNT,
            "is_full": FLAG,
            "peak_bytes": COUNT,
            "computed_agents": MAYBE_NUMBER,
            "computed_bytes_per_agent": NUMBER,
            "computed_is_least": FLAG,
        }
    ),
}

PROFILE = {
    "description": "What a step of a variant's agents consists of, and what stays of them.",
    **object_of(
        {
            "variant": TEXT,
            "cell": LABELS,
            "agents": COUNT,
            "rounds": COUNT,
            "steps": COUNT,
            "parts": array_of(
                object_of(
                    {
                        "name": {"enum": ["perceive", "update", "plan"]},
                        "s_per_step": NUMBER,
                        "peak_bytes": COUNT,
                        "kept_bytes_per_step": NUMBER,
                    }
                )
            ),
            "created_bytes_per_agent": NUMBER,
            "retained_bytes_per_agent": NUMBER,
            "given_back": MAYBE_NUMBER,
            "lines": array_of(object_of({"place": TEXT, "bytes_per_agent": NUMBER})),
        }
    ),
}
