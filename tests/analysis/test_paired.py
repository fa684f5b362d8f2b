"""A run beside a baseline: what both do is no leak, and no baseline hides one."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from memopt_cli.analysis import leak, paired
from memopt_cli.analysis.findings import judge as judge_run
from memopt_cli.analysis.leak_views import Doubt
from memopt_cli.analysis.results import LeakVerdict, Verdict
from memopt_cli.analysis.watch_findings import judge as judge_watch
from memopt_cli.analysis.watch_limits import WatchLimits
from memopt_cli.exit_codes import ExitCode
from tests.analysis.leak_pairs import pairs
from tests.making import KIB, MIB, recording, scenario, steady, variant
from tests.watchings import flat, leaking, watching

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.analysis.paired import Beside

LEAK, CLEAN, UNSURE = LeakVerdict.LEAK, LeakVerdict.NO_LEAK, LeakVerdict.INCONCLUSIVE


def series(
    shape: Callable[[int], float], *, seed: int, count: int = 600, noise: float = 20 * KIB
) -> tuple[list[float], list[float]]:
    """Return seconds and sizes around 16 MB."""
    chance = random.Random(seed)
    return [float(s) for s in range(count)], [
        16e6 + shape(s) + chance.gauss(0, noise) for s in range(count)
    ]


def cache(second: int) -> float:
    """Return a cache that fills at a steady pace for 700 seconds."""
    return 30 * KIB * min(second, 700)


def flat_level(_: int) -> float:
    """Return nothing."""
    return 0.0


def leak_of(per_s: float, also: Callable[[int], float] = flat_level) -> Callable[[int], float]:
    """Return a leak on top of something else."""
    return lambda second: per_s * second + also(second)


def verdict(found: Beside) -> tuple[LeakVerdict, Doubt | None, bool]:
    """Return what is said, why not a leak, and whether the difference was judged."""
    return found.growth.verdict, found.growth.doubt, found.is_null


def test_a_cache_that_fills_is_cleared_by_a_longer_baseline() -> None:
    """Alone it grows like a leak to the end; the longer clean run shows that it ends."""
    found = paired.judge(series(cache, seed=1), series(cache, seed=2, count=2400))

    assert LEAK is found.alone.verdict
    assert (CLEAN, True) == (found.growth.verdict, found.is_null)
    assert found.growth.slope == pytest.approx(0, abs=100)


def test_a_leak_above_a_cache_is_the_difference() -> None:
    """The slope is what the run grows by more, with the truth in the interval."""
    found = paired.judge(series(leak_of(5 * KIB, cache), seed=1), series(cache, seed=2, count=2400))

    assert (LEAK, None, True) == verdict(found)
    assert found.growth.slope == pytest.approx(5 * KIB, rel=0.05)
    assert found.growth.low is not None
    assert found.growth.high is not None
    assert found.growth.low <= 5 * KIB <= found.growth.high
    assert found.alone.slope == pytest.approx(35 * KIB, rel=0.05)


def test_a_baseline_that_leaks_hides_nothing() -> None:
    """With the same leak nothing is told; with a smaller one, the difference leaks."""
    run = series(leak_of(5 * KIB), seed=1)

    same = paired.judge(run, series(leak_of(5 * KIB), seed=2))
    less = paired.judge(run, series(leak_of(2 * KIB), seed=2))

    assert (UNSURE, Doubt.BASELINE_LEAKS, False) == verdict(same)
    assert same.growth.slope == pytest.approx(5 * KIB, rel=0.05)
    assert (LEAK, None, True) == verdict(less)


def test_a_longer_baseline_may_grow_by_more() -> None:
    """What is harmless in ten minutes of the run is so in as many of the baseline."""
    found = paired.judge(
        series(flat_level, seed=1), series(flat_level, seed=2, count=2400), tolerance=10e3
    )

    assert (10e3, 10e3 * 2399 / 599) == pytest.approx(
        (found.alone.tolerance, found.baseline.tolerance)
    )


def test_a_baseline_that_is_too_short_or_too_noisy_is_no_null() -> None:
    """Half of the run, 20 samples, or noise that the leak would vanish in."""
    run = series(cache, seed=1)

    half = paired.judge(run, series(cache, seed=2, count=300))
    few = paired.judge(run, series(cache, seed=2, count=20))
    none: Beside = paired.judge(run, ([], []))
    noisy = [
        paired.judge(one, series(flat_level, seed=2, noise=30 * MIB))
        for one in (run, series(lambda s: 20 * MIB * (1 - math.exp(-s / 250)), seed=1))
    ]

    short = (UNSURE, Doubt.BASELINE_SHORT, False)
    assert [short, short, short] == [verdict(each) for each in (half, few, none)]
    unsure = (UNSURE, Doubt.BASELINE_UNSURE, False)
    assert [unsure, unsure] == [verdict(each) for each in noisy]


def test_harmless_growth_that_both_have_clears_nobody() -> None:
    """120 KiB in ten minutes is within the tolerance, and still no null for a leak of its size."""
    slow = leak_of(200)
    found = paired.judge(
        series(slow, seed=1, noise=4 * KIB), series(slow, seed=2, noise=4 * KIB, count=600)
    )

    assert LEAK is found.alone.verdict
    assert UNSURE is found.growth.verdict


@pytest.mark.parametrize(
    ("low", "high", "may"), [(-50, 50, False), (-50, 150, True), (20, 50, True), (None, None, True)]
)
def test_a_null_contains_no_growth_and_not_the_growth_of_the_run(
    low: float | None, high: float | None, may: bool
) -> None:
    """Beside a leak of 100 bytes per second, a cleared baseline may share it or not."""
    alone = leak.judge(*series(leak_of(5 * KIB), seed=1))
    null = leak.judge(*series(flat_level, seed=2))

    assert may == paired._may_share(replace(null, low=low, high=high), replace(alone, slope=100.0))


def test_a_baseline_that_shrinks_makes_no_leak() -> None:
    """A run that is flat does not leak because another one gives memory back."""

    def days(second: int) -> float:
        return 5 * MIB * math.sin(2 * math.pi * second / 350)

    shrinking = series(lambda s: -10 * KIB * s, seed=2)

    level = paired.judge(series(flat_level, seed=1), shrinking)
    falling = paired.judge(
        series(leak_of(-2 * KIB, days), seed=1), series(leak_of(-12 * KIB, days), seed=2)
    )

    assert (UNSURE, Doubt.BASELINE_SHRINKS, False) == verdict(level)
    assert (UNSURE, Doubt.BASELINE_SHRINKS, False) == verdict(falling)


def test_a_run_that_is_clean_alone_needs_no_baseline() -> None:
    """Whatever the baseline is worth, and with the run's own figures."""
    found = paired.judge(series(flat_level, seed=1), series(leak_of(5 * KIB), seed=2))

    assert (CLEAN, False) == (found.growth.verdict, found.is_null)
    assert found.growth.slope == found.alone.slope


