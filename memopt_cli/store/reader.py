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
from memopt_cli.analysis.density import Density
from memopt_cli.analysis.operation_profile import OperationProfile
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
from memopt_cli.store import database, layout, thinning, watch_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import TypeAlias

    _Choice: TypeAlias = "Callable[[sqlite3.Connection, int], Iterator[Sample]]"
    """Which samples of a variant are read."""

_RUN_FIELDS = {"scenario", "started_at", "clock", "environment", "outcome"}
_SELECT_SAMPLES = (
    f"SELECT {', '.join(layout.SAMPLE_COLUMNS)} FROM samples WHERE variant = ? ORDER BY rowid"  # noqa: S608 - our own names
)


def read(directory: Path) -> Recording:
    """
    Return what was recorded in a run's folder.

    Raises:
        StoreError: The folder holds no run, or one of another schema version.
    """
    return _read(directory, _whole, _whole)


def _read(directory: Path, choose: _Choice, choose_of_baseline: _Choice) -> Recording:
    path = directory / layout.SAMPLES
    if not path.is_file():
        raise StoreError(
            f"{directory} holds no run: there is no {layout.SAMPLES}",
            hint="A run's folder is what `memopt simulate` names at its end.",
        )
    with database.snapshot(path) as base:
        found = _recording(base, directory, choose)
    baseline = directory / layout.BASELINE
    if not baseline.is_dir():
        return found
    return replace(found, baseline=_read(baseline, choose_of_baseline, choose_of_baseline))


def glance(directory: Path) -> Recording:
    """
    Return a run that goes on as a look at it needs it, in memory that does not grow with it.

    Only the latest variant has samples, and of a long one each stands for several
    (`thinning.thinned`); a baseline's are thinned in the same way.

    Raises:
        StoreError: The folder holds no run, or one of another schema version.
    """
    return _read(directory, _latest_thinned, _all_thinned)


def overview(directory: Path) -> Recording:
    """
    Return a run that goes on with the samples of all its variants, thinned as by `glance`.

    Raises:
        StoreError: The folder holds no run, or one of another schema version.
    """
    return _read(directory, _all_thinned, _all_thinned)


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


def _recording(base: sqlite3.Connection, directory: Path, choose: _Choice) -> Recording:
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
    variants = tuple(_variant(base, row, choose) for row in base.execute("SELECT * FROM variants"))
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
        regressions=tuple(run.get("regressions", ())),
    )


def _whole(base: sqlite3.Connection, variant: int) -> Iterator[Sample]:
    """Yield all samples of a variant."""
    return map(_sample, base.execute(_SELECT_SAMPLES, (variant,)))


def _all_thinned(base: sqlite3.Connection, variant: int) -> Iterator[Sample]:
    """Yield the samples of a variant, a long one's thinned."""
    query = "SELECT count(*) FROM samples WHERE variant = ?"
    (count,) = base.execute(query, (variant,)).fetchone()
    return thinning.thinned(_whole(base, variant), count)


def _latest_thinned(base: sqlite3.Connection, variant: int) -> Iterator[Sample]:
    """Yield the same of the variant that goes on, and nothing of those before it."""
    (latest,) = base.execute("SELECT max(id) FROM variants").fetchone()
    return _all_thinned(base, variant) if variant == latest else iter(())


def _variant(base: sqlite3.Connection, row: sqlite3.Row, choose: _Choice) -> VariantRecording:
    pauses, latency = histograms(base, row["id"])
    stages = base.execute("SELECT * FROM stages WHERE variant = ? ORDER BY number", (row["id"],))
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
        samples=tuple(choose(base, row["id"])),
        pauses=pauses,
        pauses_lost=row["pauses_lost"],
        recorder_installed=bool(row["recorder_installed"]),
        latency=latency,
        preallocated=row["preallocated"],
        fidelity=_fidelity(base, row["id"]),
        density=_density(base, row["id"]),
        profile=_profile(base, row["id"]),
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


def _density(base: sqlite3.Connection, variant: int) -> Density | None:
    """Return how many agents fitted."""
    found = _kept(base, "density", "found", variant)
    return None if found is None else Density(**found)


def _profile(base: sqlite3.Connection, variant: int) -> OperationProfile | None:
    """Return what a step of an agent consists of."""
    found = _kept(base, "profile", "found", variant)
    return None if found is None else OperationProfile.from_values(found)


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
