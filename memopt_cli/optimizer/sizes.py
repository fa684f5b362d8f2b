"""How many bytes an object keeps alive, down to the last string in it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

SMALL_INTS = range(-5, 257)
"""Ints that CPython makes once per process; they cost their user nothing."""


@dataclass(frozen=True, slots=True)
class StateSize:
    """
    Where the bytes of one state are, each object counted once.

    Counted as CPython counts them, collector's header included. The allocator rounds each
    object up to 16 bytes; that is left out, as are ints from -5 to 256, which are everybody's.
    """

    record_bytes: int
    """The object itself, with its empty slots."""

    numbers_bytes: int
    """The connection number, times, counters and checksum."""

    metadata_bytes: int
    pending_bytes: int
    retained_bytes: int

    shared_capabilities_bytes: int
    """The capabilities document and its content; not in the total, because it is shared."""

    @property
    def total_bytes(self) -> int:
        """What this state alone keeps alive."""
        return (
            self.record_bytes
            + self.numbers_bytes
            + self.metadata_bytes
            + self.pending_bytes
            + self.retained_bytes
        )


def deep_size_bytes(root: object, seen: set[int]) -> int:
    """
    Return the bytes of *root* and of what its containers hold, each object once.

    Strings, numbers, bytes, mappings, tuples and lists are followed; the small ints, None and
    the booleans are nobody's and count nothing. The allocator's rounding to 16 bytes is left
    out, which is at most 15 bytes per object.

    Args:
        root: Where to begin.
        seen: The ids of the objects counted before; extended by those counted now.
    """
    if root is None or isinstance(root, bool) or id(root) in seen:
        return 0
    if type(root) is int and root in SMALL_INTS:
        return 0
    seen.add(id(root))
    size_bytes = sys.getsizeof(root)
    if isinstance(root, Mapping):
        for key, value in root.items():
            size_bytes += deep_size_bytes(key, seen) + deep_size_bytes(value, seen)
    elif isinstance(root, (tuple, list)):
        for item in root:
            size_bytes += deep_size_bytes(item, seen)
    return size_bytes
