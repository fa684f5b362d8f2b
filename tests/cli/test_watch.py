"""`memopt watch`, the real command: what it starts, says, keeps, and how it exits."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.cli import watch_display
from memopt_cli.cli.watch_display import WatchDisplay
from memopt_cli.engine import watch_events as events

if TYPE_CHECKING:
    from pathlib import Path

WITHIN_S = 60.0
QUICK = "import sys, time; sys.modules['memopt_agent'].LOOK_EVERY_S = 0.02\n"
LEAKS = QUICK + "kept = []\nwhile True: kept.append(bytes(60_000)); time.sleep(0.005)"
IDLES = QUICK + "kept = [bytes(60_000) for _ in range(100)]\nprint('hello', flush=True)\nREST"


def memopt(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run memopt in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "memopt_cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def watch(folder: Path, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Watch a Python script closely."""
    command = [sys.executable, "-c", script]
    return memopt(folder, "watch", "--interval", "20ms", "--out", "seen", *options, "--", *command)


def found(folder: Path) -> dict[str, Any]:
    """Return what a watch has written for programs."""
    document: dict[str, Any] = json.loads((folder / "seen/run.json").read_text(encoding="utf-8"))
    return document


def test_a_leak_exits_99_with_a_report(tmp_path: Path) -> None:
    """It is ended after its time, judged, and kept in a folder."""
    done = watch(tmp_path, LEAKS, "--duration", "4s", "--quiet")

    assert 99 == done.returncode, done.stderr
    assert "" == done.stdout
    assert done.stderr.splitlines()[-2].startswith("leak: ")
    assert "Report: seen/report.md" == done.stderr.splitlines()[-1]
    assert ["leak"] == [each["growth"]["verdict"] for each in found(tmp_path)["processes"]]
    assert {"report.md", "run.json", "watch.png"} <= {
        each.name for each in (tmp_path / "seen").iterdir()
    }


def test_what_is_tolerated_passes(tmp_path: Path) -> None:
    """The same leak, below what its user allows."""
    done = watch(tmp_path, LEAKS, "--duration", "4s", "--quiet", "--tolerate", "1TB/h")

    assert done.returncode in {0, 4}, done.stderr
    assert done.stderr.splitlines()[-2].startswith("no leak: none beyond what is tolerated")


def test_a_program_keeps_its_output_and_its_exit(tmp_path: Path) -> None:
    """What it prints is on its own stream; that it failed is told, with exit code 3."""
    done = watch(tmp_path, IDLES.replace("REST", "time.sleep(0.5); sys.exit(5)"))

    assert 3 == done.returncode
    assert "hello\n" == done.stdout
    assert "failed: exited with 5" in done.stderr


