"""
Names and tables of a run's folder.

One SQLite file in write-ahead mode holds everything measured. Each sample is a
transaction of its own, with the state that the load had then: after a kill, what was
acknowledged is there, and a resumed run goes on from the very sample; a reader
can look on while the run goes on. (SQLite's locks need a local file system.)
"""

from __future__ import annotations

import dataclasses

from memopt_cli.analysis.recording import Sample

SCENARIO = "scenario.yaml"
SAMPLES = "samples.sqlite"
TARGET_LOG = "target.log"
BASELINE = "baseline"
"""Folder within a run's, for a copy of what it is judged beside."""

SCHEMA_VERSION = 2
LATENCY = "latency"
PAUSES = "pauses"

SAMPLE_COLUMNS = tuple(field.name for field in dataclasses.fields(Sample))

_COLUMN_TYPES = {"float": "REAL", "int": "INTEGER", "bool": "INTEGER", "int | None": "INTEGER"}


def _sample_columns() -> str:
    return ", ".join(
        f"{field.name} {_COLUMN_TYPES[str(field.type)]}" for field in dataclasses.fields(Sample)
    )


TABLES = f"""
CREATE TABLE run (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE variants (
  id INTEGER PRIMARY KEY, cell TEXT, name TEXT, unit TEXT, has_pool INTEGER,
  preallocated INTEGER,  outcome TEXT, failure TEXT, digest TEXT, transcript TEXT, pool TEXT,
  pauses_lost INTEGER, recorder_installed INTEGER);
CREATE TABLE stages (
  variant INTEGER, number INTEGER, name TEXT, starts_s REAL, ends_s REAL, units INTEGER,
  PRIMARY KEY (variant, number)) WITHOUT ROWID;
CREATE TABLE histograms (
  variant INTEGER, stage INTEGER, kind TEXT, generation INTEGER, words BLOB,
  PRIMARY KEY (variant, stage, kind, generation)) WITHOUT ROWID;
CREATE TABLE fidelity (variant INTEGER PRIMARY KEY, found TEXT);
CREATE TABLE density (variant INTEGER PRIMARY KEY, found TEXT);
CREATE TABLE profile (variant INTEGER PRIMARY KEY, found TEXT);
CREATE TABLE connections (variant INTEGER PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE parts (
  variant INTEGER, number INTEGER, starts_s REAL, ends_s REAL, began_at TEXT, ended_at TEXT,
  rebuilt_s REAL, state TEXT NOT NULL, PRIMARY KEY (variant, number)) WITHOUT ROWID;
CREATE TABLE samples (variant INTEGER, {_sample_columns()});
"""
