"""Address space that becomes memory where it is written, and can be given back."""

from __future__ import annotations

import mmap

from memopt_cli.errors import PoolError
from memopt_cli.units import format_size

# Linux's value; the module has no name for it before Python 3.13. Without it the kernel may
# refuse to reserve more than the machine has, though it is never all written.
MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)


def reserve(size_bytes: int) -> mmap.mmap:
    """
    Return *size_bytes* of zeros that occupy no memory until they are written.

    Private, so that a forked child has its own copy: Python's default for anonymous maps is
    shared.

    Raises:
        PoolError: The process may not have that much address space.
    """
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    try:
        return mmap.mmap(-1, size_bytes, flags=flags)
    except (OSError, OverflowError, ValueError) as exc:
        raise PoolError(
            f"{format_size(size_bytes)} of address space cannot be reserved: {exc}",
            hint="Give a lower capacity, or raise the limit on address space (ulimit -v).",
        ) from exc


def whole_pages(start: int, stop: int) -> tuple[int, int]:
    """Return where the first whole page behind *start* is, and the bytes from it to *stop*."""
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    return first, max(stop - first, 0)
