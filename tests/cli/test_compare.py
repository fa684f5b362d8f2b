"""`memopt compare` as a CI job uses it: what is refused, what regressed, what is written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import Memopt
from tests.cli.test_watch_report import watched

if TYPE_CHECKING:
    from pathlib import Path

# Of 300 records of 100 bytes an arena hides so much that now the heap is fitted, now what is seen
# from outside, and figures of the two are not compared.
SCENARIO = """\
version: 1
name: small
workload: connections
connections: {{message_mix: {{13B: 100%}}}}
variants: [{{name: only, compact: {compact}}}]
load:
  message_rate: 1/s
  stages:
    - {{name: baseline, duration: 1s, connections: 0}}
    - {{name: ramp-up, duration: 5s, connections: 2000, plateaus: 5}}
    - {{name: steady, duration: 5s, connections: 2000}}
    - {{name: drain, duration: 1s, connections: 0}}
seed: {seed}
"""


@pytest.fixture(scope="module")
def memopt(tmp_path_factory: pytest.TempPathFactory) -> Memopt:
    """Return the command beside three runs: compact, not compact, and of another seed."""
    memopt = Memopt(tmp_path_factory.mktemp("compared"))
    for name, compact, seed in (("base", "on", 1), ("new", "off", 1), ("other", "on", 2)):
        path = memopt.write(name, SCENARIO.format(compact=compact, seed=seed))
        assert 0 == memopt("simulate", path, "--out", name, "--quiet").returncode
    return memopt


def test_a_regression_exits_99(memopt: Memopt) -> None:
    """Dictionaries instead of records are a regression, in every form that was asked for."""
    done = memopt(
        *("compare", "base", "new", "--fail-on-regression", "memory_per_connection_loaded>5%"),
        *("--out", "compared", "--out", "junit=j.xml", "--out", "json=-"),
    )
    told = json.loads(done.stdout)

    assert (99, "crossed", 99) == (done.returncode, told["verdict"], told["exit_code"])
    assert {"comparison.md", "comparison.json", "comparison.png"} == {
        path.name for path in (memopt.folder / "compared").iterdir()
    }
    assert done.stdout == (memopt.folder / "compared" / "comparison.json").read_text("utf-8")
    assert 'failures="1"' in (memopt.folder / "j.xml").read_text("utf-8")
    assert "CROSSED: memory_per_connection_loaded>5%, only: " in done.stderr


def test_several_runs_and_no_regression(memopt: Memopt) -> None:
    """A run against itself shows no difference; less memory is no regression."""
    done = memopt("compare", "new", "new", "base", "--fail-on-regression", "memory_total>5%")

    assert (0, "") == (done.returncode, done.stderr)
    assert "small: measures worse 0, better 0, no difference shown " in done.stdout
    assert "passed: memory_total>5%, only: " in done.stdout
    assert "The machines differ" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["base", "other"], 2, "error: other and base cannot be compared: only: it was given ano"),
        (["base", "no"], 2, "error: no holds no run"),
        (["base", "new", "--fail-on-regression", "memory>5%"], 2, "error: unknown measure 'memor"),
        *(
            (
                ["base", "new", "--out", f"{form}=b"],
                2,
                f"error: a comparison is not written as {form}\n",
            )
            for form in ("benchmark", "openmetrics", "prometheus-rules", "json-schema")
        ),
        (["base", "new", "--out", "-"], 2, "error: --out - names no format\n"),
        (["base", "new", "--out", "base.yaml"], 2, "error: cannot make base.yaml: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refused(memopt: Memopt, arguments: list[str], code: int, told: str) -> None:
    """What cannot be compared says why, and what to do."""
    done = memopt("compare", *arguments)

    assert code == done.returncode
    assert done.stderr.startswith(told)


def test_a_run_is_judged_beside_its_baseline(memopt: Memopt) -> None:
    """A regression is a check of the run, kept with it, and the same when it is told again."""
    asked = ("--fail-on-regression", "memory_total>50%", "--fail-on-regression", "memory_total<50%")
    done = memopt("simulate", "base.yaml", "--baseline", "base", "--out", "again", *asked)
    again = json.loads(memopt("report", "again", "--format", "json").stdout)
    alone = memopt("simulate", "base.yaml", "--fail-on-regression", "memory_total>5%")

    assert 99 == done.returncode
    assert [("memory_total>50%", "passed"), ("memory_total<50%", "crossed")] == [
        (one["expression"], one["verdict"])
        for one in again["thresholds"]
        if one["metric"] == "regression"
    ]
    assert (
        2,
        "error: --fail-on-regression needs a run to compare with\n  Add --baseline RUN.\n",
    ) == (
        alone.returncode,
        alone.stderr,
    )


def test_a_watch_is_not_compared(memopt: Memopt, tmp_path: Path) -> None:
    """Nothing shows that two watches saw the same work."""
    with watched(tmp_path) as directory:
        done = memopt("compare", "base", str(directory))

    assert 2 == done.returncode
    assert "is a watch: nothing shows that two watches saw the same work" in done.stderr


def test_a_job_of_github_is_told(memopt: Memopt, tmp_path: Path) -> None:
    """The job's summary has the table, and the regression an annotation."""
    summary = tmp_path / "summary.md"
    done = memopt(
        *("compare", "base", "new", "--fail-on-regression", "memory_per_connection_loaded>5%"),
        GITHUB_ACTIONS="true",
        GITHUB_STEP_SUMMARY=str(summary),
    )

    assert summary.read_text("utf-8").startswith("## new against base: crossed\n")
    assert "\n::error title=new against base%3A only::regression: " in done.stdout
