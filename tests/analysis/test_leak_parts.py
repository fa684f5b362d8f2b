"""A series in parts: a leak is found across gaps, and a level that jumps at one is no growth."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from memopt_cli.analysis import leak_parts, paired
from memopt_cli.analysis.findings import judge as judge_run
from memopt_cli.analysis.leak import judge
from memopt_cli.analysis.leak_views import Doubt
from memopt_cli.analysis.results import LeakVerdict
from memopt_cli.analysis.watch_findings import judge as judge_watch
from memopt_cli.analysis.watch_limits import WatchLimits
from tests.analysis.leak_corpus import corpus
from tests.analysis.leak_series import broken
from tests.making import KIB, MIB, recording, scenario, steady, variant
from tests.watchings import flat, replaced, watching

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAK, CLEAN = LeakVerdict.LEAK, LeakVerdict.NO_LEAK
JUMPS = (0.0, 12.0, 3.0, 30.0)


def parts(
    per_s: float, jumps: Sequence[float] = JUMPS, *, away_s: float = 900.0, seed: int = 1
) -> tuple[list[float], list[float], list[float]]:
    """Return times, sizes and the begins of parts of 150 seconds, each at its own MiB."""
    chance = random.Random(seed)
    at, sizes, begins = [], [], []
    for number, jump in enumerate(jumps):
        began = number * (150 + away_s)
        begins.append(began)
        for second in range(150):
            at.append(began + second)
            sizes.append((20 + jump) * MIB + per_s * second + chance.gauss(0, 20 * KIB))
    return at, sizes, begins[1:]


def test_a_level_that_jumps_at_a_gap_is_no_growth() -> None:
    """Four restarts, each higher than the one before: flat within, so there is no leak."""
    at, sizes, breaks = parts(0.0, (0.0, 5.0, 10.0, 15.0))

    found = judge(at, sizes, breaks=breaks)

    assert (CLEAN, 600) == (found.verdict, found.samples)
    assert found.slope == pytest.approx(0, abs=100)
    assert CLEAN is not judge(at, sizes).verdict


def test_a_leak_across_gaps_is_found_with_its_slope() -> None:
    """Each restart gives back what leaked; as one series nobody would see it."""
    at, sizes, breaks = parts(4 * KIB)

    found = judge(at, sizes, breaks=breaks)

    assert LEAK is found.verdict
    assert found.slope == pytest.approx(4 * KIB, rel=0.03)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 4 * KIB <= found.high
    assert LEAK is not judge(at, sizes).verdict


def test_gaps_count_no_time() -> None:
    """Four parts of 149 seconds with a second between them, however long they were apart."""
    at, sizes, breaks = parts(0.0)

    assert 4 * 149 + 3 == judge(at, sizes, breaks=breaks).over_s


def test_the_order_and_the_origin_of_times_do_not_matter() -> None:
    """Breaks are on the clock of the samples, which may begin anywhere."""
    at, sizes, breaks = parts(4 * KIB)
    moved = [(one + 5000, size) for one, size in zip(at, sizes, strict=True)]
    random.Random(3).shuffle(moved)

    later = judge(
        [one for one, _ in moved],
        [size for _, size in moved],
        breaks=[one + 5000 for one in reversed(breaks)],
    )

    assert judge(at, sizes, breaks=breaks).slope == pytest.approx(later.slope)


def test_warming_up_again_after_each_restart_is_no_leak() -> None:
    """What fills up within every part slows down in every part."""
    chance = random.Random(5)
    sizes = [
        20 * MIB + 10 * MIB * (1 - np.exp(-(s % 150) / 60)) + chance.gauss(0, 20 * KIB)
        for s in range(600)
    ]

    found = judge(range(600), sizes, breaks=(150, 300, 450))

    assert LEAK is not found.verdict


def test_parts_that_are_too_short_tell_nothing() -> None:
    """Fifty lives of eleven readings each show no slope; there is no verdict."""
    at = [100.0 * life + second for life in range(50) for second in range(11)]

    found = judge(at, [float(one) for one in at], breaks=[100.0 * life for life in range(1, 50)])

    assert (LeakVerdict.INCONCLUSIVE, Doubt.FEW) == (found.verdict, found.doubt)


def test_holes_are_seen_in_the_times() -> None:
    """A pause of twenty intervals is one; late readings of a busy machine are none."""
    late = [float(s) + (10 if s > 50 else 0) for s in range(100)]
    away = [float(s) + (30 if s > 50 else 0) for s in range(100)]

    assert ([], [81.0]) == (leak_parts.holes(late), leak_parts.holes(away))
    assert [] == [one for one in corpus() if leak_parts.holes(one.times)]
    assert [] == leak_parts.holes([])


def test_what_restarts_is_judged_by_its_parts() -> None:
    """Of generated series few clean ones are accused, most leaks found, none denied."""
    found = [
        (one.series, judge(one.series.times, one.series.sizes, breaks=one.breaks).verdict)
        for one in broken(6, each=3)
    ]

    accused = [one for one, said in found if one.is_clean and said is LEAK]
    seen = [said is LEAK for one, said in found if one.is_strong]
    denied = [one for one, said in found if one.label["material"] and said is CLEAN]
    assert len(accused) <= 1
    assert sum(seen) >= 0.8 * len(seen)
    assert [] == denied


def test_a_baseline_with_gaps_has_levels_of_its_own() -> None:
    """A jump in either is none of the difference's growth."""
    at, sizes, breaks = parts(4 * KIB, away_s=0.0)
    others = [20 * MIB + random.Random(8).gauss(0, 20 * KIB) + (s > 400) * MIB for s in range(600)]

    found = paired.judge((at, sizes), (at, others), breaks=(breaks, [401.0]))

    assert (LEAK, True) == (found.growth.verdict, found.is_null)
    assert found.growth.slope == pytest.approx(4 * KIB, rel=0.03)


