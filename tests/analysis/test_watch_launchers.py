"""A script that becomes the program by exec is that program, unless a result rests on it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.analysis.pairing import watch_with_baseline
from memopt_cli.analysis.readings import Readings
from memopt_cli.analysis.results import Verdict
from memopt_cli.analysis.watch_findings import judge
from memopt_cli.analysis.watch_launchers import without_launchers
from memopt_cli.analysis.watch_limits import WatchLimits
from memopt_cli.report.watch_plots import pictures
from tests.making import MIB, MS, histogram
from tests.watchings import HOUR_S, flat, leaking, process, reading, readings, watching

if TYPE_CHECKING:
    from memopt_cli.analysis.watching import ProcessRecording

SCRIPT, PROGRAM = "bash /srv/shims/python app.py", "python app.py"


def launcher(count: int = 2, **changes: Any) -> ProcessRecording:
    """Return what was read of a script with the number of the program, up to its exec."""
    read = [reading(10.0 * number, rss_bytes=4 * MIB) for number in range(count)]
    values = {"inside": "it is not a Python program (bash)", "ended_s": 10.0 * count}
    return process(read, **{"command": SCRIPT, "began_s": 0.0, **values, **changes})


def late(found: ProcessRecording, at_s: float) -> ProcessRecording:
    """Return a process as one that came later."""
    moved = Readings(replace(one, at_s=one.at_s + at_s) for one in found.readings)
    return replace(found, readings=moved, began_s=at_s)


def test_a_launcher_is_the_program_that_it_became() -> None:
    """The target, first, for the whole watch, beside the same program of a clean watch."""
    program, child = late(leaking(), 400.0), flat(pid=4712, parent_pid=4711, command="sleep 1")
    recorded = watching(launcher(), child, program, baseline=watching(flat(), child))

    found = judge(recorded, WatchLimits())
    target = watch_with_baseline(without_launchers(recorded)).processes[0]

    assert [PROGRAM, "sleep 1"] == [one.command for one in found.processes]
    assert (0.0, True, True) == (
        found.processes[0].began_s,
        found.processes[0].is_whole,
        found.processes[0].leaks,
    )
    assert program.readings == target.readings
    assert target.beside is not None
    assert PROGRAM == target.beside.command


def test_one_program_is_no_tree() -> None:
    """Neither it nor its launchers, one after the other, make a sum; the picture is of it."""
    shims = [launcher(), late(launcher(command="bash /srv/libexec/exec python app.py"), 20.0)]
    recorded = watching(*shims, late(flat(), 40.0))

    found = judge(recorded, WatchLimits())

    assert [(PROGRAM, 0)] == [(one.command, one.number) for one in found.processes]
    assert (None, Verdict.PASSED) == (found.tree, found.verdict)
    assert 1 == len(pictures(found, recorded))


def test_a_baseline_is_without_its_launchers() -> None:
    """Where only the clean watch saw the script, its program is what growth is judged beside."""
    recorded = watching(leaking(), baseline=watching(launcher(), late(flat(), 20.0)))

    target = watch_with_baseline(without_launchers(recorded)).processes[0]

    assert target.beside is not None
    assert PROGRAM == target.beside.command


@pytest.mark.parametrize(
    "changes",
    [
        {"command": PROGRAM},
        {"count": 24},
        {"pid": 4712},
        {"parent_pid": 2},
        {"pauses": {0: histogram(MS)}},
        {"readings": Readings([reading(1.0, rss_bytes=1024 * MIB)])},
    ],
    ids=["starts anew", "long enough", "another", "another parent", "an agent", "a peak"],
)
def test_what_a_result_may_rest_on_is_kept(changes: dict[str, Any]) -> None:
    """One life of a program, what can be judged, what was paused, what took more memory."""
    recorded = watching(launcher(**changes), late(flat(), 250.0))

    assert recorded == without_launchers(recorded)
    assert 2 == len(judge(recorded, WatchLimits()).processes)


def test_a_program_that_ends_in_a_script_is_none() -> None:
    """What it became is the script; an hour of readings is not given up for two."""
    script = late(launcher(), HOUR_S)
    recorded = watching(process(readings()), script)

    assert recorded == without_launchers(recorded)
