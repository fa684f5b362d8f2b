"""Starts a subject on this machine, talks to it, and ends it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from memopt_cli.errors import SubjectDied, SubjectHung, SubjectOutOfMemory, TargetError
from memopt_cli.profiler import environment, recorder
from memopt_cli.profiler.recorder import RecorderReader
from memopt_cli.units import format_duration
from memopt_cli.workloads import wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.engine.clock import Clock
    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.workloads.settings import SubjectSettings
    from memopt_cli.workloads.transcript import Tick
    from memopt_cli.workloads.wire import Message

ANSWER_WITHIN_S = 120.0
"""A tick is at most a second of load; a subject that needs longer for one is hung."""

_LOOK_EVERY_S = 0.1
_END_WITHIN_S = 2.0
_LOG_TAIL_BYTES = 10_000

_DISTORTING = {"PYTHONTRACEMALLOC", "PYTHONDEVMODE", "PYTHONMALLOCSTATS", "PYTHONINSPECT"}
"""Variables for looking at a Python program, which a subject would pay for with its memory."""


class Subject(Protocol):
    """A process under test, as the engine sees it."""

    pid: int
    recorder: RecorderReader

    def start_stage(self) -> None:
        """Begin a stage: the latency histogram starts afresh."""

    def forget_durations(self) -> None:
        """Have the latency histogram start afresh within a stage."""

    def tick(self, tick: Tick) -> dict[str, Any]:
        """Do a tick; return ``units``, ``operations``, ``busy_s``, ``created`` and ``reused``."""

    def heap(self) -> dict[str, int | None]:
        """Return ``in_use``, ``free`` (bytes) and ``blocks``."""

    def finish(self) -> dict[str, Any]:
        """Return ``digest``, ``transcript`` and ``pool``."""

    def exchange(self, message: Message, *blocks: bytes) -> tuple[Message, list[bytes]]:
        """Send a command of the population's own, and return its answer and its blocks."""

    def death(self) -> TargetError:
        """Return why the process is gone."""

    def close(self) -> None:
        """End the process; may be called again."""


class Launcher(Protocol):
    """Where subjects run: this machine, or a cluster."""

    def start(self, settings: SubjectSettings, label: str) -> Subject:
        """Start a subject and wait until its population can be grown."""


class LocalLauncher:
    """Starts each subject as a child of this process, its output in one log."""

    def __init__(
        self,
        log: Path,
        *,
        clock: Clock,
        stop: StopRequest,
        answer_within_s: float = ANSWER_WITHIN_S,
    ) -> None:
        self._log = log
        self._clock = clock
        self._stop = stop
        self._answer_within_s = answer_within_s

    def start(self, settings: SubjectSettings, label: str) -> LocalSubject:
        """Start a subject; raises `TargetError` when it does not come up."""
        with self._log.open("ab") as log:
            log.write(f"--- {label}\n".encode())
            log.flush()
            try:
                subject = LocalSubject(
                    log,
                    clock=self._clock,
                    stop=self._stop,
                    answer_within_s=self._answer_within_s,
                )
            except OSError as exc:
                raise SubjectDied(
                    f"the subject could not be started: {exc.strerror}",
                    hint="Raise the limits of this shell: see `ulimit -a`.",
                ) from exc
        try:
            subject.ask({"settings": settings.to_json()})
        except BaseException:
            subject.close()
            raise
        return subject


