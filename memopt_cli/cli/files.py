"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from memopt_cli.errors import StoreError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def replace(path: Path, content: bytes, *, remedy: str) -> None:
    """
    Write a file so that no reader ever sees a part of it.

    Args:
        path: The file; a link is followed, and what is no regular file (a pipe, a
            device) is written to, as nothing could take its place.
        content: All of it.
        remedy: What to do where it cannot be written.

    Raises:
        StoreError: It cannot be written, and is as it was.
    """
    target = path.resolve()
    partial = target.with_name(f".{target.name}.part")
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(content)
            return
        partial.write_bytes(content)
        partial.replace(target)
    except OSError as exc:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {exc.strerror}", hint=remedy) from exc


def check(path: Path) -> None:
    """
    Check that a file can probably be written, before anything is measured for it.

    Raises:
        UsageError: It is a folder, or its folder is missing or closed.
    """
    folder = path.resolve().parent
    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint="Name a file in it.")
    if path.exists() and not path.is_file() and os.access(path, os.W_OK):
        return
    if not folder.is_dir():
        raise UsageError(f"there is no folder for {path}", hint=f"Make it: mkdir -p {path.parent}")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"nothing can be written in {folder}", hint="Name a file elsewhere.")
