"""The report people read first: verdict, what changed, what it cost, how it was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from memopt_cli.analysis.comparison import (
    KEPT_SPREAD,
    LONGEST_SPREAD,
    MEMORY_SPREAD,
    TIMING_SPREAD,
    cells,
    compare,
    in_one_series,
    loaded_apart,
)
from memopt_cli.analysis.ranking import rankings
from memopt_cli.report import (
    alerts,
    beside,
    checks,
    connections,
    density,
    hours,
    ladder,
    operation_profile,
    parts,
    ranking,
    wording,
)
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
    "Idle memory is compared in one series: where anonymous memory was fitted for one variant and "
    "heap in use for the other, by heap in use. Loaded memory was read in each variant's own "
    "series only, so two that are *not in one series* are not compared. "
    "*Work per operation* is the mean, pauses included. The "
    f"intervals allow for what equal processes differ by: {MEMORY_SPREAD:.0%} in memory, "
    f"{KEPT_SPREAD:.0%} in what is kept, {TIMING_SPREAD:.0%} in times, {LONGEST_SPREAD:.0%} in the "
    "longest pause."
)

_GROWTH = (
    "Anonymous memory, and the heap in use where it was read often enough, over the longest stage "
    "that holds its population, in {hours}, from where it settles. The interval spans nine fits: "
    "of three quantiles, with three warm-ups left out. A leak shows in nearly all of them, goes on "
    "to the end and does not slow down. *Detectable* is the smallest slope that would have been "
    "called one in half of such runs."
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
        *alerts.sections(run.alerts, owner="Variant"),
        *density.density(run),
        *ladder.ladder(run),
        *operation_profile.section(run),
        *ranking.ranked(run),
        *_matrix(run),
        *(f"![{picture.title}]({picture.name})" for picture in pictures),
        *_results(run),
        *connections.sections(run),
        *_leaks(run),
        *parts.sections(run),
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
    return ["## Checks", checks.table_of(checks.worst_first(run.thresholds), owner="Variant")]


def _matrix(run: RunFindings) -> list[str]:
    groups = cells(run.variants)
    if len(groups) < 2:  # noqa: PLR2004 - one cell is no matrix
        return []
    names = list(dict.fromkeys(variant.name for variant in run.variants))
    rows = []
    for group in groups:
        found = {variant.name: variant for variant in group}
        costs = [
            wording.size(found[name].memory.per_unit) if name in found else wording.NOT_MEASURED
            for name in names
        ]
        rows.append([wording.cell_name(group[0].cell), *costs])
    unit = wording.singular(run.variants[0].unit)
    return [
        f"## Memory per {unit} at each size",
        "Slopes with their 95 % intervals; the fixed cost of the process is not in them.",
        table(["", *names], rows),
    ]


def _results(run: RunFindings) -> list[str]:
    """Return, for each cell, the figures of its variants and what changed against the first."""
    if not run.variants:
        return ["Nothing was measured."]
    sections = []
    compared = {tuple(one.cell.items()): one for one in rankings(run.variants)}
    for group in cells(run.variants):
        first = group[0]
        where = wording.population(first.cell, first.units_peak, first.unit)
        rows = [[name, *map(show, group)] for name, show in _figures(first.unit)]
        sections += [f"## {where}", table(["", *(v.name for v in group)], rows)]
        if (found := compared.get(tuple(first.cell.items()))) is not None:
            sections += [*ranking.savings(found), _changes(group)]
    return [*sections, _READING]


def _figures(unit: str) -> list[tuple[str, Callable[[VariantFindings], str]]]:
    """Return the rows of a cell's table: a name, and how a variant fills it."""
    one = wording.singular(unit)
    return [
        (f"memory per {one}", _per_unit),
        (f"memory per {one}, loaded", lambda v: wording.size(_loaded(v))),
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


def _changes(group: Sequence[VariantFindings]) -> str:
    """Return by what factor each measure fell against the first variant."""
    first, *others = group
    rows = [
        [name, *(_change(*in_one_series(first, other), take, spread) for other in others)]
        for name, take, spread in _measures(wording.singular(first.unit))
    ]
    return table([f"times less than {first.name}", *(v.name for v in others)], rows)


_Measure: TypeAlias = "Callable[[VariantFindings], Estimate | None]"


def _measures(unit: str) -> list[tuple[str, _Measure, float]]:
    return [
        (f"memory per {unit}", lambda v: v.memory.per_unit, MEMORY_SPREAD),
        (f"memory per {unit}, loaded", _loaded, MEMORY_SPREAD),
        ("kept after the last left", lambda v: v.retained, KEPT_SPREAD),
        ("GC pause, p99", lambda v: v.gc_pause.p99_s if v.gc_pause else None, TIMING_SPREAD),
        ("operation latency, p50", lambda v: v.operation_latency.p50_s, TIMING_SPREAD),
        ("operation latency, p99", lambda v: v.operation_latency.p99_s, TIMING_SPREAD),
    ]


def _loaded(variant: VariantFindings) -> Estimate | None:
    return variant.memory.loaded


def _change(first: VariantFindings, other: VariantFindings, take: _Measure, spread: float) -> str:
    """Return by what factor a measure fell, with its interval."""
    before, after = take(first), take(other)
    if other.same_work is False:
        return "not comparable: it did other work"
    if before is None or after is None:
        return wording.NOT_MEASURED
    if take is _loaded and loaded_apart(first, other):
        return wording.OTHER_SERIES
    change = compare(before, after, spread=spread)
    return wording.times(change) if change.differs else wording.NO_DIFFERENCE


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
            wording.leak(variant.leak),
            wording.estimate(variant.leak.slope_bytes_per_s, Dimension.SIZE_RATE),
            wording.size(variant.leak.slope_bytes_per_operation),
            "-"
            if variant.leak.detectable_bytes_per_s is None
            else f"{format_size(variant.leak.detectable_bytes_per_s * 3600)}/h",
            hours.in_a_day(variant.leak),
            wording.leak_remark(variant.leak),
        ]
        for variant in run.variants
    ]
    if not rows:
        return []
    unit = "simulated hours" if run.clock == "virtual" else "hours"
    slope = f"Slope, per {unit[:-1]}"
    head = ["Variant", "Leak", slope, "per operation", "detectable", "in 24 h", "Remark"]
    return [
        "## Growth while the population is steady",
        hours.hours(run),
        _GROWTH.format(hours=unit),
        table(head, rows),
        *beside.baselines(run.baseline, [(one.label, one.leak) for one in run.variants]),
    ]
