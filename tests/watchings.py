"""Recordings of watches made by hand: planted growth of each kind, and healthy twins."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

from memopt_cli.analysis.attribution import Growth, Suspect
from memopt_cli.analysis.readings import Readings
from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.results import Estimate, How
from memopt_cli.analysis.watching import ProcessRecording, Reading, WatchRecording
from tests.making import KIB, MIB, MS, histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

HOUR_S = 3600.0

SUSPECT = Suspect(
    file="/srv/app.py",
    line=35,
    bytes_per_hour=Estimate(12 * MIB, 11 * MIB, 13 * MIB, How.FITTED),
    bytes_per_operation=Estimate(96.0, 90.0, 102.0, How.FITTED),
    bytes_per_entry=96.0,
    holder="app.service.kept",
    contents="list of 40,000 Record objects",
    growths=(
        Growth(140_000, "list", 40_000, Estimate(131_072, 130_000, 132_144, How.FITTED), None),
    ),
)


def reading(at_s: float, **changes: Any) -> Reading:
    """Return a reading of a process that does nothing and holds 64 MiB, with an agent inside."""
    values: dict[str, Any] = {
        "at_s": at_s,
        "rss_bytes": 80 * MIB,
        "resident_anonymous_bytes": 64 * MIB,
        "cpu_s": at_s / 4,
        "threads": 4,
        "fds": 12,
        "gc_pauses": 0,
        "gc_pause_s": 0.0,
        "gc_pause_max_s": 0.0,
        "cost_s": 0.0004,
        "inside_cost_s": 0.0001,
        "malloc_in_use_bytes": 30 * MIB,
        "malloc_free_bytes": 10 * MIB,
        "allocated_blocks": 500_000,
    }
    return Reading(**{**values, **changes})


def readings(
    *,
    over_s: float = HOUR_S,
    every_s: float = 10.0,
    begins_s: float = 0.0,
    anonymous: Callable[[float], float] = lambda _: 0.0,
    malloc: Callable[[float], float] | None = lambda _: 0.0,
    free: Callable[[float], float] = lambda _: 0.0,
    blocks: Callable[[float], float] = lambda _: 0.0,
    operations: Callable[[float], float] | None = None,
    seed: int = 1,
) -> list[Reading]:
    """Return readings whose metrics are above their levels by functions of time, with noise."""
    chance = random.Random(seed)
    made = []
    for number in range(1, int(over_s / every_s) + 1):
        at_s = number * every_s
        size = 64 * MIB + anonymous(at_s) + chance.gauss(0, 64 * KIB)
        inside: dict[str, Any] = {
            "malloc_in_use_bytes": None,
            "malloc_free_bytes": None,
            "allocated_blocks": None,
        }
        if malloc is not None:
            inside = {
                "malloc_in_use_bytes": round(30 * MIB + malloc(at_s) + chance.gauss(0, 8 * KIB)),
                "malloc_free_bytes": round(10 * MIB + free(at_s) + chance.gauss(0, 16 * KIB)),
                "allocated_blocks": round(500_000 + blocks(at_s) + chance.gauss(0, 200)),
            }
        made.append(
            reading(
                begins_s + at_s,
                resident_anonymous_bytes=round(size) & ~4095,
                rss_bytes=round(size) + 16 * MIB,
                operations=None if operations is None else operations(at_s),
                gc_pauses=int(number % 10 == 0),
                gc_pause_s=0.004 * (number % 10 == 0),
                gc_pause_max_s=0.004 * (number % 10 == 0),
                **inside,
            )
        )
    return made


def process(read: Iterable[Reading] = (), **changes: Any) -> ProcessRecording:
    """Return the recording of a process that outlived its watch, with an agent inside."""
    kept = Readings(read)
    pauses = sum(one.gc_pauses for one in kept)
    values: dict[str, Any] = {
        "pid": 4711,
        "parent_pid": 1,
        "command": "python app.py",
        "began_s": kept[0].at_s - 0.5 if kept else 0.0,
        "ended_s": None,
        "inside": "",
        "readings": kept,
        "pauses": {0: histogram(*[4 * MS] * pauses)} if pauses else {},
        "pauses_lost": 0,
    }
    return ProcessRecording(**{**values, **changes})


def watching(*processes: ProcessRecording, **changes: Any) -> WatchRecording:
    """Return the recording of a watch that ended by itself."""
    ends_s = [one.readings[-1].at_s for one in processes if one.readings]
    values: dict[str, Any] = {
        "target": "python app.py",
        "started_at": "2026-01-31T12:00:00Z",
        "interval_s": 10.0,
        "outcome": Outcome.FINISHED,
        "reason": "",
        "signal": None,
        "exit_status": None,
        "environment": {"python": "CPython 3.11.7", "cores": 2, "memory_bytes": 8 * 1024**3},
        "wall_s": max(ends_s, default=0.0),
        "processes": processes,
    }
    return WatchRecording(**{**values, **changes})


def per_hour(size: float) -> Callable[[float], float]:
    """Return a line of so much per hour."""
    return lambda at_s: size * at_s / HOUR_S


def filling(size: float, within_s: float) -> Callable[[float], float]:
    """Return what fills up to a size: a bounded cache under random keys."""
    return lambda at_s: size * (1 - math.exp(-at_s / within_s))


def leaking(size: float = 12 * MIB, **changes: Any) -> ProcessRecording:
    """Return a process that keeps Python objects, by a line that was found."""
    read = readings(
        anonymous=per_hour(size),
        malloc=per_hour(size / 3),
        blocks=per_hour(size / 64),
        operations=lambda at_s: 40 * at_s,
    )
    return process(read, **{"suspects": (SUSPECT,), "looks": 60, "traced_s": 15.0, **changes})


def flat(**changes: Any) -> ProcessRecording:
    """Return a process that keeps nothing."""
    return process(readings(seed=int(changes.get("pid", 1))), **changes)


def natively_leaking(size: float = 12 * MIB) -> ProcessRecording:
    """Return a process whose extension keeps memory of malloc's."""
    return process(readings(anonymous=per_hour(size), malloc=per_hour(size)))


