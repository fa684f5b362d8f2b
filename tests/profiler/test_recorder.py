"""Each pause of the collector is seen from outside, and seeing it changes nothing inside."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from memopt_cli.profiler import recorder
from memopt_cli.profiler.histogram import WORDS
from memopt_cli.profiler.recorder import RING, Recorder, RecorderReader
from tests.making import histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.profiler.conftest import Child, Start


class Record(Protocol):
    """Starts a child with a recorder, and returns it with the recorder's reader."""

    def __call__(self, script: str) -> tuple[Child, RecorderReader]:
        """Return the child that runs the script, after its first `ready`."""


@pytest.fixture
def shared() -> Iterator[int]:
    """Return the descriptor of fresh shared memory."""
    descriptor = recorder.create()
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def reader(shared: int) -> Iterator[RecorderReader]:
    """Return a reader of that memory."""
    with closing(RecorderReader(shared)) as opened:
        yield opened


@pytest.fixture
def record(start: Start, shared: int, reader: RecorderReader) -> Record:
    """Return a function that starts a child with automatic collection off and a recorder on."""
    prelude = (
        "import gc\n"
        "from memopt_cli.profiler.recorder import Recorder\n"
        "gc.disable()\n"
        f"recorder = Recorder({shared})\n"
        "recorder.install()\n"
        "ready()\n"
    )

    def begin(script: str) -> tuple[Child, RecorderReader]:
        child = start(prelude + script, descriptors=(shared,))
        child.said()
        return child, reader

    return begin


def test_a_forced_collection_is_seen_from_outside(record: Record) -> None:
    """Each forced collection is one pause of its generation, longer than nothing."""
    child, reader = record("gc.collect(); gc.collect(0); gc.collect(1)\nready()")
    assert reader.pauses() == []

    child.step()
    pauses = reader.pauses()

    assert [2, 0, 1] == [pause.generation for pause in pauses]
    assert all(0 < pause.duration_s < 1 for pause in pauses)
    assert all(
        one.started_s + one.duration_s <= next_one.started_s for one, next_one in pairwise(pauses)
    )
    assert reader.pauses() == []


CYCLES = """
from time import perf_counter as now
def fill():
    cycles = [[] for _ in range(400_000)]
    for each in cycles: each.append(each)
"""


def closest(measured: list[float], told: list[float]) -> tuple[float, float]:
    """Return the pair that differs least: a busy machine can only add to the measured one."""
    return min(zip(measured, told, strict=True), key=lambda pair: abs(pair[0] - pair[1]))


def test_a_pause_is_as_long_as_the_collection_takes(record: Record) -> None:
    """Collections of hundreds of thousands of cycles take as long by the caller's clock."""
    child, reader = record(
        CYCLES + "taken = []\n"
        "for _ in range(5):\n"
        "    fill(); began = now(); gc.collect(); taken.append(now() - began)\n"
        "ready(f'{began} ' + ' '.join(map(str, taken)))"
    )

    began_s, *taken_s = map(float, child.step().split())
    pauses = reader.pauses()
    measured, told = closest(taken_s, [pause.duration_s for pause in pauses])

    assert told == pytest.approx(measured, rel=0.05, abs=0.0002)
    assert pauses[-2].started_s < began_s <= pauses[-1].started_s


def test_a_pause_stops_the_other_threads_for_as_long(record: Record) -> None:
    """A thread that looks at the clock all the time misses as much as the recorder tells."""
    child, reader = record(
        CYCLES + "import threading\n"
        "longest, stop = [0.0], threading.Event()\n"
        "def heartbeat():\n"
        "    before = now()\n"
        "    while not stop.is_set():\n"
        "        after = now()\n"
        "        longest[0] = max(longest[0], after - before)\n"
        "        before = after\n"
        "sys.setswitchinterval(1e-4)\n"
        "thread = threading.Thread(target=heartbeat)\n"
        "thread.start()\n"
        "gaps = []\n"
        "for _ in range(10):\n"
        "    fill(); longest[0] = 0.0; gc.collect()\n"
        "    beat = longest[0]\n"
        "    while longest[0] == beat < 0.001: pass\n"
        "    gaps.append(longest[0])\n"
        "stop.set(); thread.join()\n"
        "ready(' '.join(map(str, gaps)))"
    )

    gaps_s = list(map(float, child.step().split()))
    measured, told = closest(gaps_s, [pause.duration_s for pause in reader.pauses()])

    assert told == pytest.approx(measured, rel=0.05, abs=0.0005)


def test_recording_keeps_no_object(record: Record) -> None:
    """100,000 recorded collections leave no block behind and trigger none of their own."""
    child, reader = record(
        "import itertools\n"
        "def collect(times):\n"
        "    for _ in itertools.repeat(None, times):\n"
        "        gc.collect(0)\n"
        "collect(1000)\n"
        "before = sys.getallocatedblocks()\n"
        "collect(100_000)\n"
        "after = sys.getallocatedblocks()\n"
        "ready(after - before)"
    )

    grown = int(child.step())
    told = reader.pauses()

    assert abs(grown) <= 8
    assert {0} == {pause.generation for pause in told}
    assert 101_000 == len(told) + reader.lost


