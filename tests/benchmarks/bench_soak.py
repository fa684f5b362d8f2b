"""
A day of connections on the state pool: what it costs in CPU time, and whether it adds up.

    python -m tests.benchmarks.bench_soak [--hours 24] [--connections 100000] [--quick]

Steps of one second of simulated time: 100 connections leave and as many arrive, and each sends
one message a minute, all drawn at random. Twice: arrivals and departures one by one, and in
batches; messages always in batches, each handle checked. At the end every count must be what
was driven, and a handle that was released must be refused. Takes about one minute.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, field
from time import process_time_ns
from typing import TYPE_CHECKING, Any

import numpy as np

from memopt_cli.analysis.statistics import fit_line
from memopt_cli.errors import StaleHandle
from memopt_cli.optimizer.state_pool import StatePool
from memopt_cli.profiler.process import ProcessReader
from tests.benchmarks.goals import Goal, print_goals

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ONE_BY_ONE, IN_BATCHES = "one by one", "in batches"
TICKS_PER_HOUR = 3600
TICKS_PER_DAY = 24 * TICKS_PER_HOUR
ARRIVALS_PER_S = 100
MESSAGE_EVERY_S = 60
SIZES_BYTES = (64, 1024)
MOST_CPU_S = 60


@dataclass(slots=True)
class Driven:
    """What was asked of the pool, counted beside it."""

    arrivals: int = 0
    messages: int = 0
    message_bytes: int = 0
    departed_messages: int = 0
    """Of connections that have left, as the pool had counted them."""

    departed_bytes: int = 0

    @property
    def events(self) -> int:
        """Arrivals, departures and messages."""
        return 2 * self.arrivals + self.messages


@dataclass(slots=True)
class Memory:
    """Anonymous memory over simulated hours, after the first tenth."""

    hours: list[float] = field(default_factory=list)
    anonymous_bytes: list[float] = field(default_factory=list)

    def growth(self, arrivals_per_s: float) -> str:
        """Return the slope by the hour and by arrival: a forgotten object is 16 B or more."""
        line = fit_line(self.hours, self.anonymous_bytes)
        if line is None:
            return "not fitted"
        per_arrival_bytes = line.slope / TICKS_PER_HOUR / arrivals_per_s
        return (
            f"{line.slope:+,.0f} B ±{line.slope_half_width:,.0f} per simulated hour after the "
            f"first tenth, {per_arrival_bytes:+.4f} B per arrival"
        )


class Soak:
    """A population whose connections come, speak and go."""

    def __init__(self, kind: str, connections: int) -> None:
        self.pool = StatePool()
        self.driven = Driven()
        self.pool_ns = 0
        self.memory = Memory()
        self._random = np.random.default_rng(1)
        self._connections = connections
        self._turn_over = self._one_by_one if kind == ONE_BY_ONE else self._in_batches
        self.handles: NDArray[np.uint64] = self._call(self.pool.acquire_many, connections)
        self.gone = 0

    def run(self, ticks: int) -> None:
        """Let so many seconds pass."""
        with ProcessReader(os.getpid()) as reader:
            for tick in range(ticks):
                self._tick(float(tick))
                if tick % max(ticks // 20, 1) == 0 and tick > ticks // 10:
                    self.memory.hours.append(tick / TICKS_PER_HOUR)
                    self.memory.anonymous_bytes.append(reader.footprint().anonymous_bytes)

    def _tick(self, at_s: float) -> None:
        draw, connections = self._random, self._connections
        leaving = draw.choice(connections, draw.poisson(ARRIVALS_PER_S), replace=False)
        self._turn_over(leaving)
        messages = draw.poisson(connections / MESSAGE_EVERY_S)
        senders = self.handles[draw.integers(0, connections, messages)]
        sizes_bytes = draw.integers(*SIZES_BYTES, messages)
        self._call(self.pool.note_received_many, senders, sizes_bytes, at_s)
        self.driven.messages += messages
        self.driven.message_bytes += int(sizes_bytes.sum())

    def _one_by_one(self, leaving: NDArray[np.int64]) -> None:
        """Replace connections through `release` and `acquire`."""
        arrived = self._call(self._replaced, self.handles[leaving].tolist())
        self.handles[leaving] = arrived
        self.driven.arrivals += len(leaving)

    def _replaced(self, handles: list[int]) -> list[int]:
        """Release handles, and return as many new ones."""
        pool, driven = self.pool, self.driven
        for handle in handles:
            state = pool[handle]
            driven.departed_messages += state.received
            driven.departed_bytes += state.received_bytes
            pool.release(handle)
            self.gone = handle
        return [pool.acquire() for _ in handles]

    def _in_batches(self, leaving: NDArray[np.int64]) -> None:
        """Replace connections through `release_many` and `acquire_many`."""
        handles = self.handles[leaving]
        self.driven.departed_messages += self._call(self._total, "received", handles)
        self.driven.departed_bytes += self._call(self._total, "received_bytes", handles)
        self._call(self.pool.release_many, handles)
        self.handles[leaving] = self._call(self.pool.acquire_many, len(leaving))
        self.driven.arrivals += len(leaving)
        if len(handles):
            self.gone = int(handles[0])

    def _total(self, name: str, handles: NDArray[np.uint64]) -> int:
        """Return the sum of a count of connections."""
        return int(self.pool.column(name, handles).sum())

    def _call(self, call: Callable[..., Any], *arguments: object) -> Any:
        """Call the pool, and note the CPU time it took."""
        began_ns = process_time_ns()
        result = call(*arguments)
        self.pool_ns += process_time_ns() - began_ns
        return result

    def faults(self) -> list[str]:
        """Return what does not add up."""
        driven, stats = self.driven, self.pool.stats()
        living = [self._total(name, self.handles) for name in ("received", "received_bytes")]
        expected = {
            "in use": (stats.in_use, self._connections),
            "created": (stats.created, self._connections),
            "reused": (stats.reused, driven.arrivals),
            "messages": (living[0] + driven.departed_messages, driven.messages),
            "bytes": (living[1] + driven.departed_bytes, driven.message_bytes),
        }
        return [
            f"{name}: {found:,} in the pool, {wanted:,} driven"
            for name, (found, wanted) in expected.items()
            if found != wanted
        ]

    def refuses_stale(self) -> bool:
        """Return whether a batch with one released handle is refused, and nothing counted."""
        batch = np.append(self.handles[:9], np.uint64(self.gone))
        before = self._total("received", self.handles[:9])
        try:
            self.pool.note_received_many(batch, np.full(10, 64), 0.0)
        except StaleHandle:
            return self._total("received", self.handles[:9]) == before
        return False


def soak(kind: str, connections: int, ticks: int) -> tuple[float, list[str]]:
    """Drive, print what was found, and return the CPU seconds and the faults."""
    began_ns = process_time_ns()
    run = Soak(kind, connections)
    run.run(ticks)
    spent_s = (process_time_ns() - began_ns) / 1e9
    driven, pool_s = run.driven, run.pool_ns / 1e9
    faults = run.faults()
    if not run.refuses_stale():
        faults.append("a batch with a released handle was not refused whole")
    print(f"\nArrivals and departures {kind}, {ticks / TICKS_PER_HOUR:,.2f} simulated hours")
    print(
        f"  {driven.events:,} events: {driven.messages:,} messages, {driven.arrivals:,} arrivals"
        f" and as many departures"
    )
    print(
        f"  CPU {spent_s:,.2f} s: the pool's calls {pool_s:,.2f} s, the driving loop "
        f"{spent_s - pool_s:,.2f} s; {spent_s / max(driven.events, 1) * 1e9:,.0f} ns per event"
    )
    print(f"  anonymous memory {run.memory.growth(driven.arrivals / ticks)}")
    for fault in faults:
        print(f"  WRONG {fault}")
    if not faults:
        print(
            "  in use, created, reused, messages and bytes are what was driven; "
            "a batch with a released handle was refused whole"
        )
    return spent_s, faults


def main() -> None:
    """Soak twice, and say whether all added up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    ticks = round(options.hours * TICKS_PER_HOUR)
    connections = options.connections
    if options.quick:
        ticks, connections = 200, 2000
    goals, faults = [], []
    for kind in (ONE_BY_ONE, IN_BATCHES):
        spent_s, found = soak(kind, connections, ticks)
        faults += found
        whole = ticks == TICKS_PER_DAY and connections == options.connections
        goals.append(Goal(f"24 h, {kind}", spent_s if whole else None, MOST_CPU_S, "s CPU"))
    print_goals(goals)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
