"""The titles of a run's figures: each says in a sentence what the figure shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.report import wording
from memopt_cli.units import format_count, format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.recording import VariantRecording
    from memopt_cli.analysis.results import Distribution, RunFindings, VariantFindings


def over_time(run: RunFindings, shown: Sequence[VariantRecording]) -> str:
    """Return at what memory the population peaks, where it takes the most and the least."""
    peaks = [
        (variant.name, max((s.resident_anonymous_bytes for s in variant.samples), default=0))
        for variant in shown
    ]
    units = max((s.units for variant in shown for s in variant.samples), default=0)
    least, most = min(peaks, key=lambda peak: peak[1]), max(peaks, key=lambda peak: peak[1])
    unit = run.variants[0].unit
    if least == most:
        return f"{format_count(units)} {unit} peak at {format_size(most[1])}"
    return (
        f"{format_count(units)} {unit} peak at {format_size(most[1])} in {most[0]}, "
        f"at {format_size(least[1])} in {least[0]}"
    )


def per_unit(fitted: Sequence[VariantFindings]) -> str:
    """Return what one more unit costs, where it costs the most and the least."""
    unit = wording.singular(fitted[0].unit)
    costs = {v.name: v.memory.per_unit.value for v in fitted if v.memory.per_unit}
    least, most = min(costs, key=costs.__getitem__), max(costs, key=costs.__getitem__)
    if least == most:
        return f"One more {unit} costs {format_size(costs[most])} in {most}"
    return (
        f"One more {unit} costs {format_size(costs[most])} in {most}, "
        f"{format_size(costs[least])} in {least}"
    )


def matrix(fitted: Sequence[VariantFindings], names: Sequence[str]) -> str:
    """Return by what factor memory per unit differs between the sizes of a matrix."""
    unit = wording.singular(fitted[0].unit)
    spreads = []
    for name in names:
        values = [v.memory.per_unit.value for v in fitted if v.name == name and v.memory.per_unit]
        spreads.append(max(values) / min(values))
    sizes = sorted({variant.units_peak for variant in fitted})
    return (
        f"Memory per {unit} differs by a factor of at most {max(spreads):.3g} "
        f"between {format_count(sizes[0])} and {format_count(sizes[-1])} {fitted[0].unit}"
    )


def worst(found: Sequence[tuple[str, Distribution]], what: str) -> str:
    """Return the longest of all durations, and whose it was."""
    longest = [(d.max_s, name) for name, d in found if d.max_s is not None]
    if not longest:
        return f"{what}: none"
    return f"{what}: {format_duration(max(longest)[0])} in {max(longest)[1]}"
