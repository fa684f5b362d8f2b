"""How many agents fit a memory, computed beside measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memopt_cli.analysis.density import computed_fits
from memopt_cli.report import wording
from memopt_cli.report.tables import table
from memopt_cli.units import format_count, format_size

if TYPE_CHECKING:
    from memopt_cli.analysis.density import Density
    from memopt_cli.analysis.results import RunFindings, VariantFindings

_READING = (
    "Each variant took agents in until the next might have brought its process above the limit, "
    "its fixed cost included. *Computed* is what the arrays of an agent take by their shapes: all "
    "of it where each agent owns copies, and the least where agents share. As many fit by it as it "
    "goes into the limit less the fixed cost. Variants hold different numbers of agents, so what "
    "they did is not compared, and totals neither."
)

_HEAD = (
    "Variant",
    "Limit",
    "Fit",
    "Fit, computed",
    "Peak",
    "One more agent",
    "One more agent, computed",
    "Measured over computed",
)


def density(run: RunFindings) -> list[str]:
    """Return the section, if agents were to fill a memory."""
    found = [(v, v.density) for v in run.variants if v.density is not None]
    if not found:
        return []
    return ["## How many fit", _READING, table(_HEAD, [_row(v, each) for v, each in found])]


def _row(variant: VariantFindings, found: Density) -> list[str]:
    fits, each = computed_fits(variant), variant.memory.per_unit
    most = "" if found.owns_all else "at most "
    least = "" if found.owns_all else "at least "
    computed = found.computed_bytes
    return [
        variant.label,
        format_size(found.limit_bytes),
        wording.fitting(found.fits),
        wording.NOT_MEASURED if fits is None else f"{most}{format_count(int(fits))}",
        format_size(found.peak_bytes),
        wording.size(each),
        f"{least}{format_size(computed)}",
        "-" if each is None or not computed else f"{each.value / computed:.3f}",
    ]


def document(run: RunFindings) -> list[dict[str, Any]]:
    """Return the same as plain values for ``run.json``; sizes in bytes."""
    return [_values(v, v.density) for v in run.variants if v.density is not None]


def _values(variant: VariantFindings, found: Density) -> dict[str, Any]:
    return {
        "variant": variant.name,
        "cell": dict(variant.cell),
        "limit_bytes": found.limit_bytes,
        "agents": found.agents,
        "is_full": found.stopped,
        "peak_bytes": found.peak_bytes,
        "computed_agents": computed_fits(variant),
        "computed_bytes_per_agent": found.computed_bytes,
        "computed_is_least": not found.owns_all,
    }
