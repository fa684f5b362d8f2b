"""
Traces allocations for a short window, and asks where what was kept came from.

tracemalloc as the standard library turns it on and off crashes a program whose
threads allocate without the interpreter's lock: such a thread waits for the lock
inside the hook while `stop` frees the buffer that the hook is about to use
(CPython issue 128679). Therefore the domain of such allocations is not hooked,
and up to 3.11 tracing ends by giving back the allocators and clearing the flag:
nothing is freed, so a late thread finds what it needs. Later releases hide the
flag; those in which `stop` was mended are used as they are.
"""

from __future__ import annotations

import _tracemalloc
import ctypes
import gc
import os
import sys
import time
from itertools import compress, islice, repeat

TYPE_CHECKING = False  # type checkers take the name for typing's, which costs an import
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from memopt_cli.profiler.injected import memopt_agent

    Line = tuple[str, int]

NEWEST = 200
"""Members of a container that are looked at: those put in last."""

NODES = 50
"""Objects that are followed from one member; each must have been allocated in the window."""

MOST_TRACES_BYTES = 8 << 20
"""The window is closed early when the traces themselves take more."""

MOST_LINES = 100
_LOOK_EVERY_S = 0.05
_HERE = os.path.dirname(os.path.abspath(__file__))
_RAW, _MEM, _OBJ = 0, 1, 2
_MANAGED_DICT = 1 << 4  # Py_TPFLAGS_MANAGED_DICT
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement
_HIDDEN_BYTES = 32  # the collector's header and the two words for inline attributes
if sys.version_info[:2] == (3, 11):
    _traceback_at = ctypes.pythonapi._PyTraceMalloc_GetTraceback  # noqa: SLF001 - by address
    _traceback_at.restype = ctypes.py_object
    _traceback_at.argtypes = [ctypes.c_uint, ctypes.c_size_t]


