"""`--out format=path` and `memopt report --format`, as a CI job uses them."""

from __future__ import annotations

import json
import os
import signal
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import jsonschema
import pytest

from memopt_cli.cli.outputs import Chosen, Format, chosen
from memopt_cli.errors import StoreError, UsageError
from tests.cli.conftest import Memopt
from tests.cli.test_watch_report import watched

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    import psutil

    Endless = Callable[[int], tuple[psutil.Popen, list[psutil.Process]]]

OVER = 'memory_per_unit: ["value<1KiB"]'


def _verdicts(path: Path) -> tuple[str | None, str | None]:
    root = ET.parse(path).getroot()  # noqa: S314 - our own document
    return root.get("failures"), root.get("errors")


def test_what_out_asks_for(tmp_path: Path) -> None:
    """A word and an equals sign name a format; anything else is the run's folder."""
    assert Chosen("runs/a=b") == chosen(["runs/a=b"])
    assert Chosen("./json=x") == chosen(["./json=x"])
    found = chosen(["junit=a.xml", "here", "json=-", f"html={tmp_path}/b=c.html"])

    assert ("here", Format.JSON) == (found.folder, found.printed)
    assert ["junit a.xml", f"html {tmp_path}/b=c.html"] == [f"{f} {p}" for f, p in found.files]


@pytest.mark.parametrize(
    ("texts", "told", "hint"),
    [
        (["juint=a.xml"], "there is no format 'juint'", "Did you mean 'junit'?"),
        (["junit="], "names no file", "Write --out junit=PATH."),
        (["a", "b"], "names two folders: a, b", "Name one."),
        (["json=-", "junit=-"], "two outputs would go to -", "Name two files."),
        (["json=a", "junit=a"], "two outputs would go to a", "Name two files."),
    ],
)
def test_what_out_refuses(texts: list[str], told: str, hint: str) -> None:
    """What is ambiguous or unknown is refused with what to write instead."""
    with pytest.raises(UsageError, match=told) as refused:
        chosen(texts)
    assert refused.value.hint.startswith(hint)


@pytest.fixture(scope="module")
def crossed(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Memopt, subprocess.CompletedProcess[str]]:
    """Return a run over its limit, written in several formats."""
    memopt = Memopt(tmp_path_factory.mktemp("crossed"))
    done = memopt(
        *("simulate", memopt.synthetic("over", OVER), "--out", "run", "--out", "junit=j.xml"),
        *("--out", "json=-", "--out", "openmetrics=m.prom", "--out", "benchmark=b.json"),
    )
    return memopt, done


def test_simulate_writes_all(crossed: tuple[Memopt, subprocess.CompletedProcess[str]]) -> None:
    """Every file is written, the document alone is on stdout, the verdict is the exit code."""
    memopt, done = crossed

    assert 99 == done.returncode
    assert ("crossed", 99) == (
        json.loads(done.stdout)["verdict"],
        json.loads(done.stdout)["exit_code"],
    )
    assert "over: crossed (1 passed, 1 crossed).\nReport: run/report.md\n" in done.stderr
    assert ("1", "0") == _verdicts(memopt.folder / "j.xml")
    assert {"run", "over.yaml", "j.xml", "m.prom", "b.json"} == {
        path.name for path in memopt.folder.iterdir()
    }


@pytest.mark.parametrize(
    ("form", "name"), [("junit", "j.xml"), ("openmetrics", "m.prom"), ("benchmark", "b.json")]
)
def test_report_prints_what_simulate_wrote(
    crossed: tuple[Memopt, subprocess.CompletedProcess[str]], form: str, name: str
) -> None:
    """The same run is the same document at any time, printed or written."""
    memopt, _ = crossed
    done = memopt("report", "run", "--format", form, "--out", f"{form}=again")

    assert (0, "") == (done.returncode, done.stderr)
    assert (memopt.folder / name).read_text(encoding="utf-8") == done.stdout
    assert (memopt.folder / name).read_bytes() == (memopt.folder / "again").read_bytes()
    (memopt.folder / "again").unlink()


def test_the_schema_is_printed_without_a_run(
    crossed: tuple[Memopt, subprocess.CompletedProcess[str]],
) -> None:
    """It is one for all documents: a run's holds to it, and what is no document does not."""
    memopt, _ = crossed
    done = memopt("report", "--format", "json-schema")
    found = json.loads((memopt.folder / "run" / "run.json").read_text(encoding="utf-8"))
    schema = json.loads(done.stdout)

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(found, schema)
    assert 0 == done.returncode
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**found, "schema_version": 2}, schema)


def test_html(crossed: tuple[Memopt, subprocess.CompletedProcess[str]]) -> None:
    """The page holds the report with its pictures."""
    memopt, _ = crossed
    page = memopt("report", "run", "--format", "html").stdout

    assert "<h1>over: crossed</h1>" in page
    assert page.count("<img") == page.count('src="data:image/png;base64,') > 0


def test_github(crossed: tuple[Memopt, subprocess.CompletedProcess[str]]) -> None:
    """The summary is added to what the job has; without a job it is printed."""
    memopt, _ = crossed
    summary = memopt.folder / "summary.md"
    summary.write_text("before\n", encoding="utf-8")
    done = memopt("report", "run", "--format", "github", GITHUB_STEP_SUMMARY=str(summary))
    alone = memopt("report", "run", "--format", "github")
    text = summary.read_text(encoding="utf-8")
    summary.unlink()

    assert text.startswith("before\n## over: crossed\n")
    assert done.stdout.startswith("::error title=over%3A second::memory_per_unit: value<1KiB: ")
    assert alone.stdout == text.removeprefix("before\n") + done.stdout


