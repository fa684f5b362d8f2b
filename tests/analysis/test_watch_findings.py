"""What a watch means: planted growth is called what it is, its healthy twins are not accused."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.analysis.leak_signals import Metric, Pattern
from memopt_cli.analysis.origin import Origin
from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.results import LeakVerdict, Severity, Verdict
from memopt_cli.analysis.watch_findings import judge
from memopt_cli.analysis.watch_limits import WatchLimits, limits_of
from memopt_cli.errors import UsageError
from memopt_cli.exit_codes import ExitCode
from tests import watchings
from tests.making import KIB, MIB, MS, histogram
from tests.watchings import per_hour, process, reading, readings, watching

if TYPE_CHECKING:
    from memopt_cli.analysis.watching import ProcessRecording, WatchRecording

ANY = WatchLimits()
LEAK, NO_LEAK, UNSURE = LeakVerdict.LEAK, LeakVerdict.NO_LEAK, LeakVerdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("made", "verdict", "pattern", "origin", "code"),
    [
        (watchings.leaking(), LEAK, Pattern.LEAK, Origin.PYTHON, 99),
        (watchings.natively_leaking(), LEAK, Pattern.LEAK, Origin.NATIVE, 99),
        (watchings.fragmented(), NO_LEAK, Pattern.FRAGMENTATION, Origin.FRAGMENTATION, 0),
        (watchings.mapping(), LEAK, Pattern.OUTSIDE_LEAK, Origin.MAPPED, 99),
        (watchings.hiding(), LEAK, Pattern.HIDDEN_LEAK, Origin.PYTHON, 99),
        (watchings.caching(), NO_LEAK, Pattern.NO_LEAK, Origin.NONE_SHOWN, 0),
        (watchings.flat(), NO_LEAK, Pattern.NO_LEAK, Origin.NONE_SHOWN, 0),
        (process(readings(over_s=230)), UNSURE, Pattern.INCONCLUSIVE, Origin.NONE_SHOWN, 4),
        (process(), UNSURE, Pattern.INCONCLUSIVE, Origin.NONE_SHOWN, 4),
    ],
    ids=["python", "native", "fragmentation", "mapped", "hidden", "cache", "flat", "short", "none"],
)
def test_one_process(
    made: ProcessRecording, verdict: LeakVerdict, pattern: Pattern, origin: Origin, code: int
) -> None:
    """One verdict, pattern and origin, and the exit code that follows."""
    found = judge(watching(made), ANY)

    growth = found.processes[0].growth
    seen = (growth.leak.verdict, growth.pattern, growth.origin.origin, int(found.exit_code))
    assert (verdict, pattern, origin, code) == seen


def test_the_planted_slope_is_within_its_interval() -> None:
    """Per hour and, fitted to what was done, per operation."""
    (found,) = judge(watching(watchings.leaking()), ANY).processes

    for planted, slope in (
        (12 * MIB / 3600, found.growth.leak.slope_bytes_per_s),
        (12 * MIB / 3600 / 40, found.growth.leak.slope_bytes_per_operation),
    ):
        assert slope is not None
        assert slope.low <= planted <= slope.high
        assert planted == pytest.approx(slope.value, rel=0.02)


def test_growth_per_operation_is_fitted_to_operations() -> None:
    """Ten times the load in the second half: what each operation keeps stays the same."""

    def done(at_s: float) -> float:
        return at_s if at_s < 1800 else 1800 + 10 * (at_s - 1800)

    read = readings(anonymous=lambda at_s: 512 * done(at_s), operations=done)
    (found,) = judge(watching(process(read)), ANY).processes

    slope = found.growth.leak.slope_bytes_per_operation
    assert slope is not None
    assert 512 == pytest.approx(slope.value, rel=0.02)


def test_a_hidden_leak_has_the_slope_of_what_shows_it() -> None:
    """Pages do not grow: the figure is that of malloc, not the pages' zero."""
    (found,) = judge(watching(watchings.hiding()), ANY).processes

    slope = found.growth.leak.slope_bytes_per_s
    assert slope is not None
    assert Metric.MALLOC_IN_USE == found.growth.measured_by
    assert 8 * MIB == pytest.approx(slope.value * 3600, rel=0.02)


