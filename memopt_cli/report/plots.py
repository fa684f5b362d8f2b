"""PNG figures; matplotlib is imported only when one is drawn."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.report import plot_titles, wording
from memopt_cli.report.drawing import (
    MARKERS,
    STYLES,
    colour,
    finish,
    log_ticks,
    new_figure,
    time_scale,
)
from memopt_cli.report.ranking_plot import ranking
from memopt_cli.report.thinning import thinned
from memopt_cli.units import format_count, format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from memopt_cli.analysis.recording import Recording, VariantRecording
    from memopt_cli.analysis.results import Distribution, Estimate, RunFindings, VariantFindings

DOTS_PER_INCH = 144
MIB = 1024**2
MILLISECOND = 1e-3
_MOST_TICKS = 6
_WIDTH_LETTERS = 100
"""So many letters of a stage's name would stand beside each other along the time axis."""

_HEADROOM = 0.1
"""Of an axis, for the names of stages above what is drawn."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure as a file: its name, what it shows in words, and its bytes."""

    name: str
    title: str
    png: bytes


def pictures(run: RunFindings, recording: Recording) -> list[Picture]:
    """Return the figures of a report; those that nothing was measured for are left out."""
    found: list[tuple[str, Figure | None]] = [
        ("ranking.png", ranking(run)),
        ("memory-over-time.png", memory_over_time(run, recording)),
        ("memory-per-unit.png", memory_per_unit(run)),
        ("matrix.png", matrix(run)),
        ("durations.png", durations(run)),
    ]
    return [picture(name, figure) for name, figure in found if figure is not None]


def memory_over_time(run: RunFindings, recording: Recording) -> Figure | None:
    """
    Return memory of the variants over scenario time, pauses below on the same axis.

    With a matrix, its last cell is shown. Memory is the anonymous memory in MiB.
    """
    shown = _last_cell(recording)
    if not any(variant.samples for variant in shown):
        return None
    figure = new_figure(8, 5.2)
    if any(variant.recorder_installed for variant in shown):
        memory, pauses = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    else:
        memory, pauses = figure.add_subplot(), None
    scale_s, unit = time_scale(max(s.at_s for variant in shown for s in variant.samples))
    for number, variant in enumerate(shown):
        label: str | None = variant.name
        for lived in variant.by_part(variant.samples):
            sizes = [(s.at_s / scale_s, s.resident_anonymous_bytes / MIB) for s in lived]
            drawn = zip(*thinned(sizes), strict=True)
            memory.plot(*drawn, STYLES[number % 4], color=colour(number), label=label)
            label = None  # once for all parts
        _mark_breaks(memory, variant, number, scale_s)
        paused = [
            (s.at_s / scale_s, s.gc_pause_max_s / MILLISECOND)
            for s in variant.samples
            if s.gc_pauses
        ]
        if paused and pauses is not None:
            marker = MARKERS[number % len(MARKERS)]
            pauses.plot(*zip(*thinned(paused), strict=True), marker, color=colour(number), ms=3)
    _mark_stages(memory, max(shown, key=lambda variant: len(variant.stages)), scale_s)
    top_mib = max(s.resident_anonymous_bytes for variant in shown for s in variant.samples) / MIB
    memory.set(ylabel="anonymous memory [MiB]", ylim=(0, top_mib * (1 + _HEADROOM) or None))
    finish(memory, plot_titles.over_time(run, shown))
    if pauses is None:
        memory.set(xlabel=f"{_time_name(run)} [{unit}]")
        return figure
    pauses.set_yscale("symlog", linthresh=0.1)
    longest = max((s.gc_pause_max_s for variant in shown for s in variant.samples), default=0.0)
    top_ms = max(1.0, 2 * longest / MILLISECOND)
    pauses.set(
        ylabel="longest GC\npause [ms]", xlabel=f"{_time_name(run)} [{unit}]", ylim=(0, top_ms)
    )
    finish(pauses, "", legend=False)
    return figure


