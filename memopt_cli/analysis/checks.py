"""Checks that no scenario has to ask for: equal work, a load on time, no leak."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from memopt_cli.analysis import established
from memopt_cli.analysis.results import Estimate, LeakVerdict, ThresholdResult, Verdict
from memopt_cli.analysis.thresholds import reference_of
from memopt_cli.units import Dimension

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memopt_cli.analysis.results import VariantFindings
    from memopt_cli.scenario.model import Scenario

LATEST = 0.1
"""A load on the wall clock that takes longer by more than this is not the one asked for."""


def same_work(findings: Sequence[VariantFindings]) -> list[ThresholdResult]:
    """
    Return the check that every scenario has: variants did what the first one did.

    Unequal digests mean that a variant forgot or changed something, so nothing
    that it saved is a saving.
    """
    seen: list[Mapping[str, str]] = []
    results = []
    for variant in findings:
        if variant.cell in seen:
            results.append(_same_work(variant))
        seen.append(variant.cell)
    return results


def _same_work(variant: VariantFindings) -> ThresholdResult:
    if variant.same_work is None:
        reason = "it or the first variant did not finish"
        return _implied(variant, "same_work", "digest==first", Verdict.INCONCLUSIVE, reason)
    verdict = Verdict.PASSED if variant.same_work else Verdict.CROSSED
    reason = "" if variant.same_work else "its units remember something else than the first's"
    result = _implied(variant, "same_work", "digest==first", verdict, reason)
    return replace(result, observed=Estimate.exact(float(variant.same_work)))


def on_schedule(findings: Sequence[VariantFindings], *, clock: str) -> list[ThresholdResult]:
    """
    Return, for the wall clock, whether each variant kept up with its load.

    One that did not had a lower rate than the scenario asks for, so no figure of
    it is of that load: inconclusive.
    """
    if clock != "wall":
        return []
    return [
        _implied(
            variant,
            "on_schedule",
            "lateness<=10%",
            Verdict.INCONCLUSIVE if variant.lateness > LATEST else Verdict.PASSED,
            f"a stage was late by {variant.lateness:.0%} of itself"
            if variant.lateness > LATEST
            else "",
        )
        for variant in findings
        if variant.simulated_s and variant.connections is None
    ]


def real_connections(
    findings: Sequence[VariantFindings], scenario: Scenario
) -> list[ThresholdResult]:
    """Return whether all real connections were held and closed, and nothing is kept of them."""
    reference = reference_of(scenario)
    return [
        result
        for variant in findings
        for result in established.checks(variant, scenario, judged=variant.name != reference)
    ]


def leaks(findings: Sequence[VariantFindings], scenario: Scenario) -> list[ThresholdResult]:
    """
    Return a crossed check for each leak that the scenario does not judge by a threshold.

    The first of several variants is there to be compared with, and is not judged.
    """
    if any(one.metric.startswith("memory_leak") for one in scenario.thresholds):
        return []
    reference = reference_of(scenario)
    return [
        replace(
            _implied(variant, "memory_leak_slope", "no leak", Verdict.CROSSED, "it leaks"),
            observed=variant.leak.slope_bytes_per_s,
            dimension=Dimension.SIZE_RATE,
        )
        for variant in findings
        if variant.leak.verdict is LeakVerdict.LEAK
        and variant.leak.slope_bytes_per_s is not None
        and variant.name != reference
    ]


def _implied(
    variant: VariantFindings, metric: str, expression: str, verdict: Verdict, reason: str
) -> ThresholdResult:
    """Return the result of a check that no scenario has to ask for."""
    return ThresholdResult(
        metric=metric,
        expression=expression,
        stage=None,
        window_s=None,
        cell=variant.cell,
        variant=variant.name,
        observed=None,
        dimension=Dimension.NUMBER,
        verdict=verdict,
        reason=reason,
    )
