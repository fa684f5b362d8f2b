"""The report people read first: verdict, what changed, what it cost, how it was measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from memopt_cli.analysis.comparison import MEMORY_SPREAD, TIMING_SPREAD, compare
from memopt_cli.analysis.memory import HEAP
from memopt_cli.analysis.results import Verdict
from memopt_cli.report import wording
from memopt_cli.report.method import environment, method
from memopt_cli.report.tables import table
from memopt_cli.units import Dimension, format_count, format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memopt_cli.analysis.results import Estimate, RunFindings, VariantFindings
    from memopt_cli.report.plots import Picture

_READING = (
    "Memory is idle unless the growing stage sends messages; *loaded* is after the steady stage, "
    "what is above the fixed cost divided by the units. The fixed cost is the line at no units: "
    "interpreter, code and tables of fixed length, without the units that a pool made beforehand. "
    "Factors are of one series for all variants, and their intervals allow for what equal "
    f"processes differ by: {MEMORY_SPREAD:.0%} in memory, {TIMING_SPREAD:.0%} in times."
)

_GROWTH = (
    "Anonymous memory over the longest stage that holds its population, in {hours}, its first "
    "fifth left out. *Detectable* is the half-width of the interval: smaller slopes could not be "
    "told from none."
)


def markdown(run: RunFindings, pictures: Sequence[Picture] = ()) -> str:
    """
    Return *run* as GitHub-flavoured Markdown.

    Args:
        run: A judged run, finished or not.
        pictures: Figures beside the report, which it links.
    """
    sections = [
        f"# {run.scenario}: {run.verdict}",
        run.description,
        wording.summary(run),
        *_failures(run),
        *_checks(run),
        *_matrix(run),
        *(f"![{picture.title}]({picture.name})" for picture in pictures),
        *_results(run),
        *_leaks(run),
        *method(run),
        *environment(run),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _failures(run: RunFindings) -> list[str]:
    failed = [v for v in run.variants if v.failure]
    return [f"**{variant.label}** did not finish: {variant.failure}" for variant in failed]


def _checks(run: RunFindings) -> list[str]:
    if not run.thresholds:
        return ["The scenario has no thresholds."]
    order = [Verdict.CROSSED, Verdict.INCONCLUSIVE, Verdict.PASSED]
    rows = [
        [
            wording.MARKS[result.verdict],
            f"`{wording.expression(result)}`",
            wording.cell(result),
            wording.observed(result) + (f": {result.reason}" if result.reason else ""),
        ]
        for result in sorted(run.thresholds, key=lambda result: order.index(result.verdict))
    ]
    return ["## Checks", table(["Verdict", "Check", "Variant", "Observed"], rows)]


def _groups(run: RunFindings) -> list[list[VariantFindings]]:
    """Return the variants by cell of the matrix, in the order they ran."""
    groups: dict[tuple[tuple[str, str], ...], list[VariantFindings]] = {}
    for variant in run.variants:
        groups.setdefault(tuple(variant.cell.items()), []).append(variant)
    return list(groups.values())


def _matrix(run: RunFindings) -> list[str]:
    groups = _groups(run)
    if len(groups) < 2:  # noqa: PLR2004 - one cell is no matrix
        return []
    names = list(dict.fromkeys(variant.name for variant in run.variants))
    rows = []
    for group in groups:
        found = {variant.name: variant for variant in group}
        cells = [
            wording.size(found[name].memory.per_unit) if name in found else wording.NOT_MEASURED
            for name in names
        ]
        rows.append([_cell_name(group[0]), *cells])
    unit = wording.singular(run.variants[0].unit)
    return [
        f"## Memory per {unit} at each size",
        "Slopes with their 95 % intervals; the fixed cost of the process is not in them.",
        table(["", *names], rows),
    ]


def _cell_name(variant: VariantFindings) -> str:
    return ", ".join(
        f"{format_count(int(value)) if value.isdigit() else value} {key}"
        for key, value in variant.cell.items()
    )


def _results(run: RunFindings) -> list[str]:
    """Return, for each cell, the figures of its variants and what changed against the first."""
    if not run.variants:
        return ["Nothing was measured."]
    sections = []
    for group in _groups(run):
        where = _cell_name(group[0]) or f"{format_count(group[0].units_peak)} {group[0].unit}"
        rows = [[name, *map(show, group)] for name, show in _figures(group[0].unit)]
        sections += [f"## {where}", table(["", *(v.name for v in group)], rows)]
        if len(group) > 1:
            sections += _changes(group)
    return [*sections, _READING]


def _figures(unit: str) -> list[tuple[str, Callable[[VariantFindings], str]]]:
    """Return the rows of a cell's table: a name, and how a variant fills it."""
    one = wording.singular(unit)
    return [
        (f"memory per {one}", _per_unit),
        (f"memory per {one}, loaded", lambda v: wording.size(v.memory.loaded)),
        ("fixed cost", lambda v: wording.size(v.memory.fixed)),
        ("peak USS", lambda v: wording.size_bytes(v.peak_uss_bytes)),
        ("kept after the last left", lambda v: wording.size(v.retained)),
        ("pool reuse", lambda v: wording.ratio((v.pool or {}).get("reuse_ratio"))),
        ("GC pauses: p50, p99, max; share of CPU time", pauses),
        ("latency: p50, p99, max", _latency),
        ("operations", _operations),
        ("operations per second of work", _rate),
    ]


