"""How figures and verdicts are put into words, the same in every report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.results import Estimate, Verdict
from memopt_cli.units import Dimension, format_duration, format_quantity, format_size

if TYPE_CHECKING:
    from memopt_cli.analysis.results import RunFindings, ThresholdResult

NOT_MEASURED = "not measured"

MARKS = {Verdict.PASSED: "passed", Verdict.CROSSED: "CROSSED", Verdict.INCONCLUSIVE: "inconclusive"}


def singular(unit: str) -> str:
    """
    Return the name of one unit.

    >>> singular("connections")
    'connection'
    """
    return unit.removesuffix("s")


def estimate(found: Estimate | None, dimension: Dimension) -> str:
    """Return a figure with its interval, or that there is none."""
    if found is None:
        return NOT_MEASURED
    value = format_quantity(found.value, dimension)
    if found.low == found.high:
        return value
    low = format_quantity(found.low, dimension)
    if math.isinf(found.high):
        return f"{value} ({low} or more)"
    return f"{value} ({low} to {format_quantity(found.high, dimension)})"


def size(found: Estimate | None) -> str:
    """Return a size with its interval."""
    return estimate(found, Dimension.SIZE)


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
    if result.metric == "same_work":
        if result.observed is None:
            return NOT_MEASURED
        equal = result.observed.value
        return "equal digests" if equal else "different digests"
    if result.metric == "gc_pause" and result.observed == Estimate.exact(0.0):
        return "no pauses"
    if result.metric == "on_schedule":
        return "on time" if result.verdict is Verdict.PASSED else "late"
    return estimate(result.observed, result.dimension)


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
