"""Scenarios from text, and the problems of a text, for every test of the scenario package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from memopt_cli.errors import ScenarioError
from memopt_cli.scenario import loading

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memopt_cli.scenario.loading import Plan

BASE = """\
version: 1
name: small
workload: connections
load: {connections: 100}
"""


@pytest.fixture
def base() -> str:
    """Return the smallest scenario: four lines."""
    return BASE


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """Return a function that loads the file `s.yaml` with the given text."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "s.yaml"

    def load(text: str, *settings: str, scale: float = 1.0) -> Plan:
        file.write_bytes(text.encode("utf-8"))
        return loading.load(file.relative_to(tmp_path), settings=settings, scale=scale)

    return load


@pytest.fixture
def told(plan: Callable[..., Plan]) -> Callable[..., list[str]]:
    """Return a function that returns each problem of a text as `place: message | hint`."""

    def problems(text: str, *settings: str, scale: float = 1.0) -> list[str]:
        with pytest.raises(ScenarioError) as caught:
            plan(text, *settings, scale=scale)
        return [f"{one} | {one.hint}" for one in caught.value.problems]

    return problems
