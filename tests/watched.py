"""Real Python programs that know nothing of memopt, started inside a watching session."""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import sys
import textwrap
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from memopt_cli.profiler.agent import AgentReader
from memopt_cli.profiler.injection import NotReached, Session

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

QUICK = "import sys; sys.modules['memopt_agent'].LOOK_EVERY_S = 0.02\n"
"""A test's program looks for requests 50 times a second, so that the test is quick."""

WITHIN_S = 60.0


class Watched:
    """
    A program in a session of its own; a context manager that ends both.

    Its script finds ``count(number)``, which publishes its operations, and
    ``ready(text)``, which prints a line and waits for `step`.
    """

    def __init__(self, script: str, folder: Path, *options: str) -> None:
        self.session = Session()
        counter = folder / "operations"
        counter.write_bytes(bytes(mmap.PAGESIZE))
        with counter.open("rb") as opened:
            self._operations = mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ)
        prelude = (
            f"import mmap, struct\n_file = open({str(counter)!r}, 'r+b')\n"
            "_counter = mmap.mmap(_file.fileno(), 0)\n"
            "def count(number): _counter[:8] = struct.pack('Q', number)\n"
            "def ready(text=''):\n    print(text, flush=True)\n    sys.stdin.readline()\n"
        )
        self.folder = folder
        path = folder / "app.py"
        path.write_text(QUICK + prelude + textwrap.dedent(script), encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, *options, str(path)],
            env=self.session.environment(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.communicate()
        self._opened.close()
        self._operations.close()
        self.session.close()

    @property
    def operations(self) -> int:
        """What the script has counted so far."""
        return int(struct.unpack("Q", self._operations[:8])[0])

    def said(self) -> str:
        """Wait until the script is ready and return what it said."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the program ended before it was ready"
        return line.rstrip("\n")

    def step(self) -> str:
        """Let the script go on, and return what it says next."""
        self.go()
        return self.said()

    def go(self) -> None:
        """Let the script go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def agent(self, pid: int | None = None) -> AgentReader:
        """Return the agent of the program or of one of its children, once it is there."""
        wanted = self.process.pid if pid is None else pid
        until_s = time.monotonic() + WITHIN_S
        while True:
            found = self.session.agent_of(wanted)
            if isinstance(found, AgentReader):
                self._opened.callback(found.close)
                return found
            assert time.monotonic() < until_s, found

    def until(self, operations: int) -> None:
        """Wait until the script has done so many operations."""
        until_s = time.monotonic() + WITHIN_S
        while self.operations < operations:
            assert time.monotonic() < until_s, "the program does not get on"


def outcome(
    arguments: list[str], environment: Mapping[str, str], folder: Path
) -> tuple[int, str, str]:
    """Run a Python program to its end; return its exit code and its two outputs."""
    found = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    return found.returncode, found.stdout, found.stderr


def reason(session: Session, pid: int) -> str:
    """Return why a process is not reached."""
    found = session.agent_of(pid)
    assert isinstance(found, NotReached), found
    return found.reason