def test_a_leak_that_only_a_count_shows_is_estimated() -> None:
    """Small objects in arenas that had room: neither pages nor malloc grow, 64 B stand for each."""
    (found,) = judge(watching(process(readings(blocks=per_hour(200_000)))), ANY).processes

    slope = found.growth.leak.slope_bytes_per_s
    assert slope is not None
    assert Metric.ALLOCATED_BLOCKS == found.growth.measured_by
    assert 64 * 200_000 == pytest.approx(slope.value * 3600, rel=0.02)


def test_swapped_memory_still_grows() -> None:
    """What was swapped out is missing from the resident counter; the exact reading has it."""
    read = [
        reading(at_s, anonymous_bytes=64 * MIB + round(at_s * 8 * KIB), malloc_in_use_bytes=None)
        for at_s in range(0, 3600, 10)
    ]
    (found,) = judge(watching(process(read, inside="no Python")), ANY).processes

    assert found.leaks


def test_one_worker_leaks() -> None:
    """It alone is called a leak, and the tree; the exit code is that of a leak."""
    found = judge(watching(*watchings.workers(3, 1)), ANY)

    assert [103 - 1] == [one.pid for one in found.processes if one.leaks]
    assert found.tree is not None
    assert (True, 4, ExitCode.THRESHOLDS_CROSSED) == (
        found.tree.leaks,
        found.tree.processes_last,
        found.exit_code,
    )


def test_processes_that_leak() -> None:
    """Each is steady; their number, and so their sum, is not."""
    found = judge(watching(*watchings.spawning()), ANY)

    assert found.tree is not None
    assert [] == [one.pid for one in found.processes if one.leaks]
    assert (True, 1, 20, Verdict.CROSSED) == (
        found.tree.leaks,
        found.tree.processes_first,
        found.tree.processes_last,
        found.verdict,
    )
    slope = found.tree.growth.leak.slope_bytes_per_s
    assert slope is not None
    assert 20 * 64 * MIB == pytest.approx(slope.value * 3600, rel=0.02)


def test_a_point_of_the_tree_has_who_lived_then() -> None:
    """Also behind a gap, in which nothing could be added up: two before the third came, then 3."""
    read = [one for one in readings() if not 1000 < one.at_s < 1800]
    late = process(readings(over_s=1200, begins_s=2400.0), pid=3, began_s=2400.0)
    found = judge(watching(watchings.flat(pid=1), process(read, pid=2), late), ANY)

    assert found.tree is not None
    points = {round(at_s): (living, size) for at_s, living, size in found.tree.points}
    counts = {at_s: living for at_s, (living, _) in points.items()}
    assert {905: 2, 2305: 2, 2405: None, 2425: 3, 3585: 3} == {
        at_s: counts.get(at_s) for at_s in (905, 2305, 2405, 2425, 3585)
    }
    assert [128, 192] == [round(points[at_s][1] / MIB) for at_s in (905, 3585)]
    assert 1405 not in counts


def test_processes_that_come_and_go_are_no_leak() -> None:
    """One that is replaced too soon for a verdict is in no sum twice, and makes none doubtful."""
    parent = watchings.flat(pid=100)
    children = [
        process(
            readings(over_s=200, begins_s=at_s, seed=number),
            pid=200 + number,
            began_s=float(at_s),
            ended_s=at_s + 200.0,
        )
        for number, at_s in enumerate(range(0, 3600, 200))
    ]
    found = judge(watching(parent, *children), ANY)

    assert (Verdict.PASSED, 2) == (found.verdict, found.tree.processes_last if found.tree else 0)


def test_a_sum_is_taken_where_every_living_process_was_read() -> None:
    """Of one that was read for a while only, nothing is added up afterwards."""
    half = process(readings(over_s=1800), pid=2, ended_s=None)
    found = judge(watching(watchings.flat(pid=1), half), ANY)

    assert found.tree is not None
    assert 1800 == pytest.approx(found.tree.points[-1][0], abs=60)


