"""The JSON schema of ``comparison.json``, published with the package."""

from __future__ import annotations

from typing import Any

from memopt_cli.analysis.comparing import Incomparable

_TEXT = {"type": "string"}
_MAYBE_TEXT = {"type": ["string", "null"]}
_CELL = {"type": "object", "additionalProperties": _TEXT}
_VERDICT = {"enum": ["passed", "crossed", "inconclusive"]}


def _object(properties: dict[str, Any], *, nullable: bool = False) -> dict[str, Any]:
    return {
        "type": ["object", "null"] if nullable else "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_ENDS = {key: {"type": ["number", "null"]} for key in ("value", "low", "high")}
_FIGURE = {"description": "SI units; an end is null where nothing bounds it.", **_object(_ENDS)}
_MAYBE_FIGURE = _object(_ENDS, nullable=True)

_MEASURE = _object(
    {
        "metric": _TEXT,
        "aggregation": _TEXT,
        "dimension": _TEXT,
        "before": _FIGURE,
        "after": _FIGURE,
        "relative": {
            "description": "After over before, minus one; null where the base may be zero or less.",
            **_MAYBE_FIGURE,
        },
        "shown": {"type": "boolean", "description": "Whether the intervals are apart."},
        "worse": {"type": "boolean"},
    }
)

_VARIANT = _object(
    {
        "name": _TEXT,
        "cell": _CELL,
        "not_compared": {"enum": [*map(str, Incomparable), None]},
        "measures": {"type": "array", "items": _MEASURE},
    }
)

_REGRESSION = _object(
    {
        "expression": _TEXT,
        "variant": _MAYBE_TEXT,
        "cell": _CELL,
        "observed": _MAYBE_FIGURE,
        "verdict": _VERDICT,
        "reason": _MAYBE_TEXT,
    }
)


def json_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12) of version 1 of ``comparison.json``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Runs of memopt beside a base",
        **_object(
            {
                "schema_version": {"const": 1},
                "kind": {"const": "comparison"},
                "base": _TEXT,
                "verdict": _VERDICT,
                "exit_code": {"type": "integer", "minimum": 0},
                "runs": {
                    "type": "array",
                    "items": _object(
                        {
                            "name": _TEXT,
                            "environment_differs": {"type": "array", "items": _TEXT},
                            "variants": {"type": "array", "items": _VARIANT},
                            "regressions": {"type": "array", "items": _REGRESSION},
                        }
                    ),
                },
            }
        ),
    }
