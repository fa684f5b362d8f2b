"""What the README says works, works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

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
    """Each committed run is readable by this release, and gives the committed report again."""
    found = sorted(path.parent for path in (ROOT / "reports").glob("*/report.md"))
    committed = [path for path in found if not path.name[0].isdigit()]
    assert committed
    for folder in committed:
        copy = tmp_path / folder.name
        shutil.copytree(folder, copy)
        assert 0 == _memopt(tmp_path, "report", folder.name).returncode
        for name in ("report.md", "run.json"):
            assert (folder / name).read_bytes() == (copy / name).read_bytes()


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


def test_every_linked_file_exists() -> None:
    """No link of the README leads nowhere."""
    links = re.findall(r"\]\(([^)#]+)\)", README)

    assert [] == [link for link in links if not (ROOT / link).exists()]
