"""Bounded caches that are not full yet: what they keep is a warm-up, and looks like a leak."""

from __future__ import annotations

import functools
import gc

_Cache = type(functools.lru_cache(int))

Sizes = dict[int, tuple[str, int, int]]
"""By identity: name, current size, greatest size."""


def cache_sizes() -> Sizes:
    """Return the `functools.lru_cache` of this process that have a greatest size."""
    found: Sizes = {}
    for each in gc.get_objects():
        # Not isinstance: that would ask proxies, which may then load what they stand for.
        if type(each) is _Cache:
            info = each.cache_info()
            if info.maxsize is not None:
                name = f"{each.__module__}.{each.__qualname__}"
                found[id(each)] = (name, info.currsize, info.maxsize)
    return found


def still_filling(before: Sizes, after: Sizes) -> tuple[str, ...]:
    """Return what is known of the caches that grew and have room to grow further."""
    return tuple(
        f"{name} holds {size:,} of {most:,}"
        for each, (name, size, most) in after.items()
        if size < most and size > before.get(each, (name, 0, most))[1]
    )