def test_the_output_of_a_command_is_kept_on_demand(tmp_path: Path) -> None:
    """Then the results are on the standard output, as those of other commands."""
    script = IDLES.replace("REST", "time.sleep(0.5)")
    done = watch(tmp_path, script, "--log", "--quiet", "--attribute", "never")

    assert "hello\n" == (tmp_path / "seen/target.log").read_text(encoding="utf-8")
    assert "Report: seen/report.md" == done.stdout.splitlines()[-1]
    assert "" == done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["999999999"], 3, "process 999999999 does not exist"),
        (["--", "no-such-program"], 3, "no-such-program"),
        (["--", ""], 2, "the command has no name"),
        (["--duration", "60", "--", "true"], 2, "--duration 60"),
        (["--duration", "0s", "--", "true"], 2, "is not a duration of at least"),
        (["--interval", "3MB", "--", "true"], 2, "--interval 3MB"),
        (["--tolerate", "3MB", "--", "true"], 2, "'3MB' is not a size per time"),
        (["--threshold", "speed: max<3s", "--", "true"], 2, "is not a threshold of a watch"),
        (["--severity", "huge=3MB/s", "--", "true"], 2, "is not a limit of a severity"),
        (["--log", "1"], 2, "--log keeps the output of a command"),
        (["--attribute", "often", "--", "true"], 2, "often"),
        (["--out", "full", "--", "true"], 2, "full is not empty"),
        ([], 2, "Missing argument"),
    ],
)
def test_what_cannot_be_watched_is_said(
    tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    """Before anything is started, with an exit code that tells whose fault it is."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full/of").touch()

    done = memopt(tmp_path, "watch", *arguments)

    assert code == done.returncode, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def begun(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """Start a watch without an end; return it and the process that it has started."""
    command = [sys.executable, "-c", IDLES.replace("REST", "print(__import__('os').getpid())\n")]
    command[-1] += "sys.stdout.flush()\nwhile True: time.sleep(1)"
    started = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "memopt_cli",
            "watch",
            "--interval",
            "20ms",
            "--out",
            "seen",
            "--",
            *command,
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    assert "hello\n" == started.stdout.readline()
    pid = int(started.stdout.readline())
    until_s = time.monotonic() + WITHIN_S
    while not (folder / "seen/watch.sqlite").exists() or not _read(folder):
        assert time.monotonic() < until_s
        time.sleep(0.02)
    return started, pid


def _read(folder: Path) -> bool:
    return "| " in memopt(folder, "report", "seen", "--out", "-").stdout


def is_alive(pid: int) -> bool:
    """Return whether a process exists, and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123 - a pseudo-file
            return stat.read().rpartition(b")")[2].split()[0] not in {b"Z", b"X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_it_with_a_report(tmp_path: Path, number: int, code: int) -> None:
    """What was measured is judged and written, and what was started is ended."""
    started, pid = begun(tmp_path)

    started.send_signal(number)
    _, said = started.communicate(timeout=WITHIN_S)

    assert code == started.returncode, said
    assert code == found(tmp_path)["exit_code"]
    assert not is_alive(pid)


def test_a_kill_loses_no_reading(tmp_path: Path) -> None:
    """Of a watch that was killed, `memopt report` makes the report."""
    started, pid = begun(tmp_path)
    started.kill()
    started.wait()
    os.kill(pid, signal.SIGKILL)
    started.communicate(timeout=WITHIN_S)

    done = memopt(tmp_path, "report", "seen")

    assert 0 == done.returncode, done.stderr
    assert found(tmp_path)["processes"][0]["pid"] == pid


def test_a_running_process_is_left_alone(tmp_path: Path) -> None:
    """A process that somebody else has started goes on after it was watched."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        done = memopt(
            tmp_path,
            "watch",
            "--interval",
            "20ms",
            "--duration",
            "1s",
            "--out",
            "seen",
            "-q",
            str(other.pid),
        )
        alive = other.poll() is None
        other.kill()

    assert alive
    assert done.returncode in {0, 4}, done.stderr
    assert re.search(rf"^{other.pid} ", done.stdout, re.MULTILINE)


def test_the_line_of_memory_has_an_end() -> None:
    """However long a watch is, what is shown of a process is as short."""
    shown = watch_display.Shown(1, "app", "", 0.0)
    for number in range(5000):
        shown.see(_reading(number))

    assert len(shown.points) <= 32
    assert 4999 == shown.grown_bytes
    assert sorted(shown.points) == shown.points


def _reading(number: int) -> Any:
    from memopt_cli.analysis.watching import Reading

    return Reading(
        at_s=float(number),
        rss_bytes=0,
        resident_anonymous_bytes=number,
        cpu_s=0.0,
        threads=1,
        fds=1,
        gc_pauses=0,
        gc_pause_s=0.0,
        gc_pause_max_s=0.0,
        cost_s=0.0,
        inside_cost_s=0.0,
    )


def test_the_live_table_shows_the_largest_first() -> None:
    """With what grows in a process below it, and how many there was no room for."""
    from io import StringIO

    from rich.console import Console

    out = Console(file=StringIO(), width=120, force_terminal=False)
    display = WatchDisplay(out, live=True)
    display.see(events.WatchStarted("app.py", "", 1.0, 60.0, {}))
    for number in range(14):
        display.see(events.ProcessAppeared(number, 100 + number, 1, f"worker {number}", 0.0, ""))
        display.see(events.ReadingTaken(number, _reading(number * 1_000_000)))

    out.print(display.table())
    text = out.file.getvalue() if isinstance(out.file, StringIO) else ""

    assert text.index("worker 13") < text.index("worker 12") < text.index("worker 3")
    assert "worker 0" not in text
    assert "and 2 more" in text


def test_a_baseline_is_a_watch(tmp_path: Path) -> None:
    """A leak beside a clean watch exits 99 and says above what; what is no watch is refused."""
    watch(tmp_path, IDLES.replace("REST", "time.sleep(60)"), "--duration", "3s", "-q")
    (tmp_path / "seen").rename(tmp_path / "clean")
    done = watch(tmp_path, LEAKS, "--duration", "3s", "-q", "--baseline", "clean")
    none = watch(tmp_path, LEAKS, "--baseline", "nowhere")

    growth = found(tmp_path)["processes"][0]["growth"]
    assert (99, 2) == (done.returncode, none.returncode)
    assert none.stderr.startswith("error: nowhere holds no watch")
    assert ("clean", True) == (found(tmp_path)["baseline"], growth["baseline"]["is_null"])
    assert "above the baseline" in growth["remark"]


def test_fail_fast_needs_an_end(tmp_path: Path) -> None:
    """What may be concluded early depends on the share of the time: without one it is refused."""
    done = watch(tmp_path, LEAKS, "--fail-fast")

    assert (2, "") == (done.returncode, done.stdout)
    assert "Add --duration" in done.stderr
    assert not (tmp_path / "seen").exists()