class _Allocator(ctypes.Structure):
    """``PyMemAllocatorEx``."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("ctx", "malloc", "calloc", "realloc", "free")]


_originals: dict[int, _Allocator] | None = None
"""While tracing: the allocators that were there before."""


def refusal() -> str:
    """Return why this program cannot be traced now, or nothing."""
    if _tracemalloc.is_tracing():
        return "the program runs tracemalloc itself"
    mended = sys.version_info >= (3, 13, 2) or (3, 12, 9) <= sys.version_info < (3, 13)
    if sys.version_info >= (3, 12) and not mended and "numpy" in sys.modules:
        return f"tracemalloc of Python {sys.version.split()[0]} may crash beside numpy"
    return ""


def begin() -> None:
    """Start tracing; raises `Refused` where that is not safe."""
    global _originals
    if reason := refusal():
        raise sys.modules["memopt_agent"].Refused(reason)
    originals = {domain: _allocator(domain) for domain in (_RAW, _MEM, _OBJ)}
    _tracemalloc.start(1)
    _set_allocator(_RAW, originals[_RAW])
    _originals = originals


def _trace_no_more() -> None:
    """
    Let new blocks go untraced, while freed ones still leave the traces.

    Reading takes longer than the window; the program runs at nearly full speed
    meanwhile. Python's own allocators take no context, so that the tracing one may
    stand beside them; with others, tracing goes on.
    """
    for domain in (_MEM, _OBJ):
        original, tracing = (_originals or {})[domain], _allocator(domain)
        if original.ctx is None:
            mixed = _Allocator(
                tracing.ctx, original.malloc, original.calloc, tracing.realloc, tracing.free
            )
            _set_allocator(domain, mixed)


def end() -> None:
    """Stop tracing; does nothing if it is off."""
    global _originals
    originals, _originals = _originals, None
    if originals is None or not _tracemalloc.is_tracing():
        return
    if sys.version_info >= (3, 12):
        _tracemalloc.stop()
        return
    for domain in (_MEM, _OBJ):
        _set_allocator(domain, originals[domain])
    _tracemalloc.clear_traces()
    # initialised, tracing, frames: pymem.h of 3.8 to 3.11.
    (ctypes.c_int * 3).in_dll(ctypes.pythonapi, "_Py_tracemalloc_config")[1] = 0


def window(
    agent: memopt_agent.Agent, seconds: float, idents: list[int], names: list[str]
) -> dict[str, Any]:
    """Trace for *seconds*, and return the lines that allocated the newest members."""
    census = sys.modules["memopt_agent"]._loaded("memopt_census")  # noqa: SLF001 - the same code
    began = time.perf_counter()
    begin()
    try:
        interrupted = _wait(agent, seconds)
        open_s = time.perf_counter() - began
        _trace_no_more()
        lines = _surviving_lines()
        members = [
            (id(each), *_origins(census.newest(each, NEWEST), lines))
            for each in (census.by_ident(idents) if idents else [])
        ]
        objects = [(name, *_origins(list(zip(_traced(census, name))), lines)) for name in names]
    finally:
        end()
    largest = sorted(lines.items(), key=lambda item: -item[1][0])[:MOST_LINES]
    return {
        "open_s": open_s,
        "traced_s": time.perf_counter() - began,
        "interrupted": interrupted,
        "lines": [(*line, *sizes) for line, sizes in largest],
        "members": members,
        "types": objects,
    }


def _wait(agent: memopt_agent.Agent, seconds: float) -> bool:
    """Let the program run; return whether the window had to be closed before its time."""
    until = time.perf_counter() + seconds
    agent.rest()
    try:
        while (left_s := until - time.perf_counter()) > 0:
            if agent.leave.acquire(True, min(_LOOK_EVERY_S, left_s)):
                agent.leave.release()
                return True
            if _tracemalloc.get_tracemalloc_memory() > MOST_TRACES_BYTES:
                return True
        return False
    finally:
        agent.work()


def _surviving_lines() -> dict[Line, tuple[int, int]]:
    """Return bytes and blocks by line, of what was allocated since the start and not freed."""
    if _tracemalloc.get_tracemalloc_memory() > MOST_TRACES_BYTES:
        return {}
    lines: dict[Line, tuple[int, int]] = {}
    for trace in _tracemalloc._get_traces():  # noqa: SLF001 - what tracemalloc itself calls
        line = trace[2][0]
        if not line[0].startswith(_HERE):
            size, blocks = lines.get(line, (0, 0))
            lines[line] = (size + trace[1], blocks + 1)
    return lines


def _origins(
    members: list[tuple[Any, ...]], lines: dict[Line, tuple[int, int]]
) -> tuple[int, list[tuple[str, int, int, int, int, int, int]]]:
    """
    Return how many members are new, and by line what they consist of.

    Per line: objects, their own sizes in bytes, how many have attributes beside
    themselves, and of the whole line the bytes and blocks alive, which hold those.
    """
    seen: set[int] = set()
    found: dict[Line, list[int]] = {}
    others = {id(each) for group in members for each in group}
    new = 0
    for group in members:
        before = len(seen)
        for each in group:
            _follow(each, seen, found, others)
        # One that several members share is new in each of them, and counted once.
        new += len(seen) > before or any(id(each) in seen for each in group)
    return new, [
        (file, number, counts[0], counts[1], counts[2], *lines.get((file, number), (0, 0)))
        for (file, number), counts in found.items()
    ]


def _follow(member: Any, seen: set[int], found: dict[Line, list[int]], others: set[int]) -> None:
    """
    Count the member and what was allocated with it, but no other member.

    In a chain of objects each refers to the one before: those are of the member's own
    type, and count for themselves.
    """
    own_type = type(member) if type(member).__flags__ & _HEAP_TYPE else None
    waiting, left, recycled = [member], NODES, 0
    if _line(member) is None and type(member) in _RECYCLED:
        # Its block may be older than the window although the object is not.
        recycled = sys.getsizeof(member, 0)
        waiting = list(islice(gc.get_referents(member), NODES))
    while waiting and left:
        each = waiting.pop()
        line = _line(each)
        if line is None or id(each) in seen:
            continue
        left -= 1
        seen.add(id(each))
        counts = found.setdefault(line, [0, 0, 0])
        counts[0] += 1
        counts[1] += sys.getsizeof(each, 0) + recycled
        counts[2] += bool(type(each).__flags__ & _MANAGED_DICT)
        recycled = 0
        if not isinstance(each, _NOT_FOLLOWED):
            waiting += [
                inner
                for inner in gc.get_referents(each)
                if id(inner) not in others and type(inner) is not own_type
            ]


_RECYCLED = {list, dict, tuple}
"""Types of which CPython keeps freed objects for the next one that is made."""

_NOT_FOLLOWED = (type, type(sys), type(_follow))


def _traced(census: Any, name: str) -> list[Any]:
    """Return objects of a type that were allocated in this window."""
    found: list[Any] = []
    for kind in census.named(name):
        check = _traced_hidden if _has_hidden_start(kind) else _traced_plain
        found += census.select(census.every(), {kind}, type, check)
    return found


def _traced_plain(chosen: list[Any]) -> Iterator[Any]:
    return islice(filter(_tracemalloc._get_object_traceback, chosen), NEWEST)  # noqa: SLF001 - as tracemalloc does


def _traced_hidden(chosen: list[Any]) -> Iterator[Any]:
    starts = map((-_HIDDEN_BYTES).__add__, map(id, chosen))
    return islice(compress(chosen, map(_traceback_at, repeat(0), starts)), NEWEST)


def _has_hidden_start(kind: type) -> bool:
    """
    Return whether 3.11 looks for the object's block at the wrong address.

    It forgets the two words before an object whose attributes are stored inline.
    """
    return sys.version_info[:2] == (3, 11) and bool(kind.__flags__ & _MANAGED_DICT)


def _line(each: Any) -> Line | None:
    """Return where an object was allocated in this window, or `None` if before it."""
    if _has_hidden_start(type(each)):
        frames = _traceback_at(0, id(each) - _HIDDEN_BYTES)
    else:
        frames = _tracemalloc._get_object_traceback(each)  # noqa: SLF001 - as tracemalloc does
    if not frames or frames[0][0].startswith(_HERE):
        return None
    newest: Line = frames[0]
    return newest


def _allocator(domain: int) -> _Allocator:
    found = _Allocator()
    ctypes.pythonapi.PyMem_GetAllocator(domain, ctypes.byref(found))
    return found


def _set_allocator(domain: int, allocator: _Allocator) -> None:
    ctypes.pythonapi.PyMem_SetAllocator(domain, ctypes.byref(allocator))
