"""What the README says works, works."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from memopt_cli.analysis.alerts import RULES
from memopt_cli.cli import scrapes
from memopt_cli.cli.outputs import Format
from memopt_cli.exit_codes import ExitCode
from memopt_cli.scenario import loading

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _memopt(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "memopt_cli", *arguments]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True)


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_the_scenario_is_valid_and_twelve_lines_long(tmp_path: Path) -> None:
    """A reader who copies the scenario can run it."""
    (block,) = _blocks("yaml")
    path = tmp_path / "short.yaml"
    path.write_text(block, encoding="utf-8")

    assert "short" == loading.load(path).scenario.name
    assert 12 == len(block.splitlines())


def test_the_scenario_of_agents_is_valid(tmp_path: Path) -> None:
    """What stands in the part on agents can be copied into a file, below a version and a name."""
    (block,) = _blocks("yml")
    path = tmp_path / "agents.yaml"
    path.write_text(f"version: 1\nname: copied\n{block}", encoding="utf-8")

    assert "agents" == loading.load(path).scenario.workload


def test_the_scenario_passes(tmp_path: Path) -> None:
    """Who runs the scenario as it stands sees it pass."""
    (block,) = _blocks("yaml")
    (tmp_path / "short.yaml").write_text(block, encoding="utf-8")

    assert 0 == _memopt(tmp_path, "simulate", "short.yaml").returncode


def test_the_starter_passes(tmp_path: Path) -> None:
    """What `memopt scenarios new` writes runs, and every threshold in it holds."""
    _memopt(tmp_path, "scenarios", "new", "mine")

    assert 0 == _memopt(tmp_path, "simulate", "mine.yaml").returncode


def test_the_reference_reports_are_what_memopt_renders(tmp_path: Path) -> None:
    """
    Each committed run is readable by this release, and gives the committed report again.

    To the last digit where floats are summed as they were: 3.12 and later compensate sums.
    """
    reports = ROOT / "reports"
    found = sorted(path.parent for path in reports.rglob("report.md"))
    committed = [path for path in found if not path.relative_to(reports).parts[0][0].isdigit()]
    assert committed
    for folder in committed:
        copy = tmp_path / folder.name
        shutil.copytree(folder, copy)
        assert 0 == _memopt(tmp_path, "report", folder.name).returncode
        assert (folder / "report.md").read_bytes() == (copy / "report.md").read_bytes()
        before, after = ((each / "run.json").read_bytes() for each in (folder, copy))
        if sys.version_info < (3, 12):
            assert before == after
        else:
            assert _same(json.loads(before), json.loads(after))


def _same(one: object, other: object) -> bool:
    """Say whether two documents are the same but for the last digits of their floats."""
    match one, other:
        case dict(), dict():
            # As lists: their order is part of what is written.
            return [*one] == [*other] and all(_same(one[key], other[key]) for key in one)
        case list(), list():
            return len(one) == len(other) and all(map(_same, one, other))
        case float(), float():
            return math.isclose(one, other, rel_tol=1e-9)
    return type(one) is type(other) and one == other


def test_the_code_runs(tmp_path: Path) -> None:
    """A reader who copies the code sees no error, nor, where it is tests, a failure."""
    for number, block in enumerate(_blocks("python")):
        path = tmp_path / f"test_{number}.py"
        path.write_text(block, encoding="utf-8")
        plugin = ["-m", "pytest", "-p", "memopt_cli.testing.plugin"]
        told = subprocess.run(
            [sys.executable, *(plugin if "def test_" in block else ()), path],
            cwd=tmp_path,
            # Without it, an installed plugin would be there twice.
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            check=False,
        )
        assert 0 == told.returncode


def test_two_commands_and_each_alone_is_enough() -> None:
    """Both make an environment, install into it and use it; the second ends in pytest."""
    commands = [block.strip() for block in _blocks("") if "venv" in block]

    assert 2 == len(commands)
    assert all(
        command.startswith("python3 -m venv --without-pip .venv && ") for command in commands
    )
    assert commands[0].endswith(".venv/bin/memopt simulate connections-10k")
    assert commands[1].endswith(".venv/bin/python -m pytest")


def test_the_slices_of_a_job_end_with_its_verdict(tmp_path: Path) -> None:
    """The loop over slices that the README shows runs to the verdict of the whole."""
    (block,) = (block for block in _blocks("sh") if "--resume" in block)
    (short,) = _blocks("yaml")
    (tmp_path / "short.yaml").write_text(short, encoding="utf-8")
    block = block.replace("connections-1k", "short.yaml")
    command = tmp_path / "memopt"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m memopt_cli "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", block], cwd=tmp_path, env={**os.environ, "PATH": path}, check=False
    )

    assert 0 == done.returncode
    assert (tmp_path / "run" / "report.md").is_file()


def test_the_exit_codes_are_the_ones_there_are() -> None:
    """The table of exit codes and the code agree."""
    table = README.split("## Exit codes")[1].split("## ")[0]
    rows = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    found = {int(code) for row in rows for code in row.split(",")}

    assert {int(code) for code in ExitCode} == found


def _of_github() -> dict[str, list[str]]:
    (block,) = _blocks("yaml github")
    jobs = yaml.safe_load(block)["jobs"]
    return {name: [s["run"] for s in job["steps"] if "run" in s] for name, job in jobs.items()}


def _of_gitlab() -> dict[str, list[str]]:
    (block,) = _blocks("yaml gitlab")
    jobs = yaml.safe_load(block)
    return {name: job["script"] for name, job in jobs.items() if "script" in job}


SMALL = """\
version: 1
name: small
workload: synthetic
synthetic: {bytes_per_unit: 2KiB}
load:
  stages:
    - {name: baseline, duration: 1s, units: 0}
    - {name: ramp-up, duration: 5s, units: 300, plateaus: 5}
    - {name: drain, duration: 1s, units: 0}
