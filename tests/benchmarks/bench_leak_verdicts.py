"""How often the leak test is right: functions that leak or do not, each in fresh processes."""

from __future__ import annotations

import functools
import itertools
import json
import random
import subprocess
import sys
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from memopt_cli.testing import find_leak

if TYPE_CHECKING:
    from collections.abc import Callable

REPEATS = 10
NUMBERS = itertools.count()
KEPT: list[Any] = []
TABLE: dict[int, Any] = {}
RING: deque[list[int]] = deque(maxlen=500)


class Node:
    """Refers to itself."""

    def __init__(self) -> None:
        self.me = self


def cache(bound: int | None) -> Callable[[], object]:
    """Return a function that fills a cache."""
    cached = functools.lru_cache(maxsize=bound)(lambda number: str(number) * 3)
    return lambda: cached(next(NUMBERS))


def sawtooth() -> None:
    """Fill a list and empty it."""
    TABLE.setdefault(0, []).append([1])
    if len(TABLE[0]) >= 300:
        TABLE[0].clear()


def rarely() -> None:
    """Leak once in a hundred calls."""
    if not next(NUMBERS) % 100:
        KEPT.append(bytes(64))


FUNCTIONS: dict[str, Callable[[], object]] = {
    "clean: nothing": lambda: None,
    "clean: parsing": lambda: json.loads('{"a": [1, 2, 3]}'),
    "clean: cycles": Node,
    "clean: cache of 128": cache(128),
    "clean: cache of 4096": cache(4096),
    "clean: ring of 500": lambda: RING.append([1]),
    "clean: last of random size": lambda: TABLE.update({0: bytes(random.randrange(10_000))}),
    "clean: sawtooth": sawtooth,
    "not full yet: cache of 50,000": cache(50_000),
    "not full yet: 2,000 random keys": lambda: TABLE.update({random.randrange(2000): [0]}),
    "leak: object": lambda: KEPT.append(object()),
    "leak: list of None": lambda: KEPT.append(None),
    "leak: parsed": lambda: KEPT.append(json.loads('{"a": [1, 2, 3]}')),
    "leak: table": lambda: TABLE.update({next(NUMBERS): object()}),
    "leak: cycles": lambda: KEPT.append(Node()),
    "leak: 10 kB": lambda: KEPT.append(bytes(10_000)),
    "leak: unbounded cache": cache(None),
    "leak: 64 B in one of 100": rarely,
}


def main() -> None:
    """Print the verdicts of each function."""
    if len(sys.argv) > 1:
        print(find_leak(FUNCTIONS[sys.argv[1]]).verdict)
        return
    for name in FUNCTIONS:
        command = [sys.executable, "-m", "tests.benchmarks.bench_leak_verdicts", name]
        told = Counter(
            subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
            for _ in range(REPEATS)
        )
        print(f"{name:35}", ", ".join(f"{verdict} {count}" for verdict, count in told.items()))


if __name__ == "__main__":
    main()
