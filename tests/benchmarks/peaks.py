"""The most memory that a report takes, made by the command that makes it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from memopt_cli.report.folder import JSON

if TYPE_CHECKING:
    from pathlib import Path


def peak_bytes(folder: Path) -> int:
    """
    Return the most memory that `memopt report` of a folder takes.

    Never less than what this process has taken so far, which the kernel counts with a child
    until that becomes another program: it is to be asked before anything large is held.
    """
    command = [sys.executable, "-m", "memopt_cli", "report", str(folder)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if not (folder / JSON).is_file():
        raise RuntimeError(f"memopt report ended with {child.returncode} and wrote no report")
    return used.ru_maxrss * 1024
