"""How many agents fit a memory limit: as it was recorded, judged, and beside what is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from memopt_cli.analysis.results import Estimate, How, Verdict
from memopt_cli.analysis.unasked import unasked
from memopt_cli.units import Dimension, format_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from memopt_cli.analysis.results import ThresholdResult, VariantFindings

WITHIN: Final = 0.1
"""Measured memory per agent that owns copies of its arrays is so close to what is computed."""

_LARGE_BYTES: Final = 64 * 1024
"""Of smaller agents the objects around the arrays are more than a tenth."""


@dataclass(frozen=True, slots=True)
class Density:
    """How many agents were taken in before memory reached its limit."""

    limit_bytes: int
    """Of the process, its fixed cost included."""

    agents: int
    """The most that were there at once."""

    stopped: bool
    """Whether the limit ended the growth; else the population of the stages did."""

    peak_bytes: int
    """The most anonymous memory that was read with so many agents."""

    computed_bytes: float
    """What the arrays of an agent take, by their shapes: on average of the mix."""

    owns_all: bool
    """Whether that is all of an agent; where agents share arrays it is the least."""

    @property
    def fits(self) -> Estimate:
        """How many fit: at least so many, where they did not fill the memory."""
        high = self.agents if self.stopped else float("inf")
        return Estimate(self.agents, self.agents, high, How.MEASURED)

    @property
    def held(self) -> bool:
        """Whether memory stayed within its limit to the end."""
        return self.peak_bytes <= self.limit_bytes


def computed_fits(variant: VariantFindings) -> float | None:
    """Return how many should fit by what is computed, above the measured fixed cost."""
    density, fixed = variant.density, variant.memory.fixed
    if density is None or fixed is None or not density.computed_bytes:
        return None
    return max(0.0, (density.limit_bytes - fixed.value) / density.computed_bytes)


def checks(findings: Sequence[VariantFindings]) -> Iterator[ThresholdResult]:
    """Yield what a run that was to fill its memory is judged by unasked."""
    for variant in findings:
        if variant.density is not None:
            yield _limit(variant, variant.density)
            if _comparable(variant.density):
                yield _computed(variant, variant.density)


def _comparable(density: Density) -> bool:
    return density.owns_all and density.computed_bytes >= _LARGE_BYTES


def _limit(variant: VariantFindings, density: Density) -> ThresholdResult:
    verdict = Verdict.PASSED if density.held else Verdict.CROSSED
    expression = f"peak<={format_size(density.limit_bytes)}"
    observed = Estimate.exact(density.peak_bytes)
    return unasked(
        variant,
        "memory_limit",
        expression,
        verdict,
        "",
        observed=observed,
        dimension=Dimension.SIZE,
    )


def _computed(variant: VariantFindings, density: Density) -> ThresholdResult:
    """Judge whether what an agent takes is what its arrays take."""
    found, computed = variant.memory.per_unit, density.computed_bytes
    low, high = computed * (1 - WITHIN), computed * (1 + WITHIN)
    reason = ""
    if found is None:
        verdict, reason = Verdict.INCONCLUSIVE, "not measured"
    elif not low <= found.value <= high:
        verdict = Verdict.CROSSED
    elif low <= found.low <= found.high <= high:
        verdict = Verdict.PASSED
    else:
        verdict, reason = Verdict.INCONCLUSIVE, "its interval reaches beyond"
    expression = f"within {WITHIN:.0%} of {format_size(computed)}"
    return unasked(
        variant,
        "memory_per_agent",
        expression,
        verdict,
        reason,
        observed=found,
        dimension=Dimension.SIZE,
    )
