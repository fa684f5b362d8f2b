"""What a step of an agent consists of, and what is left of agents that ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memopt_cli.analysis.operation_profile import PARTS
from memopt_cli.report import wording
from memopt_cli.report.tables import table
from memopt_cli.units import format_duration, format_size

if TYPE_CHECKING:
    from memopt_cli.analysis.operation_profile import OperationProfile
    from memopt_cli.analysis.results import RunFindings, VariantFindings

_READING = (
    "After the run's readings agents were made, used and ended in rounds, in the same process. "
    "Times are of one agent's step, of agents that are stepped together the share of one, with "
    "one thread; *update* is what is neither perceiving nor planning: beliefs are read, stored or "
    "learned from, histories packed. *Held* is the most that the part had allocated at once, by "
    "tracemalloc, for all agents that were stepped together. *Created* is what an agent has "
    "taken when it has done its steps, *kept* what is there after it ended, as the slope over "
    "the rounds; the first round, which makes what agents share, counts for neither."
)

_HEAD = (
    "Variant",
    *PARTS,
    *(f"{part}, held" for part in PARTS),
    "kept by a step",
    "created by an agent",
    "kept of it",
    "given back",
)


def section(run: RunFindings) -> list[str]:
    """Return the section, if any variant was profiled."""
    found = [(v, v.profile) for v in run.variants if v.profile is not None]
    if not found:
        return []
    lines = [
        f"What agents of **{v.label}** leave is kept by "
        + ", ".join(
            f"`{line.place}` ({format_size(line.bytes_per_agent)} of each)" for line in p.lines
        )
        + "."
        for v, p in found
        if p.lines
    ]
    rows = [_row(v, p) for v, p in found]
    return ["## What a step consists of", _READING, table(_HEAD, rows), *lines]


def _row(variant: VariantFindings, found: OperationProfile) -> list[str]:
    share = found.given_back
    return [
        variant.label,
        *(format_duration(part.s_per_step) for part in found.parts),
        *(format_size(part.peak_bytes) for part in found.parts),
        format_size(sum(part.kept_bytes_per_step for part in found.parts)),
        format_size(found.created_bytes),
        format_size(found.retained_bytes),
        wording.NOT_MEASURED if share is None else wording.share(share),
    ]


def document(run: RunFindings) -> list[dict[str, Any]]:
    """Return the same as plain values for ``run.json``."""
    return [_values(v, v.profile) for v in run.variants if v.profile is not None]


def _values(variant: VariantFindings, found: OperationProfile) -> dict[str, Any]:
    return {
        "variant": variant.name,
        "cell": dict(variant.cell),
        "agents": found.agents,
        "rounds": found.rounds,
        "steps": found.steps,
        "parts": [
            {
                "name": part.name,
                "s_per_step": part.s_per_step,
                "peak_bytes": part.peak_bytes,
                "kept_bytes_per_step": part.kept_bytes_per_step,
            }
            for part in found.parts
        ],
        "created_bytes_per_agent": found.created_bytes,
        "retained_bytes_per_agent": found.retained_bytes,
        "given_back": found.given_back,
        "lines": [
            {"place": line.place, "bytes_per_agent": line.bytes_per_agent} for line in found.lines
        ],
    }
