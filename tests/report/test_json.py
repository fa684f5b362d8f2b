"""run.json holds to its published schema, whatever became of the run."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import jsonschema
import pytest

from memopt_cli.analysis.comparing import compare_runs
from memopt_cli.analysis.findings import judge
from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.regressions import judge as judge_regressions
from memopt_cli.analysis.regressions import parse
from memopt_cli.analysis.results import Verdict
from memopt_cli.exit_codes import ExitCode
from memopt_cli.report.json import document, to_json
from memopt_cli.report.schema import json_schema
from tests.making import (
    estimate,
    found,
    plateau,
    recording,
    result,
    run,
    sample,
    scenario,
    steady,
    thought,
    unmeasured,
    variant,
)

if TYPE_CHECKING:
    from memopt_cli.analysis.results import RunFindings

RUNS = {
    "passed": run(found(name="baseline"), found(same_work=True)),
    "agents": run(
        found(name="naive", unit="agents", total=estimate(1e6), steady_per_s=100.0),
        found(unit="agents", fidelity=thought(), total=estimate(1e5), steady_per_s=1000.0),
        found(name="lost", unit="agents", fidelity=thought(missing=9, posterior=None)),
    ),
    "crossed": run(
        found(cell={"connections": "1000"}),
        thresholds=(result(Verdict.CROSSED, stage="steady", window_s=10.0),),
        verdict=Verdict.CROSSED,
        exit_code=ExitCode.THRESHOLDS_CROSSED,
        clock="wall",
    ),
    "inconclusive": run(
        found(gc_pause=None, pool=None, retained=None),
        thresholds=(result(Verdict.INCONCLUSIVE, observed=None, reason="no plateaus"),),
        verdict=Verdict.INCONCLUSIVE,
        exit_code=ExitCode.INCONCLUSIVE,
    ),
    "failed": run(
        unmeasured(),
        outcome=Outcome.FAILED,
        reason="the subject died",
        verdict=Verdict.INCONCLUSIVE,
        exit_code=ExitCode.TARGET_FAILED,
    ),
    "interrupted": run(
        found(outcome=Outcome.INTERRUPTED, failure="SIGINT"),
        outcome=Outcome.INTERRUPTED,
        reason="SIGINT",
        signal=2,
        verdict=Verdict.INCONCLUSIVE,
        exit_code=ExitCode.INTERRUPTED,
    ),
    "ranked": run(
        found(name="baseline", cell={"connections": "1000"}),
        found(cell={"connections": "1000"}, same_work=True, pauses_lost=1),
        found(name="other", cell={"connections": "1000"}, same_work=True, gc_pause=None),
        found(name="fake", cell={"connections": "1000"}, same_work=False),
    ),
    "regressed against what nothing bounds": run(
        found(),
        thresholds=tuple(
            judge_regressions(
                compare_runs(run(found(pauses_lost=1)), run(found())), [parse("gc_pause: max>1ms")]
            )
        ),
    ),
    "empty": run(thresholds=(), environment={}),
    "judged": judge(
        recording(variant([sample(0.0), plateau(100, 1000)], pool={"reuse_ratio": None})),
        scenario({"memory_per_connection": ["value<2MB"], "gc_pause": ["p(99)<1ms"]}),
    ),
    "beside a baseline": judge(
        recording(
            variant(steady([10e6 + 5000 * n for n in range(60)])),
            baseline=recording(variant(steady([10e6] * 60))),
            baseline_name="reports/clean",
        ),
        scenario(),
    ),
    "judged, nothing recorded": judge(
        recording(variant([], stages=(), recorder_installed=False)),
        scenario({"memory_per_connection": ["value<2MB"]}),
    ),
}


def _refused(constant: str) -> None:
    """Refuse what Python reads and JSON does not have."""
    raise AssertionError(f"{constant} in a document")


@pytest.mark.parametrize("name", RUNS)
def test_every_run_holds_to_the_schema(name: str) -> None:
    """Passed, crossed, inconclusive, failed, interrupted and empty runs are valid."""
    text = to_json(RUNS[name])

    jsonschema.validate(json.loads(text, parse_constant=_refused), json_schema())
    assert text == to_json(RUNS[name])
    assert text.endswith("}\n")


def test_the_schema_is_a_schema() -> None:
    """The published schema is itself valid."""
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    ("key", "value"),
    [("verdict", "ok"), ("exit_code", "0"), ("wall_s", None), ("unknown", 1), ("variants", [{}])],
)
def test_the_schema_refuses_what_is_wrong(key: str, value: object) -> None:
    """A wrong verdict, type or unknown key does not validate."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document(RUNS["passed"]), key: value}, json_schema())


