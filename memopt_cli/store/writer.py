"""Writes a run, row by row."""

from __future__ import annotations

import dataclasses
import json
import zlib
from typing import TYPE_CHECKING, Self

from memopt_cli.analysis.recording import Outcome
from memopt_cli.store import database, layout
from memopt_cli.store.database import refusals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from memopt_cli.analysis.connections import ConnectionsRecording
    from memopt_cli.analysis.density import Density
    from memopt_cli.analysis.operation_profile import OperationProfile
    from memopt_cli.analysis.recording import Fidelity, Sample, StageSpan
    from memopt_cli.profiler.histogram import Histogram

_ADD_SAMPLE = (
    f"INSERT INTO samples (variant, {', '.join(layout.SAMPLE_COLUMNS)}) "  # noqa: S608 - our names
    f"VALUES (?, {', '.join('?' * len(layout.SAMPLE_COLUMNS))})"
)


class RunWriter:
    """
    The only writer of a run's folder; close it to leave one plain file behind.

    Raises:
        StoreError: The folder cannot be made or written, or the disk is full.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._base = database.created(directory, layout.SAMPLES, layout.TABLES)

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

    def add_sample(self, variant: int, sample: Sample) -> None:
        """Write one sample; it outlives a kill from the moment this returns."""
        with refusals(self.directory):
            self._base.execute(_ADD_SAMPLE, (variant, *dataclasses.astuple(sample)))

    def put_latency(self, variant: int, stage: int, histogram: Histogram) -> None:
        """Write or replace the latency histogram of a stage."""
        self._put(variant, stage, layout.LATENCY, 0, histogram)

    def put_pauses(self, variant: int, stage: int, generation: int, histogram: Histogram) -> None:
        """Write or replace the pause histogram of a stage and generation."""
        self._put(variant, stage, layout.PAUSES, generation, histogram)

    def note_recorder(self, variant: int, *, installed: bool, pauses_lost: int) -> None:
        """Write whether the recorder inside the subject works, and what it lost."""
        self._update(variant, recorder_installed=installed, pauses_lost=pauses_lost)

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

    def close(self) -> None:
        """Fold the write-ahead log into the one file."""
        database.close(self._base, self.directory)

    def _set(self, **values: object) -> None:
        with refusals(self.directory):
            # In one statement, so that a kill leaves all of it or nothing.
            self._base.execute(
                f"INSERT OR REPLACE INTO run VALUES {', '.join(['(?, ?)'] * len(values))}",  # noqa: S608
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
