"""The real command, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from memopt_cli.errors import StoreError
from memopt_cli.store import reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COMMAND = [sys.executable, "-W", "error", "-m", "memopt_cli"]

SYNTHETIC = """\
version: 1
name: {name}
workload: synthetic
synthetic: {{bytes_per_unit: 2KiB}}
variants: [{{name: first}}, {{name: second}}]
load:
  message_rate: 1/s
  stages:
    - {{name: baseline, duration: 1s, units: 0}}
    - {{name: ramp-up, duration: 5s, units: 300, plateaus: 5}}
    - {{name: steady, duration: 5s, units: 300}}
    - {{name: drain, duration: 1s, units: 0}}
thresholds: {{{thresholds}}}
"""

ENDLESS = """\
version: 1
name: endless
workload: connections
variants: [{name: first}, {name: second, pool: on}]
load:
  message_rate: 5/s
  stages:
    - {name: baseline, duration: 1s, connections: 0}
    - {name: ramp-up, duration: 5s, connections: 100, plateaus: 5}
    - {name: steady, duration: 10h, connections: 100}
thresholds: {memory_total: ["value<100GB"]}
"""

PASSING = 'memory_total: ["value<100GB"]'


class Memopt:
    """Runs the command in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str) -> str:
        """Write a scenario and return its file's name."""
        (self.folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        return f"{name}.yaml"

    def synthetic(self, name: str, thresholds: str = PASSING) -> str:
        """Write a small synthetic scenario and return its file's name."""
        return self.write(name, SYNTHETIC.format(name=name, thresholds=thresholds))

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def begin(self, *arguments: str) -> psutil.Popen:
        """Start the command and return its process."""
        return psutil.Popen(
            [*COMMAND, *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def runs(self) -> list[Path]:
        """The folders of runs, oldest first."""
        return sorted(path.parent for path in self.folder.glob("reports/*/samples.sqlite"))


@pytest.fixture
def memopt(tmp_path: Path) -> Memopt:
    """Return the command in an empty folder."""
    return Memopt(tmp_path)


def samples_in(folder: Path) -> int:
    """Return how many samples a run has by now."""
    try:
        return sum(len(variant.samples) for variant in reader.read(folder).variants)
    except StoreError:
        return 0


def _subjects(process: psutil.Popen) -> list[psutil.Process]:
    children: list[psutil.Process] = process.children(recursive=True)
    return children


@pytest.fixture
def endless(memopt: Memopt) -> Iterator[Callable[[int], tuple[psutil.Popen, list[psutil.Process]]]]:
    """
    Return a function that starts a run that never ends and waits for some of its samples.

    It returns the controller and its subjects; both are ended after the test.
    """
    started: list[psutil.Process] = []

    def start(samples: int) -> tuple[psutil.Popen, list[psutil.Process]]:
        process = memopt.begin("simulate", memopt.write("endless", ENDLESS), "--out", "run")
        started.append(process)
        while samples_in(memopt.folder / "run") < samples:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        subjects = _subjects(process)
        started.extend(subjects)
        return process, subjects

    yield start
    for one in started:
        if one.is_running():
            one.kill()
    for one in started:
        if isinstance(one, psutil.Popen):
            one.communicate()