def test_a_run_that_went_on_after_a_gap() -> None:
    """The stage of a recording that was resumed is judged within its parts."""
    read = steady([10 * MIB + second // 15 * 500 * KIB for second in range(60)])
    marked = variant(read, breaks=(30.0, 45.0, 60.0))
    slept = variant(
        replace(one, at_s=one.at_s + number // 15 * 100) for number, one in enumerate(read)
    )

    found = [
        judge_run(recording(one), scenario()).variants[0].leak
        for one in (variant(read), marked, slept)
    ]

    assert [False, True, True] == [one.verdict is CLEAN for one in found]


def test_a_worker_that_is_replaced_leaks_in_all_its_lives() -> None:
    """None of them lives long enough alone; the watch says which program it is."""
    leaky = judge_watch(watching(*replaced(60 * MIB)), WatchLimits())
    clean = judge_watch(watching(*replaced(0)), WatchLimits())

    (one,) = leaky.restarted
    assert (LEAK, tuple(range(200, 215))) == (one.growth.leak.verdict, one.pids)
    assert one.growth.leak.slope_bytes_per_s is not None
    assert one.growth.leak.slope_bytes_per_s.value * 3600 == pytest.approx(60 * MIB, rel=0.05)
    assert 99 == leaky.exit_code
    assert [CLEAN] == [each.growth.leak.verdict for each in clean.restarted]
    assert LEAK not in {each.growth.leak.verdict for each in leaky.processes}


def test_two_workers_at_once_are_two_lines() -> None:
    """Each is followed by the one that replaced it; what lives beside another does not."""
    one, *first = replaced(0, lives=3)
    _, *second = replaced(0, lives=3)
    second = [
        replace(
            each,
            pid=each.pid + 100,
            began_s=each.began_s + 100,
            ended_s=each.ended_s and each.ended_s + 100,
        )
        for each in second
    ]

    found = judge_watch(watching(one, *first, *second, flat(pid=9, command="other")), WatchLimits())

    assert [(200, 201, 202), (300, 301, 302)] == [each.pids for each in found.restarted]
