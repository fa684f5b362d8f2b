"""What the README says works, works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from memopt_cli.exit_codes import ExitCode
from memopt_cli.scenario import loading

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_the_scenario_is_valid_and_twelve_lines_long(tmp_path: Path) -> None:
    """A reader who copies the scenario can run it."""
    (block,) = _blocks("yaml")
    path = tmp_path / "mine.yaml"
    path.write_text(block, encoding="utf-8")

    assert "mine" == loading.load(path).scenario.name
    assert 12 == len(block.splitlines())


def test_the_code_runs() -> None:
    """A reader who copies the code sees no error."""
    (block,) = _blocks("python")

    assert 0 == subprocess.run([sys.executable, "-c", block], check=False).returncode


def test_two_commands_and_each_alone_is_enough() -> None:
    """Both make an environment, install into it and use it; the second ends in pytest."""
    commands = [block.strip() for block in _blocks("") if "venv" in block]

    assert 2 == len(commands)
    assert all(
        command.startswith("python3 -m venv --without-pip .venv && ") for command in commands
    )
    assert commands[0].endswith(".venv/bin/memopt simulate connections-10k")
    assert commands[1].endswith(".venv/bin/python -m pytest")


def test_the_exit_codes_are_the_ones_there_are() -> None:
    """The table of exit codes and the code agree."""
    table = README.split("## Exit codes")[1].split("## ")[0]
    rows = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    found = {int(code) for row in rows for code in row.split(",")}

    assert {int(code) for code in ExitCode} == found


def test_every_linked_file_exists() -> None:
    """No link of the README leads nowhere."""
    links = re.findall(r"\]\(([^)#]+)\)", README)

    assert [] == [link for link in links if not (Path(__file__).parent.parent / link).exists()]