def memory_per_unit(run: RunFindings) -> Figure | None:
    """
    Return memory above the fixed cost against units, with the fitted line of each variant.

    Both axes are logarithmic, so that parallel lines differ by a factor.
    """
    fitted = [v for v in run.variants if _is_drawable(v.memory.per_unit) and v.memory.points]
    if not fitted:
        return None
    figure = new_figure(8, 4.6)
    axes = figure.add_subplot()
    names = list(dict.fromkeys(variant.name for variant in fitted))
    for variant in fitted:
        number = names.index(variant.name)
        _points_and_line(axes, variant, number, last=variant is _last_named(fitted, variant.name))
    unit = fitted[0].unit
    _log_axes(axes, [units for variant in fitted for units, _ in variant.memory.points])
    axes.set(xlabel=f"{unit} [count]", ylabel="memory above the fixed cost [bytes]")
    finish(axes, plot_titles.per_unit(fitted))
    return figure


def matrix(run: RunFindings) -> Figure | None:
    """Return memory per unit against the size of the population, one line per variant."""
    fitted = [v for v in run.variants if v.cell and _is_drawable(v.memory.per_unit)]
    names = list(dict.fromkeys(variant.name for variant in fitted))
    sized = all(variant.cell.keys() <= {"connections", "agents", "units"} for variant in fitted)
    if not sized or len({variant.units_peak for variant in fitted}) < 2:  # noqa: PLR2004 - one makes no line
        return None
    figure = new_figure(8, 4)
    axes = figure.add_subplot()
    for number, name in enumerate(names):
        own = [v for v in fitted if v.name == name]
        values = [v.memory.per_unit for v in own if v.memory.per_unit]
        errors = [[e.value - e.low for e in values], [e.high - e.value for e in values]]
        axes.errorbar(
            [v.units_peak for v in own],
            [e.value for e in values],
            yerr=errors,
            color=colour(number),
            marker=MARKERS[number % len(MARKERS)],
            linestyle=STYLES[number % 4],
            capsize=3,
            label=name,
        )
    unit = wording.singular(fitted[0].unit)
    _log_axes(axes, [variant.units_peak for variant in fitted])
    axes.set(xlabel=f"{fitted[0].unit} [count]", ylabel=f"memory per {unit} [bytes]")
    finish(axes, plot_titles.matrix(fitted, names))
    return figure


def durations(run: RunFindings) -> Figure | None:
    """Return the share of pauses and of operations that took longer, both axes logarithmic."""
    shown = _last_findings(run)
    pauses = [(v.name, v.gc_pause) for v in shown if v.gc_pause and v.gc_pause.count]
    latencies = [(v.name, v.operation_latency) for v in shown if v.operation_latency.count]
    if not pauses and not latencies:
        return None
    names = [variant.name for variant in shown]
    measured = any(variant.gc_pause is not None for variant in shown)
    title = plot_titles.worst(pauses, "Longest GC pause") if measured else "GC pauses: not measured"
    titles = [title, plot_titles.worst(latencies, "Longest operation")]
    panels = [
        (found, xlabel)
        for found, xlabel in ((pauses, "GC pause [s]"), (latencies, "operation latency [s]"))
        if found
    ]
    if len(panels) < len(titles):
        titles = ["; ".join(titles)]  # what has no panel is said in words
    figure = new_figure(8, 4)
    drawn = figure.subplots(1, len(panels), sharey=False, squeeze=False)[0]
    for axes, (found, xlabel), title in zip(drawn, panels, titles, strict=True):
        _exceedance(axes, found, names, xlabel)
        finish(axes, title, legend=axes is drawn[-1])
    drawn[0].set(ylabel="share that took longer")
    return figure


def picture(name: str, figure: Figure) -> Picture:
    """Return a figure as a file; its title is that of its parts."""
    buffer = io.BytesIO()
    # Without the version of matplotlib in it, equal figures are equal files.
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    return Picture(name, "; ".join(title for title in titles if title), buffer.getvalue())


