"""Real child processes that do what they are told, line by line."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


class Child:
    """
    A Python process that runs a script; `step` lets it go on to its next line.

    The script calls ``ready(text)``, which prints a line and waits for `step`.
    """

    def __init__(self, script: str, *, descriptors: tuple[int, ...] = ()) -> None:
        prelude = (
            "import sys\n"
            "def ready(text=''):\n"
            "    print(text, flush=True)\n"
            "    sys.stdin.readline()\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", prelude + textwrap.dedent(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=descriptors,
        )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self.process.pid

    def said(self) -> str:
        """Wait until the script is ready and return what it said."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the child ended before it was ready"
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

    def close(self) -> None:
        """End the process and its pipes."""
        self.process.kill()
        self.process.communicate()


class Start(Protocol):
    """Starts a child that is ended with the test."""

    def __call__(self, script: str, *, descriptors: tuple[int, ...] = ()) -> Child:
        """Return the child."""


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts a script in a process of its own."""
    children: list[Child] = []

    def begin(script: str, *, descriptors: tuple[int, ...] = ()) -> Child:
        children.append(Child(script, descriptors=descriptors))
        return children[-1]

    yield begin
    for child in children:
        child.close()
