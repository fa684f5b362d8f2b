"""What a figure was measured on."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from memopt_cli.profiler import environment
from tests.recorded import tree

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_limit_of_a_control_group_is_told(tmp_path: Path) -> None:
    """It is what a leak fills, where it is less than the machine has; none is not told."""
    limited = {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "1073741824\n"}
    unlimited = {**limited, "sys/fs/cgroup/a/memory.max": "max\n"}

    told = [
        environment.describe(tree(tmp_path / name, changes)).get("memory_limit_bytes")
        for name, changes in (("limited", limited), ("unlimited", unlimited), ("none", {}))
    ]

    assert [2**30, None, None] == told


def test_kills_for_memory_are_those_of_the_own_control_group(tmp_path: Path) -> None:
    """Who was killed, not how often the limit was met; nothing where that is not counted."""
    counted = {
        "proc/self/cgroup": "0::/a\n",
        "sys/fs/cgroup/a/memory.events": "low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\n",
    }

    assert [3, None] == [
        environment.oom_kills(tree(tmp_path / name, changes))
        for name, changes in (("counted", counted), ("none", {}))
    ]


def test_an_allocator_that_was_set_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variables that change how memory is taken, and by none else."""
    for name in os.environ:
        monkeypatch.delenv(name)
    assert "default" == environment.describe()["allocator_settings"]
    monkeypatch.setenv("PYTHONMALLOC", "malloc")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    monkeypatch.setenv("HOME", "/")

    assert "MALLOC_ARENA_MAX=2 PYTHONMALLOC=malloc" == environment.describe()["allocator_settings"]


FREES = """
import ctypes
from memopt_cli.profiler.heap import HeapReader
heap = HeapReader()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
blocks = [libc.malloc(600) for _ in range(7)]
# The first reading makes what the others use again.
before = [heap.read().in_use_bytes for _ in range(3)][-1]
for block in blocks:
    libc.free(ctypes.c_void_p(block))
print(hash("a"), before - heap.read().in_use_bytes >= 6 * 600)
"""


def test_subjects_hash_alike_and_what_they_free_is_free() -> None:
    """Their dictionaries can be repeated, and no freed block counts as in use."""
    told = [
        subprocess.run(
            [sys.executable, "-c", FREES],
            env={**os.environ, **environment.SUBJECT_SETTINGS},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.split()
        for _ in range(2)
    ]

    assert told[0] == told[1]
    assert "True" == told[0][1]
