"""Two variants side by side: a difference is one only where the intervals do not overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memopt_cli.analysis.results import Estimate


MEMORY_SPREAD, TIMING_SPREAD = 0.01, 0.25
"""
What equal processes differ by, as a share of the figure; it is in no interval of one run.

Four equal variants of ``connections-1k``, in four runs: slopes within 0.1 %, kept memory
within 1 %; median latency within 14 %, its 99th percentile within 49 %, that of pauses
within 30 %. Two figures that are each off by a quarter can differ by 67 %.
"""


@dataclass(frozen=True, slots=True)
class Change:
    """A measure before and after, and by what factor it fell."""

    before: Estimate
    after: Estimate
    factor: float | None
    """Before divided by after; `None` where no difference is shown or a value is not positive."""

    factor_low: float | None
    """The least factor that the two intervals allow."""

    factor_high: float | None


def compare(before: Estimate, after: Estimate, *, spread: float = 0.0) -> Change:
    """
    Return the change between two figures of one measure.

    Args:
        before: The figure to compare with.
        after: The figure that is compared.
        spread: What equal processes differ by; both intervals are widened by it.

    The factor's interval divides the ends of the two intervals, which is wider than
    a 95 % interval of the ratio: both would have to be wrong the unlucky way at once.
    """
    before, after = before.widened(spread), after.widened(spread)
    positive = min(before.low, after.low) > 0
    if before.overlaps(after) or not positive:
        return Change(before, after, None, None, None)
    return Change(
        before,
        after,
        before.value / after.value,
        before.low / after.high,
        before.high / after.low,
    )
