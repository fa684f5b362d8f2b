"""What a machine can hold, as text for people and as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import textwrap
from typing import TYPE_CHECKING, Any

from memopt_cli.analysis.fit import Fit, in_words
from memopt_cli.units import format_count, format_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memopt_cli.analysis.fit import Finding, Wanted
    from memopt_cli.profiler.limits import Limits

_HEAD = ("verdict", "limit", "this machine", "allows")
_GAP = "  "
_OTHER_UNITS = {"processes", "addresses"}
"""What is not said is counted in connections."""

_COMMAND = re.compile(r"`[^`]*`[.,;]?")
_NO_BREAK = "\N{NO-BREAK SPACE}"
_MAYBE_NUMBER: dict[str, Any] = {"oneOf": [{"type": ["number", "null"]}, {"const": "unlimited"}]}
_TEXT = {"type": "string"}
_WANTED = {
    "type": "object",
    "properties": {
        "connections": {"type": "integer"},
        "server_processes": {"type": "integer"},
        "driver_processes": {"type": "integer"},
        "sources": {"type": "integer"},
        "bytes_per_connection": {"type": ["number", "null"]},
        "agents": {"type": "integer"},
        "bytes_per_agent": {"type": ["number", "null"]},
    },
    "required": ["connections", "server_processes", "driver_processes", "sources"],
    "additionalProperties": False,
}
_FINDING = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "what": _TEXT,
        "told": _TEXT,
        "allows": {**_MAYBE_NUMBER, "description": "Null where it is not told."},
        "asked": {"type": "number"},
        "unit": {**_TEXT, "description": "What allows and asked count."},
        "fit": {"enum": [fit.value for fit in Fit]},
        "decides": {"type": "boolean"},
        "note": _TEXT,
        "remedy": _TEXT,
    },
    "required": ["name", "told", "allows", "asked", "unit", "fit", "decides", "note", "remedy"],
    "additionalProperties": False,
}
SCHEMA: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "memopt doctor --json",
    "type": "object",
    "properties": {
        "schema_version": {"const": 1},
        "verdict": {"enum": [fit.value for fit in Fit]},
        "exit_code": {"enum": [0, 4, 99]},
        "asked": _WANTED,
        "would_fit_with": {"oneOf": [{"type": "null"}, _WANTED]},
        "findings": {"type": "array", "items": _FINDING, "minItems": 1},
        "limits": {
            "type": "object",
            "description": "As read, by subject; null where not told.",
            "additionalProperties": {
                "oneOf": [
                    {"type": "integer"},
                    {"type": "object", "additionalProperties": {"$ref": "#/$defs/told"}},
                ]
            },
        },
        "environment": {"type": "object"},
    },
    "required": [
        "schema_version",
        "verdict",
        "exit_code",
        "asked",
        "would_fit_with",
        "findings",
        "limits",
        "environment",
    ],
    "additionalProperties": False,
    "$defs": {
        "told": {
            "oneOf": [
                *_MAYBE_NUMBER["oneOf"],
                {
                    "type": "object",
                    "properties": {"limit": _MAYBE_NUMBER, "used": _MAYBE_NUMBER},
                    "additionalProperties": False,
                },
            ]
        }
    },
}
"""Of `to_json`; SI units and bytes."""


def to_json(
    findings: Sequence[Finding],
    *,
    verdict: Fit,
    exit_code: int,
    wanted: Wanted,
    instead: Wanted | None,
    limits: Limits,
    environment: Mapping[str, Any],
) -> str:
    """Return everything that was found, as `SCHEMA` has it."""
    document = {
        "schema_version": 1,
        "verdict": verdict,
        "exit_code": exit_code,
        "asked": dataclasses.asdict(wanted),
        "would_fit_with": None if instead is None else dataclasses.asdict(instead),
        "findings": [dataclasses.asdict(finding) for finding in findings],
        "limits": dataclasses.asdict(limits),
        "environment": environment,
    }
    return json.dumps(_finite(document), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """Return *value* with words in place of infinite numbers, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return "unlimited" if value == math.inf else value


def to_text(
    findings: Sequence[Finding],
    *,
    verdict: Fit,
    wanted: Wanted,
    instead: Wanted | None,
    width: int = 80,
) -> str:
    """Return a table, remedies below their rows, and what it comes to, in so many columns."""
    rows = [_HEAD, *(_row(finding) for finding in findings)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    indent = " " * (widths[0] + len(_GAP))
    lines = []
    for row, finding in zip(rows, (None, *findings), strict=True):
        lines.append(_aligned(row, widths))
        if finding is not None:
            for text in filter(None, (finding.note, finding.remedy)):
                lines += _wrapped(text, width, indent)
    lines += ["", *_wrapped(_conclusion(findings, verdict, wanted), width)]
    if instead is not None:
        lines += _wrapped("Spread over more processes and addresses it fits:", width)
        lines.append(f"  {command(instead)}")
    return "\n".join(lines) + "\n"


def command(wanted: Wanted) -> str:
    """Return the command that asks for this."""
    words = [f"memopt doctor --connections {wanted.connections}"]
    for flag, value, default in (
        ("servers", wanted.server_processes, 1),
        ("drivers", wanted.driver_processes, 1),
        ("sources", wanted.sources, 1),
    ):
        if value != default:
            words.append(f"--{flag} {value}")
    if wanted.bytes_per_connection is not None:
        words.append(f"--bytes-per-connection {wanted.bytes_per_connection:.0f}B")
    if wanted.agents:
        words.append(f"--agents {wanted.agents}")
    if wanted.bytes_per_agent is not None:
        words.append(f"--bytes-per-agent {wanted.bytes_per_agent:.0f}B")
    return " ".join(words)


def _row(finding: Finding) -> tuple[str, str, str, str]:
    allows = "-" if finding.allows is None else in_words(finding.allows)
    if finding.unit in _OTHER_UNITS and allows[0].isdigit():
        allows = f"{allows} {finding.unit}"
    return finding.fit.value, finding.what, finding.told or "-", allows


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    *cells, last = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return _GAP.join([*cells, last.strip().rjust(widths[-1])]).rstrip()


def _conclusion(findings: Sequence[Finding], verdict: Fit, wanted: Wanted) -> str:
    what = f"{format_count(wanted.connections)} connections"
    if wanted.bytes_per_connection is not None:
        what += f" of {format_size(wanted.bytes_per_connection)}"
    if wanted.agents:
        what += f" and {format_count(wanted.agents)} agents"
    names = [one.what for one in findings if one.decides and one.fit is verdict]
    match verdict:
        case Fit.FITS:
            return f"{what}: fits."
        case Fit.TIGHT:
            return f"{what}: fits, but look at: {'; '.join(names)}."
        case Fit.NOT_TOLD:
            return f"{what}: cannot be told, for want of: {'; '.join(names)}."
        case Fit.DOES_NOT_FIT:
            return f"{what}: does not fit: {'; '.join(names)}."


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Return lines of so many columns, none of which ends within a command."""
    glued = _COMMAND.sub(lambda found: found[0].replace(" ", _NO_BREAK), text)
    lines = textwrap.wrap(
        glued,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [line.replace(_NO_BREAK, " ") for line in lines]
