"""What a watch wrote is read as it was, and outlives a kill; a report tells it from a run."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from memopt_cli.analysis.attribution import Growth, Suspect
from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.results import Estimate, How
from memopt_cli.analysis.watch_limits import WatchLimits, limits_of
from memopt_cli.engine import watch_events as events
from memopt_cli.engine.watch_keeping import kept
from memopt_cli.errors import StoreError
from memopt_cli.store import reader
from memopt_cli.store.watch_reader import is_watch, read_limits, read_watch
from memopt_cli.store.watch_writer import WatchWriter
from memopt_cli.store.writer import RunWriter
from tests.making import MS, histogram
from tests.watchings import SUSPECT, process, reading, watching

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from memopt_cli.analysis.watching import ProcessRecording, WatchRecording

UNBOUNDED = Suspect(
    "",
    0,
    Estimate(1.0, float("-inf"), float("inf"), How.MEASURED),
    None,
    None,
    "",
    "größer | 'quoted'",
    (Growth("Record", "Record", 7, Estimate.exact(2.0), Estimate.exact(3.0)),),
)
FULL = watching(
    process(
        [reading(1.0), reading(2.0, anonymous_bytes=2**40, uss_bytes=3, operations=0.5)],
        pauses={0: histogram(MS, 2 * MS), 2: histogram(9 * MS)},
        pauses_lost=3,
        suspects=(SUSPECT, UNBOUNDED),
        looks=12,
        traced_s=1.5,
        not_traced="somebody traces already",
    ),
    process([], pid=4712, parent_pid=4711, began_s=1.5, ended_s=1.75, inside="it runs no Python"),
    outcome=Outcome.INTERRUPTED,
    reason="SIGTERM",
    signal=15,
    exit_status=143,
    wall_s=2.5,
    processes_left_out=4,
)


def told(recording: WatchRecording) -> Iterator[events.WatchEvent]:
    """Return the events of a watch that led to a recording."""
    r = recording
    yield events.WatchStarted(r.target, r.started_at, r.interval_s, None, r.environment)
    for number, one in enumerate(r.processes):
        yield events.ProcessAppeared(
            number, one.pid, one.parent_pid, one.command, one.began_s, "not looked yet"
        )
        yield events.InsideChanged(number, one.inside)
    for number, one in enumerate(r.processes):
        yield from _told_of(number, one)
    yield events.WatchEnded(
        r.outcome, r.reason, r.signal, r.exit_status, r.wall_s, r.processes_left_out
    )


def _told_of(number: int, one: ProcessRecording) -> Iterator[events.WatchEvent]:
    # Twice, as an engine tells them: the later replaces the earlier.
    yield events.PausesRecorded(number, {0: histogram(MS)} if one.pauses else {}, 0)
    yield events.SuspectsFound(number, one.suspects[1:], 1, 0.1, "")
    yield from (events.ReadingTaken(number, each) for each in one.readings)
    yield events.PausesRecorded(number, one.pauses, one.pauses_lost)
    yield events.SuspectsFound(number, one.suspects, one.looks, one.traced_s, one.not_traced)
    if one.ended_s is not None:
        yield events.ProcessEnded(number, one.ended_s)


def keep(recording: WatchRecording, directory: Path) -> WatchWriter:
    """Write a recording by its events and return the writer, still open."""
    writer = WatchWriter(directory)
    for _ in kept(told(recording), writer):
        pass
    return writer


def plain(recording: WatchRecording) -> tuple[WatchRecording, list[dict[int, bytes]]]:
    """Return a recording that compares equal if its histograms have equal contents."""
    bare = tuple(replace(one, pauses={}) for one in recording.processes)
    words = [
        {generation: one.to_bytes() for generation, one in process.pauses.items()}
        for process in recording.processes
    ]
    return replace(recording, processes=bare), words


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Every field, suspects with all their figures, pauses by generation."""
    keep(FULL, tmp_path).close()

    assert plain(FULL) == plain(read_watch(tmp_path))
    assert ["watch.sqlite"] == sorted(path.name for path in tmp_path.iterdir())


def test_each_event_is_on_disk_when_it_is_seen(tmp_path: Path) -> None:
    """A reader beside the writer sees each reading; the outcome is running until it ended."""
    with WatchWriter(tmp_path) as writer:
        seen = []
        for event in kept(told(FULL), writer):
            if isinstance(event, events.ReadingTaken):
                found = read_watch(tmp_path)
                seen.append((len(found.processes[0].readings), found.outcome, found.wall_s))

    assert [(1, Outcome.RUNNING, 1.0), (2, Outcome.RUNNING, 2.0)] == seen


