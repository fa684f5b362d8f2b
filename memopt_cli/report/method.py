"""The end of the report: how it was measured, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.report import wording
from memopt_cli.report.tables import table
from memopt_cli.units import format_count, format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memopt_cli.analysis.results import RunFindings, VariantFindings

_SUBJECTS = (
    "Each variant ran in a fresh process, read by pid from outside. All got the same transcript of "
    "arrivals, messages and departures; equal digests of what their units remembered show that "
    "they did the same work."
)

_SLOPES = (
    "Memory per unit is the slope of a least-squares line through the plateaus of the first "
    "growth, with a 95 % interval by Student's t, widened by the resolution of the reading. It is "
    "not the process's total divided by the number of units. *Anonymous* memory is what the kernel "
    "charges, free parts of the heap included; *heap in use* is what the subject's allocators "
    "count, and stands in where free heap could hide the growth."
)


def method(run: RunFindings) -> list[str]:
    """Return how the run was measured, at what cost, and what others would report."""
    lines = [_SUBJECTS, _SLOPES]
    clocks = {
        "virtual": "The clock was virtual: every operation was done, idle time was skipped, and "
        "times and rates per hour are simulated.",
        "wall": "The clock was the wall's.",
    }
    lines.append(clocks.get(run.clock, ""))
    rows = [_method_row(variant) for variant in run.variants]
    if rows:
        head = [
            "Variant",
            "Fitted series",
            "The other series",
            "Plateaus",
            "Samples",
            "One sample, p50 (exact reading)",
            "CPU",
            "Wall",
            "Load time",
        ]
        lines.append(table(head, rows))
    divided = [_divided(variant) for variant in run.variants if variant.peak_rss_bytes]
    if divided:
        lines.append(
            "For comparison with reports that divide the process's total by the number of "
            f"units: {'; '.join(divided)}."
        )
    digests = [(v.label, v.digest) for v in run.variants if v.digest]
    if digests:
        lines.append(
            "Digests: " + ", ".join(f"{label} `{digest[:12]}`" for label, digest in digests)
        )
    return ["## Method", *lines]


def _method_row(variant: VariantFindings) -> list[str]:
    cost, memory = variant.sampling, variant.memory
    times = (variant.cpu_s, variant.wall_s, variant.simulated_s)
    return [
        variant.label,
        memory.basis.replace("_", " "),
        wording.size(memory.cross_check),
        str(len(memory.points)),
        format_count(cost.samples),
        f"{wording.seconds(cost.p50_s)} ({wording.seconds(cost.exact_p50_s)})",
        *(wording.seconds(time_s if cost.samples else None) for time_s in times),
    ]


def _divided(variant: VariantFindings) -> str:
    if not variant.peak_rss_bytes or not variant.units_peak:
        return f"{variant.label} has none"
    return f"{variant.label} {format_size(variant.peak_rss_bytes / variant.units_peak)}"


def environment(run: RunFindings) -> list[str]:
    """Return the machine and the runtime that the run was measured on."""
    return place(run.started_at, run.wall_s, run.environment, run.tags)


def place(
    started_at: str,
    wall_s: float,
    found: Mapping[str, str | int | float],
    tags: Mapping[str, str],
) -> list[str]:
    """Return when and where something was measured; sizes are named ``…_bytes``."""
    values = {"started": started_at, "wall time": format_duration(wall_s)}
    values |= {f"tag {name}": text for name, text in tags.items()}
    for name, value in found.items():
        title = name.removesuffix("_bytes").replace("_", " ")
        shown = format_size(float(value)) if name.endswith("_bytes") else str(value)
        values[title] = shown
    return ["## Environment", table(["", ""], [[key, value] for key, value in values.items()])]