def test_another_load_is_not_compared() -> None:
    """A leak beside a run that worked half as much is not known to be one."""
    found = paired.judge(
        series(leak_of(5 * KIB), seed=1), series(flat_level, seed=2), unfit=Doubt.BASELINE_LOAD
    )

    assert (UNSURE, Doubt.BASELINE_LOAD, False) == verdict(found)


@pytest.mark.parametrize(("own", "others"), [(60, 0), (0, 60)])
def test_series_that_begin_at_other_times_are_moved_to_neither(own: int, others: int) -> None:
    """What was read at the 60th second is compared with the 60th, not with the first."""

    def days(second: int) -> float:
        return 40 * MIB * math.sin(2 * math.pi * second / 250)

    at, sizes = series(leak_of(20 * KIB, days), seed=1, count=700)
    whole = series(days, seed=2, count=2400)

    found = paired.judge((at[own:], sizes[own:]), (whole[0][others:], whole[1][others:]))

    assert (LEAK, None, True) == verdict(found)
    assert found.growth.slope == pytest.approx(20 * KIB, rel=0.01)


def test_pairs_of_many_kinds() -> None:
    """Of clean pairs none is accused, of leaks most are found, and none is hidden by its like."""
    beside = [(one, paired.judge(one.run, one.baseline)) for one in pairs(7, each=2, longer=3)]
    leaky = [
        paired.judge(one.run, one.baseline)
        for one in pairs(7, each=2, longer=3, leaky=True)
        if one.leaks
    ]

    clean = [found.growth.verdict for one, found in beside if not one.leaks]
    leaks = [found.growth.verdict for one, found in beside if one.leaks]
    hidden = [
        one for one in leaky if one.alone.verdict is LEAK and one.growth.verdict is not UNSURE
    ]
    assert 0 == clean.count(LEAK)
    assert clean.count(CLEAN) >= 0.7 * len(clean)
    assert leaks.count(LEAK) >= 0.8 * len(leaks)
    assert [] == hidden


