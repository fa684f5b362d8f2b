"""
What looking early costs and saves: clean runs that are stopped, leaks that are, and when.

Every series is looked at at each twentieth of its time, as `--fail-fast` does. Beside it
stands what becomes of saying at every look what would be said at the end.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Protocol

from memopt_cli.analysis import leak
from memopt_cli.analysis.early import FIRST, STEP, EarlyLooks
from memopt_cli.analysis.results import LeakVerdict
from tests.analysis import leak_series
from tests.analysis.leak_corpus import Series, corpus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.leak import Growth

SHARES = tuple(FIRST + STEP * number for number in range(round((1 - FIRST) / STEP)))


class Looks(Protocol):
    """A way of looking early."""

    def settled(self, share: float, *, z: float | None) -> bool:
        """Look, and return whether a leak is settled."""


class Naive:
    """Says at every look what a whole run would."""

    def settled(self, share: float, *, z: float | None) -> bool:  # noqa: ARG002 - as all are asked
        """Return whether it would be called a leak."""
        return z is not None


def stopped_at(looks: Looks, seen: Sequence[Growth]) -> float | None:
    """Return the share of its time at which a series is stopped; `None` if it is not."""
    for share, found in zip(SHARES, seen, strict=True):
        if looks.settled(share, z=found.z if found.verdict is LeakVerdict.LEAK else None):
            return share
    return None


def seen(one: Series) -> list[Growth]:
    """Return the verdict at each look, and at the end."""
    until = [share * one.times[-1] for share in (*SHARES, 1.0)]
    return [leak.judge(one.times[one.times <= t], one.sizes[one.times <= t]) for t in until]


def table(title: str, series: Sequence[Series]) -> None:
    """Print what both ways do."""
    made = [(one, seen(one)) for one in series]
    clean = [found for one, found in made if one.is_clean]
    strong = [found for one, found in made if one.is_strong]
    print(f"{title}: {len(clean)} clean, {len(strong)} with a strong leak")
    last = [sum(each[-1].verdict is LeakVerdict.LEAK for each in some) for some in (clean, strong)]
    print(f"  at the end       : {last[0]} accused, {last[1]} found")
    for name, kind in (("every look says", Naive), ("as --fail-fast", EarlyLooks)):
        wrong = [stopped_at(kind(), each[:-1]) is not None for each in clean]
        at = [stopped_at(kind(), each[:-1]) for each in strong]
        early = [one for one in at if one is not None]
        found = sum(
            one is not None or each[-1].verdict is LeakVerdict.LEAK
            for one, each in zip(at, strong, strict=True)
        )
        half = statistics.median(early) if early else float("nan")
        print(
            f"  {name:17}: {sum(wrong)} accused, {found} found, {len(early)} of them early, "
            f"half of these by {half:.0%} of the time"
        )


def main() -> None:
    """Print all tables."""
    table("the corpus", corpus())
    table("other noise and warm-ups", leak_series.series(301, each=12))
    table("caches that fill", leak_series.filling(7))


if __name__ == "__main__":
    main()
