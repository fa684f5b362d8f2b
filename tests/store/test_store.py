"""What was written is read as it was; what was acknowledged outlives a kill and a full disk."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memopt_cli.analysis.recording import Outcome
from memopt_cli.errors import StoreError
from memopt_cli.store import database, layout, reader
from memopt_cli.store.writer import RunWriter
from tests.making import MS, STEADY, histogram, plateau, recording, sample, thought, variant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memopt_cli.analysis.recording import Recording

FULL = recording(
    variant(
        [
            sample(0.25),
            plateau(
                1000,
                12_345_678,
                rss_bytes=2**40,
                uss_bytes=None,
                pss_bytes=3,
                heap_in_use_bytes=4,
                heap_free_bytes=5,
                allocated_blocks=6,
                threads=7,
                fds=8,
                gc_pauses=9,
                gc_pause_s=0.1,
                gc_pause_max_s=0.07,
            ),
        ],
        name="baseline",
        cell={"connections": "1000", "note": "größer | 'quoted'"},
    ),
    variant(
        [],
        has_pool=True,
        pool={"reuse_ratio": 0.9, "created": None},
        outcome=Outcome.FAILED,
        failure="it died\nof exit status 1",
        digest="",
        stages=variant().stages[:1],
        pauses={(0, 0): histogram(MS), (STEADY, 2): histogram(2 * MS, 3 * MS)},
        latency={0: histogram(1000), STEADY: histogram(2000)},
        pauses_lost=4,
        recorder_installed=False,
        preallocated=11,
        fidelity=thought(posterior=None, missing=1000),
    ),
    outcome=Outcome.INTERRUPTED,
    reason="SIGINT",
    signal=2,
    scenario="version: 1\nname: größe\n",
)


def write(run: Recording, directory: Path) -> RunWriter:
    """Write a whole recording and return the writer, still open."""
    writer = RunWriter(directory)
    writer.begin(
        scenario=run.scenario,
        started_at=run.started_at,
        clock=run.clock,
        environment=run.environment,
    )
    for one in run.variants:
        number = writer.begin_variant(
            one.cell, one.name, unit=one.unit, has_pool=one.has_pool, preallocated=one.preallocated
        )
        for index, stage in enumerate(one.stages):
            writer.begin_stage(number, index, stage)
        for each in one.samples:
            writer.add_sample(number, each)
        for stage_index, latency in one.latency.items():
            writer.put_latency(number, stage_index, latency)
        for (stage_index, generation), pauses in one.pauses.items():
            writer.put_pauses(number, stage_index, generation, pauses)
        writer.note_recorder(number, installed=one.recorder_installed, pauses_lost=one.pauses_lost)
        writer.end_variant(
            number,
            one.outcome,
            failure=one.failure,
            digest=one.digest,
            transcript=one.transcript,
            pool=one.pool,
        )
        if one.fidelity is not None:
            writer.put_fidelity(number, one.fidelity)
    writer.finish(run.outcome, reason=run.reason, signal=run.signal, wall_s=run.wall_s)
    return writer


def plain(run: Recording) -> object:
    """Return a recording with its histograms as lists, so that equal ones compare equal."""
    return replace(
        run,
        variants=tuple(
            replace(
                one,
                pauses={key: found.words.tolist() for key, found in one.pauses.items()},  # type: ignore[misc] # to compare as lists
                latency={key: found.words.tolist() for key, found in one.latency.items()},  # type: ignore[misc] # to compare as lists
            )
            for one in run.variants
        ),
    )


def refusal(directory: Path) -> StoreError:
    """Return the error of reading a folder."""
    with pytest.raises(StoreError) as caught:
        reader.read(directory)
    assert caught.value.hint
    return caught.value


def child(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a script that imports the store."""
    header = (
        "import os, resource, signal, sys\n"
        "from pathlib import Path\n"
        "from memopt_cli.analysis.recording import StageSpan\n"
        "from memopt_cli.errors import StoreError\n"
        "from memopt_cli.store.writer import RunWriter\n"
        "from tests.making import histogram, sample\n"
        "def begun(directory):\n"
        "    writer = RunWriter(Path(directory))\n"
        "    writer.begin(scenario='version: 1', started_at='2026-01-31T12:00:00Z',\n"
        "                 clock='wall', environment={})\n"
        "    return writer, writer.begin_variant({}, 'only', unit='units', has_pool=False)\n"
    )
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", header + script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Every value of a recording comes back, `None` as `None`."""
    write(FULL, tmp_path / "run").close()

    assert plain(FULL) == plain(reader.read(tmp_path / "run"))


