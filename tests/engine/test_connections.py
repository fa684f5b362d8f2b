"""Real connections, measured: what servers of known cost take, and what becomes of failures."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.analysis.findings import judge
from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.results import LeakVerdict
from memopt_cli.engine import collecting, connections, settling, shortfall, target
from memopt_cli.engine.stopping import StopRequest
from memopt_cli.errors import SubjectHung, UsageError
from memopt_cli.exit_codes import ExitCode
from memopt_cli.profiler import kernel
from memopt_cli.scenario.model import Scenario
from memopt_cli.store import reader
from memopt_cli.workloads.sockets.shards import Shards
from tests.exactly import ROOT, connected_to, exact, recorded

if TYPE_CHECKING:
    from memopt_cli.analysis.results import VariantFindings
    from memopt_cli.workloads.sockets.tally import Report
    from tests.engine.conftest import FakeClock

KIB = 1024
SIZE = 16 * KIB


@pytest.fixture(autouse=True)
def _shorter_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers of these tests are at rest at once, or never."""
    # No multiple of the interval: else rounding, which differs from Python to Python, says
    # whether the reading on the window's edge is inside.
    monkeypatch.setattr(settling, "WINDOW_S", 0.25)
    monkeypatch.setattr(shortfall, "_DYING_S", 0.2)


def measured(scenario: Scenario, folder: Path) -> VariantFindings:
    """Return what is found of the only variant."""
    (variant,) = judge(recorded(scenario, folder), scenario).variants
    return variant


@pytest.mark.parametrize("level", ["c", "python"])
def test_a_connection_of_16_kib_reads_as_that(tmp_path: Path, level: str) -> None:
    """The slope is right to two parts in a hundred, its interval holds the truth."""
    variant = measured(connected_to(exact(level, SIZE), 400, plateaus=4), tmp_path)
    found, real = variant.memory.per_unit, variant.connections

    assert found is not None
    assert abs(found.value - SIZE) <= 0.02 * SIZE
    assert found.low <= SIZE <= found.high
    assert real is not None
    assert (400, 400) == (real.verified, real.peak and real.peak.accepted)


@pytest.mark.parametrize("keep", [True, False])
def test_a_kibibyte_of_each_closed_connection_is_a_leak(tmp_path: Path, *, keep: bool) -> None:
    """What is planted is read to five parts in a hundred; its clean twin keeps nothing."""
    scenario = connected_to(exact("c", KIB, keep=keep), 500, plateaus=2, waves=4)
    real = measured(scenario, tmp_path).connections

    assert real is not None
    kept = real.waves.kept_per_connection
    assert kept is not None
    if keep:
        assert LeakVerdict.LEAK is real.waves.verdict
        assert abs(kept.value - KIB) <= 0.05 * KIB
    else:
        assert LeakVerdict.NO_LEAK is real.waves.verdict
        assert kept.low <= 0 <= kept.high


@pytest.mark.parametrize("asked", [True, False])
def test_garbage_is_no_leak_where_it_may_be_collected(tmp_path: Path, *, asked: bool) -> None:
    """A runtime that is told to collect before each reading does not leak; untold it seems to."""
    collect = {"collect": ["kill", "-USR1", "{pid}"]} if asked else {}
    command = ["{python}", "-m", "tests.workloads.sockets.littering", "{port}"]
    scenario = connected_to(command, 300, plateaus=2, waves=4, **collect)
    real = measured(scenario, tmp_path).connections

    assert real is not None
    assert asked is (real.waves.verdict is not LeakVerdict.LEAK)


@pytest.mark.parametrize(
    ("collect", "said"),
    [
        (["no-such-program"], "cannot be started"),
        (["false"], "failed with exit code 1"),
    ],
)
def test_a_collection_that_cannot_be_asked_for(
    tmp_path: Path, collect: list[str], said: str
) -> None:
    """Memory is not read with garbage in it that should not be there."""
    with pytest.raises(UsageError, match=said):
        recorded(connected_to(exact("c", KIB), 20, plateaus=1, collect=collect), tmp_path)
    assert said in reader.read(tmp_path).reason


