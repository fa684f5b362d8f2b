"""What all figures have in common: colours that stay apart, marks, and how a title stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
"""Colours that stay apart for colour-blind readers (M. Okabe and K. Ito, 2008)."""

MARKERS = "osD^vP*X"
STYLES = ("-", "--", "-.", ":")

SHORT_RANGE = 30
"""Below this factor a logarithmic axis has too few powers of ten to be read by them alone."""

MOST_POWERS = 5
"""Of ten, along an axis of half a figure's width: more would touch each other."""

_HOUR_S, _MINUTE_S = 3600.0, 60.0


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches."""
    # Not pyplot: it keeps every figure alive and picks a window system.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def colour(number: int) -> str:
    """Return the colour of a run's variant of this number, the same in every figure."""
    return OKABE_ITO[number % len(OKABE_ITO)]


def finish(axes: Axes, title: str, *, legend: bool = True) -> None:
    """Give axes their title, and a legend if anything in them has a label."""
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)


def log_ticks(axes: Axes, values: Sequence[float], told: Callable[[float], str]) -> None:
    """Make the x axis logarithmic, with ticks in words that stand apart however short it is."""
    from matplotlib.ticker import LogLocator, NullLocator

    short = bool(values) and max(values) < SHORT_RANGE * min(values)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(
        LogLocator(base=10, subs=(1, 2, 5) if short else (1,), numticks=MOST_POWERS)
    )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: told(value))


def time_scale(duration_s: float) -> tuple[float, str]:
    """
    Return the unit of a time axis of this length, in seconds, and its symbol.

    >>> time_scale(86_400.0)
    (3600.0, 'h')
    """
    if duration_s >= 3 * _HOUR_S:
        return _HOUR_S, "h"
    return (_MINUTE_S, "min") if duration_s >= 3 * _MINUTE_S else (1.0, "s")
