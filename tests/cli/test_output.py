"""Where the output goes is no matter of the run: it is kept, and exits by its verdict."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.cli.conftest import COMMAND, Memopt

if TYPE_CHECKING:
    from collections.abc import Callable

    Endless = Callable[[int], tuple[psutil.Popen, list[psutil.Process]]]


def _shell(memopt: Memopt, redirection: str) -> subprocess.CompletedProcess[str]:
    """Run a small scenario in a shell, with its output redirected."""
    scenario = memopt.synthetic("small")
    return subprocess.run(
        ["/bin/bash", "-c", f"{' '.join(COMMAND)} simulate {scenario} {redirection}"],
        cwd=memopt.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "redirection",
    [">&-", "2>&-", ">&- 2>&-", "2>/dev/full", ">/dev/full", "2>&1 | true; exit ${PIPESTATUS[0]}"],
)
def test_a_run_outlives_its_reader(memopt: Memopt, redirection: str) -> None:
    """Closed, full and abandoned outputs change neither the run nor its exit code."""
    done = _shell(memopt, redirection)

    assert 0 == done.returncode
    assert "Traceback" not in done.stderr
    assert [True] == [(run / "run.json").exists() for run in memopt.runs]


def test_results_that_could_not_be_printed_are_told(memopt: Memopt) -> None:
    """A full disk behind stdout is named on stderr, with where the results are."""
    told = _shell(memopt, ">/dev/full").stderr

    assert "The results could not be printed: [Errno 28] No space left on device." in told


def test_a_name_that_the_terminal_cannot_show(memopt: Memopt) -> None:
    """Names beyond ASCII are written as escapes where ASCII is all there is."""
    text = (memopt.folder / memopt.synthetic("small")).read_text(encoding="utf-8")
    (memopt.folder / "small.yaml").write_text(text.replace("first", "größe"), encoding="utf-8")

    done = memopt("simulate", "small.yaml", PYTHONIOENCODING="ascii")

    assert 0 == done.returncode
    assert "gr\\xf6\\xdfe" in done.stdout


def test_names_are_no_markup(memopt: Memopt) -> None:
    """Square brackets and colons in names are shown as they are."""
    text = (memopt.folder / memopt.synthetic("small")).read_text(encoding="utf-8")
    (memopt.folder / "small.yaml").write_text(text.replace("first", '"[red]:x:"'), "utf-8")

    done = memopt("simulate", "small.yaml")

    assert 0 == done.returncode
    assert "[red]:x:" in done.stdout


@pytest.mark.parametrize("arguments", [["scenarios", "list"], ["report", "--out", "-"]])
def test_other_commands_end_as_tools_do(memopt: Memopt, arguments: list[str]) -> None:
    """A full output is an error with its cause; a reader that left ends the command by SIGPIPE."""
    memopt("simulate", memopt.synthetic("small"))
    command = [sys.executable, "-m", "memopt_cli", *arguments]
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            command, cwd=memopt.folder, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert (2, "error: the output could not be written: No space left on device\n") == (
        done.returncode,
        done.stderr,
    )


def test_a_hang_up_ends_everything(endless: Endless, memopt: Memopt) -> None:
    """SIGHUP stops the run after writing what was measured, with exit 129."""
    process, subjects = endless(3)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)

    assert 129 == process.returncode
    assert (memopt.folder / "run" / "report.md").exists()
    assert [False] == [one.is_running() for one in subjects]


def test_an_ignored_hang_up_stays_ignored(memopt: Memopt) -> None:
    """Under nohup a hang-up does not stop the run."""
    script = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    arguments = [*COMMAND[1:], "simulate", memopt.synthetic("small")]
    process = psutil.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=memopt.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not memopt.runs:
        assert process.poll() is None
    os.kill(process.pid, signal.SIGHUP)
    process.communicate(timeout=60)

    assert 0 == process.returncode


def test_two_runs_in_one_second(memopt: Memopt) -> None:
    """Runs of one scenario that begin together go to folders of their own."""
    scenario = memopt.synthetic("small")
    both = [memopt.begin("simulate", scenario) for _ in range(2)]
    for process in both:
        process.communicate(timeout=60)

    assert [0, 0] == [process.returncode for process in both]
    assert 2 == len(memopt.runs)


def test_a_folder_with_files_is_not_written_into(memopt: Memopt) -> None:
    """The folder that holds the scenario itself is refused, and the file stays as it was."""
    scenario = memopt.synthetic("scenario")
    before = (memopt.folder / scenario).read_text(encoding="utf-8")
    here = memopt("simulate", scenario, "--out", str(memopt.folder))
    nowhere = memopt("simulate", scenario, "--out", "")

    assert (2, 2) == (here.returncode, nowhere.returncode)
    assert f"error: {memopt.folder} is not empty\n" in here.stderr
    assert before == (memopt.folder / scenario).read_text(encoding="utf-8")


def test_one_scenario_twice_in_one_folder_is_refused_before_it_runs(memopt: Memopt) -> None:
    """Two runs that would go to one folder are told before the first of them."""
    scenario = memopt.synthetic("small")
    done = memopt("simulate", scenario, scenario, "--out", "out")

    assert (2, "error: two runs would go to out/small\n  Run them one by one.\n") == (
        done.returncode,
        done.stderr,
    )
    assert not (memopt.folder / "out").exists()


@pytest.mark.parametrize("name", ["x" * 300 + ".yaml", "x" * 300 + "/y.yaml"])
def test_paths_that_no_file_system_has(memopt: Memopt, name: str) -> None:
    """A name that is too long is an error of usage, as a scenario and as a folder."""
    scenario = memopt("simulate", name)
    folder = memopt("simulate", memopt.synthetic("small"), "--out", name)

    assert (2, 2) == (scenario.returncode, folder.returncode)
    assert "File name too long" in scenario.stderr
    assert "File name too long" in folder.stderr


def test_too_few_descriptors(memopt: Memopt) -> None:
    """A shell whose limit is too low is told so, without a traceback."""
    scenario = memopt.synthetic("small")
    done = subprocess.run(
        ["/bin/bash", "-c", f"ulimit -n 12; {' '.join(COMMAND)} simulate {scenario}"],
        cwd=memopt.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert 3 == done.returncode
    assert "could not be started: Too many open files" in done.stderr
    assert "Traceback" not in done.stderr
