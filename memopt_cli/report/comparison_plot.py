"""The figure of a comparison: each measure's change with its interval, a panel per variant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.report import wording
from memopt_cli.report.drawing import MARKERS, colour, finish, new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from memopt_cli.analysis.comparing import MeasureChange, RunComparison, VariantComparison

_MOST_PANELS = 6
_ROW, _MARGIN, _WIDTH = 0.32, 1.4, 3.0
"""Inches: of a measure's row, of what is around the rows, and of a panel."""

_TITLE_CHARACTERS = 36
"""What fits above a panel."""

_WIDE = 30
"""Highest over lowest; from here on, powers of ten are ticks enough."""


def comparison(comparisons: Sequence[tuple[str, RunComparison]]) -> Figure | None:
    """
    Return after over before for each measure, `None` where nothing can be drawn.

    With a matrix, the last cell is shown. What is filled is shown to differ; what is
    hollow is not.
    """
    labels = _labels(comparisons)
    measures = _measures(comparisons)
    if not labels or not measures:
        return None
    figure = new_figure(2.5 + _WIDTH * len(labels), _MARGIN + _ROW * len(measures))
    panels = figure.subplots(1, len(labels), sharey=True, squeeze=False)[0]
    for panel, label in zip(panels, labels, strict=True):
        found = [
            (name, next((v for v in one.compared if v.label == label), None))
            for name, one in comparisons
        ]
        _panel(panel, label, found, measures)
    panels[0].set_yticks(range(len(measures)), measures)
    panels[0].set_ylim(len(measures) - 0.4, -0.6)
    return figure


def _labels(comparisons: Sequence[tuple[str, RunComparison]]) -> list[str]:
    """Return the variants of the last cell that some run is compared by."""
    found = [v for _, one in comparisons for v in one.compared if _drawable(v)]
    last = found[-1].cell if found else {}
    return list(dict.fromkeys(v.label for v in found if v.cell == last))[:_MOST_PANELS]


def _measures(comparisons: Sequence[tuple[str, RunComparison]]) -> list[str]:
    return list(
        dict.fromkeys(
            _title(v, each) for _, one in comparisons for v in one.compared for each in _drawable(v)
        )
    )


def _title(variant: VariantComparison, change: MeasureChange) -> str:
    return change.measure.title.format(unit=wording.singular(variant.unit))


def _drawable(variant: VariantComparison) -> list[MeasureChange]:
    """Return the changes that have a place on a logarithmic axis; the table has the others."""
    return [
        each
        for each in variant.changes
        if min(each.before.value, each.change.before.low, each.after.value) > 0
        and each.change.after.low > 0
    ]


def _panel(
    axes: Axes,
    label: str,
    found: Sequence[tuple[str, VariantComparison | None]],
    measures: Sequence[str],
) -> None:
    axes.axvline(1.0, color="0.6", lw=0.8)
    worse: list[str] = []
    for number, (name, variant) in enumerate(found):
        shift = (number - (len(found) - 1) / 2) * 0.6 / len(found)
        marker, own, named = MARKERS[number % len(MARKERS)], colour(number), False
        for each in _drawable(variant) if variant else ():
            before, after = each.change.before, each.change.after
            ratio = after.value / before.value
            low, high = after.low / before.high, min(after.high / before.low, ratio * 100)
            title = _title(variant, each) if variant else ""
            axes.errorbar(
                *(ratio, measures.index(title) + shift),
                xerr=[[ratio - low], [high - ratio]],
                fmt=marker,
                color=own,
                mfc=own if each.change.differs else "white",
                capsize=2,
                ms=5,
                lw=1,
                label=None if named or len(found) == 1 else name,
            )
            named = True
            worse += [title] * each.is_worse
    axes.set_xscale("log")
    _ticks(axes)
    axes.set_xlabel("times the base [1]")
    axes.tick_params(axis="y", length=0)
    told = ", ".join(dict.fromkeys(worse))
    short = told if len(told) <= _TITLE_CHARACTERS else f"{len(set(worse))} measures"
    finish(axes, f"{label}:\n{short or 'nothing'} {'worse' if worse else 'shown to be worse'}")


def _ticks(axes: Axes) -> None:
    """Write ratios as numbers, a handful of them."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axes.get_xlim()
    wide = high / low > _WIDE
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (0.5, 1.0, 2.0)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    # At least one tick beside the base, however close everything is to it.
    axes.set_xlim(min(low, 0.45), max(high, 2.2))
