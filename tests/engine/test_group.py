"""Several processes are read as one."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psutil
import pytest

from memopt_cli.engine.group import GroupReader
from memopt_cli.errors import MeasurementError
from memopt_cli.profiler.process import ProcessReader
from memopt_cli.profiler.tree import living

if TYPE_CHECKING:
    from collections.abc import Iterator

IDLE = """
import sys, time
held = b'x' * 5_000_000
while time.process_time() < 0.06:
    pass
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def idle() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Yield three processes that hold 5 MB each, have worked for 60 ms and do nothing."""
    with ExitStack() as opened:
        found = []
        for _ in range(3):
            one = subprocess.Popen(
                [sys.executable, "-c", IDLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            opened.enter_context(one)
            opened.callback(one.kill)
            assert one.stdout is not None
            one.stdout.readline()
            # What it takes to begin to wait is taken by then.
            until_s = time.monotonic() + 60
            while psutil.Process(one.pid).status() != "sleeping" and time.monotonic() < until_s:
                time.sleep(0.01)
            found.append(one)
        yield found


def test_the_sums_are_those_of_each(idle: list[subprocess.Popen[bytes]]) -> None:
    """Nothing is left out, and who has ended is left out from then on; its time is not."""
    group = GroupReader(
        lambda: tuple(each for each in map(living, [one.pid for one in idle]) if each is not None)
    )
    each = []
    for one in idle:
        with ProcessReader(one.pid) as reader:
            each.append((reader.footprint(), reader.activity()))
    read, exact = group.read(), group.footprint()
    assert (3, 3, sum(one.fds for _, one in each)) == (group.processes, read.threads, read.fds)
    assert sum(one.anonymous_bytes for one, _ in each) == exact.anonymous_bytes
    # Whoever else maps the same files changes what is shared of them.
    assert sum(one.uss_bytes for one, _ in each) == pytest.approx(exact.uss_bytes, rel=0.05)
    assert sum(one.pss_bytes for one, _ in each) == pytest.approx(exact.pss_bytes, rel=0.05)
    assert exact.uss_bytes < exact.pss_bytes
    assert read.cpu_s >= 3 * 0.03
    idle[0].kill()
    idle[0].wait()
    assert sum(one.anonymous_bytes for one, _ in each[1:]) == group.footprint().anonymous_bytes
    assert (True, 2) == (group.read().cpu_s >= read.cpu_s, group.processes)
    group.close()


def test_nobody_is_no_figure() -> None:
    """Without a process there is no memory of nought."""
    with pytest.raises(MeasurementError, match="no process of the server could be read"):
        GroupReader(lambda: ()).footprint()
