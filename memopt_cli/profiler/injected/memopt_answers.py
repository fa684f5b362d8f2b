"""The requests a watcher can make, by their first word; loaded with the first of them."""

from __future__ import annotations

import ctypes
import mmap
import sys
import time

TYPE_CHECKING = False  # type checkers take the name for typing's, which costs an import
if TYPE_CHECKING:
    from typing import Any

    from memopt_cli.profiler.injected import memopt_agent


class _Mallinfo2(ctypes.Structure):
    """``struct mallinfo2`` of glibc 2.33 and later, malloc.h."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            [
                "arena",
                "ordblks",
                "smblks",
                "hblks",
                "hblkhd",
                "usmblks",
                "fsmblks",
                "uordblks",
                "fordblks",
                "keepcost",
            ]
        )
    ]


# Opened once: each opening leaves a cycle of objects, which the program would seem to leak.
_mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
if _mallinfo is not None:
    _mallinfo.restype = _Mallinfo2

_OLDEST_ATTRIBUTED = (3, 11)

MOST_BLOCKS_TO_REHEARSE = 100_000
"""Python's, of a program of some 25,000 objects, which are counted in 10 ms."""

_rehearsals = 2
"""Left to do: a thread that has answered is replaced by one with another arena of malloc's."""


def respond(agent: memopt_agent.Agent, number: int) -> bool:
    """
    Answer the last request, which has this number; return whether it took much memory.

    Writes nothing where the folder is full, or was removed: nobody waits there.
    """
    layout, ring = sys.modules["memopt_agent"], agent.ring
    if not ring.has_room():
        return False
    length = ring.words[layout.REQUEST_LENGTH]
    request = ring.area[layout.REQUEST_AT : layout.REQUEST_AT + length].decode().split()
    large = request[0] != "heap"
    if not large and _rehearsals:
        large = _rehearse(agent)
    status, text = _answered(agent, request)
    ring.area[layout.REPLY_AT : layout.REPLY_AT + len(text)] = text
    ring.words[layout.REPLY_LENGTH], ring.words[layout.REPLY_STATUS] = len(text), status
    if large:
        _module("memopt_census").give_back()
        # The text stays in the file; what is mapped here would seem to be the program's.
        used = -(-len(text) // mmap.PAGESIZE) * mmap.PAGESIZE
        ring.area.madvise(mmap.MADV_DONTNEED, layout.REPLY_AT, used)
    del text
    # The number last, so that no reply is read half written.
    ring.words[layout.ANSWERED] = number
    return large


def _rehearse(agent: memopt_agent.Agent) -> bool:
    """
    Do early, and once for each thread's arena, what a census takes for the first time.

    A program that is large already would be stopped for too long.
    """
    global _rehearsals
    _rehearsals -= 1
    small = sys.getallocatedblocks() < MOST_BLOCKS_TO_REHEARSE
    if small and sys.version_info >= _OLDEST_ATTRIBUTED:
        _answered(agent, ["census", "-"])
    return small


def _answered(agent: memopt_agent.Agent, request: list[str]) -> tuple[int, bytes]:
    layout = sys.modules["memopt_agent"]
    try:
        agent.work()
        try:
            text = repr(answer(agent, request)).encode()
        finally:
            agent.rest()
    except layout.Refused as exc:
        return layout.REFUSED, str(exc).encode()
    except Exception as exc:  # noqa: BLE001 - it is told to the watcher, not to the program
        return layout.FAILED, repr(exc).encode()[: layout.REPLY_BYTES]
    if len(text) > layout.REPLY_BYTES:
        return layout.FAILED, b"the answer is too long"
    return 0, text


def answer(agent: memopt_agent.Agent, request: list[str]) -> dict[str, Any]:
    """Return what was asked for, as a dictionary of plain values."""
    if request[0] != "heap" and sys.version_info < _OLDEST_ATTRIBUTED:
        raise sys.modules["memopt_agent"].Refused("objects are attributed in Python 3.11 and later")
    began = time.thread_time_ns()
    found = _ANSWERS[request[0]](agent, request[1:])
    found.setdefault("at_ns", time.monotonic_ns())
    # Of this thread alone: while it waits for its turn, the program runs.
    found["cpu_ns"] = time.thread_time_ns() - began
    return found


def _heap(_agent: memopt_agent.Agent, rest: list[str]) -> dict[str, Any]:
    """
    ``heap [PATH]``: bytes that malloc has handed out and holds free, and Python's blocks.

    With a path, the number that is there too.
    """
    found: dict[str, Any] = {"blocks": sys.getallocatedblocks(), "operations": _number(rest)}
    if _mallinfo is not None:
        read = _mallinfo()
        found["malloc_in_use"] = read.uordblks + read.hblkhd
        found["malloc_free"] = read.fordblks
    return found


def _census(_agent: memopt_agent.Agent, rest: list[str]) -> dict[str, Any]:
    """``census deep|- [PATH]``."""
    deep, path = rest[0] == "deep", rest[1:]
    census = _module("memopt_census").census
    found: dict[str, Any] = census(deep=deep, operations=lambda: _number(path))
    return found


def _window(agent: memopt_agent.Agent, rest: list[str]) -> dict[str, Any]:
    """``window SECONDS ID,ID TYPE,TYPE``, each list without blanks, ``-`` if empty."""
    seconds, containers, types = rest
    idents = [] if containers == "-" else [int(each) for each in containers.split(",")]
    names = [] if types == "-" else types.split(",")
    window = _module("memopt_tracing").window
    found: dict[str, Any] = window(agent, float(seconds), idents, names)
    return found


def _holders(_agent: memopt_agent.Agent, rest: list[str]) -> dict[str, Any]:
    """``holders ID,ID TYPE,TYPE``."""
    containers, types = rest
    idents = [] if containers == "-" else [int(each) for each in containers.split(",")]
    names = [] if types == "-" else types.split(",")
    found: dict[str, Any] = _module("memopt_holders").holders(idents, names)
    return found


def _number(path: list[str]) -> float | None:
    """
    Return the number at a dotted path, or the length of what is there, or nothing.

    Whatever the program's own attributes raise is an answer of nothing.
    """
    if not path:
        return None
    try:
        found = _at(path[0].split("."))
        number = float(found) if hasattr(found, "__float__") else float(len(found))
    except Exception:  # noqa: BLE001 - code of the program's, which may raise anything
        return None
    # What is not finite cannot be written as a literal.
    return number if abs(number) < float("inf") else None


def _at(names: list[str]) -> Any:
    """Return what attributes lead to from the module with the longest name that fits."""
    for length in range(len(names), 0, -1):
        module = sys.modules.get(".".join(names[:length]))
        if module is not None:
            found: Any = module
            for name in names[length:]:
                found = getattr(found, name)
            return found
    raise LookupError(names[0])


def _module(name: str) -> Any:
    return sys.modules["memopt_agent"]._loaded(name)  # noqa: SLF001 - the same code


_ANSWERS = {"heap": _heap, "census": _census, "window": _window, "holders": _holders}