@pytest.mark.parametrize("command", ["report", "simulate"])
def test_a_summary_that_cannot_be_written_is_warned_of(
    crossed: tuple[Memopt, subprocess.CompletedProcess[str]], tmp_path: Path, command: str
) -> None:
    """It loses neither the annotations nor the run, whichever command adds to it."""
    memopt, _ = crossed
    asked = {
        "report": ("report", "run", "--format", "github"),
        "simulate": ("simulate", "over.yaml", "--out", "github=-", "--out", str(tmp_path / "run")),
    }
    done = memopt(*asked[command], GITHUB_STEP_SUMMARY="/dev/full")

    assert done.stdout.startswith("::error title=over%3A second::memory_per_unit: value<1KiB: ")
    assert (
        "warning: the job summary /dev/full could not be written: No space left on device"
    ) == done.stderr.splitlines()[-1]


def test_a_job_of_github_needs_no_option(memopt: Memopt) -> None:
    """Under GITHUB_ACTIONS a run adds its summary and marks what is crossed."""
    done = memopt(
        *("simulate", memopt.synthetic("over", OVER), memopt.synthetic("small"), "--quiet"),
        GITHUB_ACTIONS="true",
        GITHUB_STEP_SUMMARY=str(memopt.folder / "summary.md"),
    )
    text = (memopt.folder / "summary.md").read_text(encoding="utf-8")

    assert 99 == done.returncode
    assert ["## over: crossed", "## small: passed"] == [
        line for line in text.splitlines() if line.startswith("## ")
    ]
    assert 1 == done.stdout.count("\n::error title=over%3A second::")


def test_two_scenarios_are_one_document(memopt: Memopt) -> None:
    """JUnit holds the suites of all runs; JSON cannot, and is refused before any runs."""
    names = [memopt.synthetic("over", OVER), memopt.synthetic("small")]
    refused = memopt("simulate", *names, "--out", "json=run.json")
    done = memopt("simulate", *names, "--out", "junit=j.xml", "--quiet")
    suites = ET.parse(memopt.folder / "j.xml").getroot()  # noqa: S314 - our own document

    assert (2, "error: several runs are not one json document\n") == (
        refused.returncode,
        refused.stderr.splitlines(keepends=True)[0],
    )
    assert (99, {"over", "small"}) == (
        done.returncode,
        {suite.attrib["name"].partition(":")[0] for suite in suites},
    )


def test_a_path_that_cannot_be_written_is_known_before(memopt: Memopt) -> None:
    """Nothing runs for an output that has no place."""
    done = memopt("simulate", memopt.synthetic("small"), "--out", "junit=no/j.xml")

    assert (2, "error: there is no folder for no/j.xml\n  Make it: mkdir -p no\n") == (
        done.returncode,
        done.stderr,
    )
    assert [] == memopt.runs


def test_a_path_that_is_lost_meanwhile_loses_no_run(memopt: Memopt) -> None:
    """The run is kept, its verdict told, and how to write the output again."""
    (memopt.folder / "full").symlink_to("/dev/full")
    done = memopt("simulate", memopt.synthetic("small"), "--out", "junit=full", "--out", "run")
    over = memopt("simulate", memopt.synthetic("over", OVER), "--out", "junit=full")
    again = memopt("report", "run", "--out", "junit=j.xml")

    assert 2 == done.returncode
    assert "small: passed (2 passed)." in done.stdout
    assert done.stderr.splitlines()[-2:] == [
        "error: cannot write full: No space left on device",
        ("  What was measured is kept: memopt report run --out junit=PATH, where it can be."),
    ]
    assert (99, 0, ("0", "0")) == (
        over.returncode,
        again.returncode,
        _verdicts(memopt.folder / "j.xml"),
    )


def test_an_interrupted_run_is_an_error(endless: Endless, memopt: Memopt) -> None:
    """What was stopped by SIGTERM has its outputs, and none of them shows a pass."""
    process, _ = endless(8)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    done = memopt("report", "run", "--out", "junit=j.xml")
    cases = ET.parse(memopt.folder / "j.xml").getroot().iter("testcase")  # noqa: S314 - our own document
    errors = [one for case in cases if (one := case.find("error")) is not None]

    assert (143, 0) == (process.returncode, done.returncode)
    assert "did not finish: interrupted: " in errors[0].attrib["message"]


def test_a_watch(memopt: Memopt) -> None:
    """A watch has the formats of a run."""
    with watched(memopt.folder):
        formats = ("--out", "junit=j.xml", "--out", "html=h.html", "--format", "github")
        done = memopt("report", *formats)

    assert (0, ("0", "0")) == (done.returncode, _verdicts(memopt.folder / "j.xml"))
    assert done.stdout.startswith("## python app.py: passed\n")
    assert "<img" in (memopt.folder / "h.html").read_text(encoding="utf-8")


def test_a_watched_command_keeps_its_stdout(memopt: Memopt) -> None:
    """A document is not mixed into what the command prints."""
    done = memopt("watch", "--out", "json=-", "--", "true")

    assert (2, "error: --out json=- would mix with what the command prints\n") == (
        done.returncode,
        done.stderr.splitlines(keepends=True)[0],
    )


def test_a_file_is_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails halfway leaves the old file, and no other one."""
    from memopt_cli.cli import files

    path = tmp_path / "a.json"
    files.replace(path, b"old", remedy="")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(StoreError, match=r"cannot write .*: No space left"):
        files.replace(path, b"new", remedy="")

    assert [("a.json", b"old")] == [(one.name, one.read_bytes()) for one in tmp_path.iterdir()]
