"""`memopt simulate` as a person and a CI job see it: output, files, exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.cli.conftest import COMMAND, ENDLESS, Memopt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Endless = Callable[[int], tuple[psutil.Popen, list[psutil.Process]]]

HEAVY = {"numpy", "scipy", "matplotlib", "pydantic", "yaml", "sqlite3", "rich.console"}
HOST = re.compile(r"pid \d+")

LEAKY = """\
version: 1
name: leaky
workload: connections
connections: {message_mix: {13B: 100%}}
variants: [{name: only, compact: on, leak: 1KiB}]
load:
  message_rate: 5/s
  stages:
    - {name: baseline, duration: 1s, connections: 0}
    - {name: ramp-up, duration: 2s, connections: 100}
    - {name: steady, duration: 60s, connections: 100}
thresholds: {memory_leak_slope: ["value<1MB/h"]}
"""


def _without_pictures(markdown: str) -> str:
    return re.sub(r"!\[.*\]\(.*\)\n\n", "", markdown)


def _run_json(folder: Path) -> Any:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def test_help_is_light() -> None:
    """Help exits 0 and loads no heavy package."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "memopt_cli", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0
    assert "simulate" in done.stdout
    assert "memopt_cli.cli.app" in loaded
    assert loaded & HEAVY == set()


@pytest.fixture(scope="module")
def passed(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Memopt, subprocess.CompletedProcess[str]]:
    """Return a small run that passed, made from a folder that held only its scenario."""
    memopt = Memopt(tmp_path_factory.mktemp("passed"))
    return memopt, memopt("simulate", memopt.synthetic("small"))


def test_passed(passed: tuple[Memopt, subprocess.CompletedProcess[str]]) -> None:
    """A run whose thresholds hold exits 0, its tables on stdout, its progress on stderr."""
    memopt, done = passed
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert lines[0].split()[:2] == ["variant", "units"]
    assert lines[-1] == f"Report: {memopt.runs[0].relative_to(memopt.folder)}/report.md"
    assert lines[-2].startswith("small: passed (")
    assert [re.sub(r"[\d.,]+ (m?s)?", "N ", f"{line} ") for line in done.stderr.splitlines()] == [
        "first: N operations in N  ",
        "second: N operations in N  ",
    ]


def test_files(passed: tuple[Memopt, subprocess.CompletedProcess[str]]) -> None:
    """A run writes its own folder below reports/, one plain store in it, and nothing else."""
    memopt, _ = passed
    assert {path.name for path in memopt.folder.iterdir()} == {"small.yaml", "reports"}
    (run,) = memopt.runs
    assert re.fullmatch(r"\d{8}T\d{6}Z-small", run.name)
    assert {path.name for path in run.iterdir() if path.suffix != ".png"} == {
        "samples.sqlite",
        "scenario.yaml",
        "run.json",
        "report.md",
        "target.log",
    }


def test_run_json(passed: tuple[Memopt, subprocess.CompletedProcess[str]]) -> None:
    """What machines read says the same as the exit code, with the true memory per unit."""
    memopt, _ = passed
    found = _run_json(memopt.runs[0])
    assert (found["verdict"], found["exit_code"]) == ("passed", 0)
    per_unit = [variant["memory_per_unit_bytes"]["value"] for variant in found["variants"]]
    assert per_unit == pytest.approx([2048, 2048], rel=0.05)


def test_report_defaults_to_the_newest(
    passed: tuple[Memopt, subprocess.CompletedProcess[str]],
) -> None:
    """Without a run the newest is rendered again, the same but for the pictures beside it."""
    memopt, _ = passed
    (run,) = memopt.runs
    markdown = memopt("report", "--out", "-")
    as_json = memopt("report", "--out", "-", "--format", "json")
    assert (markdown.returncode, as_json.returncode) == (0, 0)
    assert markdown.stdout == _without_pictures((run / "report.md").read_text(encoding="utf-8"))
    assert json.loads(as_json.stdout) == _run_json(run)
    assert (markdown.stderr, as_json.stderr) == ("", "")


