"""The picture of a watch: memory, processes, pauses and CPU on one time axis."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from memopt_cli.analysis import watch_growth
from memopt_cli.analysis.leak_signals import BYTES_EACH, OUTSIDE, Metric, Pattern
from memopt_cli.analysis.watch_launchers import without_launchers
from memopt_cli.report import watch_wording
from memopt_cli.report.drawing import MARKERS, colour, finish, new_figure, time_scale
from memopt_cli.report.plots import MIB, MILLISECOND, Picture, picture
from memopt_cli.report.thinning import thinned
from memopt_cli.units import format_size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from memopt_cli.analysis.readings import Readings
    from memopt_cli.analysis.watch_results import GrowthFindings, ProcessFindings, WatchFindings
    from memopt_cli.analysis.watching import ProcessRecording, WatchRecording

    _Shown: TypeAlias = Sequence[tuple[int, ProcessFindings, ProcessRecording]]

NAME = "watch.png"
MOST_DRAWN = 6
MOST_POINTS = 2000
LONGEST_LINE = 88
_HOUR_S = 3600.0


def pictures(found: WatchFindings, recording: WatchRecording) -> list[Picture]:
    """Return the figures of a watch; none if nothing was read."""
    figure = over_time(found, recording)
    return [] if figure is None else [picture(NAME, figure)]


def over_time(found: WatchFindings, recording: WatchRecording) -> Figure | None:
    """Return what the processes with the most memory did, at most six of them."""
    shown = _shown(found, recording)
    if not shown:
        return None
    has_tree = found.tree is not None and bool(found.tree.points)
    heights = (3.4, 0.8, 1, 1) if has_tree else (3.4, 1, 1)
    figure = new_figure(8, 1.25 * sum(heights))
    panels = list(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights))
    memory, pauses, cpu = panels[0], panels[-2], panels[-1]
    scale_s, unit = time_scale(found.wall_s)
    for number, one, recorded in shown:
        _memory(memory, number, one, recorded, scale_s, many=len(shown) > 1)
        _pauses(pauses, number, recorded.readings, scale_s)
        _cpu(cpu, number, recorded.readings, scale_s)
    if has_tree:
        _tree(memory, panels[1], found, scale_s)
    memory.set(ylabel="memory [MiB]", ylim=(0, memory.get_ylim()[1] * 1.02))
    pauses.set(ylabel="longest GC\npause [ms]", ylim=(0, max(1.0, pauses.get_ylim()[1] * 1.1)))
    cpu.set(ylabel="CPU [%]", ylim=(0, max(1.0, cpu.get_ylim()[1] * 1.1)))
    cpu.set(xlabel=f"time since the watch began [{unit}]", xlim=(0, found.wall_s / scale_s or 1.0))
    _finish(panels, watch_wording.headline(found))
    return figure


def _finish(panels: Sequence[Axes], title: str) -> None:
    finish(panels[0], _wrapped(title), legend=False)
    # Outside of the axes: wherever else it stands, some watch has a line there.
    panels[0].legend(
        frameon=False, fontsize=7.5, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0
    )
    for panel in panels[1:]:
        finish(panel, "", legend=False)


def _wrapped(title: str) -> str:
    """Return a title in lines that fit the figure."""
    lines = [""]
    for word in title.split():
        if lines[-1] and len(lines[-1]) + len(word) >= LONGEST_LINE:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def _shown(found: WatchFindings, recording: WatchRecording) -> _Shown:
    """Return the processes with the most memory that were read more than once."""
    listed = without_launchers(recording).processes
    drawable = [
        (one, recorded)
        for one, recorded in zip(found.processes, listed, strict=True)
        if len(recorded.readings) > 1
    ]
    # A leak is drawn whatever its size: it is what the title speaks of.
    drawable.sort(key=lambda pair: (not pair[0].leaks, -(pair[0].last_anonymous_bytes or 0)))
    return [(number, *pair) for number, pair in enumerate(drawable[:MOST_DRAWN])]


def _memory(
    axes: Axes,
    number: int,
    one: ProcessFindings,
    recorded: ProcessRecording,
    scale_s: float,
    *,
    many: bool,
) -> None:
    for metric, style, width in ((Metric.ANONYMOUS, "-", 1.2), (Metric.MALLOC_IN_USE, "--", 0.9)):
        at, values = watch_growth.series(recorded.readings, metric)
        if len(at) > 1:
            sizes = [(t / scale_s, v / MIB) for t, v in zip(at, values, strict=True)]
            axes.plot(
                *zip(*thinned(sizes), strict=True),
                style,
                color=colour(number),
                linewidth=width,
                label=_label(metric, one, number, many=many),
            )
    grows = one.leaks or one.growth.pattern is Pattern.FRAGMENTATION
    if one.is_judged and (grows or not many):
        _line(axes, one.growth, recorded, scale_s)


def _label(metric: Metric, one: ProcessFindings, number: int, *, many: bool) -> str | None:
    """Return what the legend says of a line; of many, the dashed ones are explained once."""
    if metric is Metric.MALLOC_IN_USE:
        name = "dashed: malloc in use" if many else _LABELS[metric]
        return None if number else name
    return f"{one.pid} {one.command}"[:_LONGEST_LABEL] if many else _LABELS[metric]


_LONGEST_LABEL = 22
_LABELS = {Metric.ANONYMOUS: "anonymous", Metric.MALLOC_IN_USE: "malloc in use"}


def _line(axes: Axes, growth: GrowthFindings, recorded: ProcessRecording, scale_s: float) -> None:
    """Draw the slope that was found, from where its series settles, through its middle."""
    metric = growth.measured_by
    if metric is None or metric in BYTES_EACH:
        return
    drawn = Metric.ANONYMOUS if metric in OUTSIDE else metric
    at, values = watch_growth.series(recorded.readings, drawn)
    if drawn in _LABELS:
        _fitted(axes, growth, at, values, scale_s)


def _fitted(
    axes: Axes,
    growth: GrowthFindings,
    at: Sequence[float],
    values: Sequence[float],
    scale_s: float,
    name: str = "fitted",
) -> None:
    slope_bytes_per_s = growth.leak.slope_bytes_per_s
    starts_s = at[0] + growth.leak.settled_s if at else 0.0
    settled = [(x, y) for x, y in zip(at, values, strict=True) if x >= starts_s]
    if slope_bytes_per_s is None or len(settled) < 2:  # noqa: PLR2004 - a line needs two
        return
    slope = slope_bytes_per_s.value
    # The median of what is left is above as many readings as below, spikes or not.
    level = sorted(y - slope * (x - starts_s) for x, y in settled)[len(settled) // 2]
    ends = (settled[0][0], settled[-1][0])
    axes.plot(
        [x / scale_s for x in ends],
        [(level + slope * (x - starts_s)) / MIB for x in ends],
        ":",
        color="black",
        linewidth=1.8,
        label=f"{name}: {format_size(slope * _HOUR_S)}/h",
        zorder=5,
    )


def _tree(memory: Axes, count: Axes, found: WatchFindings, scale_s: float) -> None:
    if found.tree is None:
        return
    times = [at / scale_s for at, _, _ in found.tree.points]
    sums = [size / MIB for _, _, size in found.tree.points]
    memory.plot(times, sums, color="0.6", linewidth=2.2, label="all processes", zorder=1)
    if found.tree.leaks:
        at = [time for time, _, _ in found.tree.points]
        sizes = [size for _, _, size in found.tree.points]
        _fitted(memory, found.tree.growth, at, sizes, scale_s, "fitted to all")
    count.step(times, [living for _, living, _ in found.tree.points], color="0.4", where="post")
    count.set(ylabel="processes", ylim=(0, found.tree.processes_peak * 1.15))


def _pauses(axes: Axes, number: int, readings: Readings, scale_s: float) -> None:
    """Draw the longest pause of each stretch of readings, so that none is thinned away."""
    step = max(1, len(readings) // MOST_POINTS)
    at, count = readings.column("at_s"), readings.column("gc_pauses")
    longest = readings.column("gc_pause_max_s")
    stretches = (range(len(at))[first : first + step] for first in range(0, len(at), step))
    kept = [max(stretch, key=longest.__getitem__) for stretch in stretches]
    paused = [(at[one] / scale_s, longest[one] / MILLISECOND) for one in kept if count[one]]
    if paused:
        marker = MARKERS[number % len(MARKERS)]
        axes.plot(*zip(*paused, strict=True), marker, color=colour(number), ms=2.5)


def _cpu(axes: Axes, number: int, readings: Readings, scale_s: float) -> None:
    """Draw the share of a CPU between readings, over longer stretches in a long watch."""
    step = max(1, len(readings) // MOST_POINTS)
    used = zip(readings.column("at_s")[::step], readings.column("cpu_s")[::step], strict=True)
    shares = [
        (later / scale_s, 100 * (now - then) / (later - before))
        for (before, then), (later, now) in pairwise(used)
        if later > before
    ]
    if shares:
        axes.plot(*zip(*shares, strict=True), "-", color=colour(number), linewidth=0.8)
