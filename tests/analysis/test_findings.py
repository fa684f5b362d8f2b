"""A run's findings: figures of each variant, one verdict, one exit code."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from memopt_cli.analysis.findings import _severities, judge, variant_findings
from memopt_cli.analysis.leak_outlook import SEVERITIES
from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.results import LeakVerdict, SamplingCost, Severity, Verdict
from memopt_cli.exit_codes import ExitCode
from memopt_cli.scenario.model import LeakSection
from tests.making import (
    BASELINE,
    KIB,
    MIB,
    MS,
    RAMP_UP,
    STEADY,
    histogram,
    plateau,
    recording,
    sample,
    scenario,
    steady,
    variant,
)

SAMPLES = (
    plateau(0, 10 * MIB, at_s=5.0, cost_s=0.004, wall_s=0.1),
    plateau(200, 12 * MIB, cost_s=0.004, rss_bytes=21 * MIB),
    plateau(600, 16 * MIB, cost_s=0.006),
    plateau(1000, 20 * MIB, cost_s=0.008),
    sample(75.0, stage=STEADY, units=1000, operations=5000, busy_s=0.5, cpu_s=0.75, wall_s=1.5),
)
PASSING = {"memory_per_connection": ["value<2MB"]}
CROSSED = {"memory_per_connection": ["value<1KiB"]}
UNKNOWN = {"pool_reuse_ratio": ["value>85%"]}


def outcome(thresholds: dict[str, Any], **changes: Any) -> tuple[Verdict, ExitCode]:
    """Return verdict and exit code of a run of one variant."""
    run = judge(recording(variant(SAMPLES), **changes), scenario(thresholds))
    return run.verdict, run.exit_code


@pytest.mark.parametrize(
    ("thresholds", "changes", "expected"),
    [
        (PASSING, {}, (Verdict.PASSED, ExitCode.PASSED)),
        ({}, {}, (Verdict.PASSED, ExitCode.PASSED)),
        (CROSSED, {}, (Verdict.CROSSED, ExitCode.THRESHOLDS_CROSSED)),
        (UNKNOWN, {}, (Verdict.INCONCLUSIVE, ExitCode.INCONCLUSIVE)),
        (PASSING | UNKNOWN, {}, (Verdict.INCONCLUSIVE, ExitCode.INCONCLUSIVE)),
        (CROSSED | UNKNOWN, {}, (Verdict.CROSSED, ExitCode.THRESHOLDS_CROSSED)),
        (
            PASSING,
            {"outcome": Outcome.INTERRUPTED, "signal": 2},
            (Verdict.INCONCLUSIVE, ExitCode.INTERRUPTED),
        ),
        (
            CROSSED,
            {"outcome": Outcome.INTERRUPTED, "signal": 15},
            (Verdict.CROSSED, ExitCode.TERMINATED),
        ),
        (PASSING, {"outcome": Outcome.FAILED}, (Verdict.INCONCLUSIVE, ExitCode.TARGET_FAILED)),
        (CROSSED, {"outcome": Outcome.FAILED}, (Verdict.CROSSED, ExitCode.TARGET_FAILED)),
        (
            CROSSED,
            {"outcome": Outcome.ABORTED},
            (Verdict.CROSSED, ExitCode.THRESHOLDS_CROSSED),
        ),
        (PASSING, {"outcome": Outcome.ABORTED}, (Verdict.INCONCLUSIVE, ExitCode.INCONCLUSIVE)),
        (PASSING, {"outcome": Outcome.RUNNING}, (Verdict.INCONCLUSIVE, ExitCode.INCONCLUSIVE)),
        ({}, {"outcome": Outcome.RUNNING}, (Verdict.INCONCLUSIVE, ExitCode.INCONCLUSIVE)),
    ],
)
def test_the_exit_code_says_how_the_run_ended(
    thresholds: dict[str, Any], changes: dict[str, Any], expected: tuple[Verdict, ExitCode]
) -> None:
    """A run that was cut short can be crossed, but never passes."""
    assert expected == outcome(thresholds, **changes)


def test_the_codes_are_those_that_ci_jobs_branch_on() -> None:
    """The numbers are public."""
    names = ("PASSED", "TARGET_FAILED", "INCONCLUSIVE", "THRESHOLDS_CROSSED", "INTERRUPTED")

    assert [0, 3, 4, 99, 130, 143] == [int(ExitCode[name]) for name in (*names, "TERMINATED")]


def test_a_run_without_variants_passes_nothing() -> None:
    """A run that was stopped before its first variant is inconclusive on every threshold."""
    run = judge(recording(outcome=Outcome.FAILED), scenario(PASSING))

    assert ([Verdict.INCONCLUSIVE], ExitCode.TARGET_FAILED) == (
        [result.verdict for result in run.thresholds],
        run.exit_code,
    )


def test_figures_of_a_variant() -> None:
    """Peaks, sums and costs are those of the samples; memory per unit is the slope."""
    recorded = variant(
        SAMPLES,
        pauses={(BASELINE, 2): histogram(5 * MS), (STEADY, 0): histogram(MS, MS)},
        latency={RAMP_UP: histogram(1000), STEADY: histogram(2000, 3000)},
        pauses_lost=3,
    )

    found = variant_findings(recorded, first=recorded, clock="wall")

    assert (1000, 20 * MIB, 21 * MIB) == (
        found.units_peak,
        found.peak_uss_bytes,
        found.peak_rss_bytes,
    )
    assert (5000, 10_000.0, 0.5, 0.75, 1.5, 75.0) == (
        found.operations,
        found.operations_per_s,
        found.busy_s,
        found.cpu_s,
        found.wall_s,
        found.simulated_s,
    )
    assert found.memory.per_unit is not None
    assert found.memory.per_unit.value == pytest.approx(MIB / 100)
    assert found.gc_pause is not None
    assert ((2, 0, 1), 3, 3, 3) == (
        found.gc_pauses_by_generation,
        found.pauses_lost,
        found.gc_pause.count,
        found.operation_latency.count,
    )
    assert found.pause_share == pytest.approx(0.007 / 0.75)
    assert SamplingCost(0.004, 0.008, 0.005, 5) == found.sampling
    assert LeakVerdict.INCONCLUSIVE is found.leak.verdict


def test_a_variant_without_samples_has_no_figures() -> None:
    """A subject that died at once has nothing measured, and no zero in its place."""
    recorded = variant([], recorder_installed=False, stages=())

    found = variant_findings(recorded, first=recorded, clock="wall")

    assert [None] * 10 == [
        found.memory.per_unit,
        found.memory.fixed,
        found.peak_uss_bytes,
        found.peak_rss_bytes,
        found.retained,
        found.leak.slope_bytes_per_s,
        found.gc_pause,
        found.pause_share,
        found.operations_per_s,
        found.operation_latency.p99_s,
    ]
    assert SamplingCost(None, None, None, 0) == found.sampling


def test_a_population_that_never_holds_has_no_leak_verdict() -> None:
    """Without a steady stage the leak verdict is inconclusive, with the remedy."""
    recorded = variant(SAMPLES, stages=variant().stages[:2])

    found = variant_findings(recorded, first=recorded, clock="wall")

    assert (LeakVerdict.INCONCLUSIVE, None) == (found.leak.verdict, found.leak.slope_bytes_per_s)
    assert found.leak.reason.startswith("no stage holds its population")


def test_variants_are_compared_with_the_first_of_their_cell() -> None:
    """Digests are compared within a cell of the matrix, and the transcript as well."""
    small, large = {"connections": "10"}, {"connections": "20"}
    base = variant(SAMPLES, name="baseline", cell=small)
    variants = [
        base,
        replace(base, name="optimized"),
        replace(base, name="baseline", cell=large, digest="d2"),
        replace(base, name="optimized", cell=large, digest="d2"),
        replace(base, name="forgetful", cell=large, digest="d1"),
        replace(base, name="other-load", cell=large, digest="d2", transcript="t2"),
        replace(base, name="died", cell=large, digest=""),
    ]

    run = judge(
        recording(*variants),
        scenario(
            {},
            "baseline",
            "optimized",
            "forgetful",
            "other-load",
            "died",
        ),
    )

    assert [None, True, None, True, False, False, None] == [one.same_work for one in run.variants]
    assert (Verdict.CROSSED, ExitCode.THRESHOLDS_CROSSED) == (run.verdict, run.exit_code)
    assert {"forgetful", "other-load"} == {
        one.variant for one in run.thresholds if one.verdict is Verdict.CROSSED
    }


def test_the_reference_is_not_judged() -> None:
    """Of two variants only the second answers to a threshold that names none."""
    base = variant(SAMPLES, name="baseline")
    lean = [replace(one, anonymous_bytes=MIB + one.units) for one in SAMPLES]

    run = judge(
        recording(base, variant(lean, name="optimized")),
        scenario({"memory_per_connection": ["value<1KiB"]}, "baseline", "optimized"),
    )

    assert [("same_work", "optimized"), ("memory_per_connection", "optimized")] == [
        (one.metric, one.variant) for one in run.thresholds
    ]


def test_judging_twice_gives_the_same() -> None:
    """The verdict depends on the recording alone."""
    recorded = recording(variant(SAMPLES, pauses={(STEADY, 0): histogram(MS)}))
    rules = scenario(PASSING | CROSSED | UNKNOWN)

    assert judge(recorded, rules) == judge(recorded, rules)


@pytest.mark.parametrize(
    ("leak", "verdict"),
    [
        ({}, Verdict.CROSSED),
        ({"tolerate": "1MB/h"}, Verdict.CROSSED),
        ({"tolerate": "1GB/h"}, Verdict.PASSED),
        ({"tolerate": "360MB/h"}, Verdict.INCONCLUSIVE),
    ],
)
def test_a_leak_may_be_tolerated(leak: dict[str, Any], verdict: Verdict) -> None:
    """A leak of 360 MB/h fails a run, unless it is shown to be slower than what is tolerated."""
    chance = random.Random(2)
    sizes = [10 * MIB + 100_000 * second + chance.gauss(0, 100 * KIB) for second in range(60)]

    found = judge(recording(variant(steady(sizes))), scenario(leak=leak))

    assert verdict is found.verdict
    assert LeakVerdict.LEAK is found.variants[0].leak.verdict


def test_severities_are_the_scenario_s() -> None:
    """100 kB/s are of medium severity unless the scenario says otherwise."""
    leaky = recording(variant(steady([10 * MIB + 150_000 * second for second in range(60)])))
    severe = scenario(leak={"severity": {"critical": "120kB/s", "high": "110kB/s"}})

    found = [judge(leaky, one).variants[0].leak.severity for one in (scenario(), severe)]

    assert [Severity.MEDIUM, Severity.CRITICAL] == found


def test_the_defaults_of_a_scenario_are_those_of_a_watch() -> None:
    """The same leak is as severe in both."""
    assert SEVERITIES == _severities(LeakSection())


def test_a_leak_fills_what_its_control_group_allows() -> None:
    """The machine has 8 GiB; a limit of 1 GiB is reached in an eighth of the time or sooner."""
    leaky = recording(variant(steady([10 * MIB + 150_000 * second for second in range(60)])))
    limited = replace(leaky, environment={**leaky.environment, "memory_limit_bytes": 1024**3})

    free, full = (judge(one, scenario()).variants[0].leak.full_in_s for one in (leaky, limited))

    assert free is not None
    assert full is not None
    assert full < free / 7
