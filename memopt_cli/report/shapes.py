"""The words that the JSON schemas of all documents are written in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

NUMBER = {"type": "number"}
COUNT = {"type": "integer", "minimum": 0}
TEXT = {"type": "string"}
FLAG = {"type": "boolean"}
LABELS = {"type": "object", "additionalProperties": TEXT}

MAYBE_NUMBER = {"type": ["number", "null"]}
MAYBE_COUNT = {"type": ["integer", "null"], "minimum": 0}
MAYBE_WHOLE = {"type": ["integer", "null"]}
MAYBE_TEXT = {"type": ["string", "null"]}

VERDICT = {"enum": ["passed", "crossed", "inconclusive"]}
LEAK_VERDICT = {"enum": ["leak", "no_leak", "inconclusive"]}
SEVERITY = {"enum": ["low", "medium", "high", "critical", None]}


def object_of(
    properties: Mapping[str, Any],
    *,
    optional: Mapping[str, Any] | None = None,
    nullable: bool = False,
) -> dict[str, Any]:
    """
    Return the shape of an object.

    Args:
        properties: What it always has.
        optional: What it may have beside them; there is nothing else.
        nullable: Whether there may be null in its place.
    """
    return {
        "type": ["object", "null"] if nullable else "object",
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
        "additionalProperties": False,
    }


def array_of(items: dict[str, Any]) -> dict[str, Any]:
    """Return the shape of an array of equal items."""
    return {"type": "array", "items": items}


def document(title: str, shape: dict[str, Any]) -> dict[str, Any]:
    """Return a shape as a schema that stands alone (JSON Schema 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **shape}


ALERTS = {
    "description": "What was beyond a limit for a while; in SI units. It fails nothing.",
    **array_of(
        object_of(
            {
                "alert": TEXT,
                "severity": {"enum": ["warning", "critical"]},
                "of": {**TEXT, "description": "A variant, or the pid of a process."},
                "limit": NUMBER,
                "worst": NUMBER,
                "began_s": NUMBER,
                "ended_s": {**MAYBE_NUMBER, "description": "Null if it fired to the end."},
            }
        )
    ),
}

_END = {**MAYBE_NUMBER, "description": "Null where the data do not bound it."}

BOUNDED = {"value": NUMBER, "low": _END, "high": _END}
"""Properties of a figure with its interval."""

ESTIMATE = {
    "description": "A figure with its 95 % interval; null when it was not measured.",
    **object_of(
        {**BOUNDED, "how": {"enum": ["measured", "fitted", "simulated", "projected"]}},
        nullable=True,
    ),
}

DURATIONS = {"p50": MAYBE_NUMBER, "p99": MAYBE_NUMBER, "max": MAYBE_NUMBER, "count": COUNT}
"""Properties of a distribution."""

BASELINE = {
    "description": "A clean run that growth was judged beside; null without one.",
    **object_of(
        {
            "is_null": {
                "type": "boolean",
                "description": "Whether the slopes beside this are what the run grows by more.",
            },
            "verdict": {**LEAK_VERDICT, "description": "Of the baseline by itself."},
            "slope_bytes_per_hour": ESTIMATE,
            "over_s": NUMBER,
            "longer_s": {
                **MAYBE_NUMBER,
                "description": "How much longer a baseline should go that is not shown clean.",
            },
            "alone_verdict": {**LEAK_VERDICT, "description": "Of the run without a baseline."},
            "alone_slope_bytes_per_hour": ESTIMATE,
        },
        nullable=True,
    ),
}
