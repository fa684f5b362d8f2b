"""Strangers' programs are watched from their begin to their end, whatever they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import pytest

from memopt_cli.analysis.recording import Outcome
from memopt_cli.engine import followed, investigating
from memopt_cli.engine.clock import SystemClock
from memopt_cli.engine.stopping import StopRequest
from memopt_cli.engine.watch_events import (
    InsideChanged,
    PausesRecorded,
    ProcessAppeared,
    ProcessEnded,
    ReadingTaken,
    SuspectsFound,
    WatchEnded,
    WatchEvent,
    WatchStarted,
)
from memopt_cli.engine.watching import Watching, watch
from memopt_cli.errors import MeasurementError, SubjectDied, TargetError
from memopt_cli.profiler import tree
from memopt_cli.profiler.tree import living
from tests.watched import QUICK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from memopt_cli.analysis.watching import Reading

INTERVAL_S = 0.02
WITHIN_S = 60.0
Event = TypeVar("Event")


@dataclass
class Watcher:
    """Watches until it has seen enough, then asks for a stop; keeps what happened."""

    folder: Path
    stop: StopRequest = field(default_factory=StopRequest)
    events: list[WatchEvent] = field(default_factory=list)

    def python(self, script: str) -> list[str]:
        """Return the command of a script, whose agent looks 50 times a second."""
        path = self.folder / "app.py"
        path.write_text(QUICK + textwrap.dedent(script), encoding="utf-8")
        return [sys.executable, str(path)]

    def begin(
        self,
        target: int | Sequence[str],
        *,
        duration_s: float | None = None,
        operations: str = "",
    ) -> Iterator[WatchEvent]:
        """Return the events of a watch."""
        watching = Watching(target, INTERVAL_S, duration_s, operations)
        return watch(
            watching, started_at="2026-01-31T12:00:00Z", clock=SystemClock(), stop=self.stop
        )

    def run(
        self,
        target: int | Sequence[str],
        *,
        until: Callable[[], object] = lambda: False,
        duration_s: float | None = None,
        operations: str = "",
    ) -> WatchEnded:
        """Watch to the end, which is asked for when *until* is true, and return it."""
        until_s = time.monotonic() + WITHIN_S
        for event in self.begin(target, duration_s=duration_s, operations=operations):
            self.events.append(event)
            if self.stop.outcome is None and until():
                self.stop.by_signal(signal.SIGTERM)
            assert time.monotonic() < until_s, "what was waited for did not happen"
        ended = self.events[-1]
        assert isinstance(ended, WatchEnded)
        return ended

    def all(self, kind: type[Event]) -> list[Event]:
        """Return the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def readings(self, number: int = 0) -> list[Reading]:
        """Return the readings of a process."""
        return [event.reading for event in self.all(ReadingTaken) if event.number == number]

    def inside(self) -> dict[int, str]:
        """Return what is known about the inside of each process by now."""
        told: dict[int, str] = {}
        for event in self.events:
            if isinstance(event, (ProcessAppeared, InsideChanged)):
                told[event.number] = event.inside
        return told

    def agents(self) -> int:
        """Return how many processes have an agent."""
        return list(self.inside().values()).count("")


@pytest.fixture
def watcher(tmp_path: Path) -> Watcher:
    """Return a watcher."""
    return Watcher(tmp_path)


LEAK = """
import time
class Service:
    kept, handled = [], 0
service = Service()
while True:
    for _ in range(20):
        service.kept.append(bytes(1000))
        service.handled += 1
    time.sleep(0.01)
"""


def test_a_leak_is_suspected_and_its_line_is_found(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody said that it leaks: the readings do, then censuses and a window name the line."""
    monkeypatch.setattr(investigating, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(investigating, "CENSUS_DUTY", 1.0)

    ended = watcher.run(
        watcher.python(LEAK),
        until=lambda: any(event.suspects for event in watcher.all(SuspectsFound)),
        operations="__main__.service.handled",
    )

    found = watcher.all(SuspectsFound)[-1]
    first = found.suspects[0]
    assert (f"{watcher.folder}/app.py", 9) == (first.file, first.line)
    assert "__main__.Service.kept" == first.holder
    assert first.bytes_per_operation is not None
    # The program's own count, of the moment of each census: to the byte.
    assert 1033 == pytest.approx(first.bytes_per_operation.value, rel=1e-3)
    assert found.looks >= 8
    assert found.traced_s > 0
    assert (Outcome.INTERRUPTED, signal.SIGTERM) == (ended.outcome, ended.signal)
    assert 128 + signal.SIGTERM == ended.exit_status


def test_the_heap_and_the_count_come_with_the_readings(watcher: Watcher) -> None:
    """Blocks, malloc and operations are told together, by a program that was not stopped."""

    def done() -> float:
        told = [each.operations for each in watcher.readings() if each.operations is not None]
        return told[-1] - told[0] if told else 0.0

    watcher.run(
        watcher.python(LEAK), until=lambda: done() > 2_000, operations="__main__.Service.kept"
    )

    told = [each for each in watcher.readings() if each.operations is not None]
    malloc = [each.malloc_in_use_bytes for each in told if each.malloc_in_use_bytes is not None]
    kept_bytes = 1040 * done()
    # The list itself, and what the agent loads to count objects, come on top.
    assert kept_bytes <= malloc[-1] - malloc[0] < kept_bytes + 1_000_000
    assert len(told) == len(malloc)
    assert None not in {each.allocated_blocks for each in told}
    assert all(each.inside_cost_s > 0 for each in told)
    assert watcher.readings()[0].anonymous_bytes is not None


def test_an_idle_program_is_not_investigated_and_does_not_grow(watcher: Watcher) -> None:
    """The agent leaves nothing in it: after its first answers, not a block more."""
    watcher.run(
        watcher.python("import time; time.sleep(60)"),
        until=lambda: sum(each.allocated_blocks is not None for each in watcher.readings()) > 40,
    )

    blocks = [each.allocated_blocks for each in watcher.readings() if each.allocated_blocks]
    assert {blocks[5]} == set(blocks[5:])
    assert [] == watcher.all(SuspectsFound)


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
    events.close()  # type: ignore[attr-defined]

    assert [] == [event.pid for event in watcher.all(ProcessAppeared) if living(event.pid)]
    assert [] == [each for each in threading.enumerate() if each.name.startswith("investigation")]