def fragmented(size: float = 12 * MIB, **changes: Any) -> ProcessRecording:
    """Return a process that grows by what malloc holds free."""
    return process(readings(anonymous=per_hour(size), free=per_hour(size)), **changes)


def mapping(size: float = 12 * MIB) -> ProcessRecording:
    """Return a process that grows by memory which malloc and Python know nothing of."""
    return process(readings(anonymous=per_hour(size)))


def hiding(size: float = 8 * MIB) -> ProcessRecording:
    """Return a process whose leak is still within heap that was free."""
    return process(readings(malloc=per_hour(size), free=per_hour(-size), blocks=per_hour(10_000)))


def caching(size: float = 40 * MIB) -> ProcessRecording:
    """Return a process with a cache that levels off in the first fifth."""
    cache = filling(size, 180.0)
    return process(
        readings(
            anonymous=cache,
            malloc=lambda at_s: cache(at_s) / 3,
            blocks=lambda at_s: cache(at_s) / 100,
        )
    )


def workers(count: int, *leaks: int) -> list[ProcessRecording]:
    """Return a parent and its workers, those of some numbers leaking."""
    parent = flat(pid=100, command="python serve.py")
    return [parent] + [
        leaking(pid=101 + number, parent_pid=100, command=f"worker {number}")
        if number in leaks
        else flat(pid=101 + number, parent_pid=100, command=f"worker {number}")
        for number in range(count)
    ]


def replaced(
    per_hour_bytes: float, *, lives: int = 15, life_s: float = 230.0
) -> list[ProcessRecording]:
    """Return a parent, and a worker that it replaces after 23 readings."""
    found = [flat(pid=100, command="python serve.py")]
    for number in range(lives):
        begins_s = number * life_s
        read = readings(
            over_s=life_s,
            begins_s=begins_s,
            anonymous=lambda s, n=number: n % 3 * 6 * MIB + per_hour(per_hour_bytes)(s),  # type: ignore[misc] # of a default
            malloc=None,
            seed=number,
        )
        ended_s = None if number == lives - 1 else begins_s + life_s + 5
        found.append(
            process(
                read,
                pid=200 + number,
                parent_pid=100,
                command="worker",
                began_s=begins_s,
                ended_s=ended_s,
            )
        )
    return found


def spawning(*, every_s: float = 180.0, over_s: float = HOUR_S) -> list[ProcessRecording]:
    """Return a parent that starts a process every three minutes and ends none."""
    found = [flat(pid=100, command="python serve.py")]
    begins: Sequence[float] = [every_s * number for number in range(1, int(over_s / every_s))]
    for number, begins_s in enumerate(begins):
        read = readings(over_s=over_s - begins_s, begins_s=begins_s, seed=number)
        child = process(
            read, pid=200 + number, parent_pid=100, command="python child.py", began_s=begins_s
        )
        found.append(child)
    return found
