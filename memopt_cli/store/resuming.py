"""What an interrupted run has to be gone on with: its cells, and where each variant is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memopt_cli.analysis.parts import Checkpoint
from memopt_cli.analysis.recording import Outcome
from memopt_cli.errors import StoreError
from memopt_cli.store import database, layout, reader

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from pathlib import Path

    from memopt_cli.analysis.connections import ConnectionsRecording
    from memopt_cli.profiler.histogram import Histogram

_AGAIN = "Run the scenario again."


@dataclass(frozen=True, slots=True)
class Begun:
    """One variant that was begun before."""

    number: int
    """In the store."""

    name: str
    cell: Mapping[str, str]
    outcome: Outcome
    failure: str
    checkpoint: Checkpoint | None
    """Its latest; `None` if it was interrupted before the first."""

    pauses: Mapping[tuple[int, int], Histogram]
    latency: Mapping[int, Histogram]
    pauses_lost: int
    connections: ConnectionsRecording | None

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.outcome in {Outcome.FINISHED, Outcome.FAILED}


@dataclass(frozen=True, slots=True)
class Kept:
    """An interrupted run."""

    cells: tuple[tuple[Mapping[str, str], str], ...]
    """Label and scenario of each, as `RunWriter.keep_plan` was given them."""

    scenario: str
    started_at: str
    outcome: Outcome
    reason: str
    environment: Mapping[str, str | int | float]
    wall_s: float
    """Real time that was lived before."""

    variants: tuple[Begun, ...]
    """In the order in which they were begun."""

    @property
    def is_over(self) -> bool:
        """Whether the run has its verdict: nothing can be gone on with."""
        return self.outcome in {Outcome.FINISHED, Outcome.FAILED, Outcome.ABORTED}


def read(directory: Path) -> Kept:
    """
    Return what a run's folder holds for going on.

    Raises:
        StoreError: There is no run, or none that this release can go on with.
    """
    path = directory / layout.SAMPLES
    if not path.is_file():
        raise StoreError(
            f"{directory} holds no run: there is no {layout.SAMPLES}",
            hint="A run's folder is what `memopt simulate` names at its end.",
        )
    with database.snapshot(path) as base:
        return _kept(base, directory)


def _kept(base: sqlite3.Connection, directory: Path) -> Kept:
    run: dict[str, Any] = {
        row["name"]: json.loads(row["value"]) for row in base.execute("SELECT * FROM run")
    }
    if "outcome" not in run:
        raise StoreError(f"the run in {directory} was stopped before it had begun", hint=_AGAIN)
    if run["schema_version"] != layout.SCHEMA_VERSION:
        raise StoreError(
            f"{directory} has schema version {run['schema_version']}, "
            f"this memopt goes on with {layout.SCHEMA_VERSION}",
            hint="Resume it with the memopt that made it.",
        )
    if "cells" not in run or not reader.has_table(base, "parts"):
        raise StoreError(f"{directory} was made by a memopt that kept no checkpoints", hint=_AGAIN)
    rows = base.execute("SELECT * FROM variants ORDER BY id").fetchall()
    return Kept(
        cells=tuple((cell["label"], cell["scenario"]) for cell in run["cells"]),
        scenario=run["scenario"],
        started_at=run["started_at"],
        outcome=Outcome(run["outcome"]),
        reason=run["reason"],
        environment=run["environment"],
        wall_s=run["wall_s"] or sum(_lived_s(base, row["id"]) for row in rows),
        variants=tuple(_begun(base, row) for row in rows),
    )


def _begun(base: sqlite3.Connection, row: sqlite3.Row) -> Begun:
    pauses, latency = reader.histograms(base, row["id"])
    return Begun(
        number=row["id"],
        name=row["name"],
        cell=json.loads(row["cell"]),
        outcome=Outcome(row["outcome"]),
        failure=row["failure"],
        checkpoint=_checkpoint(base, row["id"]),
        pauses=pauses,
        latency=latency,
        pauses_lost=row["pauses_lost"],
        connections=reader.connections_of(base, row["id"]),
    )


def _checkpoint(base: sqlite3.Connection, variant: int) -> Checkpoint | None:
    query = "SELECT * FROM parts WHERE variant = ? ORDER BY number DESC LIMIT 1"
    row = base.execute(query, (variant,)).fetchone()
    if row is None:
        return None
    return Checkpoint(
        row["number"], row["starts_s"], row["rebuilt_s"], row["ends_s"], json.loads(row["state"])
    )


def _lived_s(base: sqlite3.Connection, variant: int) -> float:
    query = "SELECT MAX(wall_s) FROM samples WHERE variant = ?"
    return float(base.execute(query, (variant,)).fetchone()[0] or 0.0)
