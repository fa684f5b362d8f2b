"""What a process holds is read from outside, as the kernel charges it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memopt_cli.errors import SubjectDied
from memopt_cli.profiler.process import PAGE_BYTES, ProcessReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.profiler.conftest import Child, Start

MB = 1_000_000
COUNTER_PAGES = 64
"""Since Linux 6.2 each core may keep 32 pages to itself before the counters see them."""

ASLEEP = "ready()"

UNREADABLE = """
import os
from memopt_cli.errors import MeasurementError
from memopt_cli.profiler.process import ProcessReader

stranger = os.getppid()
if os.getuid() == 0:
    os.setuid(65534)
else:
    stranger = 1
before = os.listdir("/proc/self/fd")
try:
    ProcessReader(stranger)
except MeasurementError as exc:
    assert before == os.listdir("/proc/self/fd"), "a descriptor was left open"
    print(str(exc).replace(str(stranger), "N"), "|", exc.hint)
"""


IDLES = """
import pathlib, sys, time
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""


@pytest.fixture
def asleep(start: Start) -> Child:
    """Return a process that waits."""
    child = start(ASLEEP)
    child.said()
    return child


@pytest.fixture
def dead(asleep: Child) -> Iterator[ProcessReader]:
    """Return the reader of a process that was killed, and that nobody has waited for yet."""
    with ProcessReader(asleep.pid) as reader:
        asleep.process.kill()
        os.waitid(os.P_PID, asleep.pid, os.WEXITED | os.WNOWAIT)
        yield reader


def test_100_mb_raise_all_figures_by_100_mb(start: Start) -> None:
    """Touched memory of a known size is in every figure, to within 1 MB."""
    child = start(f"ready()\nheld = b'x' * {100 * MB}\nready()")
    child.said()
    with ProcessReader(child.pid) as reader:
        before = (reader.footprint(), reader.residency())
        child.step()
        after = (reader.footprint(), reader.residency())

    grown = [
        after[0].rss_bytes - before[0].rss_bytes,
        after[0].pss_bytes - before[0].pss_bytes,
        after[0].uss_bytes - before[0].uss_bytes,
        after[0].anonymous_bytes - before[0].anonymous_bytes,
        after[1].rss_bytes - before[1].rss_bytes,
        after[1].anonymous_bytes - before[1].anonymous_bytes,
    ]

    assert grown == [pytest.approx(100 * MB, abs=MB)] * 6


def test_memory_that_is_given_back_leaves_the_figures(start: Start) -> None:
    """After growing and freeing, memory is back within the noise."""
    child = start(f"ready()\nheld = b'x' * {20 * MB}\nready()\ndel held\nready()")
    child.said()
    with ProcessReader(child.pid) as reader:
        before = reader.footprint().anonymous_bytes
        child.step()
        grown = reader.footprint().anonymous_bytes
        child.step()
        after = reader.footprint().anonymous_bytes

    assert grown - before == pytest.approx(20 * MB, abs=MB / 4)
    assert after == pytest.approx(before, abs=MB / 4)


def test_the_cheap_reading_agrees_with_the_exact_one(asleep: Child) -> None:
    """At rest, statm and smaps_rollup differ by what the kernel's counters may lag."""
    with ProcessReader(asleep.pid) as reader:
        cheap, exact = reader.residency(), reader.footprint()

    limit = COUNTER_PAGES * PAGE_BYTES
    assert cheap.anonymous_bytes == pytest.approx(exact.anonymous_bytes, abs=limit)
    assert cheap.rss_bytes == pytest.approx(exact.rss_bytes, abs=limit)


def test_shared_pages_are_in_some_figures_only(asleep: Child) -> None:
    """The library pages that a process shares are in its RSS, in part in its PSS, not its USS."""
    with ProcessReader(asleep.pid) as reader:
        found = reader.footprint()

    assert found.uss_bytes < found.pss_bytes < found.rss_bytes
    assert 0 < found.anonymous_bytes <= found.uss_bytes


def test_a_reading_tells_its_cost(asleep: Child) -> None:
    """The cost of an exact reading is above zero and below a second."""
    with ProcessReader(asleep.pid) as reader:
        cost_s = reader.footprint().cost_s

    assert 0 < cost_s < 1


