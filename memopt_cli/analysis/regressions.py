"""Regressions that a user will not have: what a measure may change by against another run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli import units
from memopt_cli.analysis import limits
from memopt_cli.analysis.measures import MEASURES
from memopt_cli.analysis.results import ThresholdResult, Verdict
from memopt_cli.errors import UsageError
from memopt_cli.scenario.nearest import nearest
from memopt_cli.units import Dimension, Quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.comparing import MeasureChange, RunComparison, VariantComparison
    from memopt_cli.analysis.measures import Measure
    from memopt_cli.analysis.results import Estimate

METRIC = "regression"
"""The name of these checks beside a scenario's thresholds."""

_TEXT = re.compile(
    r"\s*(?P<metric>[a-z_]+)\s*:?\s*(?P<word>max|p\(\d+\)|value)?\s*(?P<sign>[<>])\s*(?P<limit>\S.*?)\s*"
)
_REMEDY = "Write it like memory_per_connection>5% or 'gc_pause: max>20%'."
_UNITS = ("connection", "agent")


@dataclass(frozen=True, slots=True)
class Regression:
    """A change of one measure that is too much."""

    text: str
    """As it was written."""

    measure: Measure
    sign: str
    limit: Quantity
    """A ratio of the base, signed; or an amount of the measure's dimension."""


def parse(text: str) -> Regression:
    """
    Return a regression as a command line has it.

    >>> found = parse("memory_per_connection>5%")
    >>> found.measure.metric, found.sign, found.limit.value
    ('memory_per_unit', '>', 0.05)

    Raises:
        UsageError: It is written wrongly, or names what no run has.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is not a regression", hint=_REMEDY)
    measure = _measure(match["metric"], match["word"] or "")
    try:
        limit = units.parse_quantity(match["limit"])
    except ValueError as exc:
        raise UsageError(f"{text!r}: {exc}", hint=_REMEDY) from exc
    if limit.dimension not in {Dimension.RATIO, measure.dimension}:
        raise UsageError(
            f"{match['metric']} is a {measure.dimension}, and {match['limit']} is a "
            f"{limit.dimension}",
            hint="Write a share of the base, like 5%, or an amount.",
        )
    return Regression(text.strip(), measure, match["sign"], limit)


def _measure(metric: str, word: str) -> Measure:
    """Return the measure of that name; where it has several aggregations one must be named."""
    name = metric
    for unit in _UNITS:
        name = name.replace(f"memory_per_{unit}", "memory_per_unit")
    found = [one for one in MEASURES if one.metric == name]
    if not found:
        hint = nearest(metric, dict.fromkeys(one.metric for one in MEASURES))
        raise UsageError(f"unknown measure {metric!r}", hint=hint)
    named = [one for one in found if one.aggregation == (word or "value")]
    if not named:
        known = " or ".join(one.aggregation for one in found)
        raise UsageError(
            f"{metric} is compared by {known}", hint=f"Write it like {metric}: {_of(found)}"
        )
    return named[0]


def _of(found: Sequence[Measure]) -> str:
    return f"{found[-1].aggregation}>20%"


def judge(comparison: RunComparison, asked: Sequence[Regression]) -> list[ThresholdResult]:
    """
    Return each regression judged for every variant but the reference of several.

    It is crossed only if the whole interval of the change is beyond the limit. Where
    the limit lies within, or the change is not known, it is inconclusive.
    """
    results = []
    for one in asked:
        judged = [
            _result(one, variant) for variant in comparison.variants if not variant.is_reference
        ]
        results += judged or [_made(one, None, None, "no variant is in both runs")]
    return results


def _result(asked: Regression, variant: VariantComparison) -> ThresholdResult:
    if variant.refusal is not None:
        why = str(variant.refusal).replace("_", " ")
        return _made(asked, variant, None, f"not comparable: {why}")
    found = next((one for one in variant.changes if one.measure is asked.measure), None)
    if found is None:
        return _made(asked, variant, None, "the runs do not both have it, measured alike")
    observed = _observed(asked, found)
    reason = "the base is not above zero: limit the amount instead, like memory_retained>1MiB"
    return _made(asked, variant, observed, "" if observed else reason)


def _observed(asked: Regression, found: MeasureChange) -> Estimate | None:
    return found.relative if asked.limit.dimension is Dimension.RATIO else found.difference


def _made(
    asked: Regression,
    variant: VariantComparison | None,
    observed: Estimate | None,
    reason: str,
) -> ThresholdResult:
    verdict = Verdict.INCONCLUSIVE
    if observed is not None:
        # Unlike a threshold, it is not crossed by a value whose interval reaches back over it.
        holds = "<=" if asked.sign == ">" else ">="
        verdict, reason = limits.compare(observed, holds, asked.limit.value, rounded=True)
    return ThresholdResult(
        metric=METRIC,
        expression=asked.text,
        stage=None,
        window_s=None,
        cell=variant.cell if variant else {},
        variant=variant.name if variant else "",
        observed=observed,
        dimension=asked.limit.dimension,
        verdict=verdict,
        reason=reason,
    )