def test_report_writes_anew(passed: tuple[Memopt, subprocess.CompletedProcess[str]]) -> None:
    """A report that was lost is made again, equal to the first."""
    memopt, _ = passed
    (run,) = memopt.runs
    before = (run / "report.md").read_bytes()
    (run / "report.md").unlink()
    done = memopt("report", str(run))
    assert (done.returncode, (run / "report.md").read_bytes()) == (0, before)
    assert done.stdout.splitlines()[1] == f"Report: {run}/report.md"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["report"],
            "error: there is no run in reports/\n  Make one: memopt simulate connections-10k\n",
        ),
        (
            ["report", "here"],
            "error: here holds no run: there is no samples.sqlite\n  A run's folder is what ",
        ),
        (
            ["report", "--out", "there"],
            "error: --out there: a report goes to its run, to '-' or to FORMAT=PATH\n",
        ),
        (
            ["simulate", "conections-1k"],
            "error: unknown scenario 'conections-1k'\n  Did you mean 'connections-1k'?\n",
        ),
        (["simulate", "no.yaml"], "error: there is no file no.yaml\n"),
        (
            ["simulate", "wrong.yaml"],
            "wrong.yaml:4:33: unknown key 'treshold'\n",
        ),
        (
            ["simulate", "small.yaml", "--set", "sed=2"],
            "--set sed=2: unknown key 'sed'\n  Did you mean 'seed'?\n",
        ),
        (
            ["simulate", "small.yaml", "--scale", "5"],
            "error: --scale 5: not a percentage\n  Write it like 5%.\n",
        ),
        (
            ["simulate", "small.yaml", "--scale", "0%"],
            "error: a scale of 0 is out of range\n  Use 0.1% to 100000%.\n",
        ),
        (
            ["simulate", "small.yaml", "--out", "small.yaml"],
            "error: small.yaml is not a folder\n  Give another one with --out.\n",
        ),
        (
            ["simulate", "small.yaml", "--out", "small.yaml/below"],
            "error: cannot write the run in small.yaml/below: ",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage(arguments: list[str], told: str, memopt: Memopt) -> None:
    """What cannot be run exits 2, says what and what to do, and leaves nothing behind."""
    memopt.synthetic("small")
    memopt.write(
        "wrong",
        "version: 1\nname: wrong\nworkload: synthetic\n"
        "load: {units: 10, hold_for: 5s, treshold: 1}\n",
    )
    done = memopt(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(told)
    assert done.stdout == ""
    assert {path.name for path in memopt.folder.iterdir()} == {"small.yaml", "wrong.yaml"}


def test_out_is_taken(passed: tuple[Memopt, subprocess.CompletedProcess[str]]) -> None:
    """A folder that holds a run is not written over."""
    memopt, _ = passed
    (run,) = memopt.runs
    before = (run / "samples.sqlite").read_bytes()
    done = memopt("simulate", "small.yaml", "--out", str(run))
    assert (done.returncode, (run / "samples.sqlite").read_bytes()) == (2, before)
    assert done.stderr.startswith(f"error: {run} holds a run already\n")


def test_crossed_quiet_several_set_and_scale(memopt: Memopt) -> None:
    """Of several scenarios the worst decides; settings and scale reach the runs; quiet is quiet."""
    over = memopt.synthetic("over", 'memory_per_unit: ["value<2KiB"]')
    done = memopt(
        *("simulate", memopt.synthetic("small"), over, "--out", "runs", "--quiet"),
        *("--set", "synthetic.bytes_per_unit=4KiB", "--scale", "50%"),
    )
    found = [_run_json(memopt.folder / "runs" / name) for name in ("small", "over")]
    assert (done.returncode, done.stderr) == (99, "")
    assert [(one["verdict"], one["exit_code"]) for one in found] == [("passed", 0), ("crossed", 99)]
    for one in found:
        (first, _) = one["variants"]
        assert first["units_peak"] == 150
        assert first["memory_per_unit_bytes"]["value"] == pytest.approx(4096, rel=0.05)


def test_leak_is_crossed(memopt: Memopt) -> None:
    """A planted leak of a kilobyte per message exits 99, with its slope."""
    done = memopt("simulate", memopt.write("leaky", LEAKY), "--out", "run")
    (leaky,) = _run_json(memopt.folder / "run")["variants"]
    assert done.returncode == 99
    assert leaky["leak"]["verdict"] == "leak"
    slope = leaky["leak"]["slope_bytes_per_hour"]["value"]
    assert slope == pytest.approx(500 * 1024 * 3600, rel=0.1)


def test_inconclusive(memopt: Memopt) -> None:
    """Five samples are too few for a slope: exit 4, neither passed nor crossed."""
    name = memopt.synthetic("short", 'memory_leak_slope: ["value<1MB/h"]')
    done = memopt("simulate", name, "--out", "run")
    assert done.returncode == 4
    assert _run_json(memopt.folder / "run")["verdict"] == "inconclusive"


def test_abort_on_fail(memopt: Memopt) -> None:
    """A run that never ends is aborted by its threshold, with exit 99."""
    text = ENDLESS.replace(
        '["value<100GB"]', '[{threshold: "value<1MB", variant: first, abort_on_fail: true}]'
    )
    done = memopt("simulate", memopt.write("endless", text), "--out", "run")
    assert done.returncode == 99
    assert done.stderr == "first: aborted: memory_total: value<1MB was crossed by first\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal(number: signal.Signals, code: int, endless: Endless, memopt: Memopt) -> None:
    """A signal ends the run after writing what was measured, and no subject survives."""
    process, subjects = endless(8)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    found = _run_json(memopt.folder / "run")
    assert (process.returncode, found["exit_code"]) == (code, code)
    assert stderr == (
        f"first: interrupted: stopped by {number.name}\nTo go on: memopt simulate --resume run\n"
    )
    assert [variant["units_peak"] for variant in found["variants"]] == [100]
    assert (memopt.folder / "run" / "report.md").stat().st_size > 0
    assert [one.is_running() for one in subjects] == [False]


def test_subject_killed(endless: Endless, memopt: Memopt) -> None:
    """A subject killed from outside fails the run, and the next variant still runs."""
    process, (subject,) = endless(8)
    subject.kill()
    assert process.stderr is not None
    line = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    names = [variant["name"] for variant in _run_json(memopt.folder / "run")["variants"]]
    assert HOST.sub("pid N", line) == (
        "first: failed: the subject (pid N) was ended by SIGKILL, by somebody or by the kernel for "
        "want of memory. Its output is in target.log; it is empty\n"
    )
    assert names[0] == "first"


def test_failed_subject(memopt: Memopt) -> None:
    """A subject that does not come up exits 3, and the report still has the other variant."""
    name = memopt.synthetic("small")
    done = memopt("simulate", name, "--out", "run", "--set", "synthetic.imports=[no_such_module]")
    assert done.returncode == 3
    assert "ModuleNotFoundError: No module named 'no_such_module'" in done.stderr
    assert _run_json(memopt.folder / "run")["exit_code"] == 3


@pytest.mark.parametrize(("samples", "busy"), [(1, False), (4, False), (30, True)])
def test_killed_controller(
    samples: int,
    busy: bool,
    endless: Endless,
    memopt: Memopt,
) -> None:
    """After kill -9 no subject survives, not even one that hangs, and the run renders."""
    process, subjects = endless(samples)
    for one in subjects if busy else ():
        one.suspend()
    process.kill()
    gone, alive = psutil.wait_procs(subjects, timeout=30)
    assert (len(gone), alive) == (1, [])
    done = memopt("report", "run", "--out", "-", "--format", "json")
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert found["verdict"] == "inconclusive"
    assert found["variants"][0]["outcome"] == "running"
    assert found["variants"][0]["sampling"]["samples"] >= samples


def _in_terminal(memopt: Memopt, *arguments: str, **environment: str) -> str:
    """Return what the command writes to a terminal."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", **environment}
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=memopt.folder, stdout=theirs, stderr=theirs, env=env
    )
    os.close(theirs)
    pieces = []
    try:
        while piece := os.read(ours, 65536):
            pieces.append(piece)
    except OSError:
        # That is how Linux says that the other end has been closed.
        pass
    os.close(ours)
    assert process.wait(60) == 0
    return b"".join(pieces).decode()


COLOUR = re.compile(r"\x1b\[(?:\d+;)*3\dm|\x1b\[(?:\d+;)*38;")


@pytest.mark.parametrize(
    ("arguments", "environment", "coloured"),
    [([], {}, True), (["--no-color"], {}, False), ([], {"NO_COLOR": "1"}, False)],
    ids=["default", "--no-color", "NO_COLOR"],
)
def test_colours(
    arguments: list[str], environment: dict[str, str], coloured: bool, memopt: Memopt
) -> None:
    """A terminal gets colours unless they are unwanted."""
    text = _in_terminal(memopt, "simulate", memopt.synthetic("small"), *arguments, **environment)
    assert "small: passed" in text
    assert bool(COLOUR.search(text)) == coloured


def test_broken_pipe(passed: tuple[Memopt, subprocess.CompletedProcess[str]]) -> None:
    """A reader that goes away early gets no traceback."""
    memopt, _ = passed
    process = memopt.begin("report", "--out", "-")
    process.stdout.close()
    assert process.stderr.read() == ""
    process.wait(60)
    process.stderr.close()


def test_planted_leaks(tmp_path: Path) -> None:
    """The shipped proof: the scenario that leaks exits 99, its clean twin exits 0."""
    names = ("planted-leak", "planted-leak-clean")
    started = {
        name: subprocess.Popen(
            [*COMMAND, "simulate", name, "--quiet", "--out", name],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
        )
        for name in names
    }
    assert {name: process.wait(200) for name, process in started.items()} == {
        "planted-leak": 99,
        "planted-leak-clean": 0,
    }
    (leaky,) = _run_json(tmp_path / "planted-leak")["variants"]
    slope = leaky["leak"]["slope_bytes_per_hour"]["value"]
    assert slope == pytest.approx(1000 * 64 * 3600, rel=0.05)


def test_baseline(memopt: Memopt) -> None:
    """A leak beside its clean twin exits 99 by the difference; the report keeps what it needs."""
    leaky = memopt.write("leaky", LEAKY)
    clean = memopt.write("clean", LEAKY.replace("name: only", "name: clean").replace("1KiB", "0B"))
    codes = [
        memopt("simulate", *arguments, "-q").returncode
        for arguments in (
            (clean, "--out", "clean"),
            (leaky, "--baseline", "clean", "--out", "leaky"),
            (leaky, "--baseline", "leaky", "--out", "hidden"),
        )
    ]
    found = _run_json(memopt.folder / "leaky")
    baseline = found["variants"][0]["leak"]["baseline"]
    before = (memopt.folder / "leaky" / "report.md").read_bytes()
    shutil.rmtree(memopt.folder / "clean")
    again = memopt("report", "leaky")

    assert codes == [0, 99, 4]
    assert (found["baseline"], baseline["is_null"], baseline["verdict"]) == (
        "clean",
        True,
        "no_leak",
    )
    assert (again.returncode, (memopt.folder / "leaky" / "report.md").read_bytes()) == (0, before)


def test_baseline_refused(memopt: Memopt) -> None:
    """A run of another load, or what is no run, is refused before anything is run."""
    name = memopt.write("leaky", LEAKY)
    memopt("simulate", name, "--scale", "20%", "-q", "--out", "short")
    other = memopt("simulate", name, "--baseline", "short", "--out", "run")
    none = memopt("simulate", name, "--baseline", "nowhere", "--out", "run")

    assert (other.returncode, none.returncode) == (2, 2)
    assert other.stderr.startswith("error: --baseline short differs in load.stages.")
    assert none.stderr.startswith("error: nowhere holds no run")
    assert not (memopt.folder / "run").exists()
