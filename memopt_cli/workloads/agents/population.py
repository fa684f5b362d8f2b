"""The population: agents that arrive, see, decide and act, and leave."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import numpy as np

from memopt_cli.optimizer.malloc import trim
from memopt_cli.workloads.agents.batched import FAULTS
from memopt_cli.workloads.agents.habitat import Habitat
from memopt_cli.workloads.agents.kinds import Turns, kinds_of
from memopt_cli.workloads.agents.minds import OneByOne
from memopt_cli.workloads.agents.probing import Probing
from memopt_cli.workloads.agents.profiling import Profiling
from memopt_cli.workloads.population import Forgotten, InProcess

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from memopt_cli.optimizer.agents.model import Ints
    from memopt_cli.profiler.histogram import Histogram
    from memopt_cli.workloads.agents.minds import Minds
    from memopt_cli.workloads.settings import AgentsSettings

AT_ONCE = 4096
"""Agents that see and act together: bounds the scratch arrays of their worlds."""

_REHEARSED = "G3"
_TRAIL = struct.Struct("<QQQ")


class Agents(InProcess):
    """Agents of one variant, in worlds that are the same for every variant."""

    def __init__(self, settings: AgentsSettings, minds: Minds, *, latency: Histogram) -> None:
        super().__init__(latency)
        self.minds = minds
        self._kinds, shares = map(list, zip(*kinds_of(settings), strict=True))
        self._turns = Turns(shares)
        self._habitat = Habitat(self._kinds, seed=settings.seed, capacity=settings.capacity)
        self._arrived = self._alive = 0
        self._step_leak = Forgotten(settings.leak_bytes)
        self._cycle_leak = Forgotten(settings.leak_per_cycle_bytes)
        self._leaks = bool(settings.leak_bytes), bool(settings.leak_per_cycle_bytes)
        threads = settings.threads
        self._threads = threads
        self._probing: Probing | None = None
        self._profiling: Profiling | None = None
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    @property
    def units(self) -> int:
        """Agents alive."""
        return self._alive

    def open(self, slot: int, at_s: float) -> None:
        """Begin one agent."""
        self.grow([slot], at_s)

    def message(self, slot: int, code: int, at_s: float) -> None:
        """Let one agent see, decide and act."""
        self.drive([slot], [code], at_s)

    def close(self, slot: int, at_s: float) -> None:  # noqa: ARG002 - as populations are told
        """End one agent, and forget what is planted."""
        self.minds.end(slot)
        self._alive -= 1
        if self._leaks[1]:
            self._cycle_leak.forget()

    def grow(self, slots: Sequence[int], at_s: float) -> None:
        """Begin one agent in each slot, of the kinds in their shares."""
        for part in _parts(np.array(slots, dtype=np.intp)):
            numbers = np.arange(self._arrived, self._arrived + len(part))
            self._arrived += len(part)
            kinds = np.array([self._turns.next() for _ in part], dtype=np.intp)
            self._habitat.settle(part, numbers, kinds)
            for number in np.unique(kinds):
                for took_ns in self.minds.begin(part[kinds == number], self._kinds[number], at_s):
                    self._record(took_ns)
            self._alive += len(part)

    def drive(self, slots: Sequence[int], codes: Sequence[int], at_s: float) -> None:  # noqa: ARG002 - as populations are told
        """
        Let the agent in each slot see, decide and act; one that is named twice does so twice.

        Only what the agents do is timed, not their worlds; with threads, what they wait for each
        other is in it. Nothing that an agent does may depend on how many threads there are.
        """
        for turn in _rounds(np.array(slots, dtype=np.intp)):
            parts = list(self._work(turn))
            done = (
                map(self._turn, parts) if self._pool is None else self._pool.map(self._turn, parts)
            )
            for took in done:
                for took_ns in took:
                    self._record(took_ns)
                    if self._leaks[0]:
                        self._step_leak.forget()
        self.minds.settle(at_s)

    def shrink(self, slots: Sequence[int], at_s: float) -> None:
        """End the agent in each slot."""
        for slot in slots:
            self._observed.update(self.observe(slot))
            started = perf_counter_ns()
            self.close(slot, at_s)
            self._record(perf_counter_ns() - started)
        self._habitat.leave(np.array(slots, dtype=np.intp))

    def observe(self, slot: int) -> bytes:
        """Return what the world saw of an agent, and what the agent remembers of itself."""
        history = np.array(self.minds.history(slot), dtype=np.int32)
        return _TRAIL.pack(*self._habitat.trail(slot)) + history.tobytes()

    def alive(self) -> list[int]:
        """Return the slots in use, in order."""
        found: list[int] = self._habitat.living().tolist()
        return found

    def probe(
        self, message: dict[str, Any], blocks: list[bytes]
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Step agents that somebody outside leads, see `Probing`; or see `Profiling`."""
        if message["probe"] == "profile":
            return self._profile(message), []
        if self._probing is None:
            self._probing = Probing(self.minds, self._habitat.room)
        return self._probing.answer(message, blocks)

    @contextmanager
    def in_one_thread(self) -> Iterator[None]:
        """Step agents one part after the other in this thread, until the end of the block."""
        pool, self._pool = self._pool, None
        try:
            yield
        finally:
            self._pool = pool

    def _profile(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["what"] == "open":
            taken = set(self.alive())
            free = [slot for slot in range(self._habitat.room) if slot not in taken]
            self._profiling = Profiling(self, free[: message["agents"]], message["at_s"])
            return {"agents": len(free[: message["agents"]])}
        if self._profiling is None:
            raise AssertionError("a profile is opened first")
        return self._profiling.answer(message["what"])

    def _work(self, slots: Ints) -> Iterator[tuple[int, Ints]]:
        """Yield agents that one thread steps: of one kind, and with one scratch in common."""
        kinds = self._habitat.kinds[slots]
        for number in np.unique(kinds):
            some = slots[kinds == number]
            for thread in range(self._threads):
                mine = some[some % self._threads == thread]
                if len(mine):
                    yield int(number), mine

    def _turn(self, work: tuple[int, Ints]) -> list[int]:
        """Let some agents see, decide and act; return the nanoseconds of each."""
        number, slots = work
        took = []
        for part in _parts(slots):
            seen = self._habitat.seen(part, number)
            codes, part_took = self.minds.step(part, self._kinds[number], seen)
            self._habitat.act(part, number, codes)
            took += part_took
        return took


def build(settings: AgentsSettings, *, latency: Histogram) -> Agents:
    """Return the population that a variant of a scenario describes."""
    _rehearse(replace(settings, models=(_REHEARSED,), shares=(1.0,), capacity=1, threads=1))
    population = Agents(settings, _minds(settings), latency=latency)
    # Agents could hide in what setting their worlds up took.
    trim()
    return population


def _minds(settings: AgentsSettings) -> Minds:
    if settings.layout == "batched":
        return FAULTS[settings.fault](settings)
    return OneByOne(settings)


def _rehearse(settings: AgentsSettings) -> None:
    """Let an agent of a small model live once, so that code is part of the fixed cost."""
    minds = _minds(settings)
    slots = np.zeros(1, dtype=np.intp)
    for kind, _ in kinds_of(settings):
        habitat = Habitat([kind], seed=settings.seed, capacity=1)
        habitat.settle(slots, slots, slots)
        minds.begin(slots, kind, 0.0)
        for _ in range(2):
            codes, _ = minds.step(slots, kind, habitat.seen(slots, 0))
            habitat.act(slots, 0, codes)
        minds.settle(0.0)
        minds.history(0)
        minds.end(0)


def _parts(slots: Ints) -> Iterator[Ints]:
    """Yield slots in pieces of bounded length."""
    for start in range(0, len(slots), AT_ONCE):
        yield slots[start : start + AT_ONCE]


def _rounds(slots: Ints) -> Iterator[Ints]:
    """Yield slots such that none is twice in one piece, in as few pieces as there must be."""
    order = np.argsort(slots, kind="stable")
    ordered = slots[order]
    first = np.searchsorted(ordered, ordered)
    rounds = np.arange(len(slots)) - first
    for number in range(int(rounds.max(initial=-1)) + 1):
        yield ordered[rounds == number]
