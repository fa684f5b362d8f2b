"""
How many objects of each type the collector knows.

Counts name what is retained, and no more: what holds no references (bytes, str, int,
arrays) is unknown to the collector. How much is retained, the allocators tell.
"""

from __future__ import annotations

import gc
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TypeGrowth:
    """Objects of one type that were there at the end and not at the begin."""

    type_name: str
    """With its module, except for built-in types."""

    objects: int


def count_types() -> Counter[str]:
    """
    Return the number of objects by type; collects first, so that garbage is not counted.

    Costs a full collection and about 0.1 us per object.
    """
    gc.collect()
    counts: Counter[type] = Counter(map(type, gc.get_objects()))
    named: Counter[str] = Counter()
    for kind, count in counts.items():
        named[_name(kind)] += count
    return named


def growth(before: Counter[str], after: Counter[str], *, least: int = 1) -> tuple[TypeGrowth, ...]:
    """
    Return the types with at least *least* more objects after than before, most first.

    >>> growth(Counter(dict=5), Counter(dict=9, list=1), least=2)
    (TypeGrowth(type_name='dict', objects=4),)
    """
    found = [
        TypeGrowth(name, count - before[name])
        for name, count in after.items()
        if count - before[name] >= least
    ]
    return tuple(sorted(found, key=lambda each: (-each.objects, each.type_name)))


def _name(kind: type) -> str:
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"
