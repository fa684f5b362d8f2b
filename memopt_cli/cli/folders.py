"""Where runs go: the folder that was named, or a new one below ``reports``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from memopt_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

REPORTS = Path("reports")


def named(names: Sequence[str], folder: str | None) -> Sequence[Path | None]:
    """Return the folders that were named for the runs, checked before any of them begins."""
    if folder is None:
        return [None] * len(names)
    if folder == "-":
        raise UsageError("--out - names no format", hint="Write for example --out json=-")
    out = Path(folder)
    if str(out) == ".":
        raise UsageError("--out names no folder", hint="Give a new one: --out reports/mine")
    chosen = [out / name for name in names] if len(names) > 1 else [out]
    for one in chosen:
        if chosen.count(one) > 1:
            raise UsageError(f"two runs would go to {one}", hint="Run them one by one.")
        try:
            taken = one.exists() and not one.is_dir()
        except OSError as exc:
            raise UsageError(f"--out {one}: {exc.strerror}") from exc
        if taken:
            raise UsageError(f"{one} is not a folder", hint="Give another one with --out.")
    return chosen


def dated(name: str) -> Path:
    """Make and return a folder that no other run has, even of the same second."""
    from datetime import UTC, datetime

    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    number = 1
    while True:
        suffix = "" if number == 1 else f"-{number}"
        folder = REPORTS / f"{stamp}-{name}{suffix}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as exc:
            raise UsageError(
                f"cannot make {folder}: {exc.strerror}", hint="Give another folder with --out."
            ) from exc
        else:
            return folder
