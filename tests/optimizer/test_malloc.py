"""The allocator keeps or gives back what it is told to, and without glibc nothing is done."""

from __future__ import annotations

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


@pytest.mark.parametrize(("before", "kept"), [("True", 0), ("keep_freed()", 16)])
def test_what_is_freed_is_kept_if_told_so_and_given_back_by_a_trim(before: str, kept: int) -> None:
    """Of 16 MiB freed together nothing stays by default, all when told so; a trim ends that."""
    command = [sys.executable, "-c", PROGRAM.format(before=before)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert [kept, 0] == [round(int(line) / MIB) for line in text.split()]


class Refusing:
    """A C library that has the functions and does nothing by them."""

    def mallopt(self, name: int, value: int) -> int:  # noqa: ARG002
        """Refuse."""
        return 0

    def malloc_trim(self, pad: int) -> int:  # noqa: ARG002
        """Find nothing to give back."""
        return 0


@pytest.mark.parametrize("libc", [object(), Refusing()])
def test_what_is_not_taken_is_said_so(libc: object) -> None:
    """Another C library, and one that refuses, are no success."""
    assert (False, False) == (keep_freed(libc), trim(libc))
