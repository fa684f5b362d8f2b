"""
The leak verdict on the labelled corpus, against its goals and against simple methods.

Then on series of other kinds and a fresh seed; on caches that have not filled yet; and
whether an inconclusive run that goes on for as long as it was told becomes decided.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from memopt_cli.analysis import leak, leak_outlook
from memopt_cli.analysis.results import LeakVerdict
from tests.analysis import leak_series
from tests.analysis.leak_corpus import Series, corpus, score

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from tests.analysis.leak_corpus import Scores

    Floats = NDArray[np.float64]

GOALS = (
    ("false positives", "false_positives", "<=", 0.016, 0.005),
    ("detection at SNR >= 3", "detected", ">=", 0.87, 0.93),
    ("false assurance", "false_assurance", "<=", 0.0, 0.0),
    ("coverage, clean", "covered_clean", ">=", 0.94, 0.94),
    ("coverage, leaks", "covered_leaks", ">=", 0.94, 0.94),
    ("clean runs cleared", "cleared", ">=", 0.50, 0.65),
    ("median slope error", "slope_error", "<=", 0.05, 0.05),
    ("median CPU ms", "median_ms", "<=", 20.0, 5.0),
)
MB_PER_H = 1e6 / 3600
CUTS = (0.1, 0.15, 0.25)
"""Shares of a series that are shown first, to see what advice an inconclusive one gives."""


def _plain(is_leak: bool, slope: float, low: float | None = None) -> dict[str, Any]:
    """Return a verdict of a method that knows only two."""
    return {
        "verdict": "leak" if is_leak else "no_leak",
        "slope_bytes_per_s": slope,
        "ci_low": low,
        "ci_high": None if low is None else 2 * slope - low,
    }


def ols(times: Floats, sizes: Floats) -> dict[str, Any]:
    """Return "leak" for any least-squares slope above 0."""
    slope = float(np.polyfit(times, sizes, 1)[0])
    return _plain(slope > 0, slope)


def megabyte(times: Floats, sizes: Floats) -> dict[str, Any]:
    """Return "leak" for a least-squares slope above 1 MB/h."""
    slope = float(np.polyfit(times, sizes, 1)[0])
    return _plain(slope > MB_PER_H, slope)


def ratio(times: Floats, sizes: Floats) -> dict[str, Any]:
    """Return "leak" if the last value is 1.1 times the first."""
    slope = float((sizes[-1] - sizes[0]) / (times[-1] - times[0]))
    return _plain(bool(sizes[-1] > 1.1 * sizes[0]), slope)


def _pairs(times: Floats, sizes: Floats) -> tuple[Floats, Floats, int]:
    """Return the slopes and signs of all pairs of at most 360 samples, and their number."""
    step = math.ceil(len(times) / 360)
    t, y = times[::step], sizes[::step]
    first, second = np.triu_indices(len(t), 1)
    # Some series have two samples of one moment; such a pair has no slope.
    apart = t[second] > t[first]
    first, second = first[apart], second[apart]
    grown = y[second] - y[first]
    return grown / (t[second] - t[first]), np.sign(grown), len(t)


def mann_kendall(times: Floats, sizes: Floats) -> dict[str, Any]:
    """Return "leak" for a rank trend at p < 0.05 (H. B. Mann, 1945; M. G. Kendall, 1975)."""
    slopes, signs, count = _pairs(times, sizes)
    spread = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    return _plain(float(signs.sum()) / spread > 1.96, float(np.median(slopes)))


def theil_sen(times: Floats, sizes: Floats) -> dict[str, Any]:
    """Return "leak" if the interval of the median slope is above 0 (P. K. Sen, 1968)."""
    slopes, _, count = _pairs(times, sizes)
    slopes = np.sort(slopes)
    reach = 1.96 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = slopes[max(0, round((len(slopes) - reach) / 2))]
    return _plain(bool(low > 0), float(np.median(slopes)))


METHODS: dict[str, Callable[[Floats, Floats], dict[str, Any]]] = {
    "memopt": leak.detect,
    "OLS slope > 0": ols,
    "slope > 1 MB/h": megabyte,
    "last > 1.1 x first": ratio,
    "Mann-Kendall": mann_kendall,
    "Theil-Sen": theil_sen,
}


def goals(found: Scores) -> None:
    """Print each score with its goal."""
    print(f"{'':24}{'measured':>10}{'goal':>12}{'stretch':>12}")
    for title, name, sign, goal, stretch in GOALS:
        value = getattr(found, name)
        met = [value <= one if sign == "<=" else value >= one for one in (goal, stretch)]
        unit = "{:.1f}" if name == "median_ms" else "{:.1%}"
        cells = [
            f"{sign} {unit.format(one)} {'met' if is_met else 'NOT MET'}"
            for one, is_met in zip((goal, stretch), met, strict=True)
        ]
        print(f"{title:24}{unit.format(value):>10}   {'   '.join(cells)}")


def methods(series: Sequence[Series]) -> None:
    """Print what simple methods do on the same series."""
    print(
        f"\n{'':20}{'false alarms':>14}{'detected':>10}{'false assurance':>17}{'slope error':>13}"
    )
    for name, method in METHODS.items():
        found = score(method, series)
        print(
            f"{name:20}{found.false_positives:>14.1%}{found.detected:>10.1%}"
            f"{found.false_assurance:>17.1%}{found.slope_error:>13.1%}"
        )


def untuned() -> None:
    """Print the scores on series of other kinds, and on caches that fill."""
    found = score(leak.detect, leak_series.series(101, each=12))
    print(
        f"\nother noise and warm-ups: false alarms {found.false_positives:.1%}, detected "
        f"{found.detected:.1%}, false assurance {found.false_assurance:.1%}, cleared "
        f"{found.cleared:.1%}, coverage {found.covered_clean:.1%} and {found.covered_leaks:.1%}"
    )
    said = Counter(leak.judge(s.times, s.sizes).verdict.value for s in leak_series.filling(0))
    print(f"caches that are filling: {dict(said)}")


def advice() -> None:
    """Print what becomes of inconclusive series that go on for as long as they were told."""
    became: Counter[str] = Counter()
    for one in leak_series.series(103, each=6):
        for share in CUTS:
            short = one.times <= share * one.times[-1]
            found = leak.judge(one.times[short], one.sizes[short])
            if found.verdict is not LeakVerdict.INCONCLUSIVE or found.slope is None:
                continue
            until = found.over_s + leak_outlook.longer_s(found)
            if until > one.times[-1]:
                became["told to go on beyond the series"] += 1
                continue
            kept = one.times <= until
            then = leak.judge(one.times[kept], one.sizes[kept]).verdict
            became[f"{'clean' if one.is_clean else 'leaking'}: {then.value}"] += 1
    print(f"inconclusive ones that went on: {dict(became)}")


def parts() -> None:
    """Print the scores on what restarts: as one series, by its gaps, and as it was marked."""
    made = leak_series.broken(5, each=10)
    by_times = {id(one.series.times): one.breaks for one in made}
    ways: dict[str, Callable[[Floats], Sequence[float]]] = {
        "as one": lambda _: (),
        "split": lambda times: by_times[id(times)],
    }
    for name, breaks in ways.items():

        def detect(times: Floats, sizes: Floats) -> dict[str, Any]:
            found = leak.judge(times, sizes, breaks=breaks(times))  # noqa: B023 - called at once
            return {
                "verdict": found.verdict.value,
                "slope_bytes_per_s": found.slope,
                "ci_low": found.low,
                "ci_high": found.high,
            }

        found = score(detect, [one.series for one in made])
        print(
            f"restarted, {name}: false alarms {found.false_positives:.1%}, detected "
            f"{found.detected:.1%}, false assurance {found.false_assurance:.1%}, cleared "
            f"{found.cleared:.1%}, coverage {found.covered_clean:.1%} and "
            f"{found.covered_leaks:.1%}, slope error {found.slope_error:.1%}"
        )


def main() -> None:
    """Print all tables."""
    series = corpus()
    goals(score(leak.detect, series))
    methods(series)
    untuned()
    parts()
    advice()


if __name__ == "__main__":
    main()