def test_a_closed_run_is_one_file_and_the_scenario(tmp_path: Path) -> None:
    """Neither log nor index stay beside the samples."""
    write(FULL, tmp_path / "run").close()

    assert [layout.SAMPLES, layout.SCENARIO] == sorted(
        path.name for path in (tmp_path / "run").iterdir()
    )
    assert FULL.scenario == (tmp_path / "run" / layout.SCENARIO).read_text(encoding="utf-8")


def test_a_histogram_that_is_put_again_is_replaced(tmp_path: Path) -> None:
    """The newest histogram of a stage counts, it is not added to the one before."""
    with RunWriter(tmp_path) as writer:
        writer.begin(scenario="", started_at="", clock="wall", environment={})
        number = writer.begin_variant({}, "only", unit="units", has_pool=False)
        for durations in ([1000], [1000, 2000]):
            writer.put_latency(number, 0, histogram(*durations))
            writer.put_pauses(number, 0, 1, histogram(*durations))

    (found,) = reader.read(tmp_path).variants
    assert (2, 2) == (found.latency[0].count, found.pauses[0, 1].count)


def test_a_running_run_is_read(tmp_path: Path) -> None:
    """What was acknowledged is seen while the writer goes on, and the outcome is running."""
    with RunWriter(tmp_path) as writer:
        writer.begin(scenario="s", started_at="t", clock="wall", environment={})
        number = writer.begin_variant({}, "only", unit="units", has_pool=False)
        counts = []
        for second in range(3):
            writer.add_sample(number, sample(float(second)))
            (found,) = reader.read(tmp_path).variants
            counts.append((len(found.samples), found.outcome))

        assert [(1, "running"), (2, "running"), (3, "running")] == counts
        assert (Outcome.RUNNING, 2.0) == (
            reader.read(tmp_path).outcome,
            reader.read(tmp_path).wall_s,
        )


def test_closing_while_somebody_reads_is_no_error(tmp_path: Path) -> None:
    """A report that is being made of a run does not make the run fail at its end."""
    writer = write(FULL, tmp_path)
    with closing(database.opened(tmp_path / layout.SAMPLES)) as base:
        base.execute("SELECT * FROM run").fetchone()
        writer.close()

    assert plain(FULL) == plain(reader.read(tmp_path))


def test_a_reader_sees_one_moment(tmp_path: Path) -> None:
    """A stage and a sample that come while a run is read are in that reading both or neither."""
    with RunWriter(tmp_path) as writer:
        writer.begin(scenario="s", started_at="t", clock="wall", environment={})
        number = writer.begin_variant({}, "only", unit="units", has_pool=False)

        def write_meanwhile(statement: str) -> None:
            if "FROM samples" in statement:
                writer.begin_stage(number, 0, variant().stages[0])
                writer.add_sample(number, sample())

        with database.snapshot(tmp_path / layout.SAMPLES) as base:
            base.set_trace_callback(write_meanwhile)
            (during,) = reader._recording(base, tmp_path, reader._whole).variants
        (after,) = reader.read(tmp_path).variants

    assert [(0, 0), (1, 1)] == [(len(one.stages), len(one.samples)) for one in (during, after)]


KILLED = """
writer, number = begun(sys.argv[1])
for count in range(100_000):
    writer.add_sample(number, sample(float(count)))
    os.write(1, b"%d\\n" % (count + 1))
"""


def test_a_killed_writer_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """After SIGKILL in the middle of writing, each acknowledged sample is there, in order."""
    writing = child(KILLED, tmp_path)
    assert writing.stdout is not None
    for _ in range(200):
        writing.stdout.readline()
    writing.send_signal(signal.SIGKILL)
    rest, _ = writing.communicate()
    acknowledged = int(rest.splitlines()[-1]) if rest.strip() else 200

    run = reader.read(tmp_path)
    (found,) = run.variants

    # The last one may be on disk and not yet be acknowledged.
    assert acknowledged <= len(found.samples) <= acknowledged + 1
    assert tuple(sample(float(count)) for count in range(len(found.samples))) == found.samples
    assert (Outcome.RUNNING, Outcome.RUNNING) == (run.outcome, found.outcome)


