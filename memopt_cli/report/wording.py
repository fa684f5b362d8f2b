"""How figures and verdicts are put into words, the same in every report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.results import Estimate, LeakVerdict, Verdict
from memopt_cli.units import (
    Dimension,
    format_count,
    format_duration,
    format_quantity,
    format_size,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memopt_cli.analysis.comparison import Change
    from memopt_cli.analysis.results import Leak, RunFindings, ThresholdResult

NOT_MEASURED = "not measured"
NO_DIFFERENCE = "no difference shown"
OTHER_SERIES = "not in one series"
"""Both were measured, but one as anonymous memory and the other as heap in use."""

_THREE_FIGURES = 999.5
"""What rounds to 1000 has more of them; `.3g` would write it with an exponent."""

MARKS = {Verdict.PASSED: "passed", Verdict.CROSSED: "CROSSED", Verdict.INCONCLUSIVE: "inconclusive"}


def singular(unit: str) -> str:
    """
    Return the name of one unit.

    >>> singular("connections")
    'connection'
    """
    return unit.removesuffix("s")


def estimate(found: Estimate | None, dimension: Dimension) -> str:
    """
    Return a figure with its interval, or that there is none.

    A unit that all three have is written once.

    >>> from memopt_cli.analysis.results import How
    >>> estimate(Estimate(1536, 1500, 1600, How.FITTED), Dimension.SIZE)
    '1.50 KiB (1.46 to 1.56)'
    >>> estimate(Estimate(1000, 900, 1100, How.FITTED), Dimension.SIZE)
    '0.98 KiB (900 B to 1.07 KiB)'
    """
    if found is None:
        return NOT_MEASURED
    value = format_quantity(found.value, dimension)
    if found.low == found.high:
        return value
    ends = [
        format_quantity(end, dimension) for end in (found.low, found.high) if math.isfinite(end)
    ]
    unit = _unit(value)
    if all(_unit(end) == unit for end in ends):
        ends = [end.removesuffix(unit) for end in ends]
    if math.isinf(found.low):
        return f"{value} ({ends[0]} or less)" if ends else f"{value} (nothing bounds it)"
    if math.isinf(found.high):
        return f"{value} ({ends[0]} or more)"
    return f"{value} ({ends[0]} to {ends[1]})"


def _unit(figure: str) -> str:
    """Return the unit of a figure with the space before it, or nothing."""
    _, space, unit = figure.partition(" ")
    return space + unit


def size(found: Estimate | None) -> str:
    """Return a size with its interval."""
    return estimate(found, Dimension.SIZE)


def times(change: Change, *, less: str = "", more: str = "times more") -> str:
    """
    Return by how many times a measure fell or rose, with its interval.

    Args:
        change: One for which a difference is shown.
        less: What stands behind the number where it fell.
        more: The same where it rose.
    """
    factor, low, high = change.factor, change.factor_low, change.factor_high
    if factor is None or low is None or high is None:
        return f"{'less' if change.fell else 'more'}, not above zero in both"
    if change.fell:
        return f"{_factor(factor)}{' ' * bool(less)}{less} ({_factor(low)} to {_factor(high)})"
    most = _factor(1 / low) if low else "any"
    return f"{_factor(1 / factor)} {more} ({_factor(1 / high)} to {most})"


def _factor(factor: float) -> str:
    return f"{factor:.3g}" if factor < _THREE_FIGURES else format_count(factor)


def seconds(duration_s: float | None) -> str:
    """Return a duration, or that there is none."""
    return NOT_MEASURED if duration_s is None else format_duration(duration_s)


def size_bytes(value: float | None) -> str:
    """Return an exact size, or that there is none."""
    return NOT_MEASURED if value is None else format_size(value)


def ratio(value: float | None) -> str:
    """
    Return a share in percent, or a dash where there is nothing to have a share of.

    >>> ratio(142500 / (142500 + 15432))
    '90.2 %'
    """
    return "-" if value is None else format_quantity(value, Dimension.RATIO)


def observed(result: ThresholdResult) -> str:
    """Return what a threshold was judged on."""
    if result.metric in _TOLD:
        return _TOLD[result.metric](result)
    if result.metric == "gc_pause" and result.observed == Estimate.exact(0.0):
        return "no pauses"
    if result.metric in _IN_WORDS:
        return result.verdict if result.observed is None else f"{result.observed.value:,.0f}"
    return estimate(result.observed, result.dimension)


def judged_on(result: ThresholdResult) -> str:
    """Return what was observed, and why it is not a pass or not known."""
    return observed(result) + (f": {result.reason}" if result.reason else "")


def _same_work(result: ThresholdResult) -> str:
    if result.observed is None:
        return NOT_MEASURED
    return "equal digests" if result.observed.value else "different digests"


def _on_schedule(result: ThresholdResult) -> str:
    return "on time" if result.verdict is Verdict.PASSED else "late"


def _fidelity(result: ThresholdResult) -> str:
    """Return how agents thought: distances are too small for anything but exponents."""
    if result.observed is None:
        return NOT_MEASURED
    if result.expression == "sound":
        return "sound" if result.observed.value else "refused"
    if result.dimension is Dimension.RATIO:
        return share(result.observed.value)
    return f"{result.observed.value:.1e}"


def share(value: float) -> str:
    """
    Return a share in percent that is 100 % only where nothing is missing.

    >>> share(1.0), share(0.99996), share(0.9985)
    ('100 %', '99.99 %', '99.85 %')
    """
    return "100 %" if value == 1 else f"{math.floor(value * 1e4) / 1e2:.2f} %"


def _fitting(result: ThresholdResult) -> str:
    return NOT_MEASURED if result.observed is None else fitting(result.observed)


def fitting(found: Estimate) -> str:
    """Return how many fit; where memory was not filled, that there is room for more."""
    least = "at least " if math.isinf(found.high) else ""
    return f"{least}{format_count(found.value)}"


_TOLD: dict[str, Callable[[ThresholdResult], str]] = {
    "same_work": _same_work,
    "on_schedule": _on_schedule,
    "fidelity": _fidelity,
    "agents_that_fit": _fitting,
}

_IN_WORDS = frozenset({"connections", "at_rest", "drivers", "closed"})
"""Checks of real connections, whose reason tells what was seen."""


def expression(result: ThresholdResult) -> str:
    """Return a threshold as its scenario has it, with the part it is about."""
    text = f"{result.metric}: {result.expression}"
    if result.stage is not None:
        text += f" in {result.stage}"
    if result.window_s is not None:
        text += f", last {format_duration(result.window_s)}"
    return text


def cell(result: ThresholdResult) -> str:
    """Return the variant and the matrix values that a threshold was judged for."""
    return " ".join([result.variant, *result.cell.values()])


def cell_name(values: Mapping[str, str]) -> str:
    """
    Return a cell of the matrix in words.

    >>> cell_name({"connections": "10000", "gc": "off"})
    '10,000 connections, off gc'
    """
    return ", ".join(
        f"{format_count(int(value)) if value.isdigit() else value} {key}"
        for key, value in values.items()
    )


def population(values: Mapping[str, str], units: int, unit: str) -> str:
    """Return the cell of the matrix, or the population of a run that has none."""
    return cell_name(values) or f"{format_count(units)} {unit}"


def summary(run: RunFindings) -> str:
    """Return the verdict as one sentence."""
    counts = dict.fromkeys(Verdict, 0)
    for result in run.thresholds:
        counts[result.verdict] += 1
    parts = [f"{count} {verdict}" for verdict, count in counts.items() if count]
    checks = ", ".join(parts) if parts else "no check was made"
    ended = "" if run.outcome is Outcome.FINISHED else f" {_ending(run)}"
    return f"{run.scenario}: {run.verdict} ({checks}).{ended}"


def _ending(run: RunFindings) -> str:
    if run.outcome is Outcome.RUNNING:
        return "The run goes on, or was killed: this is what it had measured."
    return f"The run did not finish: {run.reason.rstrip('.') or run.outcome}."


def leak(found: Leak) -> str:
    """Return a verdict on growth, with the severity of a leak."""
    verdict = found.verdict.replace("_", " ")
    return f"{verdict}, {found.severity}" if found.severity else verdict


def leak_remark(found: Leak) -> str:
    """Return what a verdict on growth rests on, and what is to come of a leak."""
    parts = [found.reason] if found.reason else []
    if found.settled_s and found.verdict is not LeakVerdict.INCONCLUSIVE:
        parts.append(f"settled after {format_duration(found.settled_s)}")
    if found.full_in_s is not None:
        parts.append(f"fills the machine in {format_duration(found.full_in_s)}")
    return "; ".join(parts) or "-"
