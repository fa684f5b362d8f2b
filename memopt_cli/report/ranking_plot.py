"""The figure of a ranking: what each variant saves per unit, and how long it pauses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from memopt_cli.analysis.ranking import rankings
from memopt_cli.report import wording
from memopt_cli.report.drawing import MARKERS, colour, finish, new_figure
from memopt_cli.units import format_duration, format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from memopt_cli.analysis.comparison import Change
    from memopt_cli.analysis.ranking import Ranking, Standing
    from memopt_cli.analysis.results import Estimate, RunFindings

_ROW, _MARGIN = 0.4, 1.3
"""Inches: of a variant's row, and of the title and the axis around the rows."""

_MOST_TICKS = 4


def ranking(run: RunFindings) -> Figure | None:
    """
    Return bytes saved per unit beside the longest pause, a row per variant, the reference first.

    With a matrix, its last cell is shown. What is filled differs from the reference by
    more than the intervals; what is hollow is not shown to.
    """
    found = [one for one in rankings(run.variants) if one.standings]
    if not found:
        return None
    shown = found[-1]
    numbers = {v.name: n for n, v in enumerate(v for v in run.variants if v.cell == shown.cell)}
    saves = any(_memory(shown, one) is not None for one in shown.standings)
    changes = [one.longest_pause for one in shown.standings if one.longest_pause is not None]
    pauses = any(change.before.value or change.after.value for change in changes)
    if not saves and not pauses:
        return None
    figure = new_figure(9, _MARGIN + _ROW * (1 + len(shown.standings)))
    panels = figure.subplots(1, saves + pauses, sharey=True, squeeze=False)[0]
    if saves:
        _savings(panels[0], shown, numbers)
    if pauses:
        _pauses(panels[-1], shown, numbers)
    names = [shown.reference, *(one.name for one in shown.standings)]
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    return figure


def _at_work(shown: Ranking) -> bool:
    """Return whether loaded memory is what the variants are ranked by."""
    return all(one.loaded is not None for one in shown.standings)


def _memory(shown: Ranking, one: Standing) -> Change | None:
    return one.loaded if _at_work(shown) else one.idle


def _savings(axes: Axes, shown: Ranking, numbers: dict[str, int]) -> None:
    from matplotlib.ticker import MultipleLocator

    unit = wording.singular(shown.unit)
    ends = [0.0]
    for row, one in enumerate(shown.standings, 1):
        change = _memory(shown, one)
        if change is None:
            _note(axes, 0, row, wording.NOT_MEASURED)
            continue
        saved, differs = change.saved, change.differs
        ends += [saved.low, saved.high]
        own = colour(numbers[one.name])
        axes.barh(row, saved.value, 0.55, color=own if differs else "none", edgecolor=own)
        axes.errorbar(saved.value, row, xerr=_reach(saved), color="black", capsize=3, lw=1)
        _note(axes, max(saved.high, 0), row, _saved(change))
    _note(axes, 0, 0, "reference")
    axes.axvline(0, color="0.6", lw=0.8)
    room = (max(ends) - min(ends)) * 0.42
    axes.set_xlim(min(ends) * 1.05, max(ends) + room)
    axes.xaxis.set_major_locator(MultipleLocator(_step(max(ends) - min(ends))))
    axes.xaxis.set_major_formatter(lambda value, _: format_size(value))
    where = wording.population(shown.cell, shown.units_peak, shown.unit)
    state = "loaded, " if _at_work(shown) else ""
    axes.set(xlabel=f"saved, {state}at {where} [bytes per {unit}]")
    axes.tick_params(axis="y", length=0)
    finish(axes, _savings_title(shown, unit))


def _pauses(axes: Axes, shown: Ranking, numbers: dict[str, int]) -> None:
    changes = [(one.name, one.longest_pause) for one in shown.standings]
    before = next(change.before for _, change in changes if change is not None)
    rows = [
        (shown.reference, before, True),
        *((name, c.after, c.differs) for name, c in changes if c is not None),
    ]
    drawn = [found.value for _, found, _ in rows if found.value > 0]
    axes.set(xscale="log", xlim=(min(drawn) / 4, max(drawn) * 30), xlabel="longest GC pause [s]")
    places = {shown.reference: 0} | {one.name: row for row, one in enumerate(shown.standings, 1)}
    for name in places.keys() - {name for name, _, _ in rows}:
        _note(axes, min(drawn) / 4, places[name], wording.NOT_MEASURED)
    for name, found, differs in rows:
        if found.value <= 0:
            _note(axes, min(drawn) / 4, places[name], "no pause")
            continue
        own, marker = colour(numbers[name]), MARKERS[numbers[name] % len(MARKERS)]
        face = own if differs else "white"
        reach = _reach(found)
        axes.errorbar(
            found.value, places[name], xerr=reach, fmt=marker, color=own, mfc=face, capsize=3
        )
        least = "" if math.isfinite(found.high) else " or more"
        _note(axes, found.value + reach[1][0], places[name], format_duration(found.value) + least)
    axes.xaxis.set_major_formatter(lambda value, _: format_duration(value))
    axes.tick_params(axis="y", length=0)
    finish(axes, _pauses_title(shown))


def _step(range_bytes: float) -> float:
    """Return the power of two that gives the axis a handful of ticks."""
    return 2.0 ** math.ceil(math.log2(range_bytes / _MOST_TICKS)) if range_bytes else 1.0


def _note(axes: Axes, x: float, row: int, text: str) -> None:
    axes.annotate(
        text, (x, row), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8
    )


def _reach(found: Estimate) -> list[list[float]]:
    """Return how far the interval reaches to either side, as matplotlib wants it."""
    high = found.high if math.isfinite(found.high) else found.value
    return [[found.value - found.low], [high - found.value]]


def _saved(change: Change) -> str:
    if not change.differs:
        return wording.NO_DIFFERENCE
    return f"{format_size(abs(change.saved.value))}{' more' * change.rose}"


def _savings_title(shown: Ranking, unit: str) -> str:
    changes = [(one.name, _memory(shown, one)) for one in shown.standings]
    saving = [(name, change) for name, change in changes if change is not None and change.fell]
    if not saving:
        return f"No variant is shown to save memory per {unit}"
    name, change = saving[0]
    return f"{name} saves {format_size(change.saved.value)} per {unit}"


def _pauses_title(shown: Ranking) -> str:
    changes = [(s.longest_pause, s.name) for s in shown.standings if s.longest_pause is not None]
    shorter = [(c.after.value, name, c.before.value) for c, name in changes if c.fell]
    if not shorter:
        return "No longest pause is shown to be shorter"
    after, name, before = min(shorter)
    left = format_duration(after) if after else "none"
    return f"Longest pause: {format_duration(before)} in {shown.reference}, {left} in {name}"