class LocalSubject:
    """One child process and the three descriptors that it shares with its controller."""

    def __init__(
        self, log: IO[bytes], *, clock: Clock, stop: StopRequest, answer_within_s: float
    ) -> None:
        self._clock = clock
        self._stop = stop
        self._answer_within_s = answer_within_s
        self._log = Path(log.name)
        self._log_start = os.fstat(log.fileno()).st_size
        self._oom_kills = environment.oom_kills()
        # Lent to the process and closed here in any case; the own ends only if it does not start.
        with ExitStack() as lent, ExitStack() as own:
            commands_in, commands_out = os.pipe()
            lent.callback(os.close, commands_in)
            self._commands = own.enter_context(os.fdopen(commands_out, "wb", buffering=0))
            replies_in, replies_out = os.pipe()
            lent.callback(os.close, replies_out)
            self._replies = own.enter_context(os.fdopen(replies_in, "rb"))
            shared = recorder.create()
            lent.callback(os.close, shared)
            self.recorder = RecorderReader(shared)
            own.callback(self.recorder.close)
            self._process = _started((commands_in, replies_out, shared), log)
            own.pop_all()
        self.pid = self._process.pid
        # A subject that hangs leaves its pipe full; writing to it must not block.
        os.set_blocking(self._commands.fileno(), False)
        self._end_within_s = _END_WITHIN_S
        self._closed = False

    def start_stage(self) -> None:
        """Begin a stage."""
        self.ask({"do": "stage"})

    def forget_durations(self) -> None:
        """Have the latency histogram start afresh within a stage."""
        self.ask({"do": "forget"})

    def tick(self, tick: Tick) -> dict[str, Any]:
        """Do a tick."""
        blocks = (tick.arrivals, tick.message_slots, tick.message_codes, tick.departures)
        return self.ask({"do": "tick", "at_s": tick.ends_s}, *blocks)

    def heap(self) -> dict[str, int | None]:
        """Read the heap from inside."""
        return self.ask({"do": "heap"})

    def finish(self) -> dict[str, Any]:
        """Collect what the population says of itself."""
        return self.ask({"do": "finish"})

    def ask(self, message: dict[str, Any], *blocks: bytes) -> dict[str, Any]:
        """Send a command and return its answer; raises as `exchange` does."""
        return self.exchange(message, *blocks)[0]

    def exchange(
        self, message: dict[str, Any], *blocks: bytes
    ) -> tuple[dict[str, Any], list[bytes]]:
        """
        Send a command and return its answer, and the blocks that came with it.

        Raises:
            SubjectDied: The process ended, or closed the connection.
            SubjectHung: No answer in time.
            SubjectOutOfMemory: It was killed, and the control group counted a kill for memory.
            Stopped: A stop was asked for meanwhile.
        """
        deadline = self._clock.now() + self._answer_within_s
        unsent = memoryview(wire.encoded(message, *blocks))
        try:
            while unsent:
                self._wait_until(deadline, writable=[self._commands])
                unsent = unsent[os.write(self._commands.fileno(), unsent) :]
        except BrokenPipeError:
            raise self.death() from None
        self._wait_until(deadline, readable=[self._replies])
        received = wire.receive(self._replies)
        if received is None:
            raise self.death()
        return received

    def close(self) -> None:
        """End the process: ask, then kill; and give back all descriptors."""
        if self._closed:
            return
        self._closed = True
        self._commands.close()
        self._replies.close()
        try:
            self._process.wait(0 if self._stop.outcome else self._end_within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.recorder.close()

    def _wait_until(
        self,
        deadline: float,
        *,
        readable: Sequence[IO[bytes]] = (),
        writable: Sequence[IO[bytes]] = (),
    ) -> None:
        """Wait for a stream, but not longer than allowed, nor after a stop was asked for."""
        while not any(select.select(readable, writable, (), _LOOK_EVERY_S)):
            self._stop.check()
            if self._clock.now() > deadline:
                self._end_within_s = 0.0
                raise SubjectHung(
                    f"the subject (pid {self.pid}) gave no answer for "
                    f"{format_duration(self._answer_within_s)}",
                    hint=self._log_hint(),
                )

    def death(self) -> TargetError:
        """Return why the process is gone, as far as can be known."""
        try:
            code = self._process.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            return SubjectDied(
                f"the subject (pid {self.pid}) closed its connection", hint=self._log_hint()
            )
        if code == -signal.SIGKILL and environment.oom_kills() != self._oom_kills:
            return SubjectOutOfMemory(
                f"the subject (pid {self.pid}) was killed: the control group's memory ran out",
                hint="Run fewer units (--scale 50%), or raise the limit.",
            )
        return SubjectDied(f"the subject (pid {self.pid}) {_ending(code)}", hint=self._log_hint())

    def _log_hint(self) -> str:
        with self._log.open("rb") as log:
            # Only what this process wrote: the log is shared with those before it.
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, end - _LOG_TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        said = [line for line in lines if line.strip()]
        last = f"its last line: {said[-1].strip()}" if said else "it is empty"
        return f"Its output is in target.log; {last}"


def _started(theirs: tuple[int, int, int], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the process; it inherits commands, replies and the recorder's memory."""
    return subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-m",
            "memopt_cli.engine.subject",
            *map(str, theirs),
            str(os.getpid()),
        ],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=theirs,
        start_new_session=True,
        env=environment_of_subjects(),
    )


def environment_of_subjects() -> dict[str, str]:
    """Return the subject's environment: the controller's, and what makes heaps comparable."""
    ours = environment.SUBJECT_SETTINGS
    tunables = [os.environ.get("GLIBC_TUNABLES", ""), ours["GLIBC_TUNABLES"]]
    theirs = {name: value for name, value in os.environ.items() if name not in _DISTORTING}
    return {**theirs, **ours, "GLIBC_TUNABLES": ":".join(filter(None, tunables))}


def _ending(code: int) -> str:
    if code >= 0:
        return f"exited with status {code}"
    name = signal.Signals(-code).name
    cause = ", by somebody or by the kernel for want of memory" if name == "SIGKILL" else ""
    return f"was ended by {name}{cause}"
