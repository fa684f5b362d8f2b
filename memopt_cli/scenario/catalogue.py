"""The scenarios that ship with memopt, and how a scenario is found by name or by file."""

from __future__ import annotations

import os
from pathlib import Path

from memopt_cli.errors import UsageError
from memopt_cli.scenario.nearest import nearest

SUFFIX = ".yaml"


def shipped_dir() -> Path:
    """
    Return the folder of the shipped scenarios.

    They are inside an installed package, and beside it in a checkout.
    """
    package = Path(__file__).resolve().parents[1]
    inside = package / "_scenarios"
    if not inside.is_dir() and (package.parent / "pyproject.toml").exists():
        return package.parent / "scenarios"
    return inside


def names() -> tuple[str, ...]:
    """Return the names of the shipped scenarios, in alphabetical order."""
    return tuple(sorted(path.stem for path in shipped_dir().glob(f"*{SUFFIX}")))


def find(name_or_file: str) -> Path:
    """
    Return the file of a scenario: a path that exists, or a shipped scenario's name.

    A word without a suffix or a separator is always a name, so that a folder of
    the same name does not hide the shipped scenario.

    Raises:
        UsageError: There is no such file and no such name.
    """
    if "\0" in name_or_file:
        raise UsageError("the name of a scenario holds a NUL character")
    path = Path(name_or_file)
    if path.suffix or os.sep in name_or_file:
        try:
            exists = path.exists()
        except OSError as exc:
            raise UsageError(f"{name_or_file}: {exc.strerror}") from exc
        if exists:
            return path
        known = names()
        hint = nearest(path.stem, known) if path.parent == Path() else ""
        raise UsageError(f"there is no file {name_or_file}", hint=hint)
    known = names()
    if name_or_file in known:
        return shipped_dir() / f"{name_or_file}{SUFFIX}"
    raise UsageError(f"unknown scenario '{name_or_file}'", hint=nearest(name_or_file, known))
