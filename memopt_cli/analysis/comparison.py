"""Two variants side by side: a difference is one only where the intervals do not overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memopt_cli.analysis.results import Estimate


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


def compare(before: Estimate, after: Estimate) -> Change:
    """
    Return the change between two figures of one measure.

    The factor's interval divides the ends of the two intervals, which is wider than
    a 95 % interval of the ratio: both would have to be wrong the unlucky way at once.
    """
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
