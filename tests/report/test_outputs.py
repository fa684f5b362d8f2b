"""Each output for machines holds to its own standard, and says what the findings say."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import xmlschema
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as textfile_families

from memopt_cli.analysis.alerts import RULES, Alert, Level
from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.results import Estimate, How, Verdict
from memopt_cli.analysis.watch_findings import judge
from memopt_cli.analysis.watch_limits import limits_of
from memopt_cli.report import summary
from memopt_cli.report.benchmark import benchmark
from memopt_cli.report.github import MOST_ANNOTATIONS, job_summary, workflow_commands
from memopt_cli.report.html import html
from memopt_cli.report.junit import junit
from memopt_cli.report.openmetrics import Gauge, openmetrics
from memopt_cli.report.plots import Picture
from tests.making import estimate, found, result, run
from tests.report.test_json import RUNS
from tests.watchings import flat, leaking, watching, workers

if TYPE_CHECKING:
    from memopt_cli.report.summary import Summary

SCHEMA = xmlschema.XMLSchema(str(Path(__file__).with_name("junit.xsd")))
HOSTILE = 'a"b\\c\n]]><x>\x1b[31m\ud800 ü | `d`, 5 %: e\r'

WATCHES = {
    "a leak": watching(leaking()),
    "no leak": watching(flat()),
    "workers": watching(*workers(3, 1)),
    "interrupted watch": watching(flat(), outcome=Outcome.INTERRUPTED, signal=2, reason="SIGINT"),
    "killed watch": watching(flat(), outcome=Outcome.RUNNING),
    "nothing read": watching(),
}

SUMMARIES: dict[str, Summary] = {
    **{name: summary.of_run(one) for name, one in RUNS.items()},
    **{
        name: summary.of_watch(judge(one, limits_of(thresholds=["gc_pause: max<1s"])))
        for name, one in WATCHES.items()
    },
    "hostile": summary.of_run(
        run(
            found(name=HOSTILE, cell={HOSTILE: HOSTILE}, failure=HOSTILE, outcome=Outcome.FAILED),
            scenario=HOSTILE,
            reason=HOSTILE,
            outcome=Outcome.FAILED,
            thresholds=tuple(
                result(verdict, variant=HOSTILE, cell={HOSTILE: HOSTILE}, reason=HOSTILE)
                for verdict in Verdict
            ),
        )
    ),
}

BENCHMARK_SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "unit": {"type": "string"},
            "value": {"type": "number", "exclusiveMinimum": 0},
            "range": {"type": "string", "pattern": r"^[0-9.e+-]+$"},
            "extra": {"type": "string"},
        },
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
    },
}


def _cases(told: Summary) -> dict[tuple[str, str], str]:
    """Return what became of each test case, by its suite and name."""
    cases = ET.fromstring(junit([told])).iter("testcase")  # noqa: S314 - our own document
    return {
        (case.attrib["classname"], case.attrib["name"]): next(
            (one.tag for one in case if one.tag != "system-out"), "passed"
        )
        for case in cases
    }


@pytest.mark.parametrize("name", SUMMARIES)
def test_junit_holds_to_its_schema(name: str) -> None:
    """Passed, crossed, inconclusive, failed, interrupted and hostile runs are valid."""
    root = ET.fromstring(junit([SUMMARIES[name]]))  # noqa: S314 - our own document

    SCHEMA.validate(root)
    for owner in (root, *root.iter("testsuite")):
        cases = list(owner.iter("testcase"))
        failures = [case for case in cases if case.find("failure") is not None]
        assert (owner.get("tests"), owner.get("failures")) == (str(len(cases)), str(len(failures)))


def test_the_schema_can_refuse() -> None:
    """A suite without its counts, and seconds with four decimals, are not valid."""
    for wrong in ('<testsuite name="a"/>', '<testsuites time="1.2345"/>', "<testcase/>"):
        assert not SCHEMA.is_valid(ET.fromstring(wrong))  # noqa: S314 - our own documents


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("passed", ["passed"] * 4),
        ("crossed", ["passed", "passed", "failure"]),
        ("inconclusive", ["passed", "passed", "error"]),
        ("interrupted", ["error", "error", "passed"]),
        ("failed", ["error", "error", "passed"]),
        ("a leak", ["passed", "failure", "passed"]),
        ("no leak", ["passed", "passed", "passed"]),
        ("interrupted watch", ["error", "passed", "passed"]),
        ("killed watch", ["error", "passed", "passed"]),
    ],
)
def test_junit_verdicts(name: str, told: list[str]) -> None:
    """Crossed is a failure; inconclusive and unfinished are errors; nothing else is either."""
    assert sorted(told) == sorted(_cases(SUMMARIES[name]).values())


def test_junit() -> None:
    """The whole document: an interrupted run with a crossed threshold."""
    told = summary.of_run(
        run(
            found(outcome=Outcome.INTERRUPTED, failure="SIGTERM"),
            outcome=Outcome.INTERRUPTED,
            reason="SIGTERM",
            thresholds=(result(Verdict.CROSSED, observed=estimate(3e6, 64)),),
            verdict=Verdict.CROSSED,
        )
    )

    assert """\
