"""
Looks at a run that still goes on: whether a leak is settled already.

Each look is one more chance to be wrong. The looks of a run share one error, spent by the
function of K. K. G. Lan and D. L. DeMets (1983) in the shape of P. C. O'Brien and T. R.
Fleming (1979): hardly any of it early, when there is little to see, most of it late. Of
what is spent between two looks the later one may use all, without regard to how alike
they are, which errs on the safe side (C. E. Bonferroni). No boundary helps against what
is no noise, a warm-up that looks like a leak until it ends: so a leak must be said at
every look for a third of the time that has passed, and not before the larger part has.

On the labelled corpus 1 of 192 clean runs is stopped for a leak that it does not have
(58 if every look says what a whole run would), and 54 % of strong leaks are stopped, half
of them by 65 % of their time (`python -m tests.benchmarks.bench_early`).
"""

from __future__ import annotations

import math
from statistics import NormalDist

ERROR = 0.005
"""
One-sided, for all looks together: a fifth of that of the verdict at the end.

That verdict is made all the same where no look settles it, so the two errors add up.
"""

FIRST, STEP = 0.1, 0.05
"""Shares of the planned time of the first look, and between looks."""

FROM = 0.65
"""
No leak is settled before this share: up to there warm-ups end that look like leaks.

Of 192 clean runs of the corpus 4 are stopped with 0.5, 2 with 0.6 and 1 with this.
"""

PERSISTS = 1.5
"""A leak must have been said at every look since the time passed was so many times less."""

_NORMAL = NormalDist()
_ROUNDING = 1e-9
_LEAST_ERROR = 1e-15
"""From 5e-17 down, 1 - error is 1 in floats; no slope of so few blocks is so sure anyway."""


def spent(share: float) -> float:
    """
    Return how much of the error may be spent by a share of the planned time.

    >>> f"{spent(0.3):.1e} {spent(0.6):.1e} {spent(1.0):.1e}"
    '3.0e-07 2.9e-04 5.0e-03'
    """
    return 2 - 2 * _NORMAL.cdf(_NORMAL.inv_cdf(1 - ERROR / 2) / math.sqrt(share))


class EarlyLooks:
    """
    The looks at one verdict of one run, in their order.

    >>> looks = EarlyLooks()
    >>> [share for share in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7) if looks.settled(share, z=9.0)]
    [0.7]
    """

    def __init__(self) -> None:
        self._spent = 0.0
        self._looked = 0.0
        self._since: float | None = None
        self._settled = False

    def is_due(self, share: float) -> bool:
        """Return whether enough of the planned time has passed since the look before."""
        return share >= FIRST - _ROUNDING and share - self._looked >= STEP - _ROUNDING

    def settled(self, share: float, *, z: float | None) -> bool:
        """
        Look, and return whether a leak is settled.

        Args:
            share: Of the planned time that has passed.
            z: Of the slope, in standard errors; `None` where the verdict is no leak.
        """
        if not self.is_due(share):
            return self._settled and z is not None
        allowed = spent(min(share, 1.0))
        needed = _needed(allowed - self._spent)
        self._spent, self._looked = allowed, share
        if z is None or z <= needed:
            self._since = None
        elif self._since is None:
            self._since = share
        self._settled = self._since is not None and share >= max(FROM, PERSISTS * self._since) - (
            _ROUNDING
        )
        return self._settled


def _needed(error: float) -> float:
    """Return the standard errors that noise exceeds with this one-sided probability."""
    return _NORMAL.inv_cdf(1 - error) if error > _LEAST_ERROR else math.inf