def test_the_callback_makes_nothing_that_the_collector_counts(record: Record) -> None:
    """Calling it moves the collector's count of new containers not at all."""
    child, _ = record(
        "(callback,) = gc.callbacks\n"
        "info = {'generation': 0, 'collected': 0, 'uncollectable': 0}\n"
        "def calls(times):\n"
        "    before = gc.get_count()[0]\n"
        "    for _ in range(times):\n"
        "        callback('start', info); callback('stop', info)\n"
        "    return gc.get_count()[0] - before\n"
        "calls(1)\n"
        "ready(f'{calls(1)} {calls(1000)}')"
    )

    one, thousand = map(int, child.step().split())

    assert one == thousand


def test_what_was_overwritten_is_counted_as_lost(record: Record) -> None:
    """Of more pauses than the ring holds, the newest are read and the others counted."""
    child, reader = record(f"for _ in range({RING} + 5): gc.collect(0)\ngc.collect()\nready()")

    child.step()
    pauses = reader.pauses()

    assert (RING, 6) == (len(pauses), reader.lost)
    assert pauses[-1].generation == 2
    assert pauses == sorted(pauses, key=lambda pause: pause.started_s)


def test_a_full_ring_has_lost_nothing(record: Record) -> None:
    """Exactly as many pauses as the ring holds are all read, at each turn."""
    child, reader = record(
        f"for _ in range({RING}): gc.collect(0)\nready()\n"
        f"for _ in range({RING}): gc.collect(0)\nready()"
    )

    child.step()
    first = len(reader.pauses())
    child.step()
    second = len(reader.pauses())

    assert (RING, RING, 0) == (first, second, reader.lost)


def test_pauses_outlive_a_kill(record: Record) -> None:
    """What was recorded before SIGKILL is read after it."""
    child, reader = record(
        "recorder.latency.record(1000); recorder.publish(); gc.collect()\nready()"
    )
    child.step()

    os.kill(child.pid, signal.SIGKILL)
    child.process.wait()

    assert (1, 1) == (len(reader.pauses()), reader.latency().count)


def test_collections_from_threads_and_finalisers_are_pauses(record: Record) -> None:
    """A finaliser that collects is part of its pause; threads that collect have their own."""
    child, reader = record(
        "import threading\n"
        "class Nested:\n"
        "    def __init__(self): self.own = self\n"
        "    def __del__(self): gc.collect()\n"
        "for _ in range(10): Nested()\n"
        "gc.collect()\n"
        "threads = [threading.Thread(target=lambda: [gc.collect(1) for _ in range(50)])\n"
        "           for _ in range(4)]\n"
        "for each in threads: each.start()\n"
        "for each in threads: each.join()\n"
        "ready()"
    )

    child.step()
    pauses = reader.pauses()

    # A collection that meets another thread's returns at once, and is no pause.
    assert pauses[0].generation == 2
    assert 1 <= len(pauses[1:]) <= 200
    assert {1} == {pause.generation for pause in pauses[1:]}
    assert all(pause.duration_s < 1 for pause in pauses)


def test_a_removed_recorder_records_no_more(record: Record) -> None:
    """After `remove` collections go unseen, and what was seen stays."""
    child, reader = record("gc.collect(); recorder.remove(); gc.collect()\nready(gc.callbacks)")

    assert (child.step(), len(reader.pauses())) == ("[]", 1)


def test_the_ring_is_resident_from_the_start(record: Record) -> None:
    """Recording adds no memory: a subject whose pauses are recorded does not seem to leak."""
    child, _ = record("ready()")

    maps = Path(f"/proc/{child.pid}/smaps").read_text(encoding="utf-8")
    own = maps.partition("memfd:memopt-recorder")[2].partition("\nRss:")[2]

    assert int(own.split()[0]) * 1024 >= recorder.SIZE_BYTES


def test_latency_is_seen_once_published(shared: int, reader: RecorderReader) -> None:
    """The reader sees the histogram as it was published, and empty after a new stage."""
    writer = Recorder(shared)
    writer.latency.record(1000)
    writer.latency.record(3000)
    unpublished = reader.latency()
    writer.publish()
    published = reader.latency()
    writer.start_stage()

    assert (0, histogram(1000, 3000).words) == (unpublished.count, published.words)
    assert (0, 0) == (reader.latency().count, writer.latency.count)
    assert len(writer.latency.words) == WORDS


def test_without_a_recorder_the_reader_says_so(shared: int) -> None:
    """Memory that nobody wrote to is told from a recorder without pauses."""
    with closing(RecorderReader(shared)) as reader:
        before = reader.installed
        Recorder(shared)

        assert (False, True, []) == (before, reader.installed, reader.pauses())
