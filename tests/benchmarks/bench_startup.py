"""What `memopt --help` takes over the bare interpreter."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.benchmarks.pairs import ratio

PAIRS = 20


def wall_s(*arguments: str) -> float:
    """Return the wall time of one command."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Print both times and their ratio."""
    command = ("-m", "memopt_cli", "--help")
    wall_s(*command)
    found = ratio(lambda: wall_s(*command), lambda: wall_s("-c", ""), pairs=PAIRS)
    best = min(wall_s(*command) for _ in range(PAIRS))
    print(f"memopt --help over python -c '': {found}; best of {PAIRS}: {best * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
