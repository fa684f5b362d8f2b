"""Growth over a day: measured only where a day was steady, projected from less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.analysis.results import Estimate, How

if TYPE_CHECKING:
    from memopt_cli.analysis.results import Leak

DAY_S = 86_400.0


def growth_in_a_day(leak: Leak) -> Estimate | None:
    """
    Return what memory grows by in 24 hours at the slope of the steady part.

    It is obtained as the slope is if that rests on as many hours, and projected otherwise:
    growth that ends, or begins, within the day is not in it. `None` without a slope.
    """
    slope = leak.slope_bytes_per_s
    if slope is None:
        return None
    how = slope.how if leak.over_s >= DAY_S else How.PROJECTED
    return Estimate(slope.value * DAY_S, slope.low * DAY_S, slope.high * DAY_S, how)
