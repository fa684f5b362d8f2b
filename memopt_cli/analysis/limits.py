"""Figures against limits, with three outcomes."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

from memopt_cli.analysis.results import Estimate, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the worst verdict; none at all is a pass."""
    for verdict in (Verdict.CROSSED, Verdict.INCONCLUSIVE):
        if verdict in verdicts:
            return verdict
    return Verdict.PASSED


def compare(observed: Estimate, sign: str, limit: float, *, rounded: bool) -> tuple[Verdict, str]:
    """
    Return the verdict, and why it is inconclusive.

    A percentile is *rounded* up to its bucket's edge: where the limit lies within the
    bucket, neither outcome is known.
    """
    holds = _OPERATORS[sign]
    best = observed.low if sign.startswith("<") else observed.high
    if not holds(best if rounded else observed.value, limit):
        return Verdict.CROSSED, ""
    doubtful = observed.high if sign.startswith("<") else observed.low
    if not holds(doubtful, limit):
        return Verdict.INCONCLUSIVE, "the limit lies within the interval"
    return Verdict.PASSED, ""
