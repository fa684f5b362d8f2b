"""A subject that fails is told with its cause, and the next variant still runs."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from memopt_cli.analysis.recording import Outcome
from memopt_cli.engine import sampler as sampling
from memopt_cli.engine.clock import SystemClock
from memopt_cli.engine.events import DurationsRecorded, RunEnded, SampleTaken, VariantEnded
from memopt_cli.engine.launcher import LocalLauncher
from memopt_cli.engine.stopping import Stopped, StopRequest, signals_to
from memopt_cli.errors import MeasurementError, SubjectDied, SubjectHung, SubjectOutOfMemory
from memopt_cli.profiler import environment
from memopt_cli.profiler.process import ProcessReader
from memopt_cli.workloads.settings import SubjectSettings, SyntheticSettings
from memopt_cli.workloads.transcript import Tick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from memopt_cli.engine.events import Event
    from memopt_cli.engine.launcher import LocalSubject
    from memopt_cli.scenario.model import Scenario
    from tests.engine.conftest import FakeClock, Runner

TWO = [{"name": "first"}, {"name": "second"}]
SETTINGS = SubjectSettings(SyntheticSettings(64, 0, 0, (), 10), "default")


def _child() -> int:
    """Return the pid of the only subject."""
    (child,) = psutil.Process().children()
    return child.pid


def _at_first_sample(stream: Iterator[Event], act: Callable[[], object]) -> list[Event]:
    """Return all events; *act* is called once, at the first sample."""
    events: list[Event] = []
    for event in stream:
        if isinstance(event, SampleTaken) and not any(isinstance(e, SampleTaken) for e in events):
            act()
        events.append(event)
    return events


def _ends(events: list[Event]) -> list[tuple[Outcome, str]]:
    ends = [one for one in events if isinstance(one, VariantEnded)]
    return [(one.outcome, re.sub(r"pid \d+", "pid N", one.failure)) for one in ends]


def _run_end(events: list[Event]) -> RunEnded:
    last = events[-1]
    assert isinstance(last, RunEnded)
    return last


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (signal.SIGKILL, "SIGKILL, by somebody or by the kernel for want of memory"),
        (signal.SIGSEGV, "SIGSEGV"),
        (signal.SIGTERM, "SIGTERM"),
    ],
)
def test_killed(
    number: signal.Signals, cause: str, runner: Runner, small: Callable[..., Scenario]
) -> None:
    """A subject killed from outside fails its variant, and only that."""
    stream = runner.events(small(variants=TWO))
    events = _at_first_sample(stream, lambda: os.kill(_child(), number))
    failure = f"the subject (pid N) was ended by {cause}. Its output is in target.log; it is empty"
    assert _ends(events) == [(Outcome.FAILED, failure), (Outcome.FINISHED, "")]
    assert _run_end(events).outcome == Outcome.FAILED
    assert _run_end(events).reason.startswith("first: the subject (pid ")


def _killed_before_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the subject die between its answer and the sampler's look at it."""
    take = sampling.Sampler._take

    def after_death(self: sampling.Sampler, **place: object) -> object:
        pid = self._subject.pid
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return take(self, **place)  # type: ignore[arg-type] # passed on as they came

    monkeypatch.setattr(sampling.Sampler, "_take", after_death)


