"""`memopt simulate` on real connections: its exit codes, and what is kept of a failed run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.exit_codes import ExitCode
from tests.exactly import ROOT
from tests.workloads.sockets.secured import CERTIFICATE

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

SECURED = """\
version: 1
name: secured
workload: target
target:
  command: ["{{python}}", -m, tests.workloads.sockets.secured, "{{port}}"]
  url: https://127.0.0.1:{{port}}
  environment: {{PYTHONPATH: "{root}"}}
  tls: {{cafile: "{certificate}", server_name: {name}}}
{more}
load:
  clock: wall
  stages:
    - {{name: before, duration: 10ms, connections: 0}}
    - {{name: up, duration: 10ms, connections: 60}}
    - {{name: used, duration: 10ms, connections: 60, rounds: 2}}
"""

OWN_PROTOCOL = """\
from memopt_cli.errors import WrongReply
from memopt_cli.workloads.sockets.protocols.shape import INCOMPLETE, Turn


class Lines:
    opens = False
    repeats = True

    def __init__(self, authority, *, text="hello"):
        self._line = text.encode() + b"\\n"

    def opening(self, number):
        return b""

    def request(self, number, sequence, note):
        return self._line

    def receive(self, received, call):
        if not received.endswith(b"\\n"):
            return INCOMPLETE
        if received != self._line:
            raise WrongReply(f"{received!r} came back")
        return Turn(len(received), done=True)
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


@pytest.mark.parametrize("own", ["", "  protocol: mine:Lines\n  options: {text: good day}"])
def test_a_target_within_tls(memopt: Memopt, own: str) -> None:
    """Over HTTPS, or by a protocol that lies beside the scenario, each connection is verified."""
    (memopt.folder / "mine.py").write_text(OWN_PROTOCOL, encoding="utf-8")
    text = SECURED.format(root=ROOT, certificate=CERTIFICATE, name="localhost", more=own)
    done = memopt("simulate", memopt.write("secured", text))

    assert (ExitCode.PASSED, "") == (done.returncode, _reason(memopt))
    found = _connections(memopt)
    assert (60, 60, 120, {}) == tuple(
        found[key] for key in ("held", "verified", "answered", "failures")
    )


def test_a_certificate_of_another_server(memopt: Memopt) -> None:
    """A target that is not who it should be is not spoken to, and that is said."""
    text = SECURED.format(root=ROOT, certificate=CERTIFICATE, name="elsewhere.example", more="")
    done = memopt("simulate", memopt.write("secured", text))

    assert ExitCode.TARGET_FAILED == done.returncode
    assert "the encrypted channel could not be made" in _reason(memopt)


def test_a_shipped_scenario_with_few_connections(memopt: Memopt) -> None:
    """Both servers of sockets-50k hold and answer all of them, and did the same work."""
    stages = "{name: up, duration: 10ms, connections: 120, rounds: 1}"
    stages = f"[{{name: before, duration: 10ms, connections: 0}}, {stages}]"
    settings = ("--set", f"load.stages={stages}", "--set", "thresholds={}")
    done = memopt("simulate", "sockets-50k", *settings)
    naive, optimized = _run(memopt)["variants"]

    assert (ExitCode.PASSED, True) == (done.returncode, optimized["same_work"])
    for variant in (naive, optimized):
        found = variant["connections"]
        assert (4, 120, 120) == (found["servers"], found["held"], found["verified"])


def _run(memopt: Memopt) -> Any:
    (folder,) = memopt.runs
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def _connections(memopt: Memopt) -> Any:
    (variant,) = _run(memopt)["variants"]
    return variant["connections"]


def _reason(memopt: Memopt) -> str:
    return str(_run(memopt)["reason"] or "")
