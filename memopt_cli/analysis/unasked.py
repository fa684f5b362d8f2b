"""The results of checks that no scenario has to ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.analysis.results import ThresholdResult
from memopt_cli.units import Dimension

if TYPE_CHECKING:
    from memopt_cli.analysis.results import Estimate, VariantFindings, Verdict


def unasked(
    variant: VariantFindings,
    metric: str,
    expression: str,
    verdict: Verdict,
    reason: str,
    *,
    observed: Estimate | None = None,
    dimension: Dimension = Dimension.NUMBER,
) -> ThresholdResult:
    """Return the result of such a check of a variant as a whole."""
    return ThresholdResult(
        metric=metric,
        expression=expression,
        stage=None,
        window_s=None,
        cell=variant.cell,
        variant=variant.name,
        observed=observed,
        dimension=dimension,
        verdict=verdict,
        reason=reason,
    )
