"""Processes that come, go, fork, stand still and replace themselves are watched all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from memopt_cli.analysis.watch_findings import judge
from memopt_cli.analysis.watch_limits import WatchLimits
from memopt_cli.engine import followed
from memopt_cli.engine.clock import SystemClock
from memopt_cli.engine.watch_events import (
    PausesRecorded,
    ProcessAppeared,
    ProcessEnded,
    ReadingTaken,
)
from memopt_cli.engine.watch_keeping import kept
from memopt_cli.profiler import tree
from memopt_cli.profiler.injection import Session
from memopt_cli.profiler.tree import living
from memopt_cli.store.watch_reader import read_watch
from memopt_cli.store.watch_writer import WatchWriter

if TYPE_CHECKING:
    import pytest

    from tests.engine.watcher import Watcher


FAMILY = """
import multiprocessing, os, time
def work(): time.sleep(60)
if __name__ == '__main__':
    for kind in ('fork', 'spawn'):
        multiprocessing.get_context(kind).Process(target=work, daemon=True).start()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: work()
        os._exit(0)
    os.wait()
    work()
"""


def test_children_and_a_daemon_are_watched_and_end_with_the_command(watcher: Watcher) -> None:
    """Forked, spawned and forked twice: each has an agent, and none is left."""
    # The fourth and fifth are the spawned one and what watches over its resources.
    ended = watcher.run(watcher.python(FAMILY), until=lambda: watcher.agents() == 5)

    appeared = watcher.all(ProcessAppeared)
    assert [0, 1, 2, 3, 4] == [event.number for event in appeared]
    assert all(watcher.readings(number) for number in range(5))
    assert [] == [event.pid for event in appeared if living(event.pid) is not None]
    assert 0 == ended.processes_left_out


def test_one_that_ends_does_not_end_the_watch_of_others(watcher: Watcher) -> None:
    """A child comes and goes; its pauses are told, and its parent is read on."""
    script = """
    import gc, os, time
    if os.fork() == 0:
        while not os.path.exists(sys.argv[0] + '.seen'): time.sleep(0.01)
        gc.disable()
        for _ in range(50): gc.collect()
        os._exit(1)
    os.wait()
    time.sleep(60)
    """

    def went_on() -> bool:
        if watcher.agents() == 2:
            (watcher.folder / "app.py.seen").touch()
        gone = [n for n, e in enumerate(watcher.events) if isinstance(e, ProcessEnded)]
        return bool(gone) and len(watcher.events) > gone[0] + 10

    watcher.run(watcher.python(script), until=went_on)

    (gone,) = watcher.all(ProcessEnded)
    (pauses,) = [event for event in watcher.all(PausesRecorded) if event.number == gone.number]
    assert gone.number == 1
    assert 50 == pauses.pauses[2].count
    assert sum(each.gc_pauses for each in watcher.readings(1)) <= sum(
        each.count for each in pauses.pauses.values()
    )
    assert watcher.readings()[-1].at_s > gone.at_s


def test_what_a_command_leaves_behind_is_watched_on(watcher: Watcher) -> None:
    """The command is over at once; its child is read until the time is over, and then ended."""
    ended = watcher.run(["sh", "-c", "sleep 60 & exit 0"], duration_s=0.6)

    appeared = watcher.all(ProcessAppeared)
    assert (0, True) == (ended.exit_status, ended.wall_s >= 0.6)
    assert "sleep 60" in [event.command for event in appeared]
    assert [] == [event.pid for event in appeared if living(event.pid)]


def test_who_is_there_for_one_look_only_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was there when the watch began is, and whoever came since from its second look on."""
    with ExitStack() as opened:
        session = opened.enter_context(Session())
        first, second = (subprocess.Popen(["sleep", "60"]) for _ in range(2))
        for each in (first, second):
            opened.enter_context(each)
            opened.callback(each.kill)
        one, other = living(first.pid), living(second.pid)
        assert one is not None
        assert other is not None
        looks = iter([(one,), (one, other), (one,), (one, other), (one, other)])
        monkeypatch.setattr(tree.Tree, "look", lambda _, **__: next(looks))
        watched = followed.Followed(tree.Tree(one), session, SystemClock())
        came = [
            [event.pid for event in watched.read() if isinstance(event, ProcessAppeared)]
            for _ in range(5)
        ]
        watched.close()

    assert [[first.pid], [], [], [], [second.pid]] == came


