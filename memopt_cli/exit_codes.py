"""The exit codes, which are public API: CI jobs branch on them."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """
    One code per kind of outcome, so that a crash never looks like a verdict.

    0 to 2 are what Python and Typer already use; 99 is k6's; 129, 130 and 143
    are the shell's 128 + SIGHUP, SIGINT and SIGTERM. 75 is EX_TEMPFAIL of
    sysexits.h, "try again later": the slice is over, `--resume` goes on.
    """

    PASSED = 0
    INTERNAL_ERROR = 1
    USAGE_ERROR = 2
    TARGET_FAILED = 3
    INCONCLUSIVE = 4
    UNFINISHED = 75
    THRESHOLDS_CROSSED = 99
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143
