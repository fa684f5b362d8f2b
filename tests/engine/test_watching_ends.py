"""However a target ends, or is ended, the watch says how, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from memopt_cli.analysis.recording import Outcome
from memopt_cli.engine.watch_events import (
    ProcessAppeared,
    ProcessEnded,
    WatchStarted,
)
from memopt_cli.errors import MeasurementError, SubjectDied, TargetError
from memopt_cli.profiler import tree
from memopt_cli.profiler.tree import living

if TYPE_CHECKING:
    from tests.engine.watcher import Watcher


@pytest.mark.parametrize(
    ("ends", "outcome", "reason", "status"),
    [
        ("sys.exit(0)", Outcome.FINISHED, "", 0),
        ("sys.exit(3)", Outcome.FAILED, "exited with 3", 3),
        ("os.kill(os.getpid(), 9)", Outcome.FAILED, "ended by SIGKILL", 137),
    ],
)
def test_a_command_that_ends_ends_the_watch(
    watcher: Watcher, ends: str, outcome: Outcome, reason: str, status: int
) -> None:
    """As it ended itself: finished, failed or killed."""
    ended = watcher.run(watcher.python(f"import os, time; time.sleep(0.1); {ends}"))

    assert (outcome, reason, None, status) == (
        ended.outcome,
        ended.reason,
        ended.signal,
        ended.exit_status,
    )
    assert isinstance(watcher.events[0], WatchStarted)
    assert [0] == [event.number for event in watcher.all(ProcessEnded)]


def test_the_duration_ends_a_command_and_leaves_a_process_alone(watcher: Watcher) -> None:
    """What we started is ended, and is no failure; what ran before goes on."""
    ended = watcher.run(["sleep", "60"], duration_s=0.2)
    assert (Outcome.FINISHED, "", 143) == (ended.outcome, ended.reason, ended.exit_status)
    assert ended.wall_s >= 0.2

    process = subprocess.Popen(["sleep", "60"])
    try:
        watcher.events.clear()
        ended = watcher.run(process.pid, duration_s=0.2)
        assert (Outcome.FINISHED, None) == (ended.outcome, ended.exit_status)
        assert f"process {process.pid}" == watcher.all(WatchStarted)[0].target
        assert None is process.poll()
    finally:
        process.kill()
        process.wait()


def test_a_process_that_ends_ends_the_watch(watcher: Watcher) -> None:
    """Of one that we did not start, nobody tells us how it ended."""
    process = subprocess.Popen(["sleep", "60"])
    threading.Timer(0.2, process.kill).start()

    ended = watcher.run(process.pid)

    process.wait()
    assert (Outcome.FINISHED, "", None) == (ended.outcome, ended.reason, ended.exit_status)


def test_one_that_dies_between_being_seen_and_read_is_told_as_ended(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch goes on to its own end."""
    process = subprocess.Popen(["sleep", "60"])
    look = tree.Tree.look

    def look_and_kill(self: tree.Tree, *, thoroughly: bool = False) -> tuple[tree.Living, ...]:
        found = look(self, thoroughly=thoroughly)
        if len(watcher.readings()) == 3:
            process.kill()
            process.wait()
        return found

    monkeypatch.setattr(tree.Tree, "look", look_and_kill)

    ended = watcher.run(process.pid)

    assert Outcome.FINISHED == ended.outcome
    assert [0] == [event.number for event in watcher.all(ProcessEnded)]


def test_what_cannot_be_watched_is_told_before_anything_happens(watcher: Watcher) -> None:
    """No such process, no such command: the first event is never yielded."""
    with pytest.raises(SubjectDied, match="process 4194305 does not exist"):
        next(watcher.begin(2**22 + 1))
    with pytest.raises(TargetError, match="cannot be started"):
        next(watcher.begin(["memopt-no-such-command"]))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every process")
def test_a_process_of_another_user_is_refused(watcher: Watcher) -> None:
    """Nothing of it could be measured."""
    with pytest.raises(MeasurementError, match="belongs to another user"):
        next(watcher.begin(1))


def test_a_watch_that_is_given_up_leaves_nothing(watcher: Watcher) -> None:
    """The command and its child are ended, and the threads, when nobody listens any more."""
    script = "import os, time; os.fork(); time.sleep(60)"
    events = watcher.begin(watcher.python(script))
    for event in events:
        watcher.events.append(event)
        if watcher.agents() == 2:
            break
    events.close()  # type: ignore[attr-defined] # it is a generator

    assert [] == [event.pid for event in watcher.all(ProcessAppeared) if living(event.pid)]
    assert [] == [each for each in threading.enumerate() if each.name.startswith("investigation")]
