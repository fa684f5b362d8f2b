"""What reports and documents say of alerts, of runs and of watches."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import jsonschema
import pytest
from rich.console import Console

from memopt_cli.analysis import findings, watch_findings
from memopt_cli.analysis.alerts import Level
from memopt_cli.analysis.watch_limits import limits_of
from memopt_cli.cli import display, watch_tables
from memopt_cli.report import alerts, markdown, summary, watch_json, watch_markdown
from memopt_cli.report import json as run_json
from memopt_cli.report.github import job_summary, workflow_commands
from memopt_cli.report.schema import json_schema
from memopt_cli.report.watch_schema import json_schema as watch_schema
from tests.making import MIB, MS, histogram, plateau, recording, scenario, variant
from tests.watchings import process, readings, watching

if TYPE_CHECKING:
    from memopt_cli.analysis.results import RunFindings
    from memopt_cli.analysis.watch_results import WatchFindings

RUN_WORDS = "longest GC pause above 150 ms, 200 ms at worst, from 6.00 s to the end"
WATCH_WORDS = "longest GC pause above 80.0 ms, 90.0 ms at worst, from 3.00 s to 4.00 s"


@pytest.fixture
def paused() -> RunFindings:
    """Return a run with a pause that is too long."""
    samples = [
        plateau(0, None, resident_anonymous_bytes=10 * MIB),
        plateau(100, None, resident_anonymous_bytes=10 * MIB, gc_pause_max_s=0.2),
    ]
    return findings.judge(recording(variant(samples)), scenario())


@pytest.fixture
def watched() -> WatchFindings:
    """Return a watch of a process with such a pause."""
    read = readings(over_s=60.0, every_s=1.0)
    read[2] = replace(read[2], gc_pauses=1, gc_pause_s=0.09, gc_pause_max_s=0.09)
    one = process(read, pauses={2: histogram(90 * MS)})
    return watch_findings.judge(watching(one), limits_of())


def test_reports(paused: RunFindings, watched: WatchFindings) -> None:
    """A section of their own."""
    of_run, of_watch = markdown.markdown(paused), watch_markdown.markdown(watched)

    assert f"| critical | optimized | {RUN_WORDS} |" in of_run
    assert "## Alerts" in of_run
    assert f"| warning | 4711 | {WATCH_WORDS} |" in of_watch
    assert "## Alerts" in of_watch


def test_documents(paused: RunFindings, watched: WatchFindings) -> None:
    """In SI units, by the schema."""
    of_run, of_watch = run_json.document(paused), watch_json.document(watched)
    jsonschema.validate(json.loads(json.dumps(of_run)), json_schema())
    jsonschema.validate(json.loads(json.dumps(of_watch)), watch_schema())

    assert [
        {
            "alert": "MemoptGcPause",
            "severity": "critical",
            "of": "optimized",
            "limit": 0.15,
            "worst": 0.2,
            "began_s": 6.0,
            "ended_s": None,
        }
    ] == of_run["alerts"]
    assert [("4711", 3.0, 4.0)] == [
        (one["of"], one["began_s"], one["ended_s"]) for one in of_watch["alerts"]
    ]


def test_github(paused: RunFindings, watched: WatchFindings) -> None:
    """In the summary and as a warning: what, how bad, and when."""
    of_run, of_watch = summary.of_run(paused), summary.of_watch(watched)

    assert f"| critical | optimized | {RUN_WORDS} |" in job_summary(of_run)
    assert (
        f"::warning title=small%3A optimized::critical alert: {RUN_WORDS}"
    ) in workflow_commands(of_run).splitlines()
    assert f"| warning | 4711 | {WATCH_WORDS} |" in job_summary(of_watch)


def test_the_terminal(paused: RunFindings, watched: WatchFindings) -> None:
    """A line each, before the verdict."""
    out = Console(file=io.StringIO(), width=160)
    display.show_results(out, paused, "run")
    watch_tables.show(out, watched, "watch")
    text = out.file.getvalue()  # type: ignore[attr-defined] # of the StringIO

    assert f"critical alert: optimized: {RUN_WORDS}\n" in text
    assert f"warning alert: 4711: {WATCH_WORDS}\n" in text


def test_a_terminal_shows_a_few(paused: RunFindings) -> None:
    """Of eight alerts the first five; the others are counted."""
    shown = alerts.lines([replace(paused.alerts[0], owner=str(number)) for number in range(8)])

    assert [f"critical alert: {number}: {RUN_WORDS}" for number in range(5)] == shown[:-1]
    assert "3 more alerts are in the report." == shown[-1]


def test_what_fires_often_is_told_once(paused: RunFindings) -> None:
    """With the worst of all and how often, before what was never critical."""
    (one,) = paused.alerts
    again = [
        replace(one, level=Level.WARNING, worst=0.09, began_s=1.0, ended_s=2.0),
        replace(one, worst=0.3, began_s=3.0, ended_s=4.0),
        one,
        replace(one, level=Level.WARNING, worst=0.1, owner="pooled", began_s=1.0, ended_s=2.0),
    ]

    assert [
        (
            "critical alert: optimized: longest GC pause above 150 ms, 300 ms at worst, "
            "3 times from 1.00 s to the end"
        ),
        (
            "warning alert: pooled: longest GC pause above 80.0 ms, 100 ms at worst, "
            "from 1.00 s to 2.00 s"
        ),
    ] == alerts.lines([again[-1], *again[:-1]])


def test_of_nothing_nothing_is_said() -> None:
    """A run without an alert has no section of them."""
    quiet = findings.judge(recording(variant([plateau(0, None)])), scenario())

    assert "## Alerts" not in markdown.markdown(quiet)
    assert [] == run_json.document(quiet)["alerts"]
