"""Agents are led through the naive trace by the real command, and planted faults are found."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

SCENARIO = """\
version: 1
name: faults
workload: agents
agents: {mix: {G5: 60%, xy5: 40%}, learners: 20%, probes: 4, probe_steps: 27}
variants:
  - {name: naive}
  - {name: sound, agents: {tier: f32, hibernate: 2s, threads: 2}}
  - {name: forgets, agents: {fault: forgets}}
  - {name: nan, agents: {fault: nan}}
  - {name: merges, agents: {fault: merges}}
load:
  message_rate: 1/s
  stages:
    - {name: baseline, duration: 1s, agents: 0}
    - {name: ramp-up, duration: 3s, agents: 20, plateaus: 3}
    - {name: steady, duration: 5s, agents: 20}
    - {name: drain, duration: 1s, agents: 0}
"""


def ran(folder: Path, *settings: str) -> dict[str, Any]:
    """Return run.json of the scenario; its exit code is the command's own."""
    (folder / "s.yaml").write_text(SCENARIO, encoding="utf-8")
    told = subprocess.run(
        [sys.executable, "-m", "memopt_cli", "simulate", "s.yaml", "--quiet", "--out", "run"]
        + [part for setting in settings for part in ("--set", setting)],
        cwd=folder,
        check=False,
        capture_output=True,
    )
    found: dict[str, Any] = json.loads((folder / "run/run.json").read_text(encoding="utf-8"))
    assert found["exit_code"] == told.returncode
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the findings of the scenario as it stands."""
    return ran(tmp_path_factory.mktemp("faults"))


def test_each_planted_fault_is_named(run: dict[str, Any]) -> None:
    """Deleted beliefs, NaN, and models merged by their shape; agents that sleep have none."""
    faults = {v["name"]: v["fidelity"] and v["fidelity"]["faults"] for v in run["variants"]}

    assert None is faults["naive"]
    assert [] == faults["sound"]
    assert ["lost", "NaN", "one"] == [
        word
        for name, word in (("forgets", "lost"), ("nan", "NaN"), ("merges", "one"))
        if len(faults[name]) == 1 and f" {word} " in faults[name][0]
    ]


def test_what_has_a_fault_is_refused(run: dict[str, Any]) -> None:
    """Crossed, without a place in the ranking, and the command says 99."""
    crossed = {
        one["variant"]
        for one in run["thresholds"]
        if (one["metric"], one["verdict"]) == ("fidelity", "crossed")
    }

    assert {"forgets", "nan", "merges"} == crossed
    assert ["sound"] == [one["variant"] for one in run["rankings"][0]["ranked"]]
    assert {"unsound"} == {one["reason"] for one in run["rankings"][0]["refused"]}
    assert ExitCode.THRESHOLDS_CROSSED == run["exit_code"]


def test_sound_agents_think_as_naive_ones(run: dict[str, Any]) -> None:
    """In every step, led and free, within what float32 rounds; learners included."""
    found = run["variants"][1]["fidelity"]

    # Two models, each with and without learning, four agents, two steps into a second episode.
    assert (432, 1.0, 432, 1.0) == tuple(
        found[key] for key in ("steps", "actions", "free_steps", "free")
    )
    assert 0 < found["posterior"] < 1e-6
    assert found["kl_nat"] < 1e-6


def test_agents_that_nobody_judged_do_not_pass(tmp_path: Path) -> None:
    """Without probes how agents think is not known: inconclusive, 4."""
    found = ran(tmp_path, "agents.probes=0", "variants=[{name: naive}, {name: sound, agents: on}]")

    assert (ExitCode.INCONCLUSIVE, "inconclusive") == (found["exit_code"], found["verdict"])
