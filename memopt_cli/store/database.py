"""The SQLite file of a run's or a watch's folder: how it is made, written to, and opened."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import zlib
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from memopt_cli.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FULL = (
    "Free space, or choose another folder with --out. What was measured up to then is kept: "
    "`memopt report` renders it."
)
_FEW_PAGES = "PRAGMA cache_size=-256"
"""Rows are added and read in their order: of the usual two megabytes none is read again."""

_ELSEWHERE = "Give a new or an empty folder with --out."


def created(directory: Path, name: str, tables: str) -> sqlite3.Connection:
    """
    Return a new database in a folder that holds nothing yet.

    Raises:
        StoreError: The folder cannot be made, or holds something.
    """
    with refusals(directory):
        directory.mkdir(parents=True, exist_ok=True)
        if (directory / name).exists():
            raise StoreError(f"{directory} holds a run already", hint=_ELSEWHERE)
        if any(directory.iterdir()):
            raise StoreError(f"{directory} is not empty", hint=_ELSEWHERE)
        return _created(directory / name, tables)


def reopened(directory: Path, name: str) -> sqlite3.Connection:
    """
    Return a database that was written before, to write on.

    Raises:
        StoreError: It is not there, or cannot be written.
    """
    with refusals(directory):
        if not (directory / name).is_file():
            raise StoreError(f"{directory} holds no run: there is no {name}")
        return _created(directory / name, "")


def _created(path: Path, tables: str) -> sqlite3.Connection:
    base = sqlite3.connect(path, isolation_level=None)
    try:
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=NORMAL")
        base.execute("PRAGMA wal_autocheckpoint=60")
        base.execute(_FEW_PAGES)
        base.executescript(tables)
    except sqlite3.Error:
        base.close()
        raise
    return base


def locked(directory: Path) -> int:
    """
    Return a descriptor that keeps every other writer out of a folder until it is closed.

    The kernel gives the lock back when its holder ends, however that one ends.

    Raises:
        StoreError: Another process writes there.
    """
    with refusals(directory):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreError(
            f"another memopt writes in {directory}", hint="Wait until that run has ended."
        ) from None
    except OSError:
        # A file system without such locks: then nobody is kept out.
        return descriptor
    return descriptor


def close(base: sqlite3.Connection, directory: Path) -> None:
    """Fold the write-ahead log into the one file."""
    try:
        with refusals(directory):
            base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            with suppress(sqlite3.OperationalError):
                # Refused while somebody reads; the run is whole, its log stays beside it.
                base.execute("PRAGMA journal_mode=DELETE")
    finally:
        base.close()


def copied(source: Path, directory: Path) -> None:
    """
    Copy a database into a folder that is made for it, as it is at one moment.

    Raises:
        StoreError: It cannot be read, or the copy not be written.
    """
    with snapshot(source) as base, refusals(directory):
        directory.mkdir()
        with closing(sqlite3.connect(directory / source.name)) as copy:
            base.backup(copy)


@contextmanager
def refusals(directory: Path) -> Iterator[None]:
    """Turn what the disk refuses into an error that says where and what to do."""
    try:
        yield
    except sqlite3.OperationalError as exc:
        full = "full" in str(exc) or "disk I/O" in str(exc)
        raise StoreError(
            f"cannot write the run in {directory}: {exc}",
            hint=_FULL if full else "Choose another folder with --out.",
        ) from exc
    except OSError as exc:
        full = exc.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        raise StoreError(
            f"cannot write the run in {directory}: {exc.strerror}",
            hint=_FULL if full else "Choose another folder with --out.",
        ) from exc


def opened(path: Path) -> sqlite3.Connection:
    """Return a database for reading, also one that is being written."""
    # As a quoted URI: a folder's name may hold what a URI gives a meaning to, like # and %.
    base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        # The first look into the file, which a damaged one does not stand.
        base.execute(_FEW_PAGES)
    except sqlite3.Error:
        base.close()
        raise
    base.row_factory = sqlite3.Row
    return base


@contextmanager
def snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """
    Give a database as it is at one moment, also while it is being written.

    Raises:
        StoreError: It cannot be read, or what it holds makes no sense.
    """
    try:
        with closing(opened(path)) as base:
            # Without it, rows would be read that belong to something not read yet.
            base.execute("BEGIN")
            yield base
    except sqlite3.OperationalError as exc:
        raise StoreError(
            f"{path} cannot be read: {exc}",
            hint="A run that was killed has to be in a writable folder; otherwise it is damaged.",
        ) from exc
    except (
        sqlite3.DatabaseError,
        zlib.error,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ) as exc:
        # Whatever is wrong with the values of a damaged file shows as one of these.
        raise StoreError(
            f"{path} cannot be read: {exc}", hint="It is damaged or was not written by memopt."
        ) from exc