def test_a_collection_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for, not for ever, and what was started is ended."""
    monkeypatch.setattr(collecting, "WITHIN_S", 0.2)
    with pytest.raises(SubjectHung, match="has not ended after 200 ms"):
        collecting.collect(["sleep", "600"], log=tmp_path / "log")


FAILURES = [
    ("die", 1, "ended by SIGKILL"),
    ("die", 250, "ended by SIGKILL"),
    ("stop", 1, "no reply came in time"),
    ("stop", 250, "connected but never accepted"),
    ("refuse", 110, "nobody listens at that address and port"),
    ("reset", 250, "closed what it had not finished"),
    ("hush", 110, "no reply came in time"),
]


@pytest.mark.parametrize(("how", "after", "said"), FAILURES)
def test_a_failing_target_is_told_with_its_reason(
    tmp_path: Path, how: str, after: int, said: str
) -> None:
    """Whatever becomes of it, the run ends with its reason; nobody is left (see conftest)."""
    command = ["{python}", "-m", "tests.workloads.sockets.failing", "{port}", how, str(after)]
    scenario = connected_to(command, 300, plateaus=2, answer_within="1s", settle_within="1s")
    recording = recorded(scenario, tmp_path)

    assert (Outcome.FAILED, True) == (recording.outcome, said in recording.reason)
    assert ExitCode.TARGET_FAILED == judge(recording, scenario).exit_code


def test_a_target_that_runs_already_is_left_running(tmp_path: Path) -> None:
    """By its pid it is measured, and goes on afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = [sys.executable, *exact("c", SIZE)[1:]]
    words[words.index("{port}")] = port
    with subprocess.Popen(words, cwd=ROOT) as running:
        try:
            url = f"tcp://127.0.0.1:{port}"
            scenario = connected_to(exact("c", 1), 200, plateaus=3).model_dump(by_alias=True)
            scenario["target"] = {"url": url, "pid": running.pid, "ready_within": "30s"}
            variant = measured(_written(scenario), tmp_path)
            assert variant.memory.per_unit is not None
            assert abs(variant.memory.per_unit.value - SIZE) <= 0.02 * SIZE
            assert running.poll() is None
        finally:
            running.kill()


def _written(scenario: dict[str, Any]) -> Scenario:
    stages = [
        {
            "name": stage["name"],
            "duration": "10ms",
            "connections": stage["units"] if "units" in stage else stage["connections"],
            "plateaus": stage["plateaus"],
            "rounds": stage["rounds"],
        }
        for stage in scenario["load"]["stages"]
    ]
    return Scenario.model_validate(
        {
            "version": 1,
            "name": "running",
            "workload": "target",
            "target": scenario["target"],
            "load": {"clock": "wall", "stages": stages},
        }
    )


def test_both_bundled_servers_do_the_same_work(tmp_path: Path) -> None:
    """Their digests are equal, and the optimized one needs less."""
    scenario = Scenario.model_validate(
        {
            "version": 1,
            "name": "both",
            "workload": "sockets",
            "sockets": {"servers": 2, "drivers": 2, "handshake_size": "4KiB"},
            "variants": [{"name": "naive"}, {"name": "optimized", "server": "optimized"}],
            "load": {
                "clock": "wall",
                "stages": [
                    {"name": "before", "duration": "10ms", "connections": 0},
                    {"name": "up", "duration": "10ms", "connections": 301, "plateaus": 4},
                    {"name": "used", "duration": "10ms", "connections": 301, "rounds": 2},
                    {"name": "down", "duration": "10ms", "connections": 0, "plateaus": 2},
                ],
            },
        }
    )
    run = judge(recorded(scenario, tmp_path), scenario)
    naive, optimized = run.variants

    assert (True, ExitCode.PASSED) == (optimized.same_work, run.exit_code)
    assert [602, 602] == [naive.operations, optimized.operations]
    assert naive.memory.per_unit is not None
    assert optimized.memory.per_unit is not None
    assert optimized.memory.per_unit.high < naive.memory.per_unit.low


def test_a_stop_is_heard_while_connections_are_held(tmp_path: Path) -> None:
    """A signal ends a long stage at once, and the processes with it."""
    scenario = connected_to(exact("c", SIZE), 50, plateaus=1)
    load = scenario.load
    long = load.model_copy(
        update={"stages": (*load.stages[:2], load.stages[1].model_copy(update={"duration_s": 600}))}
    )
    stop = StopRequest()
    signal.signal(signal.SIGALRM, lambda *_: stop.by_signal(signal.SIGTERM))
    signal.setitimer(signal.ITIMER_REAL, 3.0)
    try:
        began_s = time.monotonic()
        recording = recorded(scenario.model_copy(update={"load": long}), tmp_path, stop)
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    assert Outcome.INTERRUPTED is recording.outcome
    assert time.monotonic() - began_s < 300


def test_a_target_that_must_not_be_loaded() -> None:
    """Another machine is refused without leave, and with it beyond a bounded rate and count."""
    far = connected_to(["true"], 100, url="http://192.0.2.1:80")
    with pytest.raises(UsageError, match=r"^192\.0\.2\.1 is not this machine"):
        target.check(far, allow_remote=False)
    with pytest.raises(UsageError, match="100 connections to 192"):
        target.check(far, allow_remote=True)
    slow = far.model_copy(update={"load": far.load.model_copy(update={"arrival_rate_per_s": 9})})
    target.check(slow, allow_remote=True)


def test_a_target_that_is_not_installed() -> None:
    """What is missing is named, with how to get it, before anything is started."""
    needs = {"programs": ["no-such-server"], "modules": ["no.such"], "hint": "Install it."}
    with pytest.raises(UsageError, match="needs no-such-server, the Python module no") as told:
        target.check(connected_to(["true"], 1, needs=needs), allow_remote=False)
    assert "Install it." == told.value.hint