def test_how_the_run_ended_is_written_at_once(tmp_path: Path) -> None:
    """Outcome, reason, signal and time of a run become readable in one step."""
    writer = write(FULL, tmp_path)
    traced: list[str] = []
    writer._base.set_trace_callback(traced.append)
    writer.finish(Outcome.FINISHED, wall_s=1.0)
    writer._base.set_trace_callback(None)
    writer.close()

    assert len(traced) == 1


@pytest.mark.parametrize("name", ["50% of #1?", "größe mit leerzeichen", "a&b=c;mode=rwc"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    """Characters that mean something in a URI are part of a folder's name."""
    write(FULL, tmp_path / name).close()

    assert plain(FULL) == plain(reader.read(tmp_path / name))


def test_a_folder_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path is taken from where the command was started."""
    monkeypatch.chdir(tmp_path)
    write(FULL, Path("run")).close()

    assert plain(FULL) == plain(reader.read(Path("run")))


def test_a_missing_run_is_said(tmp_path: Path) -> None:
    """A folder without samples holds no run, and reading it makes no file."""
    assert str(refusal(tmp_path)) == f"{tmp_path} holds no run: there is no samples.sqlite"
    assert str(refusal(tmp_path / "no")).startswith(f"{tmp_path}/no holds no run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["text", "empty", "cut", "overwritten", "no table", "not json"])
def test_a_damaged_run_is_said(tmp_path: Path, damage: str) -> None:
    """Whatever happened to the file, it is named, and there is no traceback."""
    write(
        replace(FULL, variants=(variant([sample(float(s)) for s in range(500)]),)), tmp_path
    ).close()
    path = tmp_path / layout.SAMPLES
    whole = path.read_bytes()
    match damage:
        case "text":
            path.write_bytes(b"not a database, but long enough to be taken for one" * 100)
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "overwritten":
            path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
        case "no table":
            with closing(sqlite3.connect(path)) as base:
                base.execute("DROP TABLE samples")
        case "not json":
            with closing(sqlite3.connect(path)) as base, base:
                base.execute("UPDATE run SET value = '{' WHERE name = 'environment'")

    assert str(refusal(tmp_path)).startswith(f"{path} cannot be read: ")


def test_what_is_no_database_is_closed(tmp_path: Path) -> None:
    """Also while the error is kept, which holds the frames that have opened it."""
    path = tmp_path / layout.SAMPLES
    path.write_bytes(b"not a database, but long enough to be taken for one" * 100)

    refused = refusal(tmp_path)

    assert refused.__traceback__ is not None
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert str(path) not in {str(link.readlink()) for link in links}


def test_another_schema_version_is_said(tmp_path: Path) -> None:
    """A run of a later memopt is not guessed at."""
    write(FULL, tmp_path).close()
    with closing(sqlite3.connect(tmp_path / layout.SAMPLES)) as base, base:
        base.execute("UPDATE run SET value = '99' WHERE name = 'schema_version'")

    error = refusal(tmp_path)

    assert (
        f"{tmp_path} has schema version 99, this memopt reads 2",
        "Render it with the memopt that made it.",
    ) == (str(error), error.hint)


def test_a_run_from_before_agents_is_read(tmp_path: Path) -> None:
    """It has no table of how agents thought: that was not measured."""
    write(FULL, tmp_path / "run").close()
    with closing(sqlite3.connect(tmp_path / "run" / layout.SAMPLES)) as base:
        base.execute("DROP TABLE fidelity")
        base.commit()

    assert {None} == {one.fidelity for one in reader.read(tmp_path / "run").variants}


def test_a_run_that_had_not_begun_is_said(tmp_path: Path) -> None:
    """A run that was killed before its first row has nothing to show."""
    RunWriter(tmp_path).close()

    assert str(refusal(tmp_path)) == f"the run in {tmp_path} was stopped before it had begun"


def test_a_second_run_in_one_folder_is_refused(tmp_path: Path) -> None:
    """A run is never written over, and the first one stays whole."""
    write(FULL, tmp_path).close()

    with pytest.raises(StoreError, match="holds a run already") as caught:
        RunWriter(tmp_path)

    assert caught.value.hint == "Give a new or an empty folder with --out."
    assert plain(FULL) == plain(reader.read(tmp_path))


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """A run needs a folder of its own."""
    (tmp_path / "run").write_text("a file", encoding="utf-8")

    with pytest.raises(StoreError, match="cannot write the run in") as caught:
        RunWriter(tmp_path / "run")

    assert caught.value.hint == "Choose another folder with --out."


READ_ONLY = """
if os.getuid() == 0:
    os.setuid(65534)
try:
    RunWriter(Path(sys.argv[1]))
except StoreError as exc:
    print(exc, "|", exc.hint)
"""


@pytest.mark.parametrize("inside", ["", "run"])
def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path, inside: str) -> None:
    """A read-only folder, and one inside it, are named with a remedy."""
    tmp_path.chmod(0o555)
    told, _ = child(READ_ONLY, tmp_path / inside).communicate()
    tmp_path.chmod(0o755)

    assert told.startswith(f"cannot write the run in {tmp_path / inside}: ")
    assert told.endswith("| Choose another folder with --out.\n")


FILLING = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer, number = begun(sys.argv[1])
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    count = 0
    try:
        while True:
            writer.add_sample(number, sample(float(count)))
            count += 1
    finally:
        print(count, flush=True)
        writer.close()
except StoreError as exc:
    print(exc, "|", exc.hint)
"""


def filled(directory: Path, *arguments: object) -> None:
    """Write until there is no more room, and check what is told and what is kept."""
    told, _ = child(FILLING, directory, *arguments).communicate()
    count, message = told.splitlines()

    assert message.startswith(f"cannot write the run in {directory}: ")
    assert "| Free space, or choose another folder with --out. What was measured" in message
    (found,) = reader.read(directory).variants
    assert int(count) > 100
    assert tuple(sample(float(each)) for each in range(int(count))) == found.samples


def test_a_file_that_may_not_grow_keeps_what_was_written(tmp_path: Path) -> None:
    """At the limit of a file's size the error is told, and the rows before it are readable."""
    filled(tmp_path / "run", 400_000)


@contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """Mount a file system of one megabyte, or skip where that is not allowed."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)]
    if os.getuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def test_a_full_disk_keeps_what_was_written(tmp_path: Path) -> None:
    """On a full disk the error is told, and the rows before it are readable."""
    with small_disk(tmp_path / "disk"):
        filled(tmp_path / "disk" / "run")


def test_a_disk_without_room_for_the_tables_is_refused(tmp_path: Path) -> None:
    """A run that cannot even begin says why."""
    with small_disk(tmp_path / "disk"):
        (tmp_path / "disk" / "ballast").write_bytes(bytes(2**20 - 8 * 4096))
        with pytest.raises(StoreError, match="cannot write the run in"):
            RunWriter(tmp_path / "disk" / "run")


def test_the_newest_run_is_the_one_that_began_last(tmp_path: Path) -> None:
    """Not the folder's name or age decides, but the start; damaged runs hide nothing."""
    for name, started_at in (("z", "2026-01-01"), ("a", "2026-01-03"), ("m", "2026-01-02")):
        write(replace(FULL, started_at=started_at), tmp_path / name).close()
    (tmp_path / "zz").mkdir()
    (tmp_path / "zz" / layout.SAMPLES).write_bytes(b"damaged" * 1000)

    assert tmp_path / "a" == reader.newest(tmp_path)


def test_without_a_run_there_is_no_newest(tmp_path: Path) -> None:
    """A folder without runs is said to have none, with the way to make one."""
    with pytest.raises(StoreError, match="there is no run in") as caught:
        reader.newest(tmp_path)

    assert caught.value.hint == "Make one: memopt simulate connections-10k"


def test_every_field_of_a_sample_has_its_column(tmp_path: Path) -> None:
    """The table's columns are the sample's fields, in their order, after the variant."""
    RunWriter(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / layout.SAMPLES)) as base:
        columns = [row[1] for row in base.execute("PRAGMA table_info(samples)")]

    assert ["variant", *layout.SAMPLE_COLUMNS] == columns
