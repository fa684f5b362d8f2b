"""What a comparison tells: the table, JSON, JUnit, the job summary, and its figure."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import TYPE_CHECKING

import jsonschema
import pytest

from memopt_cli.analysis.comparing import RunComparison, compare_runs
from memopt_cli.analysis.comparison import Change
from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.regressions import judge, parse
from memopt_cli.analysis.results import Estimate, ThresholdResult, Verdict
from memopt_cli.report import comparison
from memopt_cli.report.comparison_plot import comparison as figure
from memopt_cli.report.comparison_schema import json_schema
from memopt_cli.report.github import job_summary, workflow_commands
from memopt_cli.report.junit import junit
from memopt_cli.report.wording import times
from tests.making import distribution, estimate, found, run
from tests.report.test_outputs import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

BASE = run(found(name="baseline"), found(same_work=True))
WORSE = run(
    found(name="baseline"),
    found(
        same_work=True,
        memory=replace(found().memory, per_unit=estimate(4096, 64)),
        gc_pause=distribution(),
        retained=Estimate.exact(0.0),
    ),
)
CASES = {
    "same": compare_runs(BASE, BASE),
    "worse": compare_runs(BASE, WORSE),
    "other machine": compare_runs(BASE, replace(WORSE, environment={})),
    "unfinished": compare_runs(
        BASE, run(found(name="baseline"), found(outcome=Outcome.INTERRUPTED))
    ),
    "lost": compare_runs(BASE, run(found(name="baseline"), found(pauses_lost=1))),
}
ASKED = [parse("memory_per_connection>5%"), parse("gc_pause: max>20%")]


def _judged(name: str) -> tuple[RunComparison, Sequence[ThresholdResult]]:
    return CASES[name], judge(CASES[name], ASKED)


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("same", Verdict.INCONCLUSIVE),
        ("worse", Verdict.CROSSED),
        ("unfinished", Verdict.INCONCLUSIVE),
        ("lost", Verdict.INCONCLUSIVE),
    ],
)
def test_the_verdict(name: str, verdict: Verdict) -> None:
    """A regression crosses; a variant that is not compared, and a wide interval, do not pass."""
    one, results = _judged(name)

    assert verdict == comparison.verdict(results, [one])
    assert (name == "unfinished") == (comparison.verdict([], [one]) is Verdict.INCONCLUSIVE)


@pytest.mark.parametrize("name", CASES)
def test_json_holds_to_its_schema(name: str) -> None:
    """Every comparison is valid JSON of the published shape."""
    one, results = _judged(name)
    text = comparison.to_json([("new", one)], [results], base="old", exit_code=0)

    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.validate(json.loads(text), json_schema())


def test_json() -> None:
    """What was before and is after, whether that is shown, and whether it is worse."""
    one, results = _judged("worse")
    told = json.loads(comparison.to_json([("new", one)], [results], base="old", exit_code=99))
    (new,) = told["runs"]
    names = ("before", "after", "shown", "worse")
    found = {
        (each["metric"], each["aggregation"]): tuple(each[name] for name in names)
        for each in new["variants"][1]["measures"]
    }
    before, after, *memory = found["memory_per_unit", "value"]

    assert (99, "crossed", "old", "new") == (
        told["exit_code"],
        told["verdict"],
        told["base"],
        new["name"],
    )
    assert [2048, 4096, True, True] == [before["value"], after["value"], *memory]
    assert (True, False) == found["gc_pause", "max"][2:]
    assert (False, False) == found["memory_total", "value"][2:]


def test_markdown() -> None:
    """Both figures with their intervals, and the change, or that none is shown."""
    one, results = _judged("worse")
    lines = comparison.markdown([("new", one)], [results], base="old").splitlines()

    assert "small: measures worse 1, better 3, no difference shown 21." in lines
    shown = [line for line in lines if "| memory per connection |" in line]
    assert shown == [
        (
            "| baseline | memory per connection | 2.00 KiB (1.94 to 2.06) "
            "| 2.00 KiB (1.94 to 2.06) | no difference shown |"
        ),
        (
            "| optimized | memory per connection | 2.00 KiB (1.94 to 2.06) "
            "| 4.00 KiB (3.94 to 4.06) | 100 % more (87.2 to 114) |"
        ),
    ]
    assert "| optimized | GC pause, max | 4.00 ms | 0 s | 100 % less |" in lines
    assert (
        "| CROSSED | `regression: memory_per_connection>5%` | optimized | 100 % (87.2 to 114) |"
    ) in lines


def test_another_machine_and_a_refusal_are_told() -> None:
    """What differs in the machine stands before the table, what is not compared after it."""
    other = comparison.markdown([("new", CASES["other machine"])], [[]], base="old")
    refused = comparison.markdown([("new", CASES["unfinished"])], [[]], base="old")

    assert "The machines differ, and so may the figures: python (CPython 3.11.7, then not" in other
    assert "**optimized** is not compared: it did not finish in both runs." in refused


@pytest.mark.parametrize("name", CASES)
def test_junit_and_github(name: str) -> None:
    """A regression is a failure and an error's annotation; what is not compared is an error."""
    one, results = _judged(name)
    told = comparison.summary("new", "old", one, results)
    of_parts = [(part.name, check) for part in told.parts for check in part.checks]
    assert all(name == check.variant for name, check in of_parts)
    assert [*results] == [check for _, check in told.all_checks]
    root = ET.fromstring(junit([told]))  # noqa: S314 - our own document
    crossed = sum(result.verdict is Verdict.CROSSED for result in results)

    SCHEMA.validate(root)
    assert str(crossed) == root.get("failures")
    assert crossed == workflow_commands(told).count("::error ")
    assert job_summary(told).startswith(f"## new against old: {told.verdict}\n\n### new\n\n")
    assert ("not compared: it did not finish" in junit([told])) == (name == "unfinished")


def test_the_figure_says_what_is_worse() -> None:
    """A panel for each variant; its title is what it shows; of nothing there is none."""
    drawn = figure([("new", CASES["worse"]), ("newer", CASES["same"])])

    assert drawn is not None
    assert [axes.get_title(loc="left") for axes in drawn.axes] == [
        "baseline:\nnothing shown to be worse",
        "optimized:\nmemory per connection worse",
    ]
    assert figure([("new", compare_runs(run(), run()))]) is None


@pytest.mark.parametrize(("factor", "told"), [(999.4, "999"), (999.6, "1,000"), (12345, "12,345")])
def test_a_factor_has_no_exponent(factor: float, told: str) -> None:
    """Three figures below a thousand, and all that stand before the point from there on."""
    fell = Change(Estimate.exact(factor), Estimate.exact(1.0), factor, factor, factor)

    assert f"{told} ({told} to {told})" == times(fell)