<?xml version="1.0" encoding="utf-8"?>
<testsuites name="memopt" tests="3" failures="1" errors="2" time="2.500">
  <testsuite name="small" time="2.500" timestamp="2026-01-31T12:00:00" tests="1" failures="0" \
errors="1">
    <testcase classname="small" name="finished" time="0.000">
      <error type="interrupted" message="did not finish: interrupted: SIGTERM" />
    </testcase>
    <system-out>small: crossed (1 crossed). The run did not finish: SIGTERM.</system-out>
  </testsuite>
  <testsuite name="small: optimized" time="1.250" timestamp="2026-01-31T12:00:00" tests="2" \
failures="1" errors="1">
    <testcase classname="small: optimized" name="finished" time="0.000">
      <error type="interrupted" message="did not finish: interrupted: SIGTERM" />
    </testcase>
    <testcase classname="small: optimized" name="memory_per_connection: value&lt;2MB" time="0.000">
      <failure type="crossed" message="2.86 MiB (2.86 to 2.86)">memory_per_connection: \
value&lt;2MB: crossed, observed 2.86 MiB (2.86 to 2.86)</failure>
    </testcase>
  </testsuite>
</testsuites>
""" == junit([told])


def _samples(text: str, parse: Any) -> dict[str, list[tuple[dict[str, str], float]]]:
    return {
        family.name: [(one.labels, one.value) for one in family.samples] for family in parse(text)
    }


@pytest.mark.parametrize("name", SUMMARIES)
def test_openmetrics_is_parsed(name: str) -> None:
    """OpenMetrics' own parser reads every run, and the textfile's reads the same from it."""
    text = openmetrics([SUMMARIES[name]])
    families: list[Any] = list(text_string_to_metric_families(text))

    assert text.endswith("\n# EOF\n")
    assert {"gauge"} == {family.type for family in families}
    assert all(not family.unit or family.name.endswith(f"_{family.unit}") for family in families)
    assert _samples(text, text_string_to_metric_families) == _samples(text, textfile_families)


def test_openmetrics_says_what_was_found() -> None:
    """Verdicts are one for what holds, sizes are bytes with their interval, nothing is zero."""
    told = _samples(openmetrics([SUMMARIES["inconclusive"]]), text_string_to_metric_families)
    labels = {"scenario": "small", "variant": "optimized", "unit": "connection"}

    assert told["memopt_verdict"] == [
        ({"scenario": "small", "verdict": "passed"}, 0.0),
        ({"scenario": "small", "verdict": "crossed"}, 0.0),
        ({"scenario": "small", "verdict": "inconclusive"}, 1.0),
    ]
    assert told["memopt_memory_per_unit_bytes"] == [(labels, 2048.0)]
    assert told["memopt_memory_per_unit_low_bytes"] == [(labels, 1984.0)]
    assert told["memopt_memory_per_unit_high_bytes"] == [(labels, 2112.0)]
    assert [3e-5] == pytest.approx([v for _, v in told["memopt_operation_latency_p99_seconds"]])
    assert told["memopt_finished"] == [({"scenario": "small"}, 1.0)]
    assert {"memopt_gc_pause_max_seconds", "memopt_memory_retained_bytes"} & told.keys() == set()


def test_openmetrics_says_what_did_not_finish() -> None:
    """A run that was cut short is 0, as a watch that was killed is."""
    for name in ("interrupted", "failed", "killed watch"):
        told = _samples(openmetrics([SUMMARIES[name]]), text_string_to_metric_families)
        assert [0.0] == [value for _, value in told["memopt_finished"]]


def test_several_runs_are_one_exposition() -> None:
    """Each family stands once, with the series of all runs; a textfile has no second one."""
    other = replace(SUMMARIES["passed"], name="other")
    told = _samples(openmetrics([SUMMARIES["passed"], other]), text_string_to_metric_families)

    assert [1.0, 1.0] == [value for _, value in told["memopt_finished"]]


def test_what_is_known_now_stands_beside_what_was_judged() -> None:
    """With its unit and a help; what both tell is told once, as it was judged."""
    whole = {"scenario": "small"}
    now = [
        Gauge("memopt_finished", whole, 0.0),
        Gauge("memopt_current_memory_bytes", {**whole, "variant": "a"}, 7.0),
        Gauge("memopt_current_units", {**whole, "variant": "a"}, 3.0),
        Gauge("memopt_last_sample_timestamp_seconds", {**whole, "variant": "a"}, 1.7e9),
        Gauge("memopt_progress_ratio", whole, 0.5),
    ]
    text = openmetrics([SUMMARIES["passed"]], now)
    told = _samples(text, text_string_to_metric_families)

    assert [1.0] == [value for _, value in told["memopt_finished"]]
    assert [({**whole, "variant": "a"}, 7.0)] == told["memopt_current_memory_bytes"]
    assert [7.0, 3.0, 1.7e9, 0.5] == [told[one.name][0][1] for one in now[1:]]
    assert [0.0] == [
        value
        for _, value in _samples(openmetrics([], now), text_string_to_metric_families)[
            "memopt_finished"
        ]
    ]


@pytest.mark.parametrize("name", SUMMARIES)
def test_benchmark_holds_to_its_shape(name: str) -> None:
    """The action's fields, of positive figures only, each name once."""
    told = json.loads(benchmark([SUMMARIES[name]]))

    jsonschema.validate(told, BENCHMARK_SCHEMA)
    assert len(told) == len({one["name"] for one in told})


