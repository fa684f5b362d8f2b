"""How processes begin that another one starts: tied to its life, with as many files as may be."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its controller ends, even by a kill -9."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # It ended before the request was made.
        sys.exit(1)


def allow_most_files() -> None:
    """Allow this process as many open files as it may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(arguments: list[str]) -> None:
    """
    Become a command that ends with the process that started it.

    It is in a session of its own, which the terminal's Ctrl-C does not reach, and may open
    as many files as there may be: a server that was made for thousands of connections
    would be started so.
    """
    parent, *words = arguments
    os.setsid()
    die_with(int(parent))
    allow_most_files()
    try:
        os.execvp(words[0], words)  # noqa: S606 - what the user asked for
    except OSError as exc:
        sys.exit(f"{words[0]} cannot be started: {exc.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
