"""The commands about scenarios print what they promise, and exit as they promise."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from memopt_cli.cli.scenarios import app
from memopt_cli.errors import ScenarioError, UsageError
from memopt_cli.scenario.starter import starter

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_list_is_aligned() -> None:
    """Each line has a name, a population, a count of variants and a sentence."""
    lines = _run("list").stdout.splitlines()
    column = lines[0].index("DESCRIPTION")
    assert lines[0].split() == ["NAME", "UNITS", "VARIANTS", "DESCRIPTION"]
    assert lines[1].startswith("agents-100k ")
    assert {line[column - 2 : column] for line in lines} == {"  "}


def test_show_applies_settings_and_scale() -> None:
    """What is shown is what would run."""
    result = _run("show", "connections-1k", "--set", "seed=7", "--scale", "5%")
    assert result.exit_code == 0
    assert "seed: 7\n" in result.stdout
    assert "- {name: steady, duration: 15s, connections: 50, plateaus: 1}" in result.stdout


def test_show_unknown() -> None:
    """An unknown scenario is a usage error."""
    assert isinstance(_run("show", "bursts").exception, UsageError)


def test_show_wrong_setting() -> None:
    """A wrong setting is a scenario error."""
    assert isinstance(_run("show", "burst", "--set", "sed=1").exception, ScenarioError)


def test_validate_shipped() -> None:
    """A valid scenario is named on stdout."""
    result = _run("validate", "burst", "churn")
    assert (result.exit_code, result.stdout) == (0, "burst: valid\nchurn: valid\n")


def test_validate_tells_all_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All problems of all files are on stderr, and the exit code is 2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(starter("a").replace("seed: 1", "sed: 1"), encoding="utf-8")
    (tmp_path / "b.yaml").write_text("seed:\n", encoding="utf-8")
    result = _run("validate", "a.yaml", "b.yaml", "bursts", "burst")
    line = 1 + starter("a").splitlines().index(
        "seed: 1                          # of every random choice"
    )
    assert result.exit_code == 2
    assert result.stdout == "burst: valid\n"
    assert result.stderr == (
        f"a.yaml:{line}:1: unknown key 'sed'\n  Did you mean 'seed'?\n"
        "b.yaml:1:1: there is no value here\n  Write a value, or remove the key.\n"
        "unknown scenario 'bursts'\n  Did you mean 'burst'?\n"
    )


def test_schema(tmp_path: Path) -> None:
    """The schema is JSON, on stdout or in a file."""
    file = tmp_path / "schema.json"
    assert _run("schema", "--out", str(file)).exit_code == 0
    assert json.loads(_run("schema").stdout) == json.loads(file.read_text(encoding="utf-8"))


def test_schema_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder that does not exist is a usage error."""
    assert isinstance(_run("schema", "--out", str(tmp_path / "a" / "b")).exception, UsageError)


def test_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A starter is written once, and is valid."""
    monkeypatch.chdir(tmp_path)
    assert _run("new", "mine").stdout == "mine.yaml\n"
    assert _run("validate", "mine.yaml").stdout == "mine: valid\n"
    assert str(_run("new", "mine").exception) == "mine.yaml exists"


@pytest.mark.parametrize("name", ["../up", "Mine", "a b", ""])
def test_new_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A name that is no kebab-case writes nothing."""
    monkeypatch.chdir(tmp_path)
    assert isinstance(_run("new", name).exception, UsageError)
    assert list(tmp_path.iterdir()) == []


def test_help_is_light() -> None:
    """The help needs neither pydantic nor yaml."""
    code = (
        "import sys, memopt_cli.cli.scenarios\n"
        "print([name for name in ('pydantic', 'yaml') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