def _is_drawable(found: Estimate | None) -> bool:
    """Return whether a figure has a place on a logarithmic axis; the tables show the others."""
    return found is not None and found.value > 0


def _log_axes(axes: Axes, units: Sequence[int]) -> None:
    """Make both axes logarithmic: units with a tick at each count, sizes at powers of two."""
    from matplotlib.ticker import NullLocator

    axes.set_yscale("log", base=2)
    counts = sorted(set(units))
    log_ticks(axes, counts, format_count)
    if len(counts) <= _MOST_TICKS:
        axes.set_xticks(counts)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: format_size(value))


def _time_name(run: RunFindings) -> str:
    return "simulated time" if run.clock == "virtual" else "time"


def _last_cell(recording: Recording) -> list[VariantRecording]:
    if not recording.variants:
        return []
    cell = recording.variants[-1].cell
    return [variant for variant in recording.variants if variant.cell == cell]


def _last_findings(run: RunFindings) -> list[VariantFindings]:
    if not run.variants:
        return []
    cell = run.variants[-1].cell
    return [variant for variant in run.variants if variant.cell == cell]


def _last_named(variants: Sequence[VariantFindings], name: str) -> VariantFindings:
    return [variant for variant in variants if variant.name == name][-1]


def _mark_stages(axes: Axes, variant: VariantRecording, scale_s: float) -> None:
    # A run that was stopped has a stage that goes on beyond what was measured, and the axis.
    total = max((sample.at_s for sample in variant.samples), default=0.0)
    for stage in variant.stages:
        ends_s = min(stage.ends_s, total)
        axes.axvline(min(stage.starts_s, total) / scale_s, color="0.85", linewidth=0.8, zorder=0)
        if (ends_s - stage.starts_s) * _WIDTH_LETTERS > total * (len(stage.name) + 1):
            axes.annotate(
                stage.name,
                ((stage.starts_s + ends_s) / 2 / scale_s, 1.0),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="top",
                fontsize=8,
                color="0.4",
            )


def _mark_breaks(axes: Axes, variant: VariantRecording, number: int, scale_s: float) -> None:
    for at_s in variant.breaks:
        axes.axvline(at_s / scale_s, color=colour(number), linestyle=":", linewidth=1)
        axes.annotate(
            "resumed",
            (at_s / scale_s, 0.02),
            xycoords=("data", "axes fraction"),
            ha="right",
            va="bottom",
            rotation=90,
            fontsize=8,
            color=colour(number),
        )


def _points_and_line(axes: Axes, variant: VariantFindings, number: int, *, last: bool) -> None:
    memory = variant.memory
    if memory.per_unit is None or memory.fixed is None:
        return
    fixed, slope = memory.fixed.value, memory.per_unit.value
    units = [units for units, _ in memory.points]
    above = [(count, size - fixed) for count, size in memory.points if size > fixed]
    label = f"{variant.name}: {format_size(slope)} per {wording.singular(variant.unit)}"
    axes.plot(units, [slope * count for count in units], STYLES[number % 4], color=colour(number))
    axes.plot(
        [count for count, _ in above],
        [size for _, size in above],
        MARKERS[number % len(MARKERS)],
        color=colour(number),
        ms=4,
        label=label if last else None,
    )


def _exceedance(
    axes: Axes, found: Sequence[tuple[str, Distribution]], names: Sequence[str], xlabel: str
) -> None:
    values: list[float] = []
    for name, distribution in found:
        number = names.index(name)
        smallest = 1 / distribution.count
        longer = [
            (value, max(1 - share, smallest)) for value, share in distribution.points if value
        ]
        values += [value for value, _ in longer]
        if longer:
            style = STYLES[number % 4]
            axes.plot(*zip(*longer, strict=True), style, color=colour(number), label=name)
    axes.axhline(0.01, color="0.85", linewidth=0.8, zorder=0)
    axes.annotate("p99", (0.01, 0.011), xycoords=("axes fraction", "data"), fontsize=8, color="0.4")
    axes.set(yscale="log", xlabel=xlabel)
    log_ticks(axes, values, format_duration)
