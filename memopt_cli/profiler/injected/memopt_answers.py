"""The requests a watcher can make, by their first word; loaded with the first of them."""

from __future__ import annotations

import ctypes
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


_OLDEST_ATTRIBUTED = (3, 11)


def answer(agent: memopt_agent.Agent, request: list[str]) -> dict[str, Any]:
    """Return what was asked for, as a dictionary of plain values."""
    if request[0] != "heap" and sys.version_info < _OLDEST_ATTRIBUTED:
        raise sys.modules["memopt_agent"].Refused("objects are attributed in Python 3.11 and later")
    began = time.perf_counter_ns()
    found = _ANSWERS[request[0]](agent, request[1:])
    found.setdefault("at_ns", time.monotonic_ns())
    found["took_ns"] = time.perf_counter_ns() - began
    return found


def _heap(_agent: memopt_agent.Agent, _rest: list[str]) -> dict[str, Any]:
    """Bytes that malloc has handed out and holds free, and Python's blocks."""
    found: dict[str, Any] = {"blocks": sys.getallocatedblocks()}
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is not None:
        mallinfo.restype = _Mallinfo2
        read = mallinfo()
        found["malloc_in_use"] = read.uordblks + read.hblkhd
        found["malloc_free"] = read.fordblks
    return found


def _census(_agent: memopt_agent.Agent, rest: list[str]) -> dict[str, Any]:
    return _module("memopt_census").census(deep=rest == ["deep"])  # type: ignore[no-any-return]


def _window(agent: memopt_agent.Agent, rest: list[str]) -> dict[str, Any]:
    """``window SECONDS ID,ID TYPE,TYPE``, each list without blanks, ``-`` if empty."""
    seconds, containers, types = rest
    idents = [] if containers == "-" else [int(each) for each in containers.split(",")]
    names = [] if types == "-" else types.split(",")
    return _module("memopt_tracing").window(agent, float(seconds), idents, names)  # type: ignore[no-any-return]


def _holders(_agent: memopt_agent.Agent, rest: list[str]) -> dict[str, Any]:
    """``holders ID,ID TYPE,TYPE``."""
    containers, types = rest
    idents = [] if containers == "-" else [int(each) for each in containers.split(",")]
    names = [] if types == "-" else types.split(",")
    return _module("memopt_holders").holders(idents, names)  # type: ignore[no-any-return]


def _module(name: str) -> Any:
    return sys.modules["memopt_agent"]._loaded(name)  # noqa: SLF001 - the same code


_ANSWERS = {"heap": _heap, "census": _census, "window": _window, "holders": _holders}
