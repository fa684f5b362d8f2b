"""
Names what keeps an object: ``app.SERVER.sessions -> dict of 40,000 Session objects``.

The search goes from the object to what refers to it, the likeliest first, with a
bounded number of steps: each is one pass over all tracked objects, inside C.
"""

from __future__ import annotations

import gc
import os
import sys
from _collections import deque
from _heapq import heappop, heappush
from itertools import compress, repeat
from operator import is_

TYPE_CHECKING = False  # type checkers take the name for typing's, which costs an import
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any

    Steps = tuple[str, ...]

PASSES = 16
"""Per object; one costs about 10 ms at 100,000 objects."""

_SAMPLE = 20
_TRIED = 2
_HERE = os.path.dirname(os.path.abspath(__file__))
_MODULE, _FUNCTION, _SLOT = "module", "function", "member_descriptor"
_SUSPENDED = {"generator": "gi", "coroutine": "cr", "async_generator": "ag"}
_UNNAMED = {_FUNCTION, "cell", *_SUSPENDED}
"""What a path goes through without a step of its own."""

_SEQUENCES = (list, tuple, set, frozenset, deque)
_OPTIMIZED = 1  # inspect.CO_OPTIMIZED: locals that are not a namespace
_LOCALS_ARE_COPIED = (3, 13)


def holders(idents: list[int], names: list[str]) -> dict[str, Any]:
    """Return for each container and each type the path that keeps it, and what it holds."""
    census = sys.modules["memopt_agent"]._loaded("memopt_census")  # noqa: SLF001 - the same code
    found: list[tuple[int | str, str, str]] = []
    if idents:
        containers = census.by_ident(idents)
        found += [
            (id(each), path(each, {id(containers)}), _contents(each, census)) for each in containers
        ]
    for name in names:
        objects = census.some_of(name, _TRIED)
        # The newest may be on their way through a function: the first kept one tells more.
        kept_by = ""
        while objects and not kept_by:
            kept_by = path(objects.pop(), {id(objects)})
        found.append((name, kept_by, ""))
    return {"holders": found}


def _contents(container: Any, census: Any) -> str:
    """Return kind, length and the commonest type of the newest members."""
    members = census.newest(container, _SAMPLE)[:_SAMPLE]
    kinds = [type(group[-1]).__name__ for group in members]
    of = max(kinds, key=kinds.count, default="no")
    return f"{type(container).__name__} of {len(container):,} {of} objects"


def path(target: Any, ignored: set[int]) -> str:
    """Return an expression that leads from a root to *target*, or an empty text."""
    modules = {
        id(vars(each)): name
        for name, each in list(sys.modules.items())
        if type(each).__name__ == _MODULE
    }
    steps_of: dict[int, Steps] = {id(target): ()}
    waiting: list[tuple[int, int, Any, Steps]] = [(0, 0, target, ())]
    skipped = ignored | {id(waiting), id(modules)}
    for _ in range(PASSES):
        if not waiting:
            break
        each, steps = heappop(waiting)[2:]
        for referrer in gc.get_referrers(each):
            if id(referrer) in skipped or id(referrer) in steps_of or _is_frame(referrer):
                continue
            longer = _extended(referrer, each, steps)
            if id(referrer) in modules:
                return modules[id(referrer)] + _as_attribute(longer)
            if root := _root(referrer):
                return root + "".join(longer)
            steps_of[id(referrer)] = longer
            rank = len(longer) + isinstance(referrer, _SEQUENCES)
            heappush(waiting, (rank, len(steps_of), referrer, longer))
    if all(type(each[2]) is type(target) for each in waiting) and len(steps_of) > PASSES:
        return f"a chain of {type(target).__module__}.{type(target).__qualname__}"
    return _in_running_function(steps_of)


def _extended(referrer: Any, each: Any, steps: Steps) -> Steps:
    """Return the steps from *referrer*, of which one leads to *each*."""
    if type(referrer).__name__ in _UNNAMED or type(each).__name__ == "cell":
        return steps
    if isinstance(referrer, dict):
        return (_key(referrer, each), *steps)
    if isinstance(referrer, _SEQUENCES):
        return ("[...]", *steps)
    if isinstance(each, dict) and _is_namespace(each, referrer) and steps:
        return (_as_attribute(steps),)
    if isinstance(referrer, type):
        return steps
    return (_attribute(referrer, each), *steps)


def _is_namespace(each: dict[Any, Any], owner: Any) -> bool:
    if isinstance(owner, type):
        return True
    try:
        return object.__getattribute__(owner, "__dict__") is each
    except AttributeError:
        return False


def _as_attribute(steps: Steps) -> str:
    """Return steps in which the first key is a name: ``['cache'][1]`` is ``.cache[1]``."""
    first, rest = steps[0], "".join(steps[1:])
    if first.startswith("['") and first.endswith("']"):
        return "." + first[2:-2] + rest
    return first + rest


def _key(found_in: dict[Any, Any], value: Any) -> str:
    # One call into C: the program may change the dictionary at any other moment.
    same = map(is_, found_in.values(), repeat(value))
    try:
        key = next(compress(found_in.keys(), same), None)
    except RuntimeError:  # the program has changed it meanwhile
        key = None
    return f"[{key!r}]" if type(key) in (str, int, bytes) else "[...]"


def _attribute(owner: Any, value: Any) -> str:
    """Return the name under which an object refers to a value, without running its code."""
    for kind in type(owner).__mro__:
        for name, member in list(vars(kind).items()):
            if type(member).__name__ == _SLOT:
                try:
                    if member.__get__(owner) is value:
                        return "." + name
                except (AttributeError, TypeError, ValueError):
                    continue
    try:
        names = object.__getattribute__(owner, "__dict__")
    except AttributeError:
        return f".({type(owner).__name__})"
    return next(("." + name for name, each in list(names.items()) if each is value), ".(...)")


def _root(referrer: Any) -> str:
    """Return the name of what needs no further holder: a class, a function, a suspended one."""
    kind = type(referrer).__name__
    if isinstance(referrer, type):
        return f"{referrer.__module__}.{referrer.__qualname__}"
    if kind == _FUNCTION:
        return f"{referrer.__module__}.{referrer.__qualname__}()"
    if kind in _SUSPENDED:
        code = getattr(referrer, _SUSPENDED[kind] + "_code")
        return f"a local of suspended {referrer.__qualname__}()" if code else ""
    return ""


def _is_frame(referrer: Any) -> bool:
    return type(referrer).__name__ in ("frame", "list_iterator", "tuple_iterator")


def _in_running_function(steps_of: dict[int, Steps]) -> str:
    """Return the local variable of a function that runs now, in any thread."""
    for frame in _running():
        local = frame.f_locals
        names = [(name, steps_of[id(each)]) for name, each in local.items() if id(each) in steps_of]
        if sys.version_info < _LOCALS_ARE_COPIED:
            # The frame keeps this copy, and with it every object, until it is asked again.
            local.clear()
        if names:
            module = frame.f_globals.get("__name__", "?")
            name, steps = names[0]
            return f"local {name} of {module}.{frame.f_code.co_name}(){''.join(steps)}"
    return ""


def _running() -> Iterator[FrameType]:
    for top in list(sys._current_frames().values()):  # noqa: SLF001 - the only source
        frame: FrameType | None = top
        while frame is not None:
            if frame.f_code.co_flags & _OPTIMIZED and not frame.f_code.co_filename.startswith(
                _HERE
            ):
                yield frame
            frame = frame.f_back
