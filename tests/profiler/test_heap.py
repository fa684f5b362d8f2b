"""The heap that the allocators count grows by what was allocated."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEADER = """
import gc, json, os, sys
from memopt_cli.profiler.heap import HeapReader
"""

GROWTH = """
gc.collect()
gc.disable()
reader = HeapReader()
reader.read()
before = reader.read()
held = {expression}
after = reader.read()
del held
gc.collect()
again = reader.read()
print(json.dumps([after.in_use_bytes - before.in_use_bytes, after.blocks - before.blocks,
                  again.in_use_bytes - before.in_use_bytes, again.free_bytes]))
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own."""
    words = [sys.executable, "-c", HEADER + script]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def grown(expression: str) -> list[int]:
    """Return growth of bytes and of blocks, what stayed after freeing, and free bytes then."""
    told = run(GROWTH.format(expression=expression))
    assert (0, "") == (told.returncode, told.stderr)
    return [int(part) for part in told.stdout.strip("[]\n").split(",")]


def test_100_mb_in_one_block_are_seen() -> None:
    """A block so large that malloc maps it on its own is in use to within 1 %."""
    in_use, blocks, left, _ = grown("bytes(100_000_000)")

    assert in_use == pytest.approx(100_000_000, rel=0.01)
    assert blocks < 10
    assert abs(left) < 10_000


def test_many_middle_sized_blocks_are_seen() -> None:
    """Blocks of malloc's own heap are in use to within 1 %."""
    count, size = 10_000, 2000
    in_use, _, left, free = grown(f"[bytes({size} - 33) for _ in range({count})]")

    assert in_use == pytest.approx(count * (size + 16 + 8), rel=0.01)
    assert abs(left) < 200_000
    assert free > 0


def test_small_objects_are_seen() -> None:
    """100,000 objects of 64 bytes, and the list of them, are in use to within 1 %."""
    in_use, blocks, left, _ = grown("[bytes(31) for _ in range(100_000)]")

    assert in_use == pytest.approx(100_000 * (64 + 8), rel=0.01)
    assert blocks == pytest.approx(100_000, abs=50)
    assert abs(left) < 100_000


def test_the_holes_between_objects_are_free_bytes() -> None:
    """When every second object dies, half of the memory is free and still held."""
    script = """
gc.disable()
reader = HeapReader()
held = [bytes(31) for _ in range(100_000)]
before = reader.read()
del held[::2]
after = reader.read()
print(after.in_use_bytes - before.in_use_bytes, after.free_bytes - before.free_bytes)
"""
    in_use, free = map(int, run(script).stdout.split())

    assert in_use == pytest.approx(-50_000 * (64 + 8), rel=0.02)
    assert free == pytest.approx(50_000 * 64, rel=0.05)


def test_a_reading_takes_nothing_itself() -> None:
    """A thousand readings leave the heap as it was."""
    told = run(
        "reader = HeapReader()\n"
        "for _ in range(10): reader.read()\n"
        "before, fds = reader.read(), len(os.listdir('/proc/self/fd'))\n"
        "for _ in range(1000): reader.read()\n"
        "after = reader.read()\n"
        "print(after.in_use_bytes - before.in_use_bytes, after.blocks - before.blocks,\n"
        "      len(os.listdir('/proc/self/fd')) - fds)"
    )

    in_use, blocks, fds = map(int, told.stdout.split())
    assert abs(in_use) <= 2048
    assert abs(blocks) <= 16
    assert fds == 0


def test_what_is_written_to_the_error_stream_is_not_lost() -> None:
    """Text before, between and after readings arrives, and nothing else does."""
    told = run(
        "reader = HeapReader()\n"
        "sys.stderr.write('before')\n"
        "reader.read()\n"
        "os.write(2, b' between ')\n"
        "reader.read()\n"
        "print('after', file=sys.stderr)"
    )

    assert (0, "before between after\n") == (told.returncode, told.stderr)


CLOSED = """
os.close(2)
reader = HeapReader()
found = [reader.read() for _ in range(3)][-1]
try:
    os.fstat(2)
except OSError:
    print("closed", found.in_use_bytes > 1_000_000)
"""


def test_a_process_that_closed_its_error_stream_is_read() -> None:
    """The heap is read, and the stream is closed afterwards as it was before."""
    told = run(CLOSED)

    assert (0, "closed True\n") == (told.returncode, told.stdout)


def test_a_process_that_never_had_an_error_stream_is_read() -> None:
    """The reader's own page does not become the error stream of a daemon."""
    script = HEADER + CLOSED.replace("os.close(2)", "assert sys.stderr is None")
    told = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, script],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert (0, "closed True\n") == (told.returncode, told.stdout)


@pytest.mark.parametrize("replaced", ["sys.stderr.close()", "sys.stderr = None"])
def test_a_program_without_an_error_stream_object_is_read(replaced: str) -> None:
    """A closed or missing `sys.stderr` is no error of the reading."""
    told = run(f"{replaced}\nprint(HeapReader().read().in_use_bytes > 1_000_000)")

    assert (0, "True\n") == (told.returncode, told.stdout)


def test_without_the_small_object_allocator_there_is_no_figure() -> None:
    """Where CPython prints no figures, the heap is not measured, rather than half measured."""
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            HEADER + "found = HeapReader().read()\nprint(found.in_use_bytes, found.free_bytes)",
        ],
        env={"PYTHONMALLOC": "malloc"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout == "None None\n"
