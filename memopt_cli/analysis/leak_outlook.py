"""What a growth verdict means for what comes: how bad, until when, and how much longer to look."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from memopt_cli.analysis.results import LeakVerdict, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memopt_cli.analysis.leak import Growth

SEVERITIES: Mapping[Severity, float] = {
    Severity.MEDIUM: 100e3,
    Severity.HIGH: 500e3,
    Severity.CRITICAL: 1000e3,
}
"""
Bytes per second from which a leak is called so; below the least it is low.

At 100 kB/s a gigabyte is gone in three hours, at 1,000 kB/s within twenty minutes: less
than a shift, and less than it takes to be called and look.
"""

AT_LEAST_AGAIN = 1.25
"""A run that could not tell is lengthened by no less than this share of itself."""


def severity(growth: Growth, limits: Mapping[Severity, float] = SEVERITIES) -> Severity | None:
    """Return how bad a leak is by its slope, `None` for what is no leak."""
    if growth.verdict is not LeakVerdict.LEAK or growth.slope is None:
        return None
    reached = [one for one, least in limits.items() if growth.slope >= least]
    return max(reached, key=lambda one: limits[one], default=Severity.LOW)


def time_to_limit_s(growth: Growth, *, now_bytes: float, limit_bytes: float | None) -> float | None:
    """
    Return in how many seconds a leak reaches a limit: (limit - now) / slope.

    `None` without a limit and for what is no leak: growth that may end is not
    projected. Zero if the limit is reached already.
    """
    if limit_bytes is None or growth.verdict is not LeakVerdict.LEAK or not growth.slope:
        return None
    return max(0.0, limit_bytes - now_bytes) / growth.slope


def longer_s(growth: Growth) -> float:
    """
    Return about how much longer a run should go that could not tell.

    The interval shrinks with the length, and with what a warm-up loses in weight. Of
    series cut short, one such extension decides three in five
    (`python -m tests.benchmarks.bench_leak`).
    """
    excess = growth.half_width * growth.over_s / growth.tolerance if growth.tolerance else 1.0
    return growth.over_s * max(AT_LEAST_AGAIN, 2 * math.pow(excess, 0.4))


def memory_limit_bytes(environment: Mapping[str, str | int | float]) -> float | None:
    """Return the memory that there is: the machine's, or less where a control group limits it."""
    told = (environment.get(name) for name in ("memory_bytes", "memory_limit_bytes"))
    return min((float(one) for one in told if one is not None), default=None)
