"""
Names and tables of a watch's folder.

One SQLite file in write-ahead mode holds everything that was read. What is added up in
the program (pauses, suspects) is replaced as it is told, so that the file grows by
readings only.
"""

from __future__ import annotations

import dataclasses

from memopt_cli.analysis.watching import Reading

READINGS = "watch.sqlite"

SCHEMA_VERSION = 1

READING_COLUMNS = tuple(field.name for field in dataclasses.fields(Reading))

_COLUMN_TYPES = {
    "float": "REAL",
    "int": "INTEGER",
    "int | None": "INTEGER",
    "float | None": "REAL",
}


def _reading_columns() -> str:
    return ", ".join(
        f"{field.name} {_COLUMN_TYPES[str(field.type)]}" for field in dataclasses.fields(Reading)
    )


TABLES = f"""
CREATE TABLE run (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE processes (
  number INTEGER PRIMARY KEY, pid INTEGER, parent_pid INTEGER, command TEXT, began_s REAL,
  ended_s REAL, inside TEXT, pauses_lost INTEGER DEFAULT 0, suspects TEXT DEFAULT '[]',
  looks INTEGER DEFAULT 0, traced_s REAL DEFAULT 0, not_traced TEXT DEFAULT '');
CREATE TABLE pauses (
  process INTEGER, generation INTEGER, words BLOB, PRIMARY KEY (process, generation)) WITHOUT ROWID;
CREATE TABLE readings (process INTEGER, {_reading_columns()});
"""
