"""Several processes are read as one."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from memopt_cli.engine.group import GroupReader
from memopt_cli.errors import MeasurementError
from memopt_cli.profiler.process import ProcessReader
from memopt_cli.profiler.tree import living

if TYPE_CHECKING:
    from collections.abc import Iterator

IDLE = "import sys; held = b'x' * 5_000_000; print(flush=True); sys.stdin.read()"


@pytest.fixture
def idle() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Yield three processes that hold 5 MB each and do nothing."""
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
            each.append((reader.footprint().anonymous_bytes, reader.activity().fds))
    cpu_s = group.read().cpu_s
    assert (sum(size for size, _ in each), sum(fds for _, fds in each), 3) == (
        group.footprint().anonymous_bytes,
        group.read().fds,
        group.processes,
    )
    idle[0].kill()
    idle[0].wait()
    assert sum(size for size, _ in each[1:]) == group.footprint().anonymous_bytes
    assert group.read().cpu_s >= cpu_s
    group.close()


def test_nobody_is_no_figure() -> None:
    """Without a process there is no memory of nought."""
    with pytest.raises(MeasurementError, match="no process of the server could be read"):
        GroupReader(lambda: ()).footprint()
