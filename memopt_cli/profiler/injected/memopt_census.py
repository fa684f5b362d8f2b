"""
Counts the objects of a program by type, and its large containers by length.

No object may live longer, or be finalised in another thread, because it was
counted. So whatever holds many objects is a list that is filled, read and emptied
by three instructions among which the interpreter (3.11 and later) never switches
threads: they call nothing of Python's, and only calls and jumps look for a switch.
The iterators that do the work are therefore made over the list while it is empty.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import sys
import time

# Of the C module: `collections` itself is 300 KB that a small program does without.
from _collections import (
    OrderedDict,
    _count_elements,
    defaultdict,
    deque,
)
from itertools import chain, compress, filterfalse, islice

TYPE_CHECKING = False  # type checkers take the name for typing's, which costs an import
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator
    from typing import Any

SMALLEST = 64
"""Entries; each smaller container is left to the count of types."""

MOST_CONTAINERS = 3000
MOST_TYPES = 1000
MOST_FOR_DEEP = 300_000
"""Objects up to which dictionaries that the collector does not track are looked for."""

_TRIES = 20
KINDS = {dict, list, set, deque, OrderedDict, defaultdict}
_LENGTHS = {dict.__len__, list.__len__, set.__len__, deque.__len__}


def every() -> Iterator[object]:
    """Return all objects the collector tracks, listed at the first step and not before."""
    return chain.from_iterable(map(gc.get_objects, (None,)))


_listed: list[Any] = []
_chosen: list[Any] = []
_OWN = {id(_listed), id(_chosen)}
"""Lists of our own, which are long only while they are counted; empty at any switch."""


_lengths: list[int] = []
"""Of the listings since their memory was given back."""

_BYTES_PER_ENTRY = 9
"""Of a list that grew entry by entry: 8, and an eighth to spare."""

_LISTS_AT_ONCE = 2
_SMALLEST_GIVEN_BACK = 4 * mmap.PAGESIZE
_MALLOC_KEEPS_BYTES = 64
"""At both ends of a free chunk, at most, for its own books."""

_libc = ctypes.CDLL(None)
_libc.malloc.restype = ctypes.c_void_p
_libc.malloc.argtypes = (ctypes.c_size_t,)
_libc.free.argtypes = (ctypes.c_void_p,)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def give_back() -> None:
    """
    Return to the system what the listings of this thread have left with malloc.

    A list of 200,000 objects is 1.8 MB, which malloc keeps once it was freed: the program
    would seem to have grown. Asking malloc for as much returns that chunk, whose pages
    may then be dropped without anybody else meeting them; what others have freed stays.
    """
    size = max(_lengths, default=0) * _BYTES_PER_ENTRY
    del _lengths[:]
    chunks = [(_libc.malloc(size), size)] if size else []
    while size > _SMALLEST_GIVEN_BACK:
        chunks.append((_libc.malloc(size), size))
        size //= 2  # where a list was moved while it grew
    for at, size in chunks:
        first = -(-(at + _MALLOC_KEEPS_BYTES) // mmap.PAGESIZE) * mmap.PAGESIZE
        last = (at + size - _MALLOC_KEEPS_BYTES) // mmap.PAGESIZE * mmap.PAGESIZE
        if at and first < last:
            _libc.madvise(first, last - first, mmap.MADV_DONTNEED)
    for at, _ in chunks:
        _libc.free(at)


def select(
    objects: Iterable[Any],
    wanted: Container[Any],
    key: Callable[[Any], Any],
    then: Callable[[list[Any]], Iterable[Any]] = iter,
) -> list[Any]:
    """Return *then* of the objects whose key is wanted, holding no other at any switch."""
    listed, chosen, lengths = _listed, _chosen, _lengths
    result: list[Any] = []
    measure = map(len, (listed,))
    choose = compress(listed, map(wanted.__contains__, map(key, listed)))
    last = then(chosen)
    listed += objects
    chosen += choose
    lengths += measure
    del listed[:]
    result += last
    del chosen[:]
    return result


def census(*, deep: bool, operations: Callable[[], float | None]) -> dict[str, Any]:
    """
    Return counts by type and lengths by container, with the longest stop in ns.

    *operations* is called between the two, at the moment that the census bears.
    """
    began = time.perf_counter_ns()
    counts: dict[type, int] = {}
    _count_elements(counts, map(type, every()))
    stops = [time.perf_counter_ns() - began]
    total = sum(counts.values())
    _lengths.append(total)
    kinds = KINDS | {each for each in counts if _is_container(each)}
    done = operations()
    at_ns = time.monotonic_ns()
    found = select(every(), kinds, type, _long_ones)
    stops.append(time.monotonic_ns() - at_ns)
    if deep and total <= MOST_FOR_DEEP:
        began = time.perf_counter_ns()
        found += select(untracked(), {dict}, type, _long_ones)
        stops.append(time.perf_counter_ns() - began)
    else:
        found += select(_untracked_globals(), {dict}, type, _long_ones)
    unique = {ident: (_name(kind), length) for ident, kind, length in found if ident not in _OWN}
    largest = sorted(unique.items(), key=lambda item: -item[1][1])
    by_count = sorted(counts.items(), key=lambda item: -item[1])[:MOST_TYPES]
    return {
        "at_ns": at_ns,
        "objects": total,
        "types": [(_name(kind), count) for kind, count in by_count if count >= SMALLEST],
        "containers": [(ident, *rest) for ident, rest in largest[:MOST_CONTAINERS]],
        "containers_left_out": max(0, len(largest) - MOST_CONTAINERS),
        "stop_ns": max(stops),
        "operations": done,
    }


def by_ident(idents: Iterable[int]) -> list[Any]:
    """Return the containers that have these ids now; an id is never taken for an address."""
    wanted = set(idents)
    found = select(chain(every(), _untracked_globals()), wanted, id)
    missing = wanted.difference(map(id, found))
    if missing:
        found += select(untracked(), missing, id)
    return list({id(each): each for each in found}.values())


def named(name: str) -> set[type]:
    """Return the types of this name that have objects."""
    counts: dict[type, int] = {}
    _count_elements(counts, map(type, every()))
    return {kind for kind in counts if _name(kind) == name}


def some_of(name: str, most: int) -> list[Any]:
    """Return a few objects of a type, the latest survivors last."""
    latest: deque[Any] = deque(maxlen=most)
    kinds = named(name)
    select(every(), kinds, type, lambda chosen: map(latest.append, chosen))
    return list(latest)


def newest(container: Any, most: int) -> list[tuple[Any, ...]]:
    """
    Return the members put in last, as (key, value) or alone in a tuple; of a set, any.

    Nothing, if the program changes the container each time between begin and end.
    """
    for _ in range(_TRIES):
        try:
            return _newest(container, most)
        except RuntimeError:
            continue
    return []


def _newest(container: Any, most: int) -> list[tuple[Any, ...]]:
    if isinstance(container, dict):
        return list(islice(reversed(container.items()), most))
    if isinstance(container, (list, deque)):
        return list(zip(islice(reversed(container), most)))
    return list(zip(islice(iter(container), most * 50)))


def untracked() -> Iterator[Any]:
    """Return what objects refer to and the collector leaves out, as dictionaries of texts."""
    return filterfalse(gc.is_tracked, chain.from_iterable(map(gc.get_referents, every())))


def _untracked_globals() -> Iterator[Any]:
    spaces = [vars(each) for each in list(sys.modules.values()) if type(each) is type(sys)]
    return filterfalse(gc.is_tracked, chain.from_iterable(map(dict.values, spaces)))


def _long_ones(chosen: list[Any]) -> Iterator[tuple[int, Any, int]]:
    """Return id, type and length of the long containers; lengths are the built-in ones."""
    first, second, third = (
        compress(chosen, map(SMALLEST.__le__, map(len, chosen))) for _ in range(3)
    )
    return zip(map(id, first), map(type, second), map(len, third))  # noqa: B905 - equally long


def _is_container(kind: type) -> bool:
    return issubclass(kind, (dict, list, set, deque)) and kind.__len__ in _LENGTHS


def _name(kind: type) -> str:
    module = getattr(kind, "__module__", "")
    name = getattr(kind, "__qualname__", kind.__name__)
    return name if module == "builtins" else f"{module}.{name}"
