"""Reads a run, finished or not, also while it is being written."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections import defaultdict
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from memopt_cli.analysis.connections import ConnectionsRecording
from memopt_cli.analysis.parts import Part
from memopt_cli.analysis.recording import (
    Fidelity,
    Outcome,
    Recording,
    Sample,
    StageSpan,
    VariantRecording,
)
from memopt_cli.errors import StoreError
from memopt_cli.profiler.histogram import Histogram
from memopt_cli.store import database, layout, watch_layout

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_RUN_FIELDS = {"scenario", "started_at", "clock", "environment", "outcome"}
_SELECT_SAMPLES = (
    f"SELECT {', '.join(layout.SAMPLE_COLUMNS)} FROM samples WHERE variant = ? ORDER BY rowid"  # noqa: S608
)


def read(directory: Path) -> Recording:
    """
    Return what was recorded in a run's folder.

    Raises:
        StoreError: The folder holds no run, or one of another schema version.
    """
    path = directory / layout.SAMPLES
    if not path.is_file():
        raise StoreError(
            f"{directory} holds no run: there is no {layout.SAMPLES}",
            hint="A run's folder is what `memopt simulate` names at its end.",
        )
    with database.snapshot(path) as base:
        found = _recording(base, directory)
    baseline = directory / layout.BASELINE
    if not baseline.is_dir():
        return found
    return replace(found, baseline=read(baseline))


def newest(reports: Path) -> Path:
    """
    Return the run or the watch in *reports* that was begun last.

    Raises:
        StoreError: There is none.
    """
    names = (layout.SAMPLES, watch_layout.READINGS)
    runs = [path for name in names for path in reports.glob(f"*/{name}")]
    if not runs:
        raise StoreError(
            f"there is no run in {reports}/", hint="Make one: memopt simulate connections-10k"
        )
    return max(runs, key=lambda run: (_started_at(run), run.parent.name)).parent


def _started_at(path: Path) -> str:
    try:
        with closing(database.opened(path)) as base:
            row = base.execute("SELECT value FROM run WHERE name = 'started_at'").fetchone()
    except sqlite3.DatabaseError:
        # A damaged run must not hide the others; named directly, it is reported.
        return ""
    return "" if row is None else str(json.loads(row["value"]))


def _recording(base: sqlite3.Connection, directory: Path) -> Recording:
    run: dict[str, Any] = {
        row["name"]: json.loads(row["value"]) for row in base.execute("SELECT * FROM run")
    }
    if not run.keys() >= _RUN_FIELDS:
        raise StoreError(
            f"the run in {directory} was stopped before it had begun",
            hint="Run the scenario again.",
        )
    if run["schema_version"] != layout.SCHEMA_VERSION:
        raise StoreError(
            f"{directory} has schema version {run['schema_version']}, "
            f"this memopt reads {layout.SCHEMA_VERSION}",
            hint="Render it with the memopt that made it.",
        )
    variants = tuple(_variant(base, row) for row in base.execute("SELECT * FROM variants"))
    return Recording(
        scenario=run["scenario"],
        started_at=run["started_at"],
        outcome=Outcome(run["outcome"]),
        reason=run["reason"],
        signal=run["signal"],
        clock=run["clock"],
        environment=run["environment"],
        wall_s=run["wall_s"] or sum(v.samples[-1].wall_s for v in variants if v.samples),
        variants=variants,
        baseline_name=run.get("baseline", ""),
    )


def _variant(base: sqlite3.Connection, row: sqlite3.Row) -> VariantRecording:
    pauses, latency = histograms(base, row["id"])
    stages = base.execute("SELECT * FROM stages WHERE variant = ? ORDER BY number", (row["id"],))
    samples = base.execute(_SELECT_SAMPLES, (row["id"],))
    parts = _parts(base, row["id"])
    return VariantRecording(
        cell=json.loads(row["cell"]),
        name=row["name"],
        unit=row["unit"],
        has_pool=bool(row["has_pool"]),
        outcome=Outcome(row["outcome"]),
        failure=row["failure"],
        digest=row["digest"],
        transcript=row["transcript"],
        pool=json.loads(row["pool"]),
        stages=tuple(
            StageSpan(stage["name"], stage["starts_s"], stage["ends_s"], stage["units"])
            for stage in stages
        ),
        samples=tuple(_sample(sample) for sample in samples),
        pauses=pauses,
        pauses_lost=row["pauses_lost"],
        recorder_installed=bool(row["recorder_installed"]),
        latency=latency,
        preallocated=row["preallocated"],
        fidelity=_fidelity(base, row["id"]),
        connections=connections_of(base, row["id"]),
        breaks=tuple(part.starts_s for part in parts[1:]),
        parts=parts,
    )


def _parts(base: sqlite3.Connection, variant: int) -> tuple[Part, ...]:
    """Return when a variant was lived."""
    if not has_table(base, "parts"):
        return ()
    query = (
        "SELECT starts_s, ends_s, began_at, ended_at, rebuilt_s FROM parts "
        "WHERE variant = ? ORDER BY number"
    )
    return tuple(Part(*row) for row in base.execute(query, (variant,)))


def _fidelity(base: sqlite3.Connection, variant: int) -> Fidelity | None:
    """Return how agents thought."""
    found = _kept(base, "fidelity", "found", variant)
    return None if found is None else Fidelity(**found)


def connections_of(base: sqlite3.Connection, variant: int) -> ConnectionsRecording | None:
    """Return what is known of real connections."""
    found = _kept(base, "connections", "value", variant)
    return None if found is None else ConnectionsRecording.from_values(found)


def has_table(base: sqlite3.Connection, name: str) -> bool:
    """Return whether a run has a table that those of earlier releases lack."""
    tables = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return base.execute(tables, (name,)).fetchone() is not None


def _kept(base: sqlite3.Connection, table: str, column: str, variant: int) -> Any:
    """Return what a table that runs of earlier releases lack holds of a variant."""
    if not has_table(base, table):
        return None
    query = f"SELECT {column} FROM {table} WHERE variant = ?"  # noqa: S608 - our own names
    row = base.execute(query, (variant,)).fetchone()
    return None if row is None else json.loads(row[column])


def _sample(row: sqlite3.Row) -> Sample:
    values = dict(zip(layout.SAMPLE_COLUMNS, row, strict=True))
    return Sample(**{**values, "is_plateau": bool(values["is_plateau"])})


def histograms(
    base: sqlite3.Connection, variant: int
) -> tuple[Mapping[tuple[int, int], Histogram], Mapping[int, Histogram]]:
    """Return the pauses of a variant by stage and generation, and its latencies by stage."""
    pauses: dict[tuple[int, int], Histogram] = defaultdict(Histogram)
    latency: dict[int, Histogram] = defaultdict(Histogram)
    for row in base.execute("SELECT * FROM histograms WHERE variant = ?", (variant,)):
        histogram = Histogram.from_bytes(zlib.decompress(row["words"]))
        if row["kind"] == layout.LATENCY:
            latency[row["stage"]] = histogram
        else:
            pauses[row["stage"], row["generation"]] = histogram
    return dict(pauses), dict(latency)