def test_a_native_program_is_read_from_outside(watcher: Watcher) -> None:
    """There is no agent, and it is said why."""
    ended = watcher.run(["sleep", "60"], until=lambda: len(watcher.readings()) > 3)

    assert {0: "it is not a Python program (sleep)"} == watcher.inside()
    assert [None] == list({each.allocated_blocks for each in watcher.readings()})
    assert all(each.rss_bytes > 0 for each in watcher.readings())
    assert [] == watcher.all(PausesRecorded)
    assert 143 == ended.exit_status


def test_a_program_that_replaces_itself_is_another_one(watcher: Watcher) -> None:
    """A shell that becomes a Python program: two series, the second with an agent."""
    script = watcher.python("import time; time.sleep(60)")
    path = watcher.folder / "go"
    command = ["sh", "-c", f'while [ ! -e {path} ]; do sleep 0.01; done; exec "$@"', "sh", *script]

    def go_on() -> bool:
        if len(watcher.readings()) > 3:
            path.touch()
        blocks = [event.reading.allocated_blocks for event in watcher.all(ReadingTaken)]
        return any(each is not None for each in blocks)

    watcher.run(command, until=go_on)

    # The shell's own children come and go beside it.
    appeared = watcher.all(ProcessAppeared)
    same = [each for each in appeared if each.pid == appeared[0].pid]
    assert ["sh", sys.executable] == [each.command.split()[0] for each in same]
    assert 0 in [each.number for each in watcher.all(ProcessEnded)]
    assert "" == watcher.inside()[same[1].number]


