"""`memopt simulate` on real connections: its exit codes, and what is kept of a failed run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from memopt_cli.exit_codes import ExitCode
from tests.exactly import ROOT

if TYPE_CHECKING:
    from tests.cli.conftest import Memopt

SCENARIO = """\
version: 1
name: small
workload: target
target:
  command: ["{{python}}", -m, tests.workloads.sockets.failing, "{{port}}", {how}]
  url: tcp://127.0.0.1:{{port}}
  environment: {{PYTHONPATH: "{root}"}}
  answer_within: 2s
{more}
load:
  clock: wall
  stages:
    - {{name: before, duration: 10ms, connections: 0}}
    - {{name: up, duration: 10ms, connections: 200, plateaus: 2, rounds: 1}}
    - {{name: closed, duration: 10ms, connections: 0}}
"""


def written(how: str, more: str = "") -> str:
    """Return a scenario whose target fails so."""
    return SCENARIO.format(how=how, root=ROOT, more=more)


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("die, '1000000'", ExitCode.PASSED, "small: passed"),
        ("die, '150'", ExitCode.TARGET_FAILED, "ended by SIGKILL"),
        ("hush, '150'", ExitCode.TARGET_FAILED, "no reply came in time"),
    ],
)
def test_the_exit_code_and_the_report(memopt: Memopt, how: str, code: ExitCode, said: str) -> None:
    """A failed target ends with its reason, its log, and a report of what was measured."""
    done = memopt("simulate", memopt.write("small", written(how)))
    (folder,) = memopt.runs
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))

    assert (code, code) == (done.returncode, run["exit_code"])
    assert said in " ".join(done.stdout.split())
    assert {"report.md", "target.log", "scenario.yaml"} <= {path.name for path in folder.iterdir()}


def test_what_is_missing_is_told_before_anything_is_made(memopt: Memopt) -> None:
    """A program that is not installed, and a machine that is not this one, are usage errors."""
    needs = '  needs: {programs: [no-such-server], hint: "apt install it."}'
    done = memopt("simulate", memopt.write("small", written("die, '1'", needs)))
    text = written("die, '1'").replace("127.0.0.1", "192.0.2.1")
    far = memopt("simulate", memopt.write("far", text))

    assert (2, 2) == (done.returncode, far.returncode)
    assert "the target needs no-such-server" in done.stderr
    assert "apt install it." in done.stderr
    assert "192.0.2.1 is not this machine" in far.stderr
    assert [] == memopt.runs