def test_figures_that_were_not_measured_are_null() -> None:
    """A variant without a reading has null, never zero, for what it would have read."""
    (told,) = document(RUNS["failed"])["variants"]

    assert {name for name, value in told.items() if value is None} == {
        "memory_per_unit_bytes",
        "memory_per_unit_loaded_bytes",
        "memory_per_unit_cross_check_bytes",
        "fixed_bytes",
        "peak_uss_bytes",
        "peak_rss_bytes",
        "kernel_per_unit_bytes",
        "retained_bytes",
        "gc_pause_s",
        "operations",
        "busy_s",
        "cpu_s",
        "wall_s",
        "operations_per_s",
        "pool",
        "fidelity",
        "digest",
        "transcript",
        "same_work",
    }
    assert told["operation_latency_s"] == {"p50": None, "p99": None, "max": None, "count": 0}


def test_units_are_those_of_the_names() -> None:
    """Slopes are per hour, an estimate has value, interval and how, the code is a number."""
    told = document(RUNS["passed"])
    (first, _) = told["variants"]

    assert first["leak"]["slope_bytes_per_hour"] == {
        "value": 0.0,
        "low": -36_864.0,
        "high": 36_864.0,
        "how": "simulated",
    }
    assert first["leak"]["detectable_bytes_per_hour"] == 36_864.0
    assert first["memory_per_unit_bytes"] == {
        "value": 2048,
        "low": 1984,
        "high": 2112,
        "how": "fitted",
    }
    assert first["gc_pause_s"]["share"] == pytest.approx(0.008)
    assert (1, told["exit_code"], told["simulated_s"]) == (told["schema_version"], 0, 85.0)


def test_a_run_on_the_wall_clock_has_no_simulated_time() -> None:
    """Simulated seconds are null where none were simulated."""
    assert document(RUNS["crossed"])["simulated_s"] is None


def test_thresholds_keep_what_they_were_judged_on() -> None:
    """The whole threshold is there, with its unrounded figure."""
    run_: RunFindings = run(
        thresholds=(result(observed=estimate(1_999_999.5, 0.25), cell={"connections": "10"}),)
    )

    assert document(run_)["thresholds"] == [
        {
            "metric": "memory_per_connection",
            "expression": "value<2MB",
            "stage": None,
            "window_s": None,
            "cell": {"connections": "10"},
            "variant": "optimized",
            "observed": {
                "value": 1_999_999.5,
                "low": 1_999_999.25,
                "high": 1_999_999.75,
                "how": "fitted",
            },
            "verdict": "passed",
            "reason": None,
        }
    ]


def test_a_ranking_keeps_its_figures() -> None:
    """Unrounded, with what was saved and by what factor; an end that nothing bounds is null."""
    (ranking,) = document(RUNS["ranked"])["rankings"]
    lost, _ = ranking["ranked"]

    assert ranking["cell"] == {"connections": "1000"}
    assert ranking["reference"] == "baseline"
    assert ranking["refused"] == [{"variant": "fake", "reason": "other_work"}]
    assert [(one["place"], one["variant"]) for one in ranking["ranked"]] == [
        (1, "optimized"),
        (2, "other"),
    ]
    assert lost["gc_pause_max_s"] == {
        "before": 0.004,
        "after": 0.004,
        "saved": {"value": 0.0, "low": None, "high": pytest.approx(0.004)},
        "factor": None,
        "shown": False,
    }
    assert lost["summary"] == (
        "optimized shows no difference in memory per connection, the longest pause or the "
        "median operation."
    )


def test_a_saving_has_a_factor() -> None:
    """A tenth of the bytes: nine tenths saved, ten times less, and the interval of both."""
    memory = replace(found().memory, per_unit=estimate(204.8))
    first = found(memory=replace(memory, per_unit=estimate(2048)))
    told = document(run(first, found(name="x", same_work=True, memory=memory)))

    assert told["rankings"][0]["ranked"][0]["memory_per_unit_bytes"] == {
        "before": 2048,
        "after": 204.8,
        "saved": {
            "value": pytest.approx(1843.2),
            "low": pytest.approx(1843.2 - 22.528),
            "high": pytest.approx(1843.2 + 22.528),
        },
        "factor": {
            "value": pytest.approx(10),
            "low": pytest.approx(10 * 0.99 / 1.01),
            "high": pytest.approx(10 * 1.01 / 0.99),
        },
        "shown": True,
    }
