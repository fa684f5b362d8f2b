"""Everything an object keeps alive, each thing once, and where it was found."""

from __future__ import annotations

import gc
import sys
import weakref
from collections import deque
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from mmap import mmap
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from memopt_cli.optimizer.sizes import is_everybodys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ELSEWHERE: Final = (
    type,
    ModuleType,
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    weakref.ref,
    *weakref.ProxyTypes,
)
"""What belongs to the program and not to one object of it."""

ITEMS: Final = (list, tuple, deque, AbstractSet)


TABLE: Final = ".__dict__"


Way: TypeAlias = "tuple[Way, str] | None"
"""The way that leads to a thing's owner, and the step from there; text would grow too long."""


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that an object keeps alive."""

    way: Way
    thing: Any
    own_bytes: int
    """Of this thing alone; of an array with its values if they are its own."""

    @property
    def step(self) -> str:
        """The last step to it, as ``.beliefs`` or ``[0]``; empty for the object itself."""
        return "" if self.way is None else self.way[1]

    @property
    def path(self) -> str:
        """How it is reached, as in ``.beliefs[0]``; the first way that was found."""
        steps, way = [], self.way
        while way is not None:
            way, step = way
            steps.append(step)
        return "".join(reversed(steps))


def deep_bytes(root: object) -> int:
    """
    Return what *root* keeps alive, each object once.

    Of arrays that are views the array that owns the values is counted, whole, since it is
    kept alive whole. Left out are classes, functions and modules, what is only referred to
    weakly, what a C extension keeps to itself, and the allocator's rounding.

    >>> deep_bytes([b"a" * 67] * 3) == deep_bytes([b"a" * 67]) + 16
    True
    """
    return sum(found.own_bytes for found in walk(root))


def walk(root: object) -> Iterator[Found]:
    """Yield *root* and all that it keeps alive, however deep, each thing once."""
    # Kept as well as numbered: what is made on the way must not get the number of another.
    seen: dict[int, Any] = {}
    waiting: list[tuple[Way, Any]] = [(None, root)]
    while waiting:
        way, thing = waiting.pop()
        if id(thing) in seen or is_everybodys(thing) or isinstance(thing, ELSEWHERE):
            continue
        seen[id(thing)] = thing
        found = Found(way, thing, _own_bytes(thing))
        yield found
        # What is in a table of attributes has been reached already; its keys are the program's.
        if found.step != TABLE:
            waiting.extend(reversed([((way, step), each) for step, each in _within(thing)]))


def is_array(thing: object) -> bool:
    """Say whether *thing* is an array, without loading numpy for it."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(thing, numpy.ndarray)


def is_function_cache(thing: object) -> bool:
    """Say whether *thing* is a function that remembers, as of `functools.lru_cache`."""
    return callable(getattr(thing, "cache_info", None)) and not isinstance(thing, type)


def _own_bytes(thing: Any) -> int:
    if isinstance(thing, mmap):
        return sys.getsizeof(thing) + len(thing)
    return sys.getsizeof(thing)


def _within(thing: Any) -> Iterable[tuple[str, Any]]:
    """Return what *thing* refers to directly, and by which step."""
    if is_array(thing):
        yield from [] if thing.base is None else [(".base", thing.base)]
        if thing.dtype.hasobject:
            yield from ((f"[{number}]", each) for number, each in enumerate(thing.flat))
        return
    if isinstance(thing, memoryview):
        yield ".obj", thing.obj
        return
    if isinstance(thing, Mapping):
        for key, value in thing.items():
            yield f".key({key!r:.20})", key
            yield f"[{key!r:.20}]", value
    elif isinstance(thing, ITEMS):
        yield from ((f"[{number}]", each) for number, each in enumerate(thing))
    yield from _attributes(thing)


def _attributes(thing: Any) -> Iterable[tuple[str, Any]]:
    own = getattr(thing, "__dict__", None)
    if isinstance(own, dict):
        yield from ((f".{name}", each) for name, each in own.items())
        # The table itself, after what is in it, so that attributes have their short names.
        yield TABLE, own
    if is_function_cache(thing):
        yield from (("[answers]", each) for each in gc.get_referents(thing))
    for kind in type(thing).__mro__:
        # The class is the program's, but what its methods remember is kept for its objects.
        named = kind.__dict__.items()
        yield from ((f".{name}", each) for name, each in named if is_function_cache(each))
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            mangled = name
            if name.startswith("__") and not name.endswith("__"):
                mangled = f"_{kind.__name__.lstrip('_')}{name}"
            if name not in ("__dict__", "__weakref__") and hasattr(thing, mangled):
                yield f".{name}", getattr(thing, mangled)