@pytest.mark.parametrize(
    ("made", "outcome", "signal", "verdict", "code"),
    [
        (watchings.flat(), Outcome.INTERRUPTED, 2, Verdict.PASSED, 130),
        (watchings.leaking(), Outcome.INTERRUPTED, 15, Verdict.CROSSED, 143),
        (watchings.leaking(), Outcome.INTERRUPTED, 1, Verdict.CROSSED, 129),
        (watchings.leaking(), Outcome.FAILED, None, Verdict.CROSSED, 3),
        (watchings.flat(), Outcome.FAILED, None, Verdict.INCONCLUSIVE, 3),
        (watchings.flat(), Outcome.RUNNING, None, Verdict.INCONCLUSIVE, 4),
    ],
)
def test_however_it_ended(
    made: ProcessRecording, outcome: Outcome, signal: int | None, verdict: Verdict, code: int
) -> None:
    """A leak stays a leak; what failed or was killed cannot pass."""
    found = judge(watching(made, outcome=outcome, signal=signal), ANY)

    assert (verdict, code) == (found.verdict, int(found.exit_code))


def test_nothing_watched_is_inconclusive() -> None:
    """No process is no evidence of anything."""
    found = judge(watching(), ANY)

    assert (Verdict.INCONCLUSIVE, 4) == (found.verdict, int(found.exit_code))


def test_suspects_make_no_verdict() -> None:
    """Lines that were found in a process that does not grow accuse nobody."""
    found = judge(watching(watchings.flat(suspects=(watchings.SUSPECT,))), ANY)

    assert (Verdict.PASSED, (watchings.SUSPECT,)) == (found.verdict, found.processes[0].suspects)


def test_figures_of_a_process() -> None:
    """Pauses, CPU, peak, fragmentation and cost, each as a share of what it is a share of."""
    read = [
        reading(float(at_s), rss_bytes=80 * MIB + (MIB if at_s == 50 else 0), cost_s=cost_s)
        for at_s, cost_s in zip(range(0, 101, 10), [0.001] * 10 + [0.011], strict=True)
    ]
    made = process(read, pauses={0: histogram(*[MS] * 99), 2: histogram(901 * MS)}, traced_s=0.5)
    (found,) = judge(watching(made), ANY).processes

    assert found.gc_pause is not None
    assert found.gc_pause.p50_s is not None
    assert [100, 99, 1] == [
        found.gc_pause.count,
        *(one.count for one in found.gc_pause_by_generation.values()),
    ]
    assert 0.001 == pytest.approx(found.gc_pause.p50_s.value, rel=0.04)
    assert 0.01 == pytest.approx(found.gc_pause_share)
    assert (0.25, 81 * MIB, 0.25) == (
        found.cpu_share,
        found.peak_rss_bytes,
        found.fragmentation,
    )
    cost = found.cost
    assert (11, 0.001, 0.011, 0.0001, 0.005) == (
        cost.readings,
        cost.reading_p50_s,
        cost.reading_max_s,
        cost.inside_p50_s,
        cost.traced_share,
    )
    assert 0.00021 == pytest.approx(cost.reading_share)
    assert 0.000011 == pytest.approx(cost.inside_share)


def test_without_an_agent_nothing_inside_was_measured() -> None:
    """No pauses is not the same as pauses that were not seen."""
    (found,) = judge(watching(process(readings(malloc=None), inside="no Python")), ANY).processes

    assert (None, None, None, None) == (
        found.gc_pause,
        found.gc_pause_share,
        found.fragmentation,
        found.cost.inside_share,
    )


def test_a_leak_fills_what_is_left_of_the_machine() -> None:
    """Or of the control group's limit, where that is less."""
    made = watchings.leaking(3600 * MIB)
    recorded = watching(made, environment={"memory_bytes": 2**40, "memory_limit_bytes": 10 * 2**30})
    (found,) = judge(recorded, ANY).processes

    left = 10 * 2**30 - made.readings[-1].rss_bytes
    assert found.growth.leak.full_in_s is not None
    assert left / MIB == pytest.approx(found.growth.leak.full_in_s, rel=0.01)


