"""What in an agent occupies more than it has to, and how much less it could be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from mmap import mmap
from typing import TYPE_CHECKING, Any, Final

from memopt_cli.optimizer.agents.walking import deep_bytes, is_array, is_function_cache, walk
from memopt_cli.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from memopt_cli.optimizer.agents.walking import Found

CACHE: Final = re.compile(r"(?i)cache|memo(?!r)")
HISTORY: Final = re.compile(r"(?i)history|trace|events|past")
BELIEF: Final = re.compile(r"(?i)belief|posterior|\bqs\b")
SHORT_INDEX: Final = 1 << 16
SIMPLE: Final = (str, bytes, bytearray)


class HotspotKind(StrEnum):
    """Why something occupies more than it has to."""

    SPARSE = "sparse stored dense"
    FLOAT64 = "float64"
    LARGE = "large array"
    CACHE = "unbounded cache"
    HISTORY = "long history"
    BELIEFS = "heavy beliefs"


@dataclass(frozen=True, slots=True)
class Hotspot:
    """One thing that could be smaller."""

    kind: HotspotKind
    path: str
    """How it is reached from the agent, as in ``.beliefs[0]``."""

    size_bytes: int
    saved_bytes: int
    """
    What following the advice would give back, computed from what is there.

    For one thing by several kinds these do not add up.
    """

    advice: str


@dataclass(frozen=True, slots=True)
class HotspotLimits:
    """Below which nothing is said."""

    array_bytes: int = 16 * 1024
    """Of an array that is sparse or of float64."""

    large_bytes: int = 1 << 20
    """Of an array that is large."""

    cache_entries: int = 100
    history_entries: int = 1000
    beliefs_bytes: int = 5 * 10**6
    """Of everything under one name of beliefs."""


LIMITS: Final = HotspotLimits()


def find_hotspots(agent: object, limits: HotspotLimits = LIMITS) -> list[Hotspot]:
    """
    Return what in *agent*, and in all that it keeps alive, could be smaller; most saved first.

    Arrays are judged by their values, caches, histories and beliefs by the names of their
    attributes and how much is in them. A `deque` with a bound is none, nor is an
    `functools.lru_cache` with one. Views are judged as the array that they are of, and arrays
    over a map not at all.
    """
    found = [spot for each in walk(agent) for spot in _spots(each, limits)]
    return sorted(found, key=lambda spot: (-spot.saved_bytes, spot.path, spot.kind))


def _spots(found: Found, limits: HotspotLimits) -> Iterator[Hotspot]:
    if is_array(found.thing):
        yield from _array_spots(found, limits)
    else:
        yield from _collection_spots(found, limits)
    name = _name(found.step)
    if BELIEF.search(name) and not HISTORY.search(name):
        size_bytes = deep_bytes(found.thing)
        if size_bytes > limits.beliefs_bytes:
            saved_bytes = _half_of_floats(found.thing)
            left = format_size(size_bytes - saved_bytes)
            advice = f"Keep beliefs in a `Population`; as float32 {left}."
            yield Hotspot(HotspotKind.BELIEFS, found.path, size_bytes, saved_bytes, advice)


def _array_spots(found: Found, limits: HotspotLimits) -> Iterator[Hotspot]:
    array: NDArray[Any] = found.thing
    # The owner of the values is walked to as well, and is the one to be made smaller. How
    # much of a map is in memory the array does not tell.
    base: object = array.base
    if isinstance(base, mmap) or is_array(base) or array.dtype.kind not in "fciu":
        return
    path, size_bytes = found.path, array.nbytes
    if size_bytes >= limits.array_bytes:
        sparse_bytes = _sparse_bytes(array)
        if sparse_bytes * 2 <= size_bytes:
            yield Hotspot(
                HotspotKind.SPARSE,
                path,
                size_bytes,
                size_bytes - sparse_bytes,
                f"Keep what is not zero and where it is: {format_size(sparse_bytes)}.",
            )
        if array.dtype.name == "float64":
            yield Hotspot(
                HotspotKind.FLOAT64,
                path,
                size_bytes,
                size_bytes // 2,
                "Use float32, if a fidelity test passes with it.",
            )
    if size_bytes >= limits.large_bytes:
        advice = "Share it by content with other agents, or map it from a file."
        yield Hotspot(HotspotKind.LARGE, path, size_bytes, size_bytes, advice)


def _sparse_bytes(array: NDArray[Any]) -> int:
    """Return what values that are not zero and their indices would occupy."""
    import numpy as np

    index_bytes = 2 if array.size <= SHORT_INDEX else 4
    return int(np.count_nonzero(array)) * (array.itemsize + index_bytes)


def _collection_spots(found: Found, limits: HotspotLimits) -> Iterator[Hotspot]:
    thing, name = found.thing, _name(found.step)
    entries = _entries(thing)
    if entries is None:
        return
    is_cache = CACHE.search(name) or is_function_cache(thing)
    if is_cache and entries > limits.cache_entries:
        advice = f"Bound it: {entries:,} entries, as with `functools.lru_cache(maxsize=...)`."
        yield _surplus(HotspotKind.CACHE, found, entries, limits.cache_entries, advice)
    elif not is_cache and HISTORY.search(name) and entries > limits.history_entries:
        advice = f"Pack it, or forget the oldest: {entries:,} entries; see `ActionHistory`."
        yield _surplus(HotspotKind.HISTORY, found, entries, limits.history_entries, advice)


def _surplus(kind: HotspotKind, found: Found, entries: int, allowed: int, advice: str) -> Hotspot:
    """Return a hotspot whose saving is what the entries above a bound occupy on average."""
    size_bytes = deep_bytes(found.thing)
    saved_bytes = size_bytes * (entries - allowed) // entries
    return Hotspot(kind, found.path, size_bytes, saved_bytes, advice)


def _entries(thing: Any) -> int | None:
    """Return how many entries a collection without a bound has; None if it is none, or bounded."""
    if is_function_cache(thing):
        counts = thing.cache_info()
        return None if counts.maxsize is not None else int(counts.currsize)
    bounds = (getattr(thing, name, None) for name in ("maxlen", "maxsize"))
    growing = hasattr(thing, "append") or hasattr(thing, "__setitem__") or hasattr(thing, "add")
    if any(each is not None for each in bounds) or not growing or isinstance(thing, SIMPLE):
        return None
    try:
        return len(thing)
    except TypeError:
        return None


def _half_of_floats(thing: object) -> int:
    arrays = [each.thing for each in walk(thing) if is_array(each.thing)]
    owners = [array for array in arrays if not is_array(array.base)]
    return sum(array.nbytes // 2 for array in owners if array.dtype.name == "float64")


def _name(step: str) -> str:
    """
    Return the attribute that a step leads to, or the key if it is a text.

    >>> _name(".cache"), _name("['cache']"), _name("[3]"), _name("")
    ('cache', 'cache', '', '')
    """
    match = re.fullmatch(r"\.(\w+)|\['(\w+)'\]", step)
    return "" if match is None else match[1] or match[2]
