"""Observations come back as they were, each agent's its own, and no file is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from memopt_cli.errors import AgentError, StateError
from memopt_cli.optimizer.agents import ObservationRings
from memopt_cli.optimizer.agents.observations import sweep

PROGRAM = """
import os, signal, sys
from pathlib import Path
from memopt_cli.optimizer.agents import ObservationRings
rings = ObservationRings(2, 3, (4,), "u1", folder=Path(sys.argv[1]))
print(rings.path, flush=True)
{}
"""


def mapped_bytes(path: Path) -> int:
    """Return how much of a file is in this process's memory."""
    text = Path("/proc/self/smaps").read_text()
    (part,) = (part for part in text.split("VmFlags:") if str(path) in part)
    (line,) = (line for line in part.splitlines() if line.startswith("Rss:"))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize(
    ("shape", "dtype"), [((), "i8"), ((3,), "u1"), ((2, 2), "f4"), ((2,), ">i2"), ((1,), "?")]
)
def test_shape_and_type_survive(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    """What is read has the shape and the type of what was written, and equals it."""
    random = np.random.default_rng(1)
    written = random.integers(0, 2, (5, *shape)).astype(dtype)
    with ObservationRings(2, 8, shape, dtype, folder=tmp_path) as rings:
        for each in written:
            rings.append(1, each)
        found = rings.read(1)
        assert (written.dtype, written.shape) == (found.dtype, found.shape)
        assert np.array_equal(written, found)
        assert (0, *shape) == rings.read(0).shape


def test_the_oldest_go_and_the_order_stays(tmp_path: Path) -> None:
    """At every length, around the end of the ring twice; neighbours never see it."""
    with ObservationRings(3, 4, (2,), "i4", folder=tmp_path) as rings:
        rings.append(0, [-1, -1])
        rings.append(2, [-2, -2])
        for count in range(1, 11):
            rings.append(1, [count, 10 * count])
            kept = range(max(count - 3, 1), count + 1)
            assert [[each, 10 * each] for each in kept] == rings.read(1).tolist()
        assert ([[-1, -1]], [[-2, -2]]) == (rings.read(0).tolist(), rings.read(2).tolist())
        assert 10 == rings.seen(1)
        rings.clear(1)
        assert ([], [[-2, -2]]) == (rings.read(1).tolist(), rings.read(2).tolist())


@pytest.mark.parametrize("agent", [-1, 2, 1 << 40])
def test_there_is_nobody_outside_of_the_bounds(tmp_path: Path, agent: int) -> None:
    """Neither reading nor writing reaches another agent's ring, or what counts them."""
    with ObservationRings(2, 2, (), "i8", folder=tmp_path) as rings:
        rings.append(1, 7)
        for deed in (rings.read, rings.seen, rings.clear, lambda each: rings.append(each, 1)):
            with pytest.raises(AgentError):
                deed(agent)
        assert ([], [7]) == (rings.read(0).tolist(), rings.read(1).tolist())


@pytest.mark.parametrize(
    "observation", [[1], [[1, 2]], [1, 256], [-1, 0], [0.5, 0], [np.nan, 0], ["a", "b"]]
)
def test_what_does_not_fit_is_refused(tmp_path: Path, observation: object) -> None:
    """Another shape, or a value that would come back as another."""
    with ObservationRings(1, 2, (2,), "u1", folder=tmp_path) as rings:
        rings.append(0, [1.0, 255.0])
        with pytest.raises(AgentError):
            rings.append(0, observation)  # type: ignore[arg-type] # on purpose
        assert [[1, 255]] == rings.read(0).tolist()


def test_pages_that_are_given_back_come_again(tmp_path: Path) -> None:
    """Eight megabytes go from memory, and what they held is read as it was."""
    with ObservationRings(8, 1000, (125,), "f8", folder=tmp_path) as rings:
        for agent in range(8):
            for number in range(1000):
                rings.append(agent, np.full(125, agent * 1000.0 + number))
        full = mapped_bytes(rings.path)
        rings.give_back()
        assert (True, True) == (full >= 8_000_000, mapped_bytes(rings.path) < 100_000)
        found = rings.read(7)
        assert np.array_equal(np.arange(7000.0, 8000.0), found[:, 0])


def test_the_file_goes_with_the_rings(tmp_path: Path) -> None:
    """By closing, by dropping; afterwards nothing can be read."""
    rings = ObservationRings(1, 1, (), "i8", folder=tmp_path)
    assert [rings.path] == list(tmp_path.iterdir())
    assert rings.size_bytes == rings.path.stat().st_size
    # Not a hole: the disk has the room already, and cannot be full when it is written to.
    assert rings.size_bytes <= rings.path.stat().st_blocks * 512
    rings.close()
    rings.close()
    assert [] == list(tmp_path.iterdir())
    assert str(rings.path) not in Path("/proc/self/maps").read_text()
    for deed in (rings.give_back, lambda: rings.read(0), lambda: rings.append(0, 1)):
        with pytest.raises(StateError):
            deed()
    ObservationRings(1, 1, (), "i8", folder=tmp_path)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "raise KeyError"])
def test_the_file_goes_when_the_process_ends(tmp_path: Path, ending: str) -> None:
    """At its end, by `sys.exit`, and by an error that nobody catches."""
    command = [sys.executable, "-c", PROGRAM.format(ending), str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert str(tmp_path) == str(Path(done.stdout.strip()).parent)
    assert [] == list(tmp_path.iterdir())


def test_a_forked_child_leaves_the_file_to_its_owner(tmp_path: Path) -> None:
    """The child's end removes nothing that the parent uses."""
    fork = "if os.fork() == 0: sys.exit(0)\nos.wait()\nprint(rings.path.exists())"
    command = [sys.executable, "-c", PROGRAM.format(fork), str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "True" == done.stdout.split()[-1]
    assert [] == list(tmp_path.iterdir())


def test_a_sweep_removes_what_a_crash_has_left_and_nothing_else(tmp_path: Path) -> None:
    """A killed process leaves its file; those of the living, and other files, stay."""
    mine = ObservationRings(1, 1, (), "i8", folder=tmp_path)
    other = tmp_path / "memopt-observations-notes.txt"
    other.write_text("")
    command = [sys.executable, "-c", PROGRAM.format("sys.stdin.read()"), str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        theirs = Path(child.stdout.readline().strip())
        assert [] == sweep(tmp_path)
        os.kill(child.pid, signal.SIGKILL)
    assert theirs.exists()
    assert [theirs] == sweep(tmp_path)
    assert {mine.path, other} == set(tmp_path.iterdir())
    mine.close()


@pytest.mark.parametrize(
    ("agents", "length", "shape", "dtype"),
    [(0, 1, (), "i8"), (1, 0, (), "i8"), (1, 1, (0,), "i8"), (1, 1, (), "O")],
)
def test_rings_of_nothing_are_refused(
    tmp_path: Path, agents: int, length: int, shape: tuple[int, ...], dtype: str
) -> None:
    """Sizes below one and types that refer to Python objects; no file is left of them."""
    with pytest.raises(AgentError):
        ObservationRings(agents, length, shape, dtype, folder=tmp_path)
    assert [] == list(tmp_path.iterdir())


def test_a_full_disk_is_an_error_at_once(tmp_path: Path) -> None:
    """And leaves no file; writing to a hole on a full disk would kill the process."""
    with pytest.raises(OSError, match="no room"):
        ObservationRings(1 << 30, 1 << 20, (8,), "f8", folder=tmp_path)
    assert [] == list(tmp_path.iterdir())