def test_killed_before_it_is_read(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subject that is dead when it is to be read has no sample of zero bytes, but a cause."""
    _killed_before_reading(monkeypatch)
    events = runner.run()
    (end,) = _ends(events)
    assert not any(isinstance(event, SampleTaken) for event in events)
    assert end[1].startswith("the subject (pid N) was ended by SIGKILL")


def test_dead_between_plateaus_is_no_sample(subject: Callable[..., LocalSubject]) -> None:
    """A dead subject has no pages, which is not a reading of zero bytes."""
    one = subject()
    sampler = sampling.Sampler(one, SystemClock())
    # Nothing but the cheap counters may be read, which a dead process still has.
    sampler._exact_s = math.inf
    os.kill(one.pid, signal.SIGKILL)
    os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)
    sampler.start_stage(0)
    with pytest.raises(SubjectDied, match="was ended by SIGKILL"):
        sampler.take(at_s=1.0, units=0, plateau=False)
    sampler.close()


FAULTS = {
    "raises": ("raise RuntimeError('no such luck')", "RuntimeError: no such luck"),
    "exits": ("import sys; print('going'); sys.stdout.flush(); sys.exit(1)", "going"),
    "is missing": (None, "ModuleNotFoundError: No module named 'faulty'"),
    "is wrong": ("def", "SyntaxError: invalid syntax"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_import_that_fails(
    fault: str,
    runner: Runner,
    small: Callable[..., Scenario],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A subject that does not come up is told with the last line that it wrote."""
    text, last_line = FAULTS[fault]
    if text is not None:
        (tmp_path / "faulty.py").write_text(text, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    faulty = small(synthetic={"imports": ["faulty"]})
    events = list(runner.events(faulty, small()))
    failure = (
        "the subject (pid N) exited with status 1. "
        f"Its output is in target.log; its last line: {last_line}"
    )
    assert _ends(events) == [(Outcome.FAILED, failure), (Outcome.FINISHED, "")]


def test_last_line_is_its_own(
    runner: Runner,
    small: Callable[..., Scenario],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What an earlier variant wrote is not said to be the last word of a later one."""
    (tmp_path / "faulty.py").write_text("raise RuntimeError('mine')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    faulty = small(synthetic={"imports": ["faulty"]})
    stream = runner.events(faulty, small())
    events = _at_first_sample(stream, lambda: os.kill(_child(), signal.SIGKILL))
    assert [failure.endswith("it is empty") for _, failure in _ends(events)] == [False, True]


def test_unit_fault_has_a_traceback(
    runner: Runner, small: Callable[..., Scenario], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory that the subject cannot get ends it with a MemoryError in its log."""
    (tmp_path / "confined.py").write_text(
        "import resource\n"
        "held = resource.getrlimit(resource.RLIMIT_AS)[1]\n"
        "resource.setrlimit(resource.RLIMIT_AS, (400 * 1024**2, held))\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    confined = small(synthetic={"imports": ["confined"], "bytes_per_unit": "20MB"})
    events = list(runner.events(confined, small()))
    first, second = _ends(events)
    assert (first[0], second[0]) == (Outcome.FAILED, Outcome.FINISHED)
    assert first[1].endswith("its last line: MemoryError")


def test_machine_runs_out_of_memory(
    runner: Runner, small: Callable[..., Scenario], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the machine's memory is gone the subject is stopped, and the units are told."""
    monkeypatch.setattr(environment, "available_memory_bytes", lambda: 100 * 1024**2)
    monkeypatch.setattr(sampling, "_LOOK_AT_MACHINE_EVERY_S", 0.0)
    ((outcome, failure),) = _ends(list(runner.events(small())))
    assert outcome == Outcome.FAILED
    assert re.fullmatch(
        r"memory ran out at 0 units: the subject holds [\d.]+ MiB, the machine has 100 MiB left\. "
        r"Run fewer units: --scale 50%",
        failure,
    )


@pytest.fixture
def subject(tmp_path: Path) -> Iterator[Callable[..., LocalSubject]]:
    """Return a function that starts a subject; it is ended after the test."""
    started: list[LocalSubject] = []

    def start(stop: StopRequest | None = None, answer_within_s: float = 60.0) -> LocalSubject:
        made = LocalLauncher(
            tmp_path / "target.log",
            clock=SystemClock(),
            stop=stop or StopRequest(),
            answer_within_s=answer_within_s,
        ).start(SETTINGS, "only")
        started.append(made)
        return made

    yield start
    for one in started:
        one.close()


def test_control_group_kill(
    subject: Callable[..., LocalSubject], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill that the control group counted as one for memory is told as that."""
    kills = iter([3, 4])
    monkeypatch.setattr(environment, "oom_kills", lambda: next(kills))
    one = subject()
    os.kill(one.pid, signal.SIGKILL)
    with pytest.raises(SubjectOutOfMemory, match="the control group's memory ran out"):
        one.heap()


def _big_tick() -> Tick:
    """Return a tick that no pipe can hold."""
    count = 200_000
    slots = b"\0\0\0\0" * count
    return Tick(0, 1.0, b"", slots, bytes(count), b"", 1, is_plateau=False, ends_stage=False)


@pytest.mark.parametrize("tick", [None, _big_tick()], ids=["waiting", "sending"])
def test_hung(tick: Tick | None, subject: Callable[..., LocalSubject]) -> None:
    """A stopped subject is given up, whether its answer is awaited or its command is sent."""
    one = subject(answer_within_s=3.0)
    os.kill(one.pid, signal.SIGSTOP)
    with pytest.raises(SubjectHung, match=r"\(pid \d+\) gave no answer for 3.00 s"):
        one.heap() if tick is None else one.tick(tick)


@pytest.mark.parametrize("tick", [None, _big_tick()], ids=["waiting", "sending"])
def test_stop_while_hung(tick: Tick | None, subject: Callable[..., LocalSubject]) -> None:
    """A stop request ends the wait for a subject that will never answer."""
    stop = StopRequest()
    one = subject(stop)
    os.kill(one.pid, signal.SIGSTOP)
    with signals_to(stop):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Stopped):
            one.heap() if tick is None else one.tick(tick)


def test_hung_variant(runner: Runner, small: Callable[..., Scenario]) -> None:
    """A variant that hangs fails, and the next one runs."""
    stream = runner.events(small(variants=TWO), answer_within_s=5.0)
    events = _at_first_sample(stream, lambda: os.kill(_child(), signal.SIGSTOP))
    failure = "the subject (pid N) gave no answer for 5.00 s. Its output is in target.log"
    assert _ends(events) == [
        (Outcome.FAILED, f"{failure}; it is empty"),
        (Outcome.FINISHED, ""),
    ]


def test_large_tick_is_done(subject: Callable[..., LocalSubject]) -> None:
    """A tick that no pipe can hold reaches a subject that works."""
    one = subject()
    arrives = Tick(0, 1.0, b"\0\0\0\0", b"", b"", b"", 1, is_plateau=False, ends_stage=False)
    one.tick(arrives)
    assert one.tick(_big_tick())["operations"] == 200_001


def test_close_twice(subject: Callable[..., LocalSubject]) -> None:
    """Closing a subject again does nothing, and its pid is gone after the first time."""
    one = subject()
    one.close()
    one.close()
    assert not psutil.pid_exists(one.pid)


def test_dead_when_asked(subject: Callable[..., LocalSubject]) -> None:
    """A subject that has died before it is asked is told as dead."""
    one = subject()
    os.kill(one.pid, signal.SIGKILL)
    os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(SubjectDied, match="was ended by SIGKILL"):
        one.heap()


def test_descriptors_are_given_back(subject: Callable[..., LocalSubject]) -> None:
    """A subject that was closed leaves no descriptor open."""
    before = psutil.Process().num_fds()
    subject().close()
    assert psutil.Process().num_fds() == before


def test_subject_has_its_own_hash_seed(
    runner: Runner, small: Callable[..., Scenario], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashes are equal in all subjects, whatever the controller's are."""
    (tmp_path / "tells.py").write_text(
        "import sys; print(hash('memopt'), file=sys.stderr)", encoding="utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONHASHSEED", "random")
    list(runner.events(small(variants=TWO, synthetic={"imports": ["tells"]})))
    first, second = runner.log.read_text(encoding="utf-8").splitlines()[1::2]
    assert first == second


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stop_by_signal(
    number: signal.Signals, runner: Runner, small: Callable[..., Scenario]
) -> None:
    """A signal ends the run at once, and no other variant is begun."""
    with signals_to(runner.stop):
        events = _at_first_sample(
            runner.events(small(variants=TWO)), lambda: os.kill(os.getpid(), number)
        )
    reason = f"stopped by {number.name}"
    end = _run_end(events)
    assert _ends(events) == [(Outcome.INTERRUPTED, reason)]
    assert (end.outcome, end.reason, end.signal) == (Outcome.INTERRUPTED, reason, number)
    assert sum(isinstance(event, SampleTaken) for event in events) == 1


def test_stop_while_waiting(
    runner: Runner,
    small: Callable[..., Scenario],
    fake_clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the wall clock a stop is noticed within a tenth of a second, not at the tick's end."""

    def interrupted(duration_s: float) -> None:
        fake_clock.slept_s.append(duration_s)
        runner.stop.by_signal(signal.SIGINT)

    monkeypatch.setattr(fake_clock, "sleep", interrupted)
    events = list(runner.events(small(load={"clock": "wall"}), clock=fake_clock))
    assert _run_end(events).outcome == Outcome.INTERRUPTED
    assert fake_clock.slept_s == [0.1]


def test_stop_before_the_start(runner: Runner) -> None:
    """A stop that was asked for before starts no subject."""
    runner.stop.by_signal(signal.SIGTERM)
    events = runner.run()
    assert _ends(events) == [(Outcome.INTERRUPTED, "stopped by SIGTERM")]
    assert not runner.log.exists()


def test_second_signal_interrupts() -> None:
    """Who asks twice is not kept waiting."""
    stop = StopRequest()
    with signals_to(stop):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert (stop.outcome, stop.signal) == (Outcome.INTERRUPTED, signal.SIGINT)


def test_signal_handlers_are_restored() -> None:
    """Outside of a run the process has the handlers that it had before."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with signals_to(StopRequest()):
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before


def test_the_first_reason_stays() -> None:
    """A signal after a crossed threshold does not change why the run was stopped."""
    stop = StopRequest()
    stop.by_threshold("crossed")
    stop.by_signal(signal.SIGINT)
    assert (stop.outcome, stop.reason) == (Outcome.ABORTED, "crossed")


def test_orphan_ends() -> None:
    """A subject whose controller is not its parent ends at once."""
    process = psutil.Popen(
        [sys.executable, "-m", "memopt_cli.engine.subject", "0", "1", "2", "1"],
        stdin=subprocess.DEVNULL,
    )
    assert process.wait(30) == 1


def test_a_subject_that_cannot_be_read_fails_its_variant(
    runner: Runner, small: Callable[..., Scenario], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that refuses the reading ends the variant with that cause, and the run with it."""

    def refuse(_: object) -> None:
        raise MeasurementError("not allowed", hint="Run it as root.")

    monkeypatch.setattr(ProcessReader, "footprint", refuse)
    events = list(runner.events(small(variants=TWO)))

    assert [(Outcome.FAILED, "not allowed. Run it as root")] * 2 == _ends(events)
    assert isinstance(events[-1], RunEnded)
    assert psutil.Process().children() == []


def test_a_subject_that_cannot_start_leaves_no_descriptor(
    subject: Callable[..., LocalSubject], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was opened for a process that did not start is closed again."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    before = psutil.Process().num_fds()
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", refuse)
        with pytest.raises(SubjectDied, match="could not be started: Too many open files"):
            subject()

    assert before == psutil.Process().num_fds()


def test_every_pause_is_in_a_sample_and_in_a_histogram(
    runner: Runner, small: Callable[..., Scenario]
) -> None:
    """Samples and histograms count the same pauses, also where many ticks lie between samples."""
    scenario = small(
        workload="connections",
        variants=[{"name": "only"}],
        sampling={"interval": "5s"},
        load={"message_rate": "50/s", "arrival_rate": "100/s"},
    )
    events = list(runner.events(scenario))
    sampled = sum(one.sample.gc_pauses for one in events if isinstance(one, SampleTaken))
    kept = {one.stage: one for one in events if isinstance(one, DurationsRecorded)}
    counted = sum(h.count for one in kept.values() for h in one.pauses.values())

    assert 0 < sampled
    assert sampled == counted
