"""
How fast pooled arrays are against fresh ones, and against an allocator told to keep memory.

    python -m tests.benchmarks.bench_arrays [--pairs 7]

Every figure is a ratio of CPU times: that of fresh arrays over that of the other way, so above
one the other way is faster. Each way runs in a fresh process, because the allocator's settings
and its past decide what a fresh array costs. Of sixty intervals of 95 %, three miss by chance.
Takes about seven minutes.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memopt_cli.optimizer.malloc import keep_freed, trim
from memopt_cli.pool import linear_algebra
from memopt_cli.pool.arrays import ArrayPool
from memopt_cli.pool.scratch import ScratchSpace
from memopt_cli.pool.tiers import Tier
from memopt_cli.units import format_size
from tests.benchmarks.pairs import Ratio, ratio

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

KIB, MIB = 1024, 1024**2
SIZES_BYTES = (64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB)
PATTERNS = {"one": 1, "eight": 8}
"""How many arrays are live together, and freed together."""

OPERATIONS: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    "matmul 64 x 64": ("matmul", (64, 64), (64, 64)),
    "matmul 256 x 256": ("matmul", (256, 256), (256, 256)),
    "matmul 1024 x 1024": ("matmul", (1024, 1024), (1024, 1024)),
    "dot 1024 x 4 by 4 x 1024": ("dot", (1024, 4), (4, 1024)),
    "einsum i,j->ij of 512": ("einsum", (512,), (512,)),
    "einsum i,j->ij of 2048": ("einsum", (2048,), (2048,)),
}


def resident_bytes() -> int:
    """Return what this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def measure(work: Callable[[], object], turns: int | None = None) -> dict[str, float]:
    """Return CPU time per turn, of 0.3 s if not told how many, and the memory that stays."""
    gc.collect()
    before_bytes = resident_bytes()
    work()
    if turns is None:
        turns = int(0.3 / max(cpu_s(work, 1), 1e-5)) + 1
    cpu_s(work, max(turns // 8, 4))
    turn_s = cpu_s(work, turns) / turns
    return {"turn_s": turn_s, "kept_bytes": max(resident_bytes() - before_bytes, 0)}


def cpu_s(work: Callable[[], object], turns: int) -> float:
    """Return the CPU time of *turns* calls, that of the kernel included."""
    began_s = time.process_time()
    for _ in range(turns):
        work()
    return time.process_time() - began_s


def use(
    acquire: Callable[[], NDArray[Any]], release: Callable[[NDArray[Any]], None], live: int
) -> None:
    """Get arrays, write to each, and free all."""
    arrays = [acquire() for _ in range(live)]
    for array in arrays:
        array.fill(1.0)
    for array in arrays:
        release(array)


def arrays_in_child(way: str, contents: str, pattern: str, size_bytes: int) -> dict[str, float]:
    """Measure one way of getting arrays of one size."""
    live = PATTERNS[pattern]
    shape = (size_bytes // 8,)
    zero = contents == "zeroed"
    fresh = np.zeros if zero else np.empty
    pool = ArrayPool(zero=zero, max_idle_bytes=1024 * MIB)
    if way == "mallopt":
        assert keep_freed()
    acquire = partial(pool.acquire if way == "pool" else fresh, shape)
    release: Callable[[NDArray[Any]], None] = pool.release if way == "pool" else (lambda _: None)
    turns = max(48, min(16_384, 1024 * MIB // size_bytes)) // live
    return measure(partial(use, acquire, release, live), turns)


def operation_in_child(way: str, operation: str, pattern: str) -> dict[str, float]:
    """Measure one operation, its results kept until as many are live as the pattern says."""
    name, left_shape, right_shape = OPERATIONS[operation]
    random = np.random.default_rng(1)
    operands: tuple[Any, ...] = (random.random(left_shape), random.random(right_shape))
    if name == "einsum":
        operands = ("i,j->ij", *operands)
    pool = ArrayPool(max_idle_bytes=1024 * MIB)
    live = range(PATTERNS[pattern])

    def pooled() -> None:
        for result in [getattr(linear_algebra, name)(*operands, out=pool) for _ in live]:
            pool.release(result)

    def plain() -> None:
        for _ in [getattr(np, name)(*operands) for _ in live]:
            pass

    return measure(pooled if way == "pool" else plain)


def child(*arguments: str) -> dict[str, float]:
    """Measure in a fresh process, with one thread of arithmetic."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_arrays", "--child", *arguments]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    text = subprocess.run(command, env=environment, check=True, capture_output=True).stdout
    figures: dict[str, float] = json.loads(text)
    return figures


def compare(kind: str, way: str, pairs: int, *arguments: str) -> tuple[Ratio, float, float]:
    """Return fresh over *way* in time, and the bytes that each keeps at the end."""
    kept_bytes = {}

    def turn_s(of: str) -> float:
        figures = child(kind, of, *arguments)
        kept_bytes[of] = figures["kept_bytes"]
        return figures["turn_s"]

    found = ratio(lambda: turn_s("fresh"), lambda: turn_s(way), pairs=pairs)
    return found, kept_bytes["fresh"], kept_bytes[way]


def in_words(found: Ratio) -> str:
    """Say what a ratio shows."""
    if found.low > 1:
        return "faster"
    return "SLOWER" if found.high < 1 else "no difference shown"


def print_row(label: str, found: Ratio, fresh_bytes: float, way_bytes: float) -> None:
    """Print one line of a table."""
    interval = f"{found.value:7.3f} ({found.low:.3f} to {found.high:.3f})"
    kept = f"{format_size(fresh_bytes):>9} {format_size(way_bytes):>9}"
    print(f"{label:<34} {interval:<26} {kept}  {in_words(found)}", flush=True)


def print_head(title: str) -> None:
    """Print what a table is about."""
    print(f"\n{title}")
    print(f"{'':<34} {'fresh/this, CPU time':<26} {'kept: fresh':>9} {'this':>7}")


def compare_arrays(pairs: int) -> list[str]:
    """Print the tables of arrays, and return the rows in which the pool is slower."""
    slower = []
    for contents in ("zeroed", "as they are"):
        for pattern in PATTERNS:
            print_head(f"Arrays {contents}, {pattern} live")
            for size_bytes in SIZES_BYTES:
                for way in ("pool", "mallopt"):
                    label = f"{format_size(size_bytes)} {way}"
                    found, *kept = compare("arrays", way, pairs, contents, pattern, str(size_bytes))
                    print_row(label, found, *kept)
                    if way == "pool" and found.high < 1:
                        times = 1 / found.value
                        size = format_size(size_bytes)
                        slower.append(f"{contents}, {pattern} live, {size}: {times:.2f} times")
    return slower


def compare_operations(pairs: int) -> list[str]:
    """Print the tables of operations, and return the rows in which the pool is slower."""
    slower = []
    for pattern in PATTERNS:
        print_head(f"Operations with results in pooled arrays, {pattern} live")
        for operation in OPERATIONS:
            found, *kept = compare("operation", "pool", pairs, operation, pattern)
            print_row(operation, found, *kept)
            if found.high < 1:
                slower.append(f"{operation}, {pattern} live: {1 / found.value:.2f} times")
    return slower


def print_costs() -> None:
    """Print what the bookkeeping of one array costs, as the median of nine rounds."""
    pool, scratch = ArrayPool(zero=False), ScratchSpace()

    def pooled() -> None:
        pool.release(pool.acquire(8))

    def leased() -> None:
        with pool.lease(8):
            pass

    def scratched() -> None:
        with scratch.lease(8):
            pass

    print("\nBookkeeping of one array of 64 B, ns of CPU time, median of nine rounds")
    for label, work in (
        ("numpy.empty", lambda: np.empty(8)),
        ("ArrayPool.acquire and release", pooled),
        ("ArrayPool.lease", leased),
        ("ScratchSpace.lease", scratched),
    ):
        rounds = sorted(measure(work, 20_000)["turn_s"] for _ in range(9))
        print(f"{label:<34} {rounds[4] * 1e9:8,.0f}", flush=True)


def trim_in_child(size_bytes: int) -> dict[str, float]:
    """Measure how much resident memory 64 MiB of idle arrays give back, and to whom."""
    count = 64 * MIB // size_bytes
    pool = ArrayPool(tiers=(Tier(None, 0, count),))
    arrays = [pool.acquire(size_bytes // 8) for _ in range(count)]
    for array in arrays:
        array.fill(1.0)
    # A neighbour that stays, as in any real program, pins the top of the heap.
    pin = bytearray(KIB)
    for array in arrays:
        pool.release(array)
    del arrays, array
    before_bytes = resident_bytes()
    idle_bytes = pool.idle_bytes
    pool.trim()
    trimmed_bytes = before_bytes - resident_bytes()
    trim()
    handed_on_bytes = before_bytes - resident_bytes()
    return {
        "idle_bytes": idle_bytes,
        "trimmed_bytes": trimmed_bytes,
        "handed_on_bytes": handed_on_bytes * bool(pin),
    }


def print_trim() -> None:
    """Print what a trim gives back."""
    print("\nResident memory given back: idle before, by trim(), by trim() and malloc_trim(0)")
    for size_bytes in (64 * KIB, MIB, 16 * MIB):
        figures = child("trim", str(size_bytes))
        found = "  ".join(f"{format_size(value):>9}" for value in figures.values())
        print(f"{format_size(size_bytes):<34} {found}", flush=True)


def main() -> None:
    """Compare, and say where the pool is slower."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=7)
    pairs = parser.parse_args().pairs
    slower = compare_arrays(pairs) + compare_operations(pairs)
    print_costs()
    print_trim()
    print("\nThe pool takes more CPU time than fresh arrays, the whole interval below one, for:")
    print("\n".join(f"  {row}" for row in slower) or "  nothing that was measured")


def run_child(kind: str, *arguments: str) -> None:
    """Print the figures of one measurement as JSON."""
    if kind == "arrays":
        way, contents, pattern, size_bytes = arguments
        print(json.dumps(arrays_in_child(way, contents, pattern, int(size_bytes))))
    elif kind == "operation":
        print(json.dumps(operation_in_child(*arguments)))
    else:
        print(json.dumps(trim_in_child(int(arguments[0]))))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        run_child(*sys.argv[2:])
    else:
        main()