def test_descriptors_threads_and_cpu_are_counted(start: Start) -> None:
    """Seven opened files, two threads and half a second of work are all seen."""
    child = start(
        """
        import os, threading, time
        ready()
        files = [open(os.devnull) for _ in range(7)]
        stop = threading.Event()
        for _ in range(2):
            threading.Thread(target=stop.wait, daemon=True).start()
        until = time.process_time() + 0.5
        while time.process_time() < until:
            pass
        ready()
        """
    )
    child.said()
    with ProcessReader(child.pid) as reader:
        before = reader.activity()
        child.step()
        after = reader.activity()

    assert (7, 2) == (after.fds - before.fds, after.threads - before.threads)
    assert after.cpu_s - before.cpu_s == pytest.approx(0.5, abs=0.1)


def test_a_name_with_brackets_does_not_shift_the_fields(start: Start) -> None:
    """A process may call itself `) R 1 (`; its threads are still counted."""
    child = start("open('/proc/self/comm', 'w').write(') R 1 (')\nready()")
    child.said()

    with ProcessReader(child.pid) as reader:
        assert reader.activity().threads == 1


@pytest.mark.parametrize("reading", ["residency", "footprint", "activity"])
def test_a_dead_process_has_no_figures(dead: ProcessReader, reading: str) -> None:
    """A killed process that is still in the table is dead, not a process of zero bytes."""
    with pytest.raises(SubjectDied, match=f"process {dead.pid} is gone"):
        getattr(dead, reading)()


@pytest.mark.parametrize("reading", ["residency", "footprint", "activity"])
def test_a_process_that_was_waited_for_has_no_figures(asleep: Child, reading: str) -> None:
    """The same after its entry is gone: its number may belong to a stranger by then."""
    with ProcessReader(asleep.pid) as reader:
        asleep.close()

        with pytest.raises(SubjectDied, match="is gone"):
            getattr(reader, reading)()


def awaited(path: Path) -> None:
    """Return when there is a file."""
    while not path.exists():
        time.sleep(0.001)


@pytest.mark.parametrize("reading", ["activity", "footprint"])
def test_a_process_that_became_another_program_is_gone(tmp_path: Path, reading: str) -> None:
    """A shell that execs: its number lives on, and neither reading takes it for the shell."""
    began, go, became = (tmp_path / name for name in ("began", "go", "became"))
    wait = f": > {began}; while [ ! -e {go} ]; do :; done"
    script = f"{wait}; exec {sys.executable} -c '{IDLES}' {became}"
    with subprocess.Popen(["sh", "-c", script]) as process, ExitStack() as opened:
        opened.callback(process.kill)
        # As early as can be: the kernel may still be at making it the shell.
        reader = opened.enter_context(ProcessReader(process.pid))
        awaited(began)
        getattr(reader, reading)()
        go.touch()
        awaited(became)

        with pytest.raises(SubjectDied, match=f"process {process.pid} is gone"):
            getattr(reader, reading)()
        assert reader.residency().rss_bytes


def test_a_number_without_a_process_is_refused(asleep: Child) -> None:
    """A process that ended before it was looked at is said not to exist."""
    asleep.close()

    with pytest.raises(SubjectDied, match=f"process {asleep.pid} does not exist"):
        ProcessReader(asleep.pid)


def test_a_dead_process_in_the_table_is_refused(asleep: Child) -> None:
    """One that nobody has waited for is refused as well."""
    asleep.process.kill()
    os.waitid(os.P_PID, asleep.pid, os.WEXITED | os.WNOWAIT)

    with pytest.raises(SubjectDied, match="does not exist"):
        ProcessReader(asleep.pid)


def test_a_process_of_another_user_is_refused() -> None:
    """What may not be read is an error with a remedy, and leaves no descriptor open."""
    told = subprocess.run(
        [sys.executable, "-c", UNREADABLE], capture_output=True, text=True, check=True
    )

    assert told.stdout == (
        "process N belongs to another user | Run memopt as that user, or as root.\n"
    )


def test_closing_gives_the_descriptors_back(asleep: Child) -> None:
    """After the reader is closed, this process has as many descriptors as before."""
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(3):
        with ProcessReader(asleep.pid) as reader:
            reader.activity()

    assert before == len(list(Path("/proc/self/fd").iterdir()))
