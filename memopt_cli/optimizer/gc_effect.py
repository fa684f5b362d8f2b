"""What a tuning of the collector has changed, or that nothing was shown to change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.units import Dimension, format_count, format_duration, format_quantity

if TYPE_CHECKING:
    from memopt_cli.optimizer.gc_pauses import Pauses

_Z = 1.96  # two-sided, 95 %
_PSEUDO_PAUSES = 2
_FEWEST_PAUSES = 10
_NOTHING = "no difference shown"


@dataclass(frozen=True, slots=True)
class GcEffect:
    """
    Two windows compared: the same work before a tuning, and during it.

    A difference is said to be shown where 95 % intervals show it, and only there. Both
    windows must have had the same load; that, no figure in here can tell.
    """

    before: Pauses
    """Without the tuning."""

    during: Pauses
    """With it."""

    @property
    def share_change(self) -> tuple[float, float] | None:
        """
        The 95 % interval of how much the share of time in the collector has risen.

        `None` with fewer than ten pauses in all. Pauses are taken as a compound Poisson
        process, whose sum has the sum of squares as its variance (S. M. Ross, Introduction
        to Probability Models, section 5.4.2). Two typical pauses are added to each window's,
        so that a window without a pause is not taken for certain (after A. Agresti and B. A.
        Coull, 1998).
        """
        windows = (self.before, self.during)
        pauses = sum(window.all.count for window in windows)
        if pauses < _FEWEST_PAUSES or self.before.share is None or self.during.share is None:
            return None
        squares = [window.all.squares_s2() for window in windows]
        typical = _PSEUDO_PAUSES * sum(squares) / pauses
        variance = sum(
            (of_window + typical) / window.window_s**2
            for of_window, window in zip(squares, windows, strict=True)
        )
        change, width = self.during.share - self.before.share, _Z * math.sqrt(variance)
        return change - width, change + width

    def p99_change(self) -> str:
        """Say whether the 99th percentile has changed: where the intervals do not meet."""
        before = self.before.all.quantile_interval_s(0.99)
        during = self.during.all.quantile_interval_s(0.99)
        if before is None or during is None:
            return f"{_NOTHING}: too few pauses for an interval"
        if during[1] < before[0]:
            return "shorter"
        return "longer" if before[1] < during[0] else _NOTHING

    def lines(self) -> list[str]:
        """Return the comparison as lines of text, all with their units."""
        before, during = self.before.all, self.during.all
        rows = [
            ("window", *map(format_duration, (self.before.window_s, self.during.window_s)), ""),
            ("pauses", format_count(before.count), format_count(during.count), ""),
            ("p50", _duration(before.p50_s), _duration(during.p50_s), ""),
            ("p99", _duration(before.p99_s), _duration(during.p99_s), self.p99_change()),
            ("longest", _duration(before.max_s), _duration(during.max_s), "one pause each"),
            ("collector", _share(self.before.share), _share(self.during.share), self._share()),
        ]
        head = ("collector pauses", "before", "during", "")
        return [f"{a:17}{b:>11}{c:>11}  {d}".rstrip() for a, b, c, d in [head, *rows]]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _share(self) -> str:
        change = self.share_change
        if change is None:
            return f"{_NOTHING}: too few pauses"
        if change[0] <= 0 <= change[1]:
            return _NOTHING
        least, most = sorted(change, key=abs)
        how = "less" if change[1] < 0 else "more"
        return f"{_share(abs(least))} to {_share(abs(most))} of the time {how}"


def _duration(duration_s: float | None) -> str:
    return "none" if duration_s is None else format_duration(duration_s)


def _share(share: float | None) -> str:
    return "none" if share is None else format_quantity(share, Dimension.RATIO)
