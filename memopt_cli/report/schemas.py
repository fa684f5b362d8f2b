"""The JSON schema of every document that memopt writes."""

from __future__ import annotations

import json

from memopt_cli.report import comparison_schema, schema, watch_schema
from memopt_cli.report.shapes import document


def of_all() -> str:
    """Return one schema for runs, watches and comparisons, as JSON text."""
    kinds = [each.json_schema() for each in (schema, watch_schema, comparison_schema)]
    found = document("What memopt writes as JSON", {"oneOf": kinds})
    return json.dumps(found, indent=2) + "\n"