"""


def _in_a_job(folder: Path, command: str, **environment: str) -> int:
    """Run one line of a job as its shell does, on a scenario of a second."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    memopt = programs / "memopt"
    memopt.write_text(f'#!/bin/sh\nexec {sys.executable} -m memopt_cli "$@"\n', encoding="utf-8")
    memopt.chmod(0o755)
    (folder / "small.yaml").write_text(SMALL, encoding="utf-8")
    small = re.sub(r"simulate connections-\w+", "simulate small.yaml", command)
    small = small.replace("soak-24h-tcp", "small.yaml")
    path = f"{programs}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", small],
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        check=False,
        capture_output=True,
    ).returncode


def test_the_jobs_do_what_they_say(tmp_path: Path) -> None:
    """Each command of each job exits 0, in their order, and writes the files that are kept."""
    github, gitlab = _of_github(), _of_gitlab()
    lines = [*github["nightly"], *github["smoke"], *gitlab["memory"]]
    commands = [line for line in lines if "memopt" in line]
    summary = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    # The last one makes the folder of the smoke test anew.
    codes = [_in_a_job(tmp_path, line, **summary) for line in commands[:-1]]
    shutil.rmtree(tmp_path / "new")
    codes.append(_in_a_job(tmp_path, commands[-1]))

    assert [0] * 5 == codes
    for name in ("new", "junit.xml", "night.html", "night.json", "metrics.txt"):
        assert (tmp_path / name).exists()
    assert 4 == (tmp_path / "summary.md").read_text("utf-8").count("\n## ") + 1


def test_only_the_last_slice_of_github_must_end(tmp_path: Path) -> None:
    """A slice that is over passes but in the last job; what a job left, the next goes on with."""
    command = _of_github()["weekly"][-1]

    def job(slice_: int, duration: str) -> int:
        line = command.replace("${{ matrix.slice }}", str(slice_)).replace("5h30m", duration)
        return _in_a_job(tmp_path, line)

    assert 0 == job(1, "1ms")
    assert 1 == job(5, "1ms")
    assert 0 == job(5, "5h30m")
    assert (tmp_path / "soak" / "report.md").is_file()


def test_only_the_last_slice_of_gitlab_must_end(tmp_path: Path) -> None:
    """The jobs follow each other, and 75 is allowed in all but the last."""
    (block,) = _blocks("yaml gitlab")
    jobs = yaml.safe_load(block)
    slices = [name for name in jobs if name.startswith("soak ")]
    command = _of_gitlab()[".soak"][-1]

    assert 75 == _in_a_job(tmp_path, command.replace("5h30m", "1ms"))
    assert 0 == _in_a_job(tmp_path, command)
    assert {"exit_codes": 75} == jobs[".soak"]["allow_failure"]
    allowed = [jobs[one].get("allow_failure") for one in slices]
    assert [None, None, None, None, False] == allowed
    assert [[one] for one in slices[:-1]] == [jobs[one]["needs"] for one in slices[1:]]


@pytest.mark.parametrize("language", ["yaml github", "yaml gitlab"])
def test_the_jobs_keep_what_they_write(language: str) -> None:
    """Every path that a job keeps or reports is one that a command of it writes."""
    (block,) = _blocks(language)
    kept = re.findall(r'(?:path|junit|metrics): "?([\w.\\]+)', block)

    assert kept
    for path in {name for one in kept for name in one.split("\\n")}:
        assert re.search(rf"(?:--out |=){re.escape(path)}\b", block)


def test_prometheus_scrapes_what_is_served() -> None:
    """Its target is the port that the text names, at the interface and the path that there are."""
    (block,) = _blocks("yaml prometheus")
    (job,) = yaml.safe_load(block)["scrape_configs"]
    (port,) = re.findall(r"`--metrics-port (\d+)`", README)

    # Without a path of its own a job takes /metrics.
    assert {"job_name", "static_configs"} == job.keys()
    assert "/metrics" == scrapes.PATH
    assert [{"targets": [f"{scrapes.HOST}:{port}"]}] == job["static_configs"]


def test_the_table_of_formats_is_complete() -> None:
    """Each format has its row, and each row is a format."""
    table = README.split("## In CI")[1].split("## ")[0]

    assert set(Format) == set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE))


def test_the_table_of_alerts_is_the_rules() -> None:
    """Every limit of every alert, in the order of the rules."""
    table = README.split("| alert | warning | critical |")[1].split("## ")[0]
    numbers = [
        [float(text) for text in re.findall(r"(?:above|below) ([\d.]+)", row)]
        for row in table.splitlines()
        if row.startswith("| ") and "---" not in row
    ]
    scales = {"MemoptGcPause": 1e-3, "MemoptGrowth": 1e6 / 3600}
    told = []
    for rule in RULES:
        scale = scales.get(rule.name, 0.01 if rule.dimension == "ratio" else 1e6)
        told.append([round(limit / scale, 6) for limit in rule.limits.values()])

    assert told == numbers


def test_every_linked_file_exists() -> None:
    """No link of the README leads nowhere."""
    links = re.findall(r"\]\(([^)#]+)\)", README)

    assert [] == [link for link in links if not (ROOT / link).exists()]
