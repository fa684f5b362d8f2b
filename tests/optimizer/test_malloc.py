"""The allocator keeps or gives back what it is told to, and without glibc nothing is done."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from memopt_cli.optimizer.malloc import keep_freed, trim

MIB = 1 << 20
PROGRAM = """
import ctypes
from memopt_cli.optimizer.footprint import anonymous_bytes
from memopt_cli.optimizer.malloc import keep_freed, trim
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
assert {before}
empty = anonymous_bytes()
blocks = [libc.malloc(1 << 20) for _ in range(16)]
for block in blocks:
    ctypes.memset(block, 1, 1 << 20)
for block in blocks:
    libc.free(block)
print(anonymous_bytes() - empty)
trim()
print(anonymous_bytes() - empty)
"""

BELOW_A_SURVIVOR = """
from memopt_cli.optimizer.footprint import anonymous_bytes
from memopt_cli.optimizer.malloc import trim
blocks = [bytearray(60_000) for _ in range(500)]
survivor = bytearray(60_000)
del blocks
before = anonymous_bytes()
assert trim()
print(before - anonymous_bytes())
"""


@pytest.mark.parametrize(("before", "kept"), [("True", 0), ("keep_freed()", 16)])
def test_what_is_freed_is_kept_if_told_so_and_given_back_by_a_trim(before: str, kept: int) -> None:
    """Of 16 MiB freed together nothing stays by default, all when told so; a trim ends that."""
    command = [sys.executable, "-c", PROGRAM.format(before=before)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert [kept, 0] == [round(int(line) / MIB) for line in text.split()]


def test_thirty_megabytes_below_a_survivor_are_given_back() -> None:
    """One block that is in use above them would keep them otherwise."""
    told = subprocess.run(
        [sys.executable, "-c", BELOW_A_SURVIVOR],
        check=True,
        capture_output=True,
        text=True,
        # As for subjects of our own: nothing but glibc's default decides what is mapped.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"},
    )
    assert int(told.stdout) > 25_000_000


class Refusing:
    """A C library that has the functions and does nothing by them."""

    def mallopt(self, name: int, value: int) -> int:  # noqa: ARG002 - as glibc has it
        """Refuse."""
        return 0

    def malloc_trim(self, pad: int) -> int:  # noqa: ARG002 - as glibc has it
        """Find nothing to give back."""
        return 0


@pytest.mark.parametrize("libc", [object(), Refusing()])
def test_what_is_not_taken_is_said_so(libc: object) -> None:
    """Another C library, and one that refuses, are no success."""
    assert (False, False) == (keep_freed(libc), trim(libc))
