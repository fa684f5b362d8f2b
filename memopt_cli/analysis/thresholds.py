"""
Thresholds, judged on unrounded figures, with three outcomes.

A pass has to be proven, a crossing does not: a value beyond its limit is
crossed whatever its interval; a value within the limit whose interval reaches
beyond it is inconclusive; a figure that was not measured is inconclusive. Time to connect
crosses its limit only if it would have on a machine without other programs. Growth
alone crosses its limit only as a leak, as caches and windows grow too, and then end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.analysis import fidelity, threshold_growth, threshold_metrics
from memopt_cli.analysis.limits import compare
from memopt_cli.analysis.results import ThresholdResult, Verdict
from memopt_cli.analysis.threshold_parts import part_of

if TYPE_CHECKING:
    from memopt_cli.analysis.recording import VariantRecording
    from memopt_cli.analysis.results import VariantFindings
    from memopt_cli.scenario.model import Scenario, Threshold


def reference_of(scenario: Scenario) -> str | None:
    """Return the variant that others are compared with: the first of several."""
    names = [variant.name for variant in scenario.variants]
    return names[0] if len(names) > 1 else None


def applies(threshold: Threshold, recording: VariantRecording, *, reference: str | None) -> bool:
    """
    Return whether a threshold is judged for a variant.

    A threshold that names no variant is for all but the reference (the first of
    several), which is there to be compared with; reuse is judged where there is a
    pool.
    """
    if threshold.variant is not None:
        return threshold.variant == recording.name
    if recording.name == reference:
        return False
    return threshold.metric != "pool_reuse_ratio" or recording.has_pool


def judge(
    threshold: Threshold, recording: VariantRecording, findings: VariantFindings, *, clock: str
) -> ThresholdResult:
    """Return the verdict of one threshold for one variant."""
    part = part_of(threshold, recording, findings, clock)
    observed, reason = threshold_metrics.observe(part)
    verdict = Verdict.INCONCLUSIVE
    if observed is not None:
        verdict, reason = compare(
            observed,
            threshold.operator,
            threshold.limit.value,
            rounded=threshold.aggregation == "p",
        )
    if verdict is Verdict.CROSSED and threshold.metric in threshold_metrics.EXCUSES:
        verdict, reason = threshold_metrics.EXCUSES[threshold.metric](part)
    if threshold.metric == "fidelity" and findings.fidelity and fidelity.faults(findings.fidelity):
        verdict, reason = Verdict.CROSSED, "; ".join(fidelity.faults(findings.fidelity))
    return ThresholdResult(
        metric=threshold.metric,
        expression=threshold.expression,
        stage=threshold.stage,
        window_s=threshold.window_s,
        cell=recording.cell,
        variant=recording.name,
        observed=observed,
        dimension=threshold.limit.dimension,
        verdict=verdict,
        reason=reason,
        z=threshold_growth.leak(part).z
        if verdict is Verdict.CROSSED and threshold.metric in threshold_growth.OF_LEAKS
        else None,
    )


def unjudged(threshold: Threshold) -> ThresholdResult:
    """Return the result of a threshold that applied to no variant: never a pass."""
    return ThresholdResult(
        metric=threshold.metric,
        expression=threshold.expression,
        stage=threshold.stage,
        window_s=threshold.window_s,
        cell={},
        variant=threshold.variant or "",
        observed=None,
        dimension=threshold.limit.dimension,
        verdict=Verdict.INCONCLUSIVE,
        reason="no variant that it could be judged for was measured",
    )
