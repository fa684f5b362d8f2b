"""The JSON schema of ``comparison.json``, published with the package."""

from __future__ import annotations

from typing import Any

from memopt_cli.analysis.comparing import Incomparable
from memopt_cli.report.shapes import (
    COUNT,
    FLAG,
    LABELS,
    MAYBE_TEXT,
    TEXT,
    VERDICT,
    array_of,
    document,
    object_of,
)

_ENDS = {key: {"type": ["number", "null"]} for key in ("value", "low", "high")}
_FIGURE = {"description": "SI units; an end is null where nothing bounds it.", **object_of(_ENDS)}
_MAYBE_FIGURE = object_of(_ENDS, nullable=True)

_MEASURE = object_of(
    {
        "metric": TEXT,
        "aggregation": TEXT,
        "dimension": TEXT,
        "before": _FIGURE,
        "after": _FIGURE,
        "relative": {
            "description": "After over before, minus one; null where the base may be zero or less.",
            **_MAYBE_FIGURE,
        },
        "shown": {"type": "boolean", "description": "Whether the intervals are apart."},
        "worse": FLAG,
    }
)

_VARIANT = object_of(
    {
        "name": TEXT,
        "cell": LABELS,
        "not_compared": {"enum": [*map(str, Incomparable), None]},
        "measures": array_of(_MEASURE),
    }
)

_REGRESSION = object_of(
    {
        "expression": TEXT,
        "variant": MAYBE_TEXT,
        "cell": LABELS,
        "observed": _MAYBE_FIGURE,
        "verdict": VERDICT,
        "reason": MAYBE_TEXT,
    }
)


def json_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12) of version 1 of ``comparison.json``."""
    return document(
        "Runs of memopt beside a base",
        object_of(
            {
                "schema_version": {"const": 1},
                "kind": {"const": "comparison"},
                "base": TEXT,
                "verdict": VERDICT,
                "exit_code": COUNT,
                "runs": array_of(
                    object_of(
                        {
                            "name": TEXT,
                            "environment_differs": array_of(TEXT),
                            "variants": array_of(_VARIANT),
                            "regressions": array_of(_REGRESSION),
                        }
                    )
                ),
            }
        ),
    )
