"""When a run was lived, that was interrupted and resumed."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from memopt_cli.report import wording
from memopt_cli.report.tables import table
from memopt_cli.units import format_duration

if TYPE_CHECKING:
    from memopt_cli.analysis.parts import Part
    from memopt_cli.analysis.results import RunFindings, VariantFindings

_REBUILT = (
    "The processes were lost with each interruption. The population was rebuilt by doing its work "
    "again in a fresh one, without waiting and without samples; what that took is in no figure."
)
_CONNECTED = (
    "The processes were lost with each interruption. The server was started again, and the "
    "connections were made again that there were at that moment; what the server kept of closed "
    "ones went with it, so what is retained of the whole is not known."
)
_JUDGED = "Growth is judged with one slope for all parts, and a level of its own for each."


def sections(run: RunFindings) -> list[str]:
    """Return when each part of each resumed variant was lived; nothing if none was resumed."""
    resumed = [variant for variant in run.variants if is_resumed(variant)]
    if not resumed:
        return []
    rows = [row for variant in resumed for row in _rows(variant)]
    head = ["Variant", "Part", "Load time", "Lived (UTC)", "Gap before it", "Rebuilding took"]
    real = any(variant.connections is not None for variant in resumed)
    text = f"{_CONNECTED if real else _REBUILT} {_JUDGED}"
    return ["## Interrupted and resumed", table(head, rows), text]


def document(parts: tuple[Part, ...]) -> list[dict[str, Any]]:
    """Return parts as plain values."""
    return [
        {
            "starts_s": part.starts_s,
            "ends_s": part.ends_s,
            "began_at": part.began_at,
            "ended_at": part.ended_at,
            "rebuilt_s": part.rebuilt_s,
        }
        for part in parts
    ]


def is_resumed(variant: VariantFindings) -> bool:
    """Return whether a variant has more than one part."""
    return len(variant.parts) > 1


def _rows(variant: VariantFindings) -> list[list[str]]:
    rows = []
    before: Part | None = None
    for number, part in enumerate(variant.parts, 1):
        rows.append(
            [
                variant.label,
                str(number),
                f"{format_duration(part.starts_s)} to {format_duration(part.ends_s)}",
                f"{part.began_at} to {part.ended_at}",
                "" if before is None else format_duration(_between_s(before, part)),
                "" if before is None else wording.seconds(part.rebuilt_s),
            ]
        )
        before = part
    return rows


def _between_s(before: Part, part: Part) -> float:
    ended, began = (datetime.fromisoformat(one) for one in (before.ended_at, part.began_at))
    return max(0.0, (began - ended).total_seconds())
