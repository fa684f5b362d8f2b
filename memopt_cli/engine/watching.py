"""
Watches strangers' processes: a running one by its number, or a command that it starts.

Nothing is asked of a program that shows nothing: cheap counters and the agent's heap
are read at the interval. Where one of them drifts up, that process is investigated.
"""

from __future__ import annotations

import math
import os
import signal
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.watching import Attribute
from memopt_cli.engine.command import Command, in_foreground
from memopt_cli.engine.followed import Followed
from memopt_cli.engine.watch_events import WatchEnded, WatchStarted
from memopt_cli.errors import SubjectDied
from memopt_cli.profiler import environment
from memopt_cli.profiler.injection import Session
from memopt_cli.profiler.process import ProcessReader
from memopt_cli.profiler.tree import Living, Tree, living

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from memopt_cli.engine.clock import Clock
    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.engine.watch_events import WatchEvent

INTERVAL_S = 1.0
LAST_LOOK_WITHIN_S = 10.0
"""For what keeps the suspects' memory, when the watch ends and the program does not."""

_STEP_S = 0.05
_ASK_AHEAD_S = 1.5
_SWEEP_EVERY_S = 0.5
_CLOSE_WITHIN_S = 2.0
_FIRST_AFTER_S = 0.5
"""For a command to become what it is: launchers replace themselves by the program."""


@dataclass(frozen=True, slots=True)
class Watching:
    """What is watched, and how."""

    target: int | Sequence[str]
    """The number of a process, or a command with its arguments."""

    interval_s: float = INTERVAL_S
    """Between two readings of each process."""

    duration_s: float | None = None
    """To watch; without it, until the target and its descendants ended."""

    operations: str = ""
    """
    Dotted path of a number inside the programs, or of something that has a length, as
    ``app.server.handled``: what they have done so far.
    """

    attribute: Attribute = Attribute.SUSPECTED


def watch(
    watching: Watching,
    *,
    started_at: str,
    clock: Clock,
    stop: StopRequest,
    output: Path | None = None,
) -> Generator[WatchEvent]:
    """
    Watch a target and yield what happens, ending with `WatchEnded` however it ends.

    A command that was started is ended with the watch, also when the iterator is
    closed early; a process that was running is left alone. Other processes than the
    target may come, go and refuse to be read: the rest are watched on.

    Args:
        watching: The target, and how it is watched.
        started_at: UTC, ISO 8601.
        clock: CLOCK_MONOTONIC, as the agents'.
        stop: Looked at during waits.
        output: Where a command writes to instead of to the streams of this process.

    Raises:
        SubjectDied: There is no such process.
        TargetError: The command cannot be started.
        MeasurementError: The process belongs to another user.
    """
    with ExitStack() as opened:
        target = watching.target
        session = opened.enter_context(Session(operations=watching.operations))
        command = None
        if isinstance(target, int):
            first = _running(target)
            tree = Tree(first)
        else:
            inside = session.environment(os.environ)
            command = Command(target, inside, clock=clock, output=output)
            # A command that has ended already is still there: it was not waited for.
            first = living(command.pid) or Living(command.pid, 0, os.getpid())
            tree = Tree(first, folder=session.folder)
        followed = Followed(tree, session, clock, attribute=watching.attribute)
        watch_ = _Watch(followed, tree, session, command, clock, stop)
        opened.callback(watch_.close)
        yield WatchStarted(
            target=command.text if command else f"process {target}",
            started_at=started_at,
            interval_s=watching.interval_s,
            duration_s=watching.duration_s,
            environment=environment.describe(),
        )
        within_s = math.inf if watching.duration_s is None else watching.duration_s
        yield from watch_.run(watching.interval_s, within_s)


def _running(pid: int) -> Living:
    found = living(pid)
    if found is None:
        raise SubjectDied(
            f"process {pid} does not exist", hint="Look for its number: ps -e, or pgrep -f NAME."
        )
    ProcessReader(pid).close()
    return found


class _Watch:
    """One watch: when it reads, and how it ends."""

    def __init__(
        self,
        followed: Followed,
        tree: Tree,
        session: Session,
        command: Command | None,
        clock: Clock,
        stop: StopRequest,
    ) -> None:
        self._tree = tree
        self._session = session
        self._command = command
        self._clock = clock
        self._stop = stop
        self._began_s = clock.now()
        self._swept_s = 0.0
        self._followed = followed

    @property
    def _at_s(self) -> float:
        return self._clock.now() - self._began_s

    def run(self, interval_s: float, duration_s: float) -> Iterator[WatchEvent]:
        """Read at the interval until the end, and tell how it came."""
        if self._command is not None:
            self._wait(min(_FIRST_AFTER_S, interval_s, duration_s))
        while True:
            yield from self._followed.read()
            if self._over():
                break
            due_s = interval_s * (math.floor(self._at_s / interval_s) + 1)
            self._wait(min(due_s, duration_s))
            if self._stop.outcome is not None or self._at_s >= duration_s:
                if self._stop.outcome is None:
                    yield from self._followed.read()
                yield from self._followed.conclude(LAST_LOOK_WITHIN_S)
                break
        yield from self._followed.tell_all()
        if self._command is not None and not self._over():
            self._end_command()
        yield self._ended()

    def close(self) -> None:
        """End what was begun; quickly, for nobody may listen any more."""
        if self._command is not None:
            self._command.stop(self._alive, within_s=_CLOSE_WITHIN_S)
        self._followed.close()

    def _over(self) -> bool:
        if self._command is not None and self._command.status() is None:
            return False
        # Who left the family since the last pass goes on, and so does the watch.
        return not self._followed.alive and not self._alive()

    def _alive(self) -> tuple[Living, ...]:
        return self._tree.look(thoroughly=True)

    def _wait(self, until_s: float) -> None:
        """Wait in short steps; ask the agents in time for the next reading."""
        running = self._command is not None and self._command.status() is None
        while (left_s := until_s - self._at_s) > 0 and self._stop.outcome is None:
            if left_s <= _ASK_AHEAD_S:
                self._followed.ask()
            if self._at_s - self._swept_s >= _SWEEP_EVERY_S:
                self._session.sweep()
                self._swept_s = self._at_s
            if running and self._command is not None and self._command.status() is not None:
                return
            self._clock.sleep(min(left_s, _STEP_S))

    def _end_command(self) -> None:
        if self._command is None:
            return
        interrupted = self._stop.signal == signal.SIGINT and in_foreground()
        self._command.stop(self._alive, interrupted=interrupted)

    def _ended(self) -> WatchEnded:
        outcome, reason = Outcome.FINISHED, ""
        if self._stop.outcome is not None:
            outcome, reason = self._stop.outcome, self._stop.reason
        elif self._command is not None and (failure := self._command.failure()):
            outcome, reason = Outcome.FAILED, failure
        return WatchEnded(
            outcome=outcome,
            reason=reason,
            signal=self._stop.signal,
            exit_status=self._command.status() if self._command else None,
            wall_s=self._at_s,
            processes_left_out=self._followed.left_out,
        )
