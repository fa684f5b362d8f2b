"""A run that will lack something is told so before, is not refused, and does fail."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from memopt_cli.cli import forewarning
from memopt_cli.profiler import limits
from memopt_cli.scenario import catalogue, loading
from tests import recorded
from tests.cli.conftest import COMMAND, Memopt

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

COMPACT = """\
version: 1
name: small
workload: connections
variants: [{name: compact, compact: on}]
load:
  stages:
    - {name: baseline, duration: 1s, connections: 0}
    - {name: ramp-up, duration: 5s, connections: 100, plateaus: 5}
    - {name: steady, duration: 5s, connections: 100}
"""


def test_address_space_that_is_not_allowed(memopt: Memopt) -> None:
    """What was told to be refused is refused, and the run is kept with its reason."""
    scenario = memopt.write("small", COMPACT)
    done = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -v 900000; exec "$@"', "sh", *COMMAND, "simulate", scenario],
        cwd=memopt.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    told = "warning: compact: it will reserve 1.06 GiB of address space, and 879 MiB are allowed:"
    run = json.loads((memopt.runs[0] / "run.json").read_text(encoding="utf-8"))

    assert told in " ".join(done.stderr.split())
    assert "of address space cannot be reserved" in run["variants"][0]["failure"]


def test_memory_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a million connections only the variants that cannot fit 4 GiB are told."""
    available = {"proc/meminfo": f"MemAvailable: {4 * 1024**2} kB\n"}
    memory = limits.read_memory(recorded.tree(tmp_path, available))
    monkeypatch.setattr(limits, "read_memory", lambda: memory)
    found = list(forewarning.warnings(loading.load(catalogue.find("connections-1m"))))

    assert [True] == [one.startswith("baseline: it will need 7.6") for one in found]


def test_a_machine_that_has_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No scenario that ships is warned of on the machine that made the reference reports."""
    told = limits.read(recorded.tree(tmp_path))
    monkeypatch.setattr(limits, "read_memory", lambda: told.memory)
    monkeypatch.setattr(limits, "read", lambda: told)
    plans = [loading.load(catalogue.find(name)) for name in catalogue.names()]

    assert [] == [one for plan in plans for one in forewarning.warnings(plan)]
