"""Writes a watch, reading by reading."""

from __future__ import annotations

import dataclasses
import json
import zlib
from typing import TYPE_CHECKING, Self

from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.watch_limits import WatchLimits
from memopt_cli.store import database, layout, watch_layout
from memopt_cli.store.database import refusals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from memopt_cli.analysis.attribution import Suspect
    from memopt_cli.analysis.watching import Reading
    from memopt_cli.profiler.histogram import Histogram

_ADD_READING = (
    f"INSERT INTO readings (process, {', '.join(watch_layout.READING_COLUMNS)}) "  # noqa: S608 - our names
    f"VALUES (?, {', '.join('?' * len(watch_layout.READING_COLUMNS))})"
)


class WatchWriter:
    """
    The only writer of a watch's folder; close it to leave one plain file behind.

    Raises:
        StoreError: The folder cannot be made or written, or the disk is full.
    """

    def __init__(self, directory: Path, limits: WatchLimits | None = None) -> None:
        """
        Args:
            directory: A folder that does not exist yet, or is empty.
            limits: What the watch is judged by, kept so that a later report judges the same.
        """
        self.directory = directory
        self._limits = limits or WatchLimits()
        self._base = database.created(directory, watch_layout.READINGS, watch_layout.TABLES)

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
        target: str,
        started_at: str,
        interval_s: float,
        environment: Mapping[str, str | int | float],
    ) -> None:
        """Write what is known before the first reading."""
        self._set(
            schema_version=watch_layout.SCHEMA_VERSION,
            limits=dataclasses.asdict(self._limits),
            target=target,
            started_at=started_at,
            interval_s=interval_s,
            environment=dict(environment),
            outcome=Outcome.RUNNING,
            reason="",
            signal=None,
            exit_status=None,
            wall_s=0.0,
            processes_left_out=0,
        )

    def begin_process(
        self, number: int, *, pid: int, parent_pid: int, command: str, began_s: float, inside: str
    ) -> None:
        """Write that a process was seen for the first time."""
        row = (number, pid, parent_pid, command, began_s, inside)
        with refusals(self.directory):
            self._base.execute(
                "INSERT INTO processes (number, pid, parent_pid, command, began_s, inside) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                row,
            )

    def note_inside(self, number: int, inside: str) -> None:
        """Write whether an agent records inside a process, or why not."""
        self._update(number, inside=inside)

    def add_reading(self, number: int, reading: Reading) -> None:
        """Write one reading; it outlives a kill from the moment this returns."""
        values = [getattr(reading, name) for name in watch_layout.READING_COLUMNS]
        with refusals(self.directory):
            self._base.execute(_ADD_READING, (number, *values))

    def put_pauses(self, number: int, pauses: Mapping[int, Histogram], *, lost: int) -> None:
        """Write or replace the pauses of a process."""
        rows = [
            (number, generation, zlib.compress(histogram.to_bytes(), 1))
            for generation, histogram in pauses.items()
        ]
        with refusals(self.directory):
            self._base.executemany("INSERT OR REPLACE INTO pauses VALUES (?, ?, ?)", rows)
        self._update(number, pauses_lost=lost)

    def put_suspects(
        self,
        number: int,
        suspects: Sequence[Suspect],
        *,
        looks: int,
        traced_s: float,
        not_traced: str,
    ) -> None:
        """Write or replace what is suspected of a process."""
        self._update(
            number,
            suspects=json.dumps([dataclasses.asdict(one) for one in suspects]),
            looks=looks,
            traced_s=traced_s,
            not_traced=not_traced,
        )

    def end_process(self, number: int, at_s: float) -> None:
        """Write that a process is gone."""
        self._update(number, ended_s=at_s)

    def finish(
        self,
        outcome: Outcome,
        *,
        reason: str,
        signal: int | None,
        exit_status: int | None,
        wall_s: float,
        processes_left_out: int,
    ) -> None:
        """Write how the watch ended."""
        self._set(
            outcome=outcome,
            reason=reason,
            signal=signal,
            exit_status=exit_status,
            wall_s=wall_s,
            processes_left_out=processes_left_out,
        )

    def keep_baseline(self, source: Path) -> None:
        """Write a copy of what this is judged beside, and how it was named."""
        database.copied(source / watch_layout.READINGS, self.directory / layout.BASELINE)
        self._set(baseline=str(source))

    def close(self) -> None:
        """Fold the write-ahead log into the one file."""
        database.close(self._base, self.directory)

    def _set(self, **values: object) -> None:
        with refusals(self.directory):
            # In one statement, so that a kill leaves all of it or nothing.
            self._base.execute(
                f"INSERT OR REPLACE INTO run VALUES {', '.join(['(?, ?)'] * len(values))}",  # noqa: S608 - question marks only
                [each for name, value in values.items() for each in (name, json.dumps(value))],
            )

    def _update(self, number: int, **values: object) -> None:
        assignments = ", ".join(f"{name} = ?" for name in values)
        with refusals(self.directory):
            self._base.execute(
                f"UPDATE processes SET {assignments} WHERE number = ?",  # noqa: S608 - our own names
                (*values.values(), number),
            )
