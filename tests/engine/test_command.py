"""A command is started with its own outputs, and nothing of it is left when it is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from memopt_cli.engine.clock import SystemClock
from memopt_cli.engine.command import Command
from memopt_cli.errors import TargetError
from memopt_cli.exit_codes import ExitCode
from memopt_cli.profiler.tree import Living, Tree, living

if TYPE_CHECKING:
    from pathlib import Path

CLOCK = SystemClock()
WITHIN_S = 30.0


def started(script: str) -> tuple[Command, Tree]:
    """Return a Python command and its tree."""
    command = Command([sys.executable, "-c", script], os.environ, clock=CLOCK)
    found = living(command.pid)
    assert found is not None
    return command, Tree(found)


def until(path: Path) -> str:
    """Wait for a file that a command writes, and return what is in it."""
    until_s = time.monotonic() + WITHIN_S
    while not path.exists() or not path.read_text(encoding="utf-8"):
        assert time.monotonic() < until_s, f"{path} was not written"
        time.sleep(0.01)
    return path.read_text(encoding="utf-8")


def members(tree: Tree) -> tuple[Living, ...]:
    """Return who is alive."""
    return tree.look(thoroughly=True)


@pytest.mark.parametrize(
    ("ends", "status", "failure"),
    [
        ("sys.exit(0)", 0, ""),
        ("sys.exit(3)", 3, "exited with 3"),
        ("os.kill(os.getpid(), 9)", 137, "ended by SIGKILL"),
    ],
)
def test_its_status_is_the_shells(ends: str, status: int, failure: str) -> None:
    """What it exits with, or 128 and the signal."""
    command = Command([sys.executable, "-c", f"import os, sys; {ends}"], os.environ, clock=CLOCK)
    until_s = time.monotonic() + WITHIN_S
    while command.status() is None and time.monotonic() < until_s:
        time.sleep(0.01)

    assert (status, failure) == (command.status(), command.failure())


def test_its_output_is_its_own() -> None:
    """Input, output and errors are those of whoever starts it."""
    script = (
        "import os, sys\nfrom memopt_cli.engine.command import Command\n"
        "from memopt_cli.engine.clock import SystemClock\nimport time\n"
        "command = Command(['cat'], os.environ, clock=SystemClock())\n"
        "while command.status() is None: time.sleep(0.01)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], input="told", capture_output=True, text=True, check=True
    )

    assert ("told", "") == (found.stdout, found.stderr)


def test_it_is_asked_first_and_ends_in_good_order(tmp_path: Path) -> None:
    """A server that ends its own worker on SIGTERM is not disturbed in it."""
    told = tmp_path / "told"
    command, tree = started(
        "import signal, subprocess, sys, time\n"
        "worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "def end(*_):\n    time.sleep(0.1)\n    ended = worker.poll()\n"
        f"    worker.kill(); worker.wait(); open({str(told)!r} + '.end', 'w').write(str(ended))\n"
        "    sys.exit(7)\n"
        f"signal.signal(signal.SIGTERM, end)\nopen({str(told)!r}, 'w').write('ready')\n"
        "while True: time.sleep(60)\n"
    )
    until(told)

    command.stop(lambda: members(tree))

    assert (7, "", True) == (command.status(), command.failure(), command.stopped)
    assert "None" == until(tmp_path / "told.end")


def test_what_ignores_it_is_killed_with_its_children(tmp_path: Path) -> None:
    """Neither the command nor a child outlives its time."""
    told = tmp_path / "told"
    command, tree = started(
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(told)!r}, 'w').write(str(child.pid))\ntime.sleep(60)\n"
    )
    child = int(until(told))
    assert 2 == len(members(tree))

    command.stop(lambda: members(tree), within_s=0.1)

    assert (137, None) == (command.status(), living(child))


@pytest.mark.parametrize(
    ("script", "within_s", "status"),
    [("time.sleep(0.1)", WITHIN_S, 0), ("time.sleep(60)", 0.2, 128 + signal.SIGTERM)],
)
def test_an_interrupted_one_is_waited_for_before_it_is_asked(
    script: str, within_s: float, status: int
) -> None:
    """The terminal has told it already; one that goes on is asked to end."""
    command, tree = started(f"import time; {script}")

    command.stop(lambda: members(tree), interrupted=True, within_s=within_s)

    assert status == command.status()


def test_one_that_stands_still_is_continued_to_end() -> None:
    """Asked to end while it is stopped, it does so, and need not be killed."""
    command, tree = started("import time; time.sleep(60)")
    os.kill(command.pid, signal.SIGSTOP)
    # Until it stands, what it is asked comes before.
    until_s = time.monotonic() + WITHIN_S
    while psutil.Process(command.pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < until_s

    command.stop(lambda: members(tree), within_s=5.0)

    assert 128 + signal.SIGTERM == command.status()


def test_what_cannot_be_started_is_told_with_a_hint(tmp_path: Path) -> None:
    """No such command, not executable, no interpreter, and no program at all."""
    plain, odd, empty = tmp_path / "plain", tmp_path / "odd", tmp_path / "empty"
    plain.write_text("print()", encoding="utf-8")
    odd.write_text("#!/no/interpreter\n", encoding="utf-8")
    empty.write_bytes(b"\0")
    for each in (odd, empty):
        each.chmod(0o755)
    expected = {
        "memopt-no-such-command": "Check the name",
        str(plain): f"chmod +x {plain}",
        str(odd): "an interpreter that does not exist",
        str(empty): "by its interpreter",
    }

    for name, hint in expected.items():
        with pytest.raises(TargetError, match="cannot be started") as caught:
            Command([name], os.environ, clock=CLOCK)
        assert hint in caught.value.hint
        assert ExitCode.TARGET_FAILED == caught.value.exit_code