KILLED = """
import os, pathlib, sys
from memopt_cli.engine.watch_keeping import kept
from memopt_cli.engine.watch_events import ReadingTaken
from memopt_cli.store.watch_writer import WatchWriter
from tests.store.test_watch_store import FULL, told
number = 0
for event in kept(told(FULL), WatchWriter(pathlib.Path(sys.argv[1]))):
    number += isinstance(event, ReadingTaken)
    if number == 2:
        os.kill(os.getpid(), 9)
"""


def test_a_killed_watch_is_whole(tmp_path: Path) -> None:
    """What was acknowledged before a SIGKILL is there, suspects as they were told by then."""
    folder = tmp_path / "a #watch%"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)

    found = read_watch(folder)
    first = found.processes[0]
    assert (-9, Outcome.RUNNING, 2.0) == (ended.returncode, found.outcome, found.wall_s)
    assert (FULL.processes[0].readings, (UNBOUNDED,), 1) == (
        first.readings,
        first.suspects,
        first.pauses[0].count,
    )


def test_limits_are_kept(tmp_path: Path) -> None:
    """A report that is made later judges by what the watch was begun with."""
    limits = limits_of(leak="1MB/h", severities=["high=600kB/s"], thresholds=["gc_pause: max<1s"])
    for number, given in enumerate((None, limits)):
        with WatchWriter(tmp_path / str(number), given) as writer:
            for _ in kept(told(FULL), writer):
                pass

    assert [WatchLimits(), limits] == [read_limits(tmp_path / number) for number in "01"]


def test_the_newest_may_be_a_watch(tmp_path: Path) -> None:
    """A watch and a run beside one another: whichever began last."""
    for name, started_at in (("b", "2026-01-02T00:00:00Z"), ("a", "2026-01-03T00:00:00Z")):
        keep(replace(FULL, started_at=started_at), tmp_path / name).close()
    with RunWriter(tmp_path / "run") as writer:
        writer.begin(scenario="s", started_at="2026-01-02T12:00:00Z", clock="wall", environment={})

    assert "a" == reader.newest(tmp_path).name
    assert [True, False] == [is_watch(tmp_path / name) for name in ("a", "run")]


def test_what_is_no_watch_is_refused(tmp_path: Path) -> None:
    """No folder, a folder that holds a run, a file that is damaged, a watch that never began."""
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "watch.sqlite").write_bytes(b"no database" * 100)
    WatchWriter(tmp_path / "unbegun").close()
    for name in ("absent", "damaged", "unbegun"):
        with pytest.raises(StoreError) as caught:
            read_watch(tmp_path / name)
        assert caught.value.hint


@pytest.mark.parametrize("damage", ["at_s = NULL", "rss_bytes = 'many'", "operations = 'many'"])
def test_a_damaged_reading_is_refused(tmp_path: Path, damage: str) -> None:
    """A reading without a time, or with a word for a number, is no reading that lacks it."""
    keep(FULL, tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "watch.sqlite", isolation_level=None)) as base:
        base.execute("UPDATE readings SET " + damage)  # noqa: S608 - our own words

    with pytest.raises(StoreError, match="cannot be read"):
        read_watch(tmp_path)


def test_a_folder_is_written_once(tmp_path: Path) -> None:
    """A second watch into the same folder is refused."""
    keep(FULL, tmp_path).close()

    with pytest.raises(StoreError, match="holds a run already"):
        WatchWriter(tmp_path)


def test_a_baseline_is_kept_as_a_copy(tmp_path: Path) -> None:
    """It is read with the watch, also when what it was copied from is gone."""
    keep(FULL, tmp_path / "clean").close()
    with keep(watching(process([reading(1.0)])), tmp_path / "seen") as writer:
        writer.keep_baseline(tmp_path / "clean")
    before = read_watch(tmp_path / "clean")
    shutil.rmtree(tmp_path / "clean")

    kept = read_watch(tmp_path / "seen")

    assert kept.baseline is not None
    assert plain(before) == plain(kept.baseline)
    assert str(tmp_path / "clean") == kept.baseline_name
    assert before.baseline is None
