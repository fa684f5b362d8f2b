"""Reads a watch, finished or not, also while it is being written."""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from memopt_cli.analysis.attribution import Growth, Suspect
from memopt_cli.analysis.readings import Readings
from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.results import Estimate, How, Severity
from memopt_cli.analysis.watch_limits import WatchLimits
from memopt_cli.analysis.watching import ProcessRecording, Reading, WatchRecording
from memopt_cli.errors import StoreError
from memopt_cli.profiler.histogram import Histogram
from memopt_cli.store import database, layout, thinning, watch_layout

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import TypeAlias

    _Choice: TypeAlias = "Callable[[sqlite3.Connection], Mapping[int, Readings]]"
    """Which readings of each process are read."""

_RUN_FIELDS = {"target", "started_at", "interval_s", "environment", "outcome", "limits"}
_SELECT_READINGS = (
    f"SELECT process, {', '.join(watch_layout.READING_COLUMNS)} FROM readings "  # noqa: S608 - our names
    "ORDER BY rowid"
)


def is_watch(directory: Path) -> bool:
    """Return whether a folder holds a watch, and not the run of a scenario."""
    return (directory / watch_layout.READINGS).is_file()


def read_watch(directory: Path) -> WatchRecording:
    """
    Return what was recorded in a watch's folder.

    All readings are held at once, at 142 bytes each: `memopt report` of a day at one
    reading per second takes 112 MiB for one process and 147 MiB for four, and 82 MiB of a
    watch of a minute (`python -m tests.benchmarks.bench_watch_report`).

    Raises:
        StoreError: The folder holds no watch, or one of another schema version.
    """
    return _read(directory, _readings)


def glance_at_watch(directory: Path) -> WatchRecording:
    """
    Return a watch that goes on as a look at it needs it, in memory that does not grow with it.

    Of a long one each reading stands for several (`thinning.thinned_reading`), the
    baseline's too.

    Raises:
        StoreError: The folder holds no watch, or one of another schema version.
    """
    return _read(directory, _thinned_readings)


def _read(directory: Path, choose: _Choice) -> WatchRecording:
    baseline = directory / layout.BASELINE
    with database.snapshot(_file(directory)) as base:
        run = _run(base, directory)
        readings = choose(base)
        processes = tuple(
            _process(base, row, readings[row["number"]])
            for row in base.execute("SELECT * FROM processes ORDER BY number")
        )
    ends_s = (one.readings[-1].at_s for one in processes if one.readings)
    return WatchRecording(
        target=run["target"],
        started_at=run["started_at"],
        interval_s=run["interval_s"],
        outcome=Outcome(run["outcome"]),
        reason=run["reason"],
        signal=run["signal"],
        exit_status=run["exit_status"],
        environment=run["environment"],
        # Of one that goes on, or was killed: as far as it was read.
        wall_s=run["wall_s"] or max(ends_s, default=0.0),
        processes=processes,
        processes_left_out=run["processes_left_out"],
        baseline=_read(baseline, choose) if baseline.is_dir() else None,
        baseline_name=run.get("baseline", ""),
    )


def read_limits(directory: Path) -> WatchLimits:
    """
    Return what a watch is judged by.

    Raises:
        StoreError: The folder holds no watch, or one of another schema version.
    """
    with database.snapshot(_file(directory)) as base:
        kept = _run(base, directory)["limits"]
        return WatchLimits(
            kept["leak_bytes_per_hour"],
            {Severity(name): limit for name, limit in kept["severities"].items()},
            tuple(kept["thresholds"]),
        )


def _file(directory: Path) -> Path:
    path = directory / watch_layout.READINGS
    if not path.is_file():
        raise StoreError(
            f"{directory} holds no watch: there is no {watch_layout.READINGS}",
            hint="A watch's folder is what `memopt watch` names at its end.",
        )
    return path


def _run(base: sqlite3.Connection, directory: Path) -> dict[str, Any]:
    run: dict[str, Any] = {
        row["name"]: json.loads(row["value"]) for row in base.execute("SELECT * FROM run")
    }
    version = run.get("schema_version", watch_layout.SCHEMA_VERSION)
    if version != watch_layout.SCHEMA_VERSION:
        raise StoreError(
            f"{directory} has schema version {version}, "
            f"this memopt reads {watch_layout.SCHEMA_VERSION}",
            hint="Render it with the memopt that made it.",
        )
    if not run.keys() >= _RUN_FIELDS:
        raise StoreError(
            f"the watch in {directory} was stopped before it had begun", hint="Watch again."
        )
    return run


def _readings(base: sqlite3.Connection) -> Mapping[int, Readings]:
    """Return the readings by process."""
    found: dict[int, Readings] = defaultdict(Readings)
    for process, figures in _rows(base):
        found[process].add(figures)
    return found


def _thinned_readings(base: sqlite3.Connection) -> Mapping[int, Readings]:
    """Return the readings by process, those of each thinned to about as many as are seen."""
    counts = dict(map(tuple, base.execute("SELECT process, count(*) FROM readings GROUP BY 1")))
    found: dict[int, list[Reading]] = defaultdict(list)
    groups: dict[int, list[Reading]] = defaultdict(list)
    for process, figures in _rows(base):
        group = groups[process]
        group.append(Reading(*figures))
        if len(group) * thinning.MOST_SEEN >= counts[process]:
            found[process].append(thinning.thinned_reading(group))
            group.clear()
    for process, group in groups.items():
        if group:
            found[process].append(thinning.thinned_reading(group))
    return defaultdict(
        Readings, {process: Readings(readings) for process, readings in found.items()}
    )


def _rows(base: sqlite3.Connection) -> Iterator[tuple[int, list[Any]]]:
    """Yield the figures of all processes in one pass: an index would cost each write."""
    for row in base.execute(_SELECT_READINGS):
        process, *figures = row
        # By position: the columns are the fields, in their order.
        yield process, figures


def _process(base: sqlite3.Connection, row: sqlite3.Row, readings: Readings) -> ProcessRecording:
    pauses = base.execute("SELECT * FROM pauses WHERE process = ?", (row["number"],))
    return ProcessRecording(
        pid=row["pid"],
        parent_pid=row["parent_pid"],
        command=row["command"],
        began_s=row["began_s"],
        ended_s=row["ended_s"],
        inside=row["inside"],
        readings=readings,
        pauses={
            one["generation"]: Histogram.from_bytes(zlib.decompress(one["words"])) for one in pauses
        },
        pauses_lost=row["pauses_lost"],
        suspects=tuple(_suspect(one) for one in json.loads(row["suspects"])),
        looks=row["looks"],
        traced_s=row["traced_s"],
        not_traced=row["not_traced"],
    )


def _suspect(kept: dict[str, Any]) -> Suspect:
    return Suspect(
        **{
            **kept,
            "bytes_per_hour": _estimate(kept["bytes_per_hour"]),
            "bytes_per_operation": _estimate(kept["bytes_per_operation"]),
            "growths": tuple(_growth(one) for one in kept["growths"]),
        }
    )


def _growth(kept: dict[str, Any]) -> Growth:
    per_hour = _estimate(kept["per_hour"])
    if per_hour is None:
        raise ValueError("a growth without a rate")
    per_operation = _estimate(kept["per_operation"])
    return Growth(**{**kept, "per_hour": per_hour, "per_operation": per_operation})


def _estimate(kept: dict[str, Any] | None) -> Estimate | None:
    return None if kept is None else Estimate(**{**kept, "how": How(kept["how"])})