@pytest.mark.parametrize(
    ("texts", "verdicts"),
    [
        (("gc_pause: p(99)<100ms", "gc_pause: max<1ms"), ["passed", "crossed"]),
        (("gc_pause: count<10", "gc_pause_share: value<5%"), ["crossed", "passed"]),
        (("memory_total: value<64MiB", "memory_total: value<1GB"), ["crossed", "passed"]),
        (
            ("memory_leak_slope: value<1MB/h", "memory_leak_slope: value<100MB/h"),
            ["crossed", "passed"],
        ),
    ],
)
def test_thresholds(texts: tuple[str, ...], verdicts: list[str]) -> None:
    """As k6 writes them; the leak itself is a check of its own."""
    found = judge(watching(watchings.leaking()), limits_of(thresholds=texts))

    assert ["crossed", *verdicts] == [str(one.verdict) for one in found.thresholds]


def test_pauses_that_were_lost_are_no_pass() -> None:
    """Neither are those that no agent saw; nor those that a killed watch had not kept."""
    limits = limits_of(thresholds=["gc_pause: max<1s"])
    made = readings()
    for recorded in (
        process(made, pauses_lost=3),
        process(made, inside="it runs no Python"),
        process(made, pauses={}),
    ):
        assert Verdict.INCONCLUSIVE == judge(watching(recorded), limits).thresholds[-1].verdict


def test_growth_that_is_no_leak_crosses_no_limit() -> None:
    """A process that was watched for too short a time is inconclusive, however it grew."""
    limits = limits_of(thresholds=["memory_leak_slope: value<1kB/h"])
    found = judge(watching(process(readings(over_s=300, anonymous=per_hour(0)))), limits)

    assert Verdict.CROSSED not in {one.verdict for one in found.thresholds}


@pytest.mark.parametrize(
    ("tolerated", "verdict"),
    [("100MB/h", Verdict.PASSED), ("1MB/h", Verdict.CROSSED), ("12.05MiB/h", Verdict.INCONCLUSIVE)],
)
def test_a_tolerated_leak(tolerated: str, verdict: Verdict) -> None:
    """Passes only if all of its interval is tolerated; it is called a leak all the same."""
    found = judge(watching(watchings.leaking()), limits_of(leak=tolerated))

    assert (verdict, True) == (found.verdict, found.processes[0].leaks)


def test_severities_are_settable() -> None:
    """Three bytes a millisecond are low, unless one says that they are not."""
    found = [
        judge(watching(watchings.leaking()), limits).processes[0].growth.leak.severity
        for limits in (ANY, limits_of(severities=["medium=1kB/s", "high=3kB/s"]))
    ]

    assert [Severity.LOW, Severity.HIGH] == found


@pytest.mark.parametrize(
    "wrong",
    [
        {"leak": "1MB"},
        {"leak": "much"},
        {"severities": ["awful=1MB/s"]},
        {"severities": ["high=1B/s"]},
        {"thresholds": ["gc_pause p(99)<1s"]},
        {"thresholds": ["memory_retained: value<1MB"]},
        {"thresholds": ["gc_pause: p(99)<1MB"]},
    ],
)
def test_limits_that_are_written_wrongly(wrong: dict[str, Any]) -> None:
    """Each is a user's error with a hint."""
    with pytest.raises(UsageError) as caught:
        limits_of(**wrong)

    assert caught.value.hint


def test_a_day_of_readings() -> None:
    """Every second for a day: a leak of 1 MiB/h is found within its interval, nothing thinned."""
    chance = random.Random(3)
    read = tuple(
        reading(
            float(at_s),
            resident_anonymous_bytes=64 * MIB + round(at_s * MIB / 3600 + chance.gauss(0, MIB)),
            allocated_blocks=500_000 + round(at_s * 4),
        )
        for at_s in range(86_400)
    )
    recorded: WatchRecording = watching(process(read), interval_s=1.0)
    (found,) = judge(recorded, ANY).processes

    slope = found.growth.leak.slope_bytes_per_s
    assert slope is not None
    assert (True, 86_400) == (found.leaks, found.growth.leak.samples)
    assert slope.low <= MIB / 3600 <= slope.high
