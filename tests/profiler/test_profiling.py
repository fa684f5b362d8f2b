"""The interval sampler."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from memopt_cli.errors import SubjectDied
from memopt_cli.profiler.profiling import Profiler


def test_there_is_a_point_for_each_interval() -> None:
    """Ten intervals give ten or eleven points, in order; a late machine gets more of both."""
    with Profiler(interval_s=0.05) as profiler:
        time.sleep(0.5)
    times = [point.at_s for point in profiler.points]
    intervals = int(profiler.duration_s / 0.05)

    assert intervals >= 10
    assert len(times) in {intervals, intervals + 1}
    assert times == sorted(set(times))
    assert profiler.duration_s >= times[-1]


def test_stop_is_idempotent() -> None:
    """A second stop changes nothing, nor does a second start."""
    profiler = Profiler(interval_s=0.01)
    profiler.stop()
    profiler.start()
    profiler.start()
    profiler.stop()
    found = (profiler.points, profiler.duration_s)
    profiler.stop()

    assert found == (profiler.points, profiler.duration_s)


def test_it_watches_another_process_until_that_ends() -> None:
    """The end of the process ends the sampling, without an error."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with Profiler(child.pid, interval_s=0.01) as profiler:
        while len(profiler.points) < 3:
            time.sleep(0.01)
        child.communicate(b"\n")
        seen = len(profiler.points)
        time.sleep(0.1)

    assert len(profiler.points) <= seen + 2
    assert all(point.rss_bytes > 0 for point in profiler.points)


def test_points_are_bounded() -> None:
    """Only the latest points are kept."""
    with Profiler(interval_s=0.001, limit=5) as profiler:
        time.sleep(0.1)

    assert len(profiler.points) == 5


def test_a_process_that_does_not_exist() -> None:
    """A pid that nobody has is refused at once."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()

    with pytest.raises(SubjectDied):
        Profiler(child.pid)
