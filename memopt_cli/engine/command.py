"""
A command that is started to be watched: its inputs and outputs stay its own.

The kernel could be told to end it when memopt is killed (PR_SET_PDEATHSIG). That is
not done: it takes Python code between fork and exec, which may lock up where there
are threads; descendants do not inherit it; and a server that an operator meant to
survive would end. Whoever kills memopt with SIGKILL ends the command too.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from memopt_cli.errors import TargetError
from memopt_cli.profiler.tree import living

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from memopt_cli.engine.clock import Clock
    from memopt_cli.profiler.tree import Living

END_WITHIN_S = 10.0
"""For a program to end by itself after it was asked to; then it is killed."""

_LOOK_EVERY_S = 0.02
_ASKING = (signal.SIGTERM, signal.SIGCONT)
"""A program that stands still does not come to its end before it is continued."""

_SHELL_SIGNAL = 128


class Command:
    """
    A running command; `stop` it, or it goes on.

    Raises:
        TargetError: It cannot be started.
    """

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        *,
        clock: Clock,
        output: Path | None = None,
    ) -> None:
        self.words = tuple(words)
        self._clock = clock
        self.stopped = False
        """Whether we ended it, or tried to."""

        with _opened(output) as stream:
            try:
                self._process = subprocess.Popen(
                    self.words, env=environment, stdout=stream, stderr=stream
                )
            except OSError as exc:
                raise _not_started(self.words[0], exc) from exc
        self.pid = self._process.pid

    @property
    def text(self) -> str:
        """The command line, as a shell would take it."""
        return shlex.join(self.words)

    def status(self) -> int | None:
        """Return its exit status as a shell shows it, 128 + signal; `None` while it runs."""
        found = self._process.poll()
        return _SHELL_SIGNAL - found if found is not None and found < 0 else found

    def failure(self) -> str:
        """Return how it failed by itself, or nothing."""
        status = self.status()
        if self.stopped or not status:
            return ""
        if self._process.returncode < 0:
            return f"ended by {_signal_name(-self._process.returncode)}"
        return f"exited with {status}"

    def stop(
        self,
        members: Callable[[], Iterable[Living]],
        *,
        interrupted: bool = False,
        within_s: float = END_WITHIN_S,
    ) -> None:
        """
        End it, and then what is left of its descendants; nothing of it runs afterwards.

        The command is asked first: a server ends its own workers in good order.

        Args:
            members: Returns all its processes that are alive.
            interrupted: The terminal has sent it a SIGINT already, as it shares the
                foreground with us: it is given time before it is asked again.
            within_s: For each step.
        """
        if self.status() is None:
            self.stopped = True
        if not (interrupted and self._ended(members, within_s)):
            self._ask_to_end()
            self._wait(lambda: self.status() is not None, within_s)
            for number in _ASKING:
                _signal(members(), number)
        if not self._ended(members, within_s):
            if self._process.poll() is None:
                self._process.kill()
            _signal(members(), signal.SIGKILL)
            self._ended(members, within_s)

    def _ask_to_end(self) -> None:
        for number in _ASKING:
            if self._process.poll() is None:
                self._process.send_signal(number)

    def _ended(self, members: Callable[[], Iterable[Living]], within_s: float) -> bool:
        return self._wait(lambda: self.status() is not None and not any(members()), within_s)

    def _wait(self, done: Callable[[], bool], within_s: float) -> bool:
        until_s = self._clock.now() + within_s
        while not done():
            if self._clock.now() >= until_s:
                return False
            self._clock.sleep(_LOOK_EVERY_S)
        return True


@contextmanager
def _opened(output: Path | None) -> Iterator[IO[bytes] | None]:
    """Yield the file for what a command prints, or `None` for our own streams."""
    if output is None:
        yield None
        return
    with output.open("ab") as stream:
        yield stream


def in_foreground() -> bool:
    """Return whether a key that interrupts reaches us by a terminal, and so our children."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _signal(members: Iterable[Living], number: signal.Signals) -> None:
    for each in members:
        # Looked at once more: its number may have been given to somebody else.
        if living(each.pid) == each:
            try:
                os.kill(each.pid, number)
            except (ProcessLookupError, PermissionError):
                continue


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _not_started(name: str, error: OSError) -> TargetError:
    if isinstance(error, FileNotFoundError):
        hint = "Check the name, or give the path to it."
        if os.path.exists(name):  # noqa: PTH110 - it is what a shell would look at
            hint = "Its first line names an interpreter that does not exist."
    elif isinstance(error, PermissionError):
        hint = f"Make it executable: chmod +x {name}"
    else:
        hint = "Start a script by its interpreter: memopt watch -- python script.py"
    return TargetError(f"{name} cannot be started: {error.strerror}", hint=hint)