def shim(watcher: Watcher) -> list[str]:
    """Return a command that is a script, which becomes Python when there is a file *go*."""
    script = watcher.python("open(sys.argv[0] + '.began', 'w'); import time; time.sleep(60)")
    path, go = watcher.folder / "python", watcher.folder / "go"
    wait = f"while [ ! -e {go} ]; do :; done"
    path.write_text(f'#!/bin/sh\n{wait}\nexec {script[0]} "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return [str(path), *script[1:]]


def become_python(watcher: Watcher) -> None:
    """Let the script go on, and return when it is Python with an agent that has begun."""
    (watcher.folder / "go").touch()
    while not (watcher.folder / "app.py.began").exists():
        time.sleep(0.001)


def test_a_script_that_becomes_the_program_is_reported_as_it(watcher: Watcher) -> None:
    """It was read before its exec: one process, with the command that it ended up as."""
    command = shim(watcher)
    folder = watcher.folder / "watch"

    def seen() -> bool:
        if len(watcher.readings()) == 1:
            become_python(watcher)
        return any(each.allocated_blocks for each in watcher.readings(1))

    with WatchWriter(folder) as writer:
        watcher.run(command, until=seen)
        for _ in kept(watcher.events, writer):
            pass
    recorded = read_watch(folder)
    found = judge(recorded, WatchLimits())

    assert ["/bin/sh", sys.executable] == [one.command.split()[0] for one in recorded.processes]
    assert [f"{sys.executable} {command[1]}"] == [one.command for one in found.processes]
    assert found.tree is None


def test_a_process_has_the_command_that_its_readings_are_of(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that becomes Python right after its command was asked for is noticed."""
    command = shim(watcher)

    def asked(pid: int) -> str:
        found = tree.command_line(pid)
        become_python(watcher)
        return found

    monkeypatch.setattr(followed, "command_line", asked)
    watcher.run(command, until=lambda: watcher.agents() == 1)

    appeared = watcher.all(ProcessAppeared)
    assert ["/bin/sh", sys.executable] == [each.command.split()[0] for each in appeared]
    assert [] == watcher.readings(0)


def test_an_agent_that_stands_still_does_not_stop_the_watch(watcher: Watcher) -> None:
    """A child that was stopped is read from outside; its parent's heap is told as before."""
    script = """
    import os, time
    os.fork()
    time.sleep(60)
    """
    stopped: dict[str, int] = {}

    def stop_child() -> bool:
        told = [
            any(each.allocated_blocks is not None for each in watcher.readings(number))
            for number in (0, 1)
        ]
        if all(told) and not stopped:
            os.kill(watcher.all(ProcessAppeared)[1].pid, signal.SIGSTOP)
            stopped["events"] = len(watcher.events)
        return bool(stopped) and len(watcher.events) > stopped["events"] + 80

    ended = watcher.run(watcher.python(script), until=stop_child)

    after = [
        event for event in watcher.events[stopped["events"] :] if isinstance(event, ReadingTaken)
    ]
    last = {number: [e.reading for e in after if e.number == number][-10:] for number in (0, 1)}
    assert {None} == {each.allocated_blocks for each in last[1]}
    assert {None} != {each.allocated_blocks for each in last[0]}
    assert 143 == ended.exit_status
    assert [] == [event.pid for event in watcher.all(ProcessAppeared) if living(event.pid)]


def test_places_are_limited_and_the_rest_is_counted(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of six processes three are recorded, each of the others is counted once."""
    monkeypatch.setattr(followed, "MOST_PROCESSES", 3)
    monkeypatch.setattr(tree, "PASSES_SHARE", 1e9)
    begun = watcher.folder / "begun"
    script = "for _ in 1 2 3 4 5; do sleep 60 & done; touch " + str(begun) + "; wait"
    before: list[int] = []

    def seen_twice() -> bool:
        if begun.exists():
            before.append(len(watcher.readings()))
        return bool(before) and len(watcher.readings()) > before[0] + 4

    ended = watcher.run(["sh", "-c", script], until=seen_twice)

    assert [0, 1, 2] == [event.number for event in watcher.all(ProcessAppeared)]
    assert 3 == ended.processes_left_out


def test_thousands_of_short_lived_children_leave_no_memory(watcher: Watcher) -> None:
    """Each has a ring in shared memory for as long as it lives, and hardly longer."""
    script = """
    import os, time
    for _ in range(400):
        if os.fork() == 0: os._exit(0)
        os.wait()
    kept = len(os.listdir(os.environ['MEMOPT_WATCH']))
    until = time.monotonic() + 30
    while len(os.listdir(os.environ['MEMOPT_WATCH'])) > 1 and time.monotonic() < until:
        time.sleep(0.01)
    print(kept, len(os.listdir(os.environ['MEMOPT_WATCH'])), file=open(sys.argv[0] + '.told', 'w'))
    """
    ended = watcher.run(watcher.python(script))

    kept, left = (watcher.folder / "app.py.told").read_text(encoding="utf-8").split()
    assert (1, 0) == (int(left), ended.processes_left_out)
    assert int(kept) <= 401


def test_where_there_is_no_room_a_child_has_no_agent_and_runs(watcher: Watcher) -> None:
    """Shared memory is never filled: a child without a ring does its work."""
    script = """
    import os, time
    sys.modules['memopt_agent'].SPARE_BYTES = 1 << 62
    if os.fork() == 0:
        time.sleep(60)
    time.sleep(60)
    """

    watcher.run(watcher.python(script), until=lambda: len(watcher.readings(1)) > 5)

    assert ["", "has not begun" in watcher.inside()[1]] == [watcher.inside()[0], True]
    assert {None} == {each.allocated_blocks for each in watcher.readings(1)}