@pytest.mark.parametrize(("close", "reset"), [("reset", True), ("in-order", False)])
def test_how_connections_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, close: str, *, reset: bool
) -> None:
    """As the scenario says, those of the warm-up too; nothing is open afterwards."""
    asked: list[bool] = []
    drop = Shards.drop

    def noted(self: Shards, count: int | None = None, **how: Any) -> Report:
        asked.append(how["reset"])
        return drop(self, count, **how)

    monkeypatch.setattr(Shards, "drop", noted)
    scenario = connected_to(exact("c", KIB), 20, plateaus=1, close=close)
    recording = recorded(scenario, tmp_path)

    assert [reset, reset] == asked
    real = recording.variants[0].connections
    assert real is not None
    # Those of the warm-up are in none of the counts.
    assert (20, 20, 0) == (real.attempted, real.closed, real.sockets_after)


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """Somebody else's server is not measured in place of the one that cannot start."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UsageError, match="something listens on"):
            recorded(connected_to(["sleep", "9"], 1, url=url), tmp_path)
    recording = reader.read(tmp_path)
    assert (Outcome.FAILED, "something listens on" in recording.reason) == (recording.outcome, True)
    assert [Outcome.FAILED] == [variant.outcome for variant in recording.variants]


def test_secrets_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header's variable must be set; what a scenario keeps is its name only."""
    scenario = connected_to(["sleep", "9"], 1, headers={"Authorization": "Bearer ${TOKEN_X}"})
    monkeypatch.delenv("TOKEN_X", raising=False)
    with pytest.raises(UsageError, match="the variable TOKEN_X is not set"):
        recorded(scenario, tmp_path)
    assert "${TOKEN_X}" in (tmp_path / "scenario.yaml").read_text(encoding="utf-8")


def test_rest_is_a_second_without_movement(fake_clock: FakeClock) -> None:
    """Memory that stops moving is at rest a window later; what never stops is not waited for."""
    sizes = iter([100_000 * step for step in range(10)] + [1_000_000] * 100)
    states = (settling.State(size, 7) for size in sizes)

    def settle(within_s: float) -> settling.Settled:
        return settling.settle(
            lambda: next(states),
            start_bytes=0,
            within_s=within_s,
            clock=fake_clock,
            check=lambda: None,
        )

    found = settle(5.0)
    assert (True, 1.2) == (found.at_rest, round(found.took_s, 1))
    states = (settling.State(step * 50_000, 7) for step in range(100))
    assert (False, 3.0) == ((never := settle(3.0)).at_rest, round(never.took_s, 1))


def test_open_descriptors_are_no_rest(fake_clock: FakeClock) -> None:
    """Memory stands still, and yet a connection goes every tenth of a second."""
    states = (settling.State(1_000_000, fds) for fds in range(100, 0, -1))
    found = settling.settle(
        lambda: next(states), start_bytes=0, within_s=3.0, clock=fake_clock, check=lambda: None
    )

    assert not found.at_rest


@pytest.mark.parametrize(("stay_for", "left", "slept_s"), [(10, 2, 0.5), (10_000, 7, 5.0)])
def test_ends_that_are_left_are_waited_for(
    monkeypatch: pytest.MonkeyPatch,
    fake_clock: FakeClock,
    stay_for: int,
    left: int,
    slept_s: float,
) -> None:
    """The kernel has a moment to end them; what stays beyond those before is told."""
    looks = iter(range(10_000))
    monkeypatch.setattr(kernel, "ends_on", lambda _: 7 if next(looks) < stay_for else 2)

    assert left == connections._left_open({80}, 2, fake_clock)
    assert slept_s == pytest.approx(fake_clock.now(), abs=0.06)


def test_what_stays_open_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was counted before the target began, and after all had ended."""
    counts = iter([1, *[3] * 1000])
    monkeypatch.setattr(kernel, "ends_on", lambda _: next(counts))
    monkeypatch.setattr(connections, "_CLOSED_WITHIN_S", 0.0)
    recorded_ = recorded(connected_to(exact("c", KIB), 20, plateaus=1), tmp_path)
    real = recorded_.variants[0].connections

    assert real is not None
    assert (1, 3) == (real.sockets_before, real.sockets_after)


def test_a_target_ends_with_memopt(tmp_path: Path) -> None:
    """Killed, memopt leaves no target behind that it has started."""
    script = (
        "import sys; from pathlib import Path; from tests.exactly import *\n"
        "recorded(connected_to(exact('c', 64), 20), Path(sys.argv[1]))"
    )
    log = tmp_path / "run" / "target.log"
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "run")], cwd=ROOT) as ours:
        until_s = time.monotonic() + 60
        while not (theirs := _children(ours.pid)) and time.monotonic() < until_s:
            time.sleep(0.01)
        os.kill(ours.pid, signal.SIGKILL)
    assert theirs
    while any(_alive(pid) for pid in theirs) and time.monotonic() < until_s:
        time.sleep(0.01)
    assert not any(_alive(pid) for pid in theirs)
    assert log.exists()


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except FileNotFoundError:
        return []
    return [int(word) for word in text.split()]


def _alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
