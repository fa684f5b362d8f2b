"""What malloc keeps of freed memory can be given back."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
from pathlib import Path
from memopt_cli.optimizer.memory import give_back

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

kept = []
blocks = [bytearray(60_000) for _ in range(500)]
kept.append(bytearray(60_000))
del blocks
before = resident()
assert give_back()
print(before - resident())
"""


def test_thirty_megabytes_below_a_survivor_are_given_back() -> None:
    """One block that is in use above them would keep them otherwise."""
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        check=True,
        capture_output=True,
        text=True,
        # As for subjects of our own: nothing but glibc's default decides what is mapped.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"},
    )

    assert int(told.stdout) > 25_000_000
