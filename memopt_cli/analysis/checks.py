"""Checks that no scenario has to ask for: equal work, a load on time, no leak."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from memopt_cli.analysis import established
from memopt_cli.analysis.fidelity import faults
from memopt_cli.analysis.limits import compare
from memopt_cli.analysis.results import Estimate, LeakVerdict, Verdict
from memopt_cli.analysis.thresholds import reference_of
from memopt_cli.analysis.unasked import unasked
from memopt_cli.units import Dimension, format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.recording import Fidelity
    from memopt_cli.analysis.results import ThresholdResult, VariantFindings
    from memopt_cli.scenario.model import Scenario

LATEST = 0.1
"""A load on the wall clock that takes longer by more than this is not the one asked for."""


def same_work(findings: Sequence[VariantFindings]) -> list[ThresholdResult]:
    """
    Return the check that every scenario has: variants did what the first one did.

    Unequal digests mean that a variant forgot or changed something, so nothing
    that it saved is a saving. Variants that were filled with units did different work.
    """
    filled = [variant.cell for variant in findings if variant.density is not None]
    firsts: list[VariantFindings] = []
    results = []
    for variant in findings:
        first = next((one for one in firsts if one.cell == variant.cell), None)
        if first is None:
            firsts.append(variant)
        elif variant.cell not in filled:
            results.append(_same_work(variant, first))
    return results


def _same_work(variant: VariantFindings, first: VariantFindings) -> ThresholdResult:
    if variant.same_work is None:
        reason = "it or the first variant did not finish"
        return unasked(variant, "same_work", "digest==first", Verdict.INCONCLUSIVE, reason)
    verdict = Verdict.PASSED if variant.same_work else Verdict.CROSSED
    reason = "" if variant.same_work else "its units remember something else than the first's"
    if not variant.digest or not first.digest:
        # Resumed real connections: see `findings`.
        reason = "of what was asked; what was remembered went with a server that was interrupted"
    observed = Estimate.exact(float(variant.same_work))
    return unasked(variant, "same_work", "digest==first", verdict, reason, observed=observed)


SAME_ACTIONS = 0.999
"""Share of its steps in which an agent must act as a naive one, led and on its own."""


def thinks_the_same(found: Fidelity | None) -> bool:
    """Return whether agents are known to act as naive ones, in all but one step of a thousand."""
    if found is None or faults(found) or not found.steps or not found.free_steps:
        return False
    shares = found.same_actions / found.steps, found.same_free_actions / found.free_steps
    return min(shares) >= SAME_ACTIONS


def fidelity(findings: Sequence[VariantFindings], scenario: Scenario) -> list[ThresholdResult]:
    """
    Return the check that every scenario of agents has: a variant's agents have beliefs.

    Crossed where beliefs are lost or hold NaN, or where different models became one;
    whatever that saves is not a saving. Variants without `agents` are what the others are
    compared with.
    """
    options = {variant.name: variant.agents for variant in scenario.variants}
    if scenario.workload != "agents":
        return []
    return [_sound(variant) for variant in findings if options.get(variant.name) is not None]


def _sound(variant: VariantFindings) -> ThresholdResult:
    if variant.fidelity is None:
        reason = "its agents were not compared with naive ones"
        return unasked(variant, "fidelity", "sound", Verdict.INCONCLUSIVE, reason)
    told = "; ".join(faults(variant.fidelity))
    verdict = Verdict.CROSSED if told else Verdict.PASSED
    observed = Estimate.exact(float(not told))
    return unasked(variant, "fidelity", "sound", verdict, told, observed=observed)


def on_schedule(findings: Sequence[VariantFindings], *, clock: str) -> list[ThresholdResult]:
    """
    Return, for the wall clock, whether each variant kept up with its load.

    One that did not had a lower rate than the scenario asks for, so no figure of
    it is of that load: inconclusive.
    """
    if clock != "wall":
        return []
    return [
        unasked(
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

    The first of several variants is there to be compared with, and is not judged. Beside
    a baseline the check is there in any case: what that leaves open must not pass.
    """
    if any(one.metric.startswith("memory_leak") for one in scenario.thresholds):
        return []
    reference = reference_of(scenario)
    return [
        _leak(variant, scenario.leak.tolerate_bytes_per_s)
        for variant in findings
        if variant.name != reference
        and (
            (
                variant.leak.verdict is LeakVerdict.LEAK
                and variant.leak.slope_bytes_per_s is not None
            )
            or variant.leak.baseline is not None
        )
    ]


def _leak(variant: VariantFindings, tolerated: float | None) -> ThresholdResult:
    leak, verdict = variant.leak, LEAKS[variant.leak.verdict]
    slope = leak.slope_bytes_per_s
    reason = "it leaks" if leak.verdict is LeakVerdict.LEAK else leak.reason
    if verdict is Verdict.CROSSED and tolerated is not None and slope is not None:
        verdict, doubt = compare(slope, "<=", tolerated, rounded=False)
        reason = reason if verdict is Verdict.CROSSED else doubt or "it leaks, as is tolerated"
    expression = "no leak" if tolerated is None else f"at most {format_size(tolerated * 3600)}/h"
    result = unasked(
        variant,
        "memory_leak_slope",
        expression,
        verdict,
        reason,
        observed=slope,
        dimension=Dimension.SIZE_RATE,
    )
    return replace(result, z=leak.z)


LEAKS = {
    LeakVerdict.LEAK: Verdict.CROSSED,
    LeakVerdict.NO_LEAK: Verdict.PASSED,
    LeakVerdict.INCONCLUSIVE: Verdict.INCONCLUSIVE,
}
"""What a verdict on growth means for a run."""
