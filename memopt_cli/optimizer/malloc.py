"""
What glibc's allocator does with memory that is freed: keep it for the next, or give it back.

Either is worth it only where it is measured to be. `keep_freed` replaces a pool of arrays for
those below 32 MiB that are freed together: 11.5 times as fast at 64 KiB, 14.7 at 1 MiB, 2.0 at
16 MiB with eight live, and nothing with one live or at 64 MiB; the price is that what is freed
stays with the process (`python -m tests.benchmarks.bench_arrays`; `memopt_cli.pool.arrays`
has the table). Stepping agents is no such case: of 75 and of 10,000 agents of a population on
a grid of 20 by 20 a step takes 1.01 (0.94 to 1.08 and 0.90 to 1.13) of the time, of naive ones
1.02 (0.98 to 1.05) (`python -m tests.benchmarks.bench_agent_tuning allocator`). `trim` is the
opposite, for after a population has gone or one was set up.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
"""Names of glibc's malloc.h."""

KEEP_ALL_BYTES: Final = 2**31 - 1
MOST_MMAP_THRESHOLD_BYTES: Final = 32 << 20
"""glibc refuses a larger one on 64 bits."""


def keep_freed(libc: Any | None = None) -> bool:
    """
    Tell the allocator to serve requests below 32 MiB from the heap, and to keep all of it.

    For the whole process and until it ends: glibc cannot tell what was set before, so it
    cannot be set back, and it also ends glibc's own fitting of the thresholds.

    Args:
        libc: What has `mallopt`; the process's own C library if None.

    Returns:
        Whether both settings were taken; without glibc nothing is done.
    """
    mallopt = getattr(_libc() if libc is None else libc, "mallopt", None)
    if mallopt is None:
        return False
    taken = (
        mallopt(M_MMAP_THRESHOLD, MOST_MMAP_THRESHOLD_BYTES),
        mallopt(M_TRIM_THRESHOLD, KEEP_ALL_BYTES),
    )
    return taken == (1, 1)


def trim(libc: Any | None = None) -> bool:
    """
    Give what the allocator keeps of freed memory back to the system, whole pages only.

    Takes some milliseconds: for after what is done once and takes much, as setting up.

    Returns:
        Whether there was any; without glibc nothing is done.
    """
    malloc_trim = getattr(_libc() if libc is None else libc, "malloc_trim", None)
    return bool(malloc_trim is not None and malloc_trim(0))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