def test_benchmark_compares_nothing_unfinished() -> None:
    """A run that was cut short adds no point to a history; a watch that a person ended does."""
    lengths = {name: len(json.loads(benchmark([one]))) for name, one in SUMMARIES.items()}

    assert [0, 0, 0] == [lengths[name] for name in ("interrupted", "failed", "killed watch")]
    assert min(lengths["passed"], lengths["interrupted watch"]) > 0


def test_benchmark() -> None:
    """A figure with the wider side of its interval, and in words what it is."""
    told = json.loads(benchmark([SUMMARIES["passed"]]))

    assert {
        "name": "small / optimized / memory per connection",
        "unit": "bytes",
        "value": 2048,
        "range": "64",
        "extra": "2.00 KiB (1.94 to 2.06), fitted",
    } in told


def test_benchmark_shows_the_wider_side() -> None:
    """One number stands behind the plus-minus sign; a variant that did not finish has none."""
    memory = replace(found().memory, per_unit=Estimate(2048, 2040, 2112, How.FITTED))
    whole = summary.of_run(run(found(memory=memory), found(outcome=Outcome.FAILED, name="other")))
    told = {one["name"]: one for one in json.loads(benchmark([whole]))}

    assert "64" == told["small / optimized / memory per connection"]["range"]
    assert {"optimized"} == {name.split(" / ")[1] for name in told}


