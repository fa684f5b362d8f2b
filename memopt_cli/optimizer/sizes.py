"""How many bytes an object keeps alive, down to the last string in it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SMALL_INTS = range(-5, 257)
"""Ints that CPython makes once per process; they cost their user nothing."""

FIRST_OWN_CHARACTER = "\u0100"
"""Texts of no character, or of one below this, are made once as well."""


@dataclass(frozen=True, slots=True)
class StateSize:
    """
    Where the bytes of one state are, each object counted once.

    Objects are counted as CPython counts them, collector's header included. The allocator
    rounds each up to 16 bytes; that is left out, as are small ints and single characters,
    which are everybody's. A table's share is its size now by the entries it has now.
    """

    record_bytes: int
    """The record; it is whole from the beginning, whatever is in it."""

    numbers_bytes: int
    """Counts that do not fit the record."""

    metadata_bytes: int
    """The block of a private entry; a shared one costs its connection nothing."""

    pending_bytes: int
    """Request ids that do not fit the record."""

    retained_bytes: int
    """Payloads that only this state keeps."""

    shared_retained_bytes: int
    """Payloads of a `PayloadStore`; not in the total, because they are shared."""

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


def table_share_bytes(table: dict[int, Any]) -> int:
    """Return what an entry of *table* costs beside its value: its place, and its key."""
    return sys.getsizeof(table) // len(table) + sys.getsizeof(SMALL_INTS.stop)


def deep_size_bytes(root: object, seen: set[int]) -> int:
    """
    Return the bytes of *root* and of what its containers hold, each object once.

    Strings, numbers, bytes, mappings, tuples and lists are followed; what CPython makes once
    for all, as small ints, None and single characters, counts nothing. The allocator's
    rounding to 16 bytes is left out, which is at most 15 bytes per object.

    Args:
        root: Where to begin.
        seen: The ids of the objects counted before; extended by those counted now.
    """
    if is_everybodys(root) or id(root) in seen:
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


def is_everybodys(value: object) -> bool:
    """Say whether CPython has made *value* once for all."""
    if type(value) is int:
        return value in SMALL_INTS
    if type(value) is bytes:
        return len(value) <= 1
    if type(value) is str:
        return len(value) <= 1 and value < FIRST_OWN_CHARACTER
    return value is None or type(value) is bool or (type(value) is tuple and not value)