def _per_unit(variant: VariantFindings) -> str:
    memory = variant.memory
    return wording.size(memory.per_unit) if memory.per_unit else f"not measured: {memory.reason}"


def _latency(variant: VariantFindings) -> str:
    found = variant.operation_latency
    quantiles = [None if each is None else each.value for each in (found.p50_s, found.p99_s)]
    return ", ".join(wording.seconds(value) for value in (*quantiles, found.max_s))


def _operations(variant: VariantFindings) -> str:
    return format_count(variant.operations) if variant.sampling.samples else wording.NOT_MEASURED


def _rate(variant: VariantFindings) -> str:
    rate = variant.operations_per_s
    return wording.NOT_MEASURED if rate is None else format_count(rate)


def _changes(group: Sequence[VariantFindings]) -> list[str]:
    first, *others = [_in_one_series(variant, group) for variant in group]
    rows = [
        [name, *(_change(take(first), take(other), spread, other) for other in others)]
        for name, spread, take in _measures(wording.singular(first.unit))
    ]
    head = [f"times less than {first.name}", *(variant.name for variant in others)]
    return [table(head, rows)]


def _in_one_series(variant: VariantFindings, group: Sequence[VariantFindings]) -> VariantFindings:
    """
    Return the variant with memory by the series that all of the group have.

    Anonymous memory and heap in use are two quantities: one over the other is no factor.
    """
    bases = {other.memory.basis for other in group if other.memory.per_unit is not None}
    memory = variant.memory
    if len(bases) < 2 or memory.basis == HEAP:  # noqa: PLR2004
        return variant
    # What is loaded was read in the variant's own series only.
    return replace(variant, memory=replace(memory, per_unit=memory.cross_check, loaded=None))


def _measures(unit: str) -> list[tuple[str, float, Callable[[VariantFindings], Estimate | None]]]:
    return [
        (f"memory per {unit}", MEMORY_SPREAD, lambda v: v.memory.per_unit),
        (f"memory per {unit}, loaded", MEMORY_SPREAD, lambda v: v.memory.loaded),
        ("kept after the last left", MEMORY_SPREAD, lambda v: v.retained),
        ("GC pause, p99", TIMING_SPREAD, lambda v: v.gc_pause.p99_s if v.gc_pause else None),
        ("operation latency, p50", TIMING_SPREAD, lambda v: v.operation_latency.p50_s),
        ("operation latency, p99", TIMING_SPREAD, lambda v: v.operation_latency.p99_s),
    ]


def _change(
    before: Estimate | None, after: Estimate | None, spread: float, variant: VariantFindings
) -> str:
    """Return by what factor a measure fell, with its interval."""
    if variant.same_work is False:
        return "not comparable: it did other work"
    if before is None or after is None:
        return wording.NOT_MEASURED
    change = compare(before, after, spread=spread)
    if change.before.overlaps(change.after):
        return "no difference shown"
    if change.factor is None or change.factor_low is None or change.factor_high is None:
        return f"{'less' if after.value < before.value else 'more'}, not above zero in both"
    return _times(change.factor, change.factor_low, change.factor_high)


def _times(factor: float, low: float, high: float) -> str:
    """Return a factor and its interval; below one, by what it rose."""
    if factor >= 1:
        return f"{factor:.3g} ({low:.3g} to {high:.3g})"
    most = f"{1 / low:.3g}" if low else "any"
    return f"{1 / factor:.3g} times more ({1 / high:.3g} to {most})"


def pauses(variant: VariantFindings) -> str:
    """Return a variant's collection pauses in one phrase."""
    found = variant.gc_pause
    if found is None:
        return wording.NOT_MEASURED
    if found.p50_s is None or found.p99_s is None:
        return "none"
    shown = (found.p50_s.value, found.p99_s.value, found.max_s)
    share = f"; {wording.ratio(variant.pause_share)}" if variant.pause_share is not None else ""
    return ", ".join(wording.seconds(value) for value in shown) + share


def _leaks(run: RunFindings) -> list[str]:
    rows = [
        [
            variant.label,
            variant.leak.verdict.replace("_", " "),
            wording.estimate(variant.leak.slope_bytes_per_s, Dimension.SIZE_RATE),
            wording.size(variant.leak.slope_bytes_per_operation),
            "-"
            if variant.leak.detectable_bytes_per_s is None
            else f"{format_size(variant.leak.detectable_bytes_per_s * 3600)}/h",
            variant.leak.reason or "-",
        ]
        for variant in run.variants
    ]
    if not rows:
        return []
    hours = "simulated hours" if run.clock == "virtual" else "hours"
    head = ["Variant", "Leak", f"Slope, per {hours[:-1]}", "per operation", "detectable", "Remark"]
    return [
        "## Growth while the population is steady",
        _GROWTH.format(hours=hours),
        table(head, rows),
    ]
