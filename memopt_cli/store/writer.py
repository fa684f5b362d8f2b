"""Writes a run, row by row."""

from __future__ import annotations

import dataclasses
import json
import os
import zlib
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from memopt_cli.analysis.recording import Outcome
from memopt_cli.store import database, layout
from memopt_cli.store.database import refusals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from memopt_cli.analysis.connections import ConnectionsRecording
    from memopt_cli.analysis.density import Density
    from memopt_cli.analysis.operation_profile import OperationProfile
    from memopt_cli.analysis.parts import Checkpoint
    from memopt_cli.analysis.recording import Fidelity, Sample, StageSpan
    from memopt_cli.profiler.histogram import Histogram

_ADD_SAMPLE = (
    f"INSERT INTO samples (variant, {', '.join(layout.SAMPLE_COLUMNS)}) "  # noqa: S608 - our names
    f"VALUES (?, {', '.join('?' * len(layout.SAMPLE_COLUMNS))})"
)


_ADD_CHECKPOINT = """
INSERT INTO parts VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (variant, number) DO UPDATE
SET ends_s = excluded.ends_s, ended_at = excluded.ended_at, state = excluded.state
"""


class RunWriter:
    """
    The only writer of a run's folder; close it to leave one plain file behind.

    Raises:
        StoreError: The folder cannot be made or written, or the disk is full.
    """

    def __init__(self, directory: Path, *, resumed: bool = False) -> None:
        """
        Args:
            directory: A new or an empty folder, or that of the run.
            resumed: Whether to write on in a run that is there.
        """
        self.directory = directory
        with ExitStack() as opened:
            if resumed:
                # First the lock: who does not get it must not touch the database.
                opened.callback(os.close, database.locked(directory))
                self._base = database.reopened(directory, layout.SAMPLES)
            else:
                self._base = database.created(directory, layout.SAMPLES, layout.TABLES)
                opened.callback(self._base.close)
                opened.callback(os.close, database.locked(directory))
            self._lock = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def begin(
        self,
        *,
        scenario: str,
        started_at: str,
        clock: str,
        environment: Mapping[str, str | int | float],
    ) -> None:
        """Write what is known before the first sample; *scenario* is YAML."""
        self._set(
            schema_version=layout.SCHEMA_VERSION,
            scenario=scenario,
            started_at=started_at,
            clock=clock,
            environment=dict(environment),
            outcome=Outcome.RUNNING,
            reason="",
            signal=None,
            wall_s=0.0,
        )
        with refusals(self.directory):
            (self.directory / layout.SCENARIO).write_text(scenario, encoding="utf-8")

    def keep_plan(self, cells: Sequence[tuple[Mapping[str, str], str]]) -> None:
        """Write the cells of the matrix: their labels, and their scenarios as YAML."""
        self._set(cells=[{"label": dict(label), "scenario": text} for label, text in cells])

    def go_on(self) -> None:
        """Write that an interrupted run goes on."""
        self._set(outcome=Outcome.RUNNING, reason="", signal=None, wall_s=0.0)

    def resume_variant(self, variant: int) -> None:
        """Write that an interrupted variant goes on."""
        self._update(variant, outcome=Outcome.RUNNING, failure="")

    def begin_variant(
        self,
        cell: Mapping[str, str],
        name: str,
        *,
        unit: str,
        has_pool: bool,
        preallocated: int = 0,
    ) -> int:
        """Return the number of a new variant of the run."""
        row = (json.dumps(dict(cell)), name, unit, has_pool, preallocated, Outcome.RUNNING)
        with refusals(self.directory):
            cursor = self._base.execute(
                "INSERT INTO variants VALUES (NULL, ?, ?, ?, ?, ?, ?, '', '', '', 'null', 0, 0)",
                row,
            )
        if cursor.lastrowid is None:
            raise AssertionError("an insert into a table with row ids always has one")
        return cursor.lastrowid

    def begin_stage(self, variant: int, number: int, stage: StageSpan) -> None:
        """Write that a stage has begun, or when it has ended."""
        row = (variant, number, stage.name, stage.starts_s, stage.ends_s, stage.units)
        with refusals(self.directory):
            # Again for a stage whose end is known only when it has come.
            self._base.execute("INSERT OR REPLACE INTO stages VALUES (?, ?, ?, ?, ?, ?)", row)

    def add_sample(
        self, variant: int, sample: Sample, checkpoint: Checkpoint | None = None
    ) -> None:
        """
        Write one sample; it outlives a kill from the moment this returns.

        The checkpoint is that of the same moment: after a kill both are there, or neither.
        """
        with self.at_once():
            self._base.execute(_ADD_SAMPLE, (variant, *dataclasses.astuple(sample)))
            self._add_checkpoint(variant, checkpoint)

    def put_latency(self, variant: int, stage: int, histogram: Histogram) -> None:
        """Write or replace the latency histogram of a stage."""
        self._put(variant, stage, layout.LATENCY, 0, histogram)

    def put_pauses(self, variant: int, stage: int, generation: int, histogram: Histogram) -> None:
        """Write or replace the pause histogram of a stage and generation."""
        self._put(variant, stage, layout.PAUSES, generation, histogram)

    def note_recorder(self, variant: int, *, installed: bool, pauses_lost: int) -> None:
        """Write whether the recorder inside the subject works, and what it lost."""
        self._update(variant, recorder_installed=installed, pauses_lost=pauses_lost)

    def add_checkpoint(self, variant: int, checkpoint: Checkpoint | None) -> None:
        """Write where a variant is, between two samples."""
        with refusals(self.directory):
            self._add_checkpoint(variant, checkpoint)

    def put_fidelity(self, variant: int, fidelity: Fidelity) -> None:
        """Write how a variant's agents thought."""
        self._put_found("INSERT OR REPLACE INTO fidelity VALUES (?, ?)", variant, fidelity)

    def put_density(self, variant: int, density: Density) -> None:
        """Write how many agents of a variant fitted its memory."""
        self._put_found("INSERT OR REPLACE INTO density VALUES (?, ?)", variant, density)

    def put_profile(self, variant: int, profile: OperationProfile) -> None:
        """Write what a step of a variant's agents consists of."""
        self._put_found("INSERT OR REPLACE INTO profile VALUES (?, ?)", variant, profile)

    def _put_found(
        self, query: str, variant: int, found: Fidelity | Density | OperationProfile
    ) -> None:
        row = (variant, json.dumps(dataclasses.asdict(found)))
        with refusals(self.directory):
            self._base.execute(query, row)

    def end_variant(
        self,
        variant: int,
        outcome: Outcome,
        *,
        failure: str = "",
        digest: str = "",
        transcript: str = "",
        pool: Mapping[str, float | None] | None = None,
    ) -> None:
        """Write how a variant ended and what it says of itself."""
        self._update(
            variant,
            outcome=outcome,
            failure=failure,
            digest=digest,
            transcript=transcript,
            pool=json.dumps(None if pool is None else dict(pool)),
        )

    def put_connections(self, variant: int, connections: ConnectionsRecording) -> None:
        """Write or replace what is known of a variant's real connections."""
        row = (variant, json.dumps(connections.to_values()))
        with refusals(self.directory):
            self._base.execute("INSERT OR REPLACE INTO connections VALUES (?, ?)", row)

    def finish(
        self, outcome: Outcome, *, reason: str = "", signal: int | None = None, wall_s: float
    ) -> None:
        """Write how the run ended."""
        self._set(outcome=outcome, reason=reason, signal=signal, wall_s=wall_s)

    def keep_baseline(self, source: Path, regressions: Sequence[str] = ()) -> None:
        """Write a copy of what this is judged beside, how it was named, and what for."""
        database.copied(source / layout.SAMPLES, self.directory / layout.BASELINE)
        self._set(baseline=str(source), regressions=list(regressions))

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Have all that is written inside outlive a kill, or nothing of it."""
        with refusals(self.directory):
            self._base.execute("BEGIN")
            try:
                yield
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")

    def close(self) -> None:
        """Fold the write-ahead log into the one file."""
        try:
            database.close(self._base, self.directory)
        finally:
            self._lock.close()

    def _add_checkpoint(self, variant: int, checkpoint: Checkpoint | None) -> None:
        if checkpoint is None:
            return
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        row = (
            variant,
            checkpoint.part,
            checkpoint.starts_s,
            checkpoint.at_s,
            now,
            now,
            checkpoint.rebuilt_s,
            json.dumps(checkpoint.state),
        )
        self._base.execute(_ADD_CHECKPOINT, row)

    def _set(self, **values: object) -> None:
        with refusals(self.directory):
            # In one statement, so that a kill leaves all of it or nothing.
            self._base.execute(
                f"INSERT OR REPLACE INTO run VALUES {', '.join(['(?, ?)'] * len(values))}",  # noqa: S608 - question marks only
                [each for name, value in values.items() for each in (name, json.dumps(value))],
            )

    def _update(self, variant: int, **values: object) -> None:
        assignments = ", ".join(f"{name} = ?" for name in values)
        with refusals(self.directory):
            self._base.execute(
                f"UPDATE variants SET {assignments} WHERE id = ?",  # noqa: S608 - our own names
                (*values.values(), variant),
            )

    def _put(
        self, variant: int, stage: int, kind: str, generation: int, histogram: Histogram
    ) -> None:
        with refusals(self.directory):
            self._base.execute(
                "INSERT OR REPLACE INTO histograms VALUES (?, ?, ?, ?, ?)",
                (variant, stage, kind, generation, zlib.compress(histogram.to_bytes(), 1)),
            )
