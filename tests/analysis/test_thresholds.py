"""A pass is proven on unrounded figures; what was not measured never passes."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.analysis import checks, limits, threshold_metrics, thresholds
from memopt_cli.analysis.findings import variant_findings
from memopt_cli.analysis.results import Estimate, How, LeakVerdict, MemoryPerUnit, Verdict
from memopt_cli.scenario import sockets
from memopt_cli.scenario.thresholds import METRICS
from tests.making import (
    BASELINE,
    KIB,
    MIB,
    MS,
    RAMP_UP,
    STEADY,
    estimate,
    found,
    histogram,
    plateau,
    sample,
    scenario,
    steady,
    unmeasured,
    variant,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.recording import VariantRecording
    from memopt_cli.analysis.results import ThresholdResult, VariantFindings
    from memopt_cli.scenario.model import Threshold

MB = 1_000_000


def threshold(metric: str, expression: str, **keys: Any) -> Threshold:
    """Return a threshold as a scenario would hold it."""
    if "window_s" in keys:
        keys["window"] = f"{keys.pop('window_s')}s"
    (made,) = scenario({metric: [{"threshold": expression, **keys}]}).thresholds
    return made


def judged(
    metric: str, expression: str, recorded: VariantRecording, **keys: Any
) -> ThresholdResult:
    """Return the verdict of one threshold on a recording and what was found in it."""
    findings = variant_findings(recorded, first=recorded, clock="wall")
    return thresholds.judge(threshold(metric, expression, **keys), recorded, findings, clock="wall")


def per_unit(found_: Estimate | None, expression: str) -> ThresholdResult:
    """Return the verdict on a given memory per connection."""
    memory = MemoryPerUnit(found_, None, None, "anonymous", None, (), "no plateaus")
    return thresholds.judge(
        threshold("memory_per_connection", expression),
        variant(),
        found(memory=memory),
        clock="wall",
    )


@pytest.mark.parametrize("metric", ["memory_per_connection_loaded", "memory_per_unit_loaded"])
def test_loaded_memory_is_judged_apart_from_idle(metric: str) -> None:
    """2.03 MB at work is not below 2 MB, whatever an idle connection costs."""
    idle, loaded = Estimate.exact(1 * MB), Estimate.exact(2.03 * MB)
    memory = MemoryPerUnit(idle, None, loaded, "anonymous", None, (), "")

    result = thresholds.judge(
        threshold(metric, "value<2MB"), variant(), found(memory=memory), clock="wall"
    )

    assert (result.verdict, result.observed) == (Verdict.CROSSED, loaded)


def test_loaded_memory_that_was_not_measured_is_inconclusive() -> None:
    """The reason says what the scenario lacks."""
    memory = MemoryPerUnit(Estimate.exact(1 * MB), None, None, "anonymous", None, (), "")

    result = thresholds.judge(
        threshold("memory_per_connection_loaded", "value<2MB"),
        variant(),
        found(memory=memory),
        clock="wall",
    )

    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.reason == "the peak was not held after the growth"


LOADED = variant(
    [
        plateau(0, 10 * MIB, at_s=1.0, gc_pauses=1, gc_pause_s=0.5, gc_pause_max_s=0.5),
        plateau(200, 12 * MIB, operations=200, busy_s=0.1),
        plateau(600, 16 * MIB, operations=600, busy_s=0.2),
        plateau(1000, 20 * MIB, operations=1000, busy_s=0.3, pool_created=100, pool_reused=0),
        *(
            sample(
                15.0 + second,
                stage=STEADY,
                units=1000,
                operations=1000 + 1000 * second,
                busy_s=0.3 + 0.01 * second,
                cpu_s=0.6 + 0.02 * second,
                resident_anonymous_bytes=20 * MIB + second * MIB,
                uss_bytes=20 * MIB + second * MIB,
                gc_pauses=2 if second > 9 else 0,
                gc_pause_s=0.001,
                gc_pause_max_s=0.0004 + second * 1e-5,
                pool_created=100 if second < 50 else 101,
                pool_reused=99 * (second + 1),
            )
            for second in range(60)
        ),
        plateau(0, 11 * MIB, at_s=84.0, stage=4, operations=61_000, busy_s=1.0, cpu_s=2.0),
    ],
    has_pool=True,
    pool={"reuse_ratio": 0.9},
    pauses={
        (BASELINE, 2): histogram(500 * MS),
        (STEADY, 0): histogram(*[MS] * 98, 2 * MS, 3 * MS),
    },
    latency={
        RAMP_UP: histogram(*[8000] * 999, 9000),
        STEADY: histogram(*[1000] * 20_000, *[2000] * 39_999, 3000),
    },
)
"""1,000 connections of 10 KiB, then a steady minute that leaks 1 MiB per second."""

WRONG_WITHOUT = variant([], recorder_installed=False)


@pytest.mark.parametrize(
    ("value", "limit", "verdict"),
    [
        (2.03 * MB, "value<2MB", Verdict.CROSSED),
        (2.0 * MB, "value<2MB", Verdict.CROSSED),
        (2.0 * MB, "value<=2MB", Verdict.PASSED),
        (2_000_000.001, "value<=2MB", Verdict.CROSSED),
        (1.999999 * MB, "value<2MB", Verdict.PASSED),
        (203e9, "value<200GB", Verdict.CROSSED),
        (199.9999e9, "value<200GB", Verdict.PASSED),
        (2 * 2**20, "value<2MB", Verdict.CROSSED),
        (2.0 * MB, "value>2MB", Verdict.CROSSED),
        (2.0 * MB, "value>=2MB", Verdict.PASSED),
        (1.999999 * MB, "value>=2MB", Verdict.CROSSED),
    ],
)
def test_figures_are_compared_unrounded(value: float, limit: str, verdict: Verdict) -> None:
    """2.03 MB is not below 2 MB, nor is 2.0 MB, and 1.999999 MB is."""
    assert verdict is per_unit(Estimate.exact(value), limit).verdict


@pytest.mark.parametrize(
    ("observed", "limit", "verdict"),
    [
        (estimate(1.9 * MB, 0.05 * MB), "value<2MB", Verdict.PASSED),
        (estimate(1.9 * MB, 0.1 * MB), "value<2MB", Verdict.INCONCLUSIVE),
        (estimate(1.9 * MB, 0.1 * MB), "value<=2MB", Verdict.PASSED),
        (estimate(1.9 * MB, 0.2 * MB), "value<2MB", Verdict.INCONCLUSIVE),
        (estimate(2.1 * MB, 0.2 * MB), "value<2MB", Verdict.CROSSED),
        (estimate(2.1 * MB, 0.2 * MB), "value>2MB", Verdict.INCONCLUSIVE),
        (estimate(2.1 * MB, 0.05 * MB), "value>2MB", Verdict.PASSED),
        (estimate(1.9 * MB, 0.2 * MB), "value>2MB", Verdict.CROSSED),
    ],
)
def test_an_interval_that_reaches_beyond_the_limit_is_no_pass(
    observed: Estimate, limit: str, verdict: Verdict
) -> None:
    """Within the limit with an interval beyond it is inconclusive; beyond it is crossed."""
    result = per_unit(observed, limit)

    doubtful = verdict is Verdict.INCONCLUSIVE
    assert (verdict, "the limit lies within the interval" if doubtful else "") == (
        result.verdict,
        result.reason,
    )


def test_a_missing_figure_is_inconclusive() -> None:
    """What was not measured has the reason of its absence, and never passes."""
    result = per_unit(None, "value<2MB")

    assert (Verdict.INCONCLUSIVE, None, "no plateaus") == (
        result.verdict,
        result.observed,
        result.reason,
    )


def test_every_metric_of_a_scenario_can_be_observed() -> None:
    """The metrics that a scenario may name are those that are read from a recording."""
    assert set(METRICS) == set(threshold_metrics.OBSERVERS)


@pytest.mark.parametrize(
    ("metric", "expression", "keys", "expected"),
    [
        ("memory_per_connection", "value<1MB", {}, 10_485.76),
        ("memory_per_unit", "value<1MB", {}, 10_485.76),
        ("memory_fixed", "value<1MB", {}, 10 * MIB),
        ("memory_retained", "value<1MB", {}, MIB),
        ("memory_total", "value<1MB", {}, 79 * MIB),
        ("memory_total", "value<1MB", {"stage": "ramp-up"}, 20 * MIB),
        ("memory_total", "value<1MB", {"window_s": 2}, 11 * MIB),
        ("memory_leak_slope", "value<1MB/h", {}, MIB),
        ("memory_leak_slope", "value<1MB/h", {"stage": "steady"}, MIB),
        ("memory_leak_slope", "value<1MB/h", {"window_s": 50}, MIB),
        ("memory_leak_per_operation", "value<1B", {}, MIB / 1000),
        ("memory_leak_per_operation", "value<1B", {"stage": "steady"}, MIB / 1000),
        ("pool_reuse_ratio", "value>85%", {}, 0.9),
        ("pool_reuse_ratio", "value>85%", {"stage": "steady"}, 5940 / 5941),
        ("pool_reuse_ratio", "value>85%", {"stage": "steady", "window_s": 9}, 990 / 991),
        ("pool_reuse_ratio", "value>85%", {"stage": "steady", "window_s": 8}, 1.0),
        ("gc_pause", "max<1ms", {}, 0.5),
        ("gc_pause", "max<1ms", {"stage": "steady"}, 0.003),
        ("gc_pause", "min<1ms", {"stage": "steady"}, 0.001),
        ("gc_pause", "avg<1ms", {"stage": "steady"}, 0.103 / 100),
        ("gc_pause", "p(50)<1ms", {"stage": "steady"}, 0.001),
        ("gc_pause", "p(100)<1ms", {"stage": "steady"}, 0.003),
        ("gc_pause", "count<5", {"stage": "steady"}, 100),
        ("gc_pause", "count<5", {}, 101),
        ("gc_pause", "max<1ms", {"stage": "ramp-up"}, 0.0),
        ("gc_pause", "count<5", {"stage": "steady", "window_s": 9}, 20),
        ("gc_pause", "max<1ms", {"stage": "steady", "window_s": 9}, 0.00099),
        ("gc_pause_share", "value<5%", {"stage": "steady"}, 59 * 0.001 / 1.18),
        ("gc_pause_share", "value<5%", {}, 60 * 0.001 / 2.0),
        ("operation_latency", "max<1us", {}, 9000e-9),
        ("operation_latency", "p(50)<1us", {"stage": "steady"}, 2000e-9),
        ("operation_latency", "count<5", {}, 61_000),
        ("operations_per_s", "value>1000/s", {}, 61_000.0),
        ("operations_per_s", "value>1000/s", {"stage": "steady"}, 100_000.0),
    ],
)
def test_each_metric_is_read_from_its_part_of_the_recording(
    metric: str, expression: str, keys: dict[str, Any], expected: float
) -> None:
    """Stage and window choose what is judged; without them it is the whole run."""
    observed = judged(metric, expression, LOADED, **keys).observed

    assert observed is not None
    bucketed = expression.startswith("p(")
    assert observed.value == pytest.approx(expected, rel=1 / 32 if bucketed else 1e-6)


def test_the_result_says_what_was_judged() -> None:
    """Metric, expression, stage, window, variant and dimension come with the verdict."""
    recorded = replace(LOADED, cell={"connections": "1000"})
    result = judged("gc_pause", "max<1ms", recorded, stage="steady", window_s=9)

    assert (
        ("gc_pause", "max<1ms", "steady", 9.0, {"connections": "1000"}, "optimized", "duration"),
        Verdict.PASSED,
    ) == (
        (
            result.metric,
            result.expression,
            result.stage,
            result.window_s,
            result.cell,
            result.variant,
            result.dimension,
        ),
        result.verdict,
    )


@pytest.mark.parametrize("metric", METRICS.keys() - set(sockets.METRICS))
def test_nothing_passes_that_was_not_measured(metric: str) -> None:
    """Without samples, recorder, pool and operations each metric is inconclusive."""
    recorded = variant([], recorder_installed=False, stages=())

    result = judged(metric, METRICS[metric].example, recorded)

    assert (Verdict.INCONCLUSIVE, None) == (result.verdict, result.observed)
    assert result.reason


@pytest.mark.parametrize("metric", [name for name, known in METRICS.items() if known.staged])
def test_a_stage_that_was_not_reached_is_inconclusive(metric: str) -> None:
    """A threshold on a stage that the run never came to does not pass."""
    recorded = replace(LOADED, stages=LOADED.stages[:2])

    result = judged(metric, METRICS[metric].example, recorded, stage="steady")

    assert (Verdict.INCONCLUSIVE, None, "stage 'steady' was not reached") == (
        result.verdict,
        result.observed,
        result.reason,
    )


@pytest.mark.parametrize(
    ("metric", "expression", "keys"),
    [
        ("gc_pause", "p(99)<1s", {}),
        ("gc_pause", "max<1s", {"stage": "steady"}),
        ("gc_pause", "max<1s", {"window_s": 10}),
        ("gc_pause", "count<1000", {"window_s": 10}),
        ("gc_pause_share", "value<99%", {}),
    ],
)
def test_pauses_that_were_lost_cannot_pass(
    metric: str, expression: str, keys: dict[str, Any]
) -> None:
    """When some pauses were overwritten, what is known of the others proves nothing."""
    result = judged(metric, expression, replace(LOADED, pauses_lost=1234), **keys)

    assert (Verdict.INCONCLUSIVE, "1,234 pauses were overwritten before they were read") == (
        result.verdict,
        result.reason,
    )


def test_a_collector_that_never_ran_paused_for_zero_seconds() -> None:
    """With a working recorder, no pause at all is a measurement, and passes."""
    quiet = variant([plateau(200, MIB)])

    assert Verdict.PASSED is judged("gc_pause", "p(99)<1ms", quiet).verdict
    assert Verdict.INCONCLUSIVE is judged("gc_pause", "p(99)<1ms", WRONG_WITHOUT).verdict


@pytest.mark.parametrize(
    ("metric", "keys"),
    [
        ("gc_pause", {}),
        ("gc_pause", {"stage": "steady"}),
        ("operation_latency", {}),
        ("operation_latency", {"stage": "steady"}),
    ],
)
def test_durations_that_were_not_all_kept_cannot_pass(metric: str, keys: dict[str, Any]) -> None:
    """After a kill the samples may count more than the histograms hold; nothing passes on part."""
    partly = replace(LOADED, pauses={(STEADY, 0): histogram(MS)}, latency={STEADY: histogram(1000)})

    result = judged(metric, "p(99)<1s", partly, **keys)

    assert (Verdict.INCONCLUSIVE, None) == (result.verdict, result.observed)
    assert result.reason.endswith("were kept: the run was killed")


@pytest.mark.parametrize(
    ("expression", "verdict"),
    [
        ("p(99)<2500us", Verdict.PASSED),
        ("p(99)<2010us", Verdict.INCONCLUSIVE),
        ("p(99)<1990us", Verdict.CROSSED),
        ("p(99)>2010us", Verdict.INCONCLUSIVE),
        ("p(99)>1990us", Verdict.PASSED),
        ("p(99)>2500us", Verdict.CROSSED),
    ],
)
def test_a_percentile_is_known_to_its_bucket(expression: str, verdict: Verdict) -> None:
    """The 99th of 100 pauses took 2 ms, which is kept as 1,999 to 2,032 us."""
    assert verdict is judged("gc_pause", expression, LOADED, stage="steady").verdict


def test_a_window_without_a_stage_is_the_end_of_the_steady_one() -> None:
    """Growth is judged where the population holds, so the window ends where that stage does."""
    result = judged("memory_leak_slope", "value<1MB/h", LOADED, window_s=2)

    assert (Verdict.INCONCLUSIVE, None) == (result.verdict, result.observed)
    assert result.reason.startswith("3 samples in the steady part")


def _steady(sizes: Sequence[float]) -> VariantRecording:
    """Return a variant whose steady stage has these sizes, with ten operations per unit and s."""
    return variant(steady(sizes))


FILLING = _steady([10 * MIB + 20 * MIB * (1 - math.exp(-second / 40)) for second in range(60)])
"""A cache that is filling: it grows by some gigabytes per hour, ever more slowly."""


@pytest.mark.parametrize(
    ("metric", "expression"),
    [("memory_leak_slope", "value<1MB/h"), ("memory_leak_per_operation", "value<1B")],
)
def test_growth_that_may_end_crosses_nothing(metric: str, expression: str) -> None:
    """Beyond its limit, and no leak: inconclusive, with the reason and what would settle it."""
    result = judged(metric, expression, FILLING)

    assert Verdict.INCONCLUSIVE is result.verdict
    assert result.observed is not None
    assert result.observed.value > threshold(metric, expression).limit.value
    assert result.reason.startswith("its growth slows down, as of something that fills up: run")


def test_a_limit_makes_small_growth_matter() -> None:
    """A noisy stage is cleared by default, and not below a limit that its noise exceeds."""
    chance = random.Random(1)
    noisy = _steady([64 * MIB + chance.gauss(0, 20 * KIB) for _ in range(60)])

    assert [Verdict.INCONCLUSIVE, Verdict.PASSED] == [
        judged("memory_leak_slope", limit, noisy).verdict
        for limit in ("value<100kB/h", "value<100MB/h")
    ]


@pytest.mark.parametrize(
    ("metric", "keys", "name", "has_pool", "expected"),
    [
        ("memory_total", {}, "baseline", False, False),
        ("memory_total", {}, "pooled", False, True),
        ("memory_total", {"variant": "baseline"}, "baseline", False, True),
        ("memory_total", {"variant": "baseline"}, "pooled", False, False),
        ("pool_reuse_ratio", {}, "pooled", True, True),
        ("pool_reuse_ratio", {}, "pooled", False, False),
        ("pool_reuse_ratio", {}, "baseline", True, False),
        ("pool_reuse_ratio", {"variant": "pooled"}, "pooled", False, True),
    ],
)
def test_a_threshold_is_for_all_but_the_reference(
    metric: str, keys: dict[str, Any], name: str, has_pool: bool, expected: bool
) -> None:
    """The first of several variants is judged only by name, reuse only where there is a pool."""
    made = scenario(
        {metric: [{"threshold": METRICS[metric].example, **keys}]}, "baseline", "pooled"
    ).thresholds[0]

    applies = thresholds.applies(made, variant(name=name, has_pool=has_pool), reference="baseline")

    assert expected is applies


def test_the_only_variant_is_judged() -> None:
    """Without a reference every threshold is for the one variant there is."""
    made = threshold("memory_total", "value<2GB")

    assert thresholds.applies(made, variant(name="optimized"), reference=None)


def test_a_threshold_for_nobody_is_inconclusive() -> None:
    """A threshold that no measured variant answers to does not vanish."""
    result = thresholds.unjudged(threshold("memory_total", "value<2GB", stage="steady"))

    assert ("memory_total", "value<2GB", "steady", "", None, Verdict.INCONCLUSIVE) == (
        result.metric,
        result.expression,
        result.stage,
        result.variant,
        result.observed,
        result.verdict,
    )
    assert result.reason == "no variant that it could be judged for was measured"


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], Verdict.PASSED),
        ([Verdict.PASSED, Verdict.PASSED], Verdict.PASSED),
        ([Verdict.PASSED, Verdict.INCONCLUSIVE], Verdict.INCONCLUSIVE),
        ([Verdict.INCONCLUSIVE, Verdict.CROSSED, Verdict.PASSED], Verdict.CROSSED),
    ],
)
def test_the_worst_verdict_counts(verdicts: list[Verdict], expected: Verdict) -> None:
    """Crossed is worse than inconclusive, which is worse than passed."""
    assert expected is limits.worst(verdicts)


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ([found()], []),
        ([found(), found(same_work=True)], [(Verdict.PASSED, 1.0, "")]),
        (
            [found(), found(same_work=False)],
            [(Verdict.CROSSED, 0.0, "its units remember something else than the first's")],
        ),
        (
            [found(), unmeasured(same_work=None)],
            [(Verdict.INCONCLUSIVE, None, "it or the first variant did not finish")],
        ),
    ],
    ids=["alone", "equal", "unequal", "died"],
)
def test_other_work_is_crossed(
    findings: list[VariantFindings], expected: list[tuple[Verdict, float | None, str]]
) -> None:
    """A variant that did something else than the first fails, whatever it saved."""
    results = checks.same_work(findings)

    assert expected == [
        (one.verdict, one.observed.value if one.observed else None, one.reason) for one in results
    ]


@pytest.mark.parametrize(
    ("clock", "late_s", "expected"),
    [
        ("wall", 0.99, [Verdict.PASSED]),
        ("wall", 1.01, [Verdict.INCONCLUSIVE]),
        ("virtual", 9.0, []),
    ],
)
def test_a_load_that_came_late_is_inconclusive(
    clock: str, late_s: float, expected: list[Verdict]
) -> None:
    """A stage of 10 s may be late by a second, also if a later one makes up for it."""
    recorded = variant(
        [
            sample(12.0, stage=RAMP_UP, wall_s=12.0 + late_s, units=100),
            sample(80.0, stage=STEADY, wall_s=80.0, units=100),
        ]
    )
    found_ = variant_findings(recorded, first=recorded, clock=clock)

    results = checks.on_schedule([found_], clock=clock)

    assert expected == [result.verdict for result in results]


def test_a_leak_is_crossed_without_a_threshold() -> None:
    """A leak fails the run, unless the variant is the reference or a threshold judges growth."""
    slope = Estimate(10.0, 9.0, 11.0, How.FITTED)
    leaking = replace(found().leak, verdict=LeakVerdict.LEAK, slope_bytes_per_s=slope)
    variants = [found(name="baseline", leak=leaking), found(leak=leaking)]
    judging = {"memory_leak_slope": ["value<1GB/h"]}

    crossed = checks.leaks(variants, scenario(None, "baseline", "optimized"))

    assert [("optimized", Verdict.CROSSED, slope)] == [
        (result.variant, result.verdict, result.observed) for result in crossed
    ]
    assert [] == checks.leaks(variants, scenario(judging, "baseline", "optimized"))
    assert [] == checks.leaks([found()], scenario(None, "optimized"))
