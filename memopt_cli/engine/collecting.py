"""Has a garbage-collected target collect before its memory is read, by a command of the user's."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING, Final

from memopt_cli.errors import SubjectHung, UsageError
from memopt_cli.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WITHIN_S: Final = 30.0
"""For the command to end; a collection of a large heap takes seconds."""


def collect(words: Sequence[str], *, log: Path) -> None:
    """
    Run the command, whose output goes to *log*, and wait until it has ended.

    Raises:
        UsageError: It cannot be started, or failed: then memory would be read with garbage.
        SubjectHung: It did not end in time.
    """
    text = shlex.join(words)
    try:
        with log.open("ab") as output:
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=WITHIN_S,
                check=False,
            )
    except OSError as exc:
        raise UsageError(
            f"`{text}`, which target.collect is, cannot be started: {exc.strerror}",
            hint="Install it, or give its path.",
        ) from exc
    except subprocess.TimeoutExpired:
        raise SubjectHung(
            f"`{text}`, which target.collect is, has not ended after {format_duration(WITHIN_S)}"
        ) from None
    if done.returncode:
        raise UsageError(
            f"`{text}`, which target.collect is, failed with exit code {done.returncode}",
            hint="Its output is in target.log.",
        )
