"""A process of our own that obeys over a pipe, and ends when whoever started it does."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from contextlib import contextmanager, suppress
from time import monotonic
from typing import IO, TYPE_CHECKING, Any, Self

from memopt_cli.errors import MeasurementError, UsageError
from memopt_cli.units import format_duration
from memopt_cli.workloads import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

_END_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.1


def nothing() -> None:
    """Do nothing while an answer is waited for."""


class Child:
    """One process and the two pipes to it."""

    def __init__(
        self,
        module: str,
        role: str,
        log: IO[bytes] | None,
        *,
        check: Callable[[], None] = nothing,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            module: What it runs; it is given its two descriptors, and its parent's pid.
            role: What it is called in errors.
            log: Where its output goes; `None` throws it away.
            check: Called while an answer is waited for; what it raises ends the wait.
            environment: Its variables; `None` for those of this process.
        """
        self._check = check
        self._role = role
        commands_in, commands_out = os.pipe()
        replies_in, replies_out = os.pipe()
        theirs = (commands_in, replies_out)
        self._commands = os.fdopen(commands_out, "wb")
        self._replies = os.fdopen(replies_in, "rb", buffering=0)
        self._received = bytearray()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *map(str, theirs), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log or subprocess.DEVNULL,
                stderr=log or subprocess.DEVNULL,
                pass_fds=theirs,
                start_new_session=True,
                env=environment,
            )
        finally:
            for fd in theirs:
                os.close(fd)
        self.pid = self._process.pid

    def tell(self, message: dict[str, Any]) -> None:
        """Send a command; raises `MeasurementError` when the driver is gone."""
        try:
            wire.send(self._commands, message)
        except BrokenPipeError:
            raise self._gone() from None

    def answer(self, within_s: float) -> tuple[wire.Message, list[bytes]]:
        """Return the next answer; raises `MeasurementError` when none comes in time."""
        until_s = monotonic() + within_s
        while (found := wire.taken_from(self._received)) is None:
            left_s = max(0.0, until_s - monotonic())
            ready, _, _ = select.select((self._replies,), (), (), min(_LOOK_EVERY_S, left_s))
            if not ready and left_s > _LOOK_EVERY_S:
                self._check()
                continue
            if not ready:
                raise MeasurementError(
                    f"{self._role} {self.pid} gave no answer for {format_duration(within_s)}"
                )
            some = self._replies.read(1 << 16)
            if not some:
                raise self._gone()
            self._received += some
        if "error" in found[0]:
            raise UsageError(found[0]["error"], hint=found[0]["hint"])
        return found

    def close(self) -> None:
        """End the process: ask, then kill; and give back both descriptors."""
        with suppress(BrokenPipeError):
            self._commands.close()
        self._replies.close()
        try:
            self._process.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _gone(self) -> MeasurementError:
        code = self._process.poll()
        ending = "has closed its pipe" if code is None else f"ended with status {code}"
        return MeasurementError(f"{self._role} {self.pid} {ending} while it was needed")


class Children:
    """Processes of one kind that end together; a context manager that ends them."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """The processes, in the order they were started in."""
        return [child.pid for child in self._children]

    def close(self) -> None:
        """End all of them; may be called again."""
        for child in self._children:
            child.close()

    @contextmanager
    def _all_or_none(self) -> Iterator[None]:
        """End those that were started when one after them cannot be."""
        try:
            yield
        except BaseException:
            self.close()
            raise