@pytest.mark.parametrize("name", SUMMARIES)
def test_workflow_commands_are_lines(name: str) -> None:
    """Every annotation is one command, whatever is in the names."""
    lines = workflow_commands(SUMMARIES[name]).split("\n")[:-1]

    assert all(line.startswith(("::error title=", "::warning title=")) for line in lines)
    assert all(2 == len([at for at in line.split("::") if at]) for line in lines)
    assert not any("\r" in line for line in lines)


def test_workflow_commands() -> None:
    """Crossed is an error, inconclusive and interrupted warn, what passed is silent."""
    told = [workflow_commands(SUMMARIES[name]) for name in ("crossed", "inconclusive", "passed")]

    assert told == [
        (
            "::error title=small::memory_per_connection: value<2MB in steady, last 10.0 s: "
            "crossed, 2.00 KiB (1.94 to 2.06)\n"
        ),
        (
            "::warning title=small%3A optimized::memory_per_connection: value<2MB: inconclusive, "
            "not measured: no plateaus\n"
        ),
        "",
    ]
    assert "::warning title=small::did not finish: interrupted: SIGINT\n" == workflow_commands(
        SUMMARIES["interrupted"]
    )


def test_no_more_annotations_than_are_shown() -> None:
    """Of twenty crossed thresholds ten are marked, and all are in the summary."""
    many = summary.of_run(
        run(
            found(),
            thresholds=tuple(result(Verdict.CROSSED, metric=f"m{n}") for n in range(20)),
        )
    )

    assert MOST_ANNOTATIONS == len(workflow_commands(many).splitlines())
    assert 20 == job_summary(many).count("| CROSSED |")


def test_the_room_for_warnings_is_shared() -> None:
    """By a run that did not finish, by what is inconclusive, and by alerts, in this order."""
    lengths = []
    for checks, alerts in ((20, 20), (4, 20), (4, 2)):
        unfinished = run(
            found(),
            outcome=Outcome.INTERRUPTED,
            thresholds=tuple(result(Verdict.INCONCLUSIVE, metric=f"m{n}") for n in range(checks)),
            alerts=tuple(
                Alert(RULES[0], f"variant {n}", Level.WARNING, 3e6, 0.0, None)
                for n in range(alerts)
            ),
        )
        lines = workflow_commands(summary.of_run(unfinished)).splitlines()
        lengths.append((len(lines), sum("warning alert: " in line for line in lines)))

    assert [(MOST_ANNOTATIONS, 0), (MOST_ANNOTATIONS, 5), (7, 2)] == lengths


def test_a_summary_begins_with_the_worst() -> None:
    """Whatever the order in which thresholds were asked for."""
    order = (Verdict.PASSED, Verdict.INCONCLUSIVE, Verdict.CROSSED)
    told = job_summary(summary.of_run(run(found(), thresholds=tuple(map(result, order)))))
    rows = [line for line in told.splitlines() if "memory_per_connection: value" in line]

    assert ["CROSSED", "inconclusive", "passed"] == [row.split(" | ")[0][2:] for row in rows]


def test_job_summary() -> None:
    """The verdict, the checks, worst first, and the figures folded away."""
    lines = job_summary(SUMMARIES["inconclusive"]).splitlines()

    assert lines[:7] == [
        "## small: inconclusive",
        "",
        "small: inconclusive (1 inconclusive).",
        "",
        "| Verdict | Check | Of | Observed |",
        "| --- | --- | --- | --- |",
        (
            "| inconclusive | `memory_per_connection: value<2MB` | optimized | "
            "not measured: no plateaus |"
        ),
    ]
    assert "| optimized | memory per connection | 2.00 KiB (1.94 to 2.06) |" in lines


def test_html_needs_nothing_beside_it() -> None:
    """Pictures are in the page, tables are tables, and text stays text."""
    picture = Picture("a.png", "A <title>", b"\x89PNG")
    page = html(
        "# A & B\n\n<script>x</script>\n\n![A](a.png)\n\n| a |\n| --- |\n| b |\n", [picture]
    )

    assert "<title>A &amp; B</title>" in page
    assert 'src="data:image/png;base64,iVBORw=="' in page
    assert ("<td>b</td>" in page, "<script>" in page, "http" in page) == (True, False, False)