def growing(per_s: float) -> list[float]:
    """Return the anonymous memory of a minute."""
    chance = random.Random(per_s)
    return [10 * MIB + per_s * second + chance.gauss(0, 2 * KIB) for second in range(60)]


def test_a_run_is_judged_beside_its_baseline() -> None:
    """Without a threshold too: what a leaking baseline leaves open does not pass."""
    clean = recording(variant(steady(growing(0)), name="clean"))
    leaky = recording(variant(steady(growing(64 * KIB)), name="leaky"))

    beside = {
        "clean": judge_run(replace(leaky, baseline=clean, baseline_name="runs/a"), scenario()),
        "leaky": judge_run(replace(leaky, baseline=leaky), scenario()),
        "both": judge_run(replace(clean, baseline=clean), scenario()),
    }

    assert {
        "clean": ExitCode.THRESHOLDS_CROSSED,
        "leaky": ExitCode.INCONCLUSIVE,
        "both": ExitCode.PASSED,
    } == {name: found.exit_code for name, found in beside.items()}
    assert "runs/a" == beside["clean"].baseline
    (check,) = beside["leaky"].thresholds
    assert (Verdict.INCONCLUSIVE, str(Doubt.BASELINE_LEAKS)) == (check.verdict, check.reason)
    (found,) = beside["clean"].variants
    assert found.leak.baseline is not None
    assert (True, LEAK, CLEAN) == (
        found.leak.baseline.is_null,
        found.leak.baseline.alone,
        found.leak.baseline.verdict,
    )


def test_a_threshold_on_growth_is_beside_the_baseline_too() -> None:
    """A limit that the leak is above is not passed because the baseline leaks as much."""
    limit = {"memory_leak_slope": ["value<1MB/h"]}
    leaky = recording(variant(steady(growing(64 * KIB))))
    clean = recording(variant(steady(growing(0))))

    hidden = judge_run(replace(leaky, baseline=leaky), scenario(limit))
    shown = judge_run(replace(leaky, baseline=clean), scenario(limit))

    assert (Verdict.INCONCLUSIVE, Verdict.CROSSED) == (hidden.verdict, shown.verdict)


def test_a_run_under_another_load_is_no_null() -> None:
    """Half as many operations in the same time."""
    leaky = recording(variant(steady(growing(64 * KIB))))
    idle = recording(variant(steady(growing(0), rate=500)))

    (found,) = judge_run(replace(leaky, baseline=idle), scenario()).variants

    assert (UNSURE, str(Doubt.BASELINE_LOAD)) == (found.leak.verdict, found.leak.reason)


def test_a_watch_is_judged_beside_its_baseline() -> None:
    """The target beside the target, with bytes per operation above it."""
    limits = WatchLimits()
    beside = {
        name: judge_watch(replace(watching(leaking()), baseline=watching(mate)), limits)
        for name, mate in (("clean", flat()), ("leaky", leaking()))
    }

    assert {"clean": 99, "leaky": 4} == {n: int(one.exit_code) for n, one in beside.items()}
    (found,) = beside["clean"].processes
    assert found.growth.leak.baseline is not None
    assert found.growth.leak.baseline.is_null
