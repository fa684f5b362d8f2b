"""Scenarios are found by name and by file."""

from __future__ import annotations

from pathlib import Path

import pytest

from memopt_cli.errors import UsageError
from memopt_cli.scenario import catalogue

NAMES = (
    "agents-100k",
    "agents-10k-idle",
    "agents-75",
    "agents-concurrent",
    "agents-cycles",
    "agents-cycles-leak",
    "agents-density",
    "agents-g30",
    "burst",
    "churn",
    "connections-100k",
    "connections-10k",
    "connections-1k",
    "connections-1m",
    "connections-4mb",
    "connections-50k",
    "connections-scale",
    "planted-leak",
    "planted-leak-clean",
    "soak-1h-tcp",
    "soak-24h",
    "soak-24h-tcp",
    "soak-agents",
    "soak-smoke",
    "sockets-100k",
    "sockets-10k",
    "sockets-1k",
    "sockets-50k",
    "target-mcp",
    "target-nginx",
    "target-redis",
    "target-websockets",
    "target-websockets-compressed",
)


def test_names() -> None:
    """These scenarios ship."""
    assert catalogue.names() == NAMES


def test_name() -> None:
    """A name is a file of the shipped folder."""
    assert catalogue.find("burst") == catalogue.shipped_dir() / "burst.yaml"


def test_file(tmp_path: Path) -> None:
    """A path that exists is that path."""
    file = tmp_path / "mine.yaml"
    file.write_text("version: 1\n", encoding="utf-8")
    assert catalogue.find(str(file)) == file


def test_folder_does_not_hide_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder called like a shipped scenario is not meant by its name."""
    (tmp_path / "burst").mkdir()
    monkeypatch.chdir(tmp_path)
    assert catalogue.find("burst") == catalogue.shipped_dir() / "burst.yaml"


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("bursts", "unknown scenario 'bursts'", "Did you mean 'burst'?"),
        ("bursts.yaml", "there is no file bursts.yaml", "Did you mean 'burst'?"),
        ("a/b.yaml", "there is no file a/b.yaml", ""),
        ("a\0b", "the name of a scenario holds a NUL character", ""),
    ],
)
def test_unknown(name: str, message: str, hint: str) -> None:
    """An unknown name is told with the nearest one."""
    with pytest.raises(UsageError) as caught:
        catalogue.find(name)
    assert (str(caught.value), caught.value.hint) == (message, hint)


def test_installed_package_has_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside an installed package the scenarios are a folder of the package."""
    (tmp_path / "memopt_cli" / "_scenarios").mkdir(parents=True)
    file = tmp_path / "memopt_cli" / "scenario" / "catalogue.py"
    monkeypatch.setattr(catalogue, "__file__", str(file))
    assert catalogue.shipped_dir() == Path(tmp_path).resolve() / "memopt_cli" / "_scenarios"
