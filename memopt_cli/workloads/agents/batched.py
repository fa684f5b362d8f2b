"""Agents as rows of populations, stepped together; and faults that a judge must find."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING

import numpy as np

from memopt_cli.optimizer.agents import TIERS, ModelStore, Population
from memopt_cli.optimizer.malloc import trim
from memopt_cli.workloads.agents.minds import OneByOne, shares

if TYPE_CHECKING:
    from memopt_cli.optimizer.agents import Tier
    from memopt_cli.optimizer.agents.model import Floats, Ints
    from memopt_cli.workloads.agents.kinds import Kind
    from memopt_cli.workloads.agents.minds import Stepped
    from memopt_cli.workloads.settings import AgentsSettings

NOBODY = -1


class Batched:
    """
    One population per kind, all on one store; agents that learn are objects beside them.

    The table from slots to handles has its full length from the start, as that of objects has.
    """

    def __init__(self, settings: AgentsSettings) -> None:
        self._settings = settings
        self._tier: Tier = next(tier for tier in TIERS if tier == settings.tier)
        self._store = ModelStore()
        self._populations: list[Population] = []
        self._known: dict[Kind, int] = {}
        self._handles = np.full(settings.capacity, NOBODY, dtype=np.int64)
        self._owners = np.full(settings.capacity, NOBODY, dtype=np.int16)
        self._learners = OneByOne(settings)
        self._at_s = 0.0

    def begin(self, slots: Ints, kind: Kind, at_s: float) -> list[int]:
        """Add rows for agents of one kind."""
        self._at_s = at_s
        self._make_room(int(slots.max()) + 1)
        if kind.learns:
            self._owners[slots] = NOBODY
            return self._learners.begin(slots, kind, at_s)
        started = perf_counter_ns()
        number = self._population_of(kind)
        self._handles[slots] = self._populations[number].add(len(slots))
        self._owners[slots] = number
        return shares(perf_counter_ns() - started, len(slots))

    def step(self, slots: Ints, kind: Kind, seen: Ints) -> Stepped:
        """Step agents of one kind together."""
        if kind.learns:
            return self._learners.step(slots, kind, seen)
        population = self._population(int(slots[0]))
        started = perf_counter_ns()
        codes = population.step(seen, self._handles[slots])
        return codes, shares(perf_counter_ns() - started, len(slots))

    def end(self, slot: int) -> None:
        """End an agent."""
        if self._owners[slot] == NOBODY:
            self._learners.end(slot)
            return
        self._population(slot).remove(int(self._handles[slot]))
        self._owners[slot] = NOBODY

    def settle(self, at_s: float) -> None:
        """Let those sleep who have been idle for as long as the variant has it."""
        self._at_s = at_s
        if self._settings.hibernate_s is not None:
            for population in self._populations:
                population.hibernate_idle(self._settings.hibernate_s)

    def restart(self, slots: Ints) -> None:
        """Let agents begin anew."""
        for number in np.unique(self._owners[slots]):
            if number != NOBODY:
                some = slots[self._owners[slots] == number]
                self._populations[number].restart(self._handles[some])

    def did(self, slot: int, code: int) -> None:
        """Tell an agent that it did something else."""
        if self._owners[slot] != NOBODY:
            self._population(slot).did(int(self._handles[slot]), code)

    def beliefs(self, slot: int) -> Floats:
        """Return what an agent believes."""
        if self._owners[slot] == NOBODY:
            return self._learners.beliefs(slot)
        return np.concatenate(self._population(slot).beliefs(int(self._handles[slot])))

    def history(self, slot: int) -> list[int]:
        """Return the latest actions of an agent; one that sleeps wakes for it."""
        if self._owners[slot] == NOBODY:
            return self._learners.history(slot)
        found = self._population(slot).history(int(self._handles[slot]))
        return found[-self._settings.history :]

    def _population(self, slot: int) -> Population:
        return self._populations[int(self._owners[slot])]

    def _population_of(self, kind: Kind) -> int:
        """Return the number of the kind's population, made if it is the first of its kind."""
        if kind not in self._known:
            self._known[kind] = len(self._populations)
            self._populations.append(self._made(kind))
        return self._known[kind]

    def _made(self, kind: Kind) -> Population:
        shared = self._store.intern(kind.model())
        # Making a model and compiling it take ten times what is kept of it.
        trim()
        return Population(
            shared,
            tier=self._tier,
            history=self._settings.history,
            clock=lambda: self._at_s,
        )

    def _make_room(self, count: int) -> None:
        if count > len(self._handles):
            more = np.full(count - len(self._handles), NOBODY)
            self._handles = np.concatenate([self._handles, more.astype(np.int64)])
            self._owners = np.concatenate([self._owners, more.astype(np.int16)])


class Forgetting(Batched):
    """A planted fault: beliefs are deleted after each step, which saves all their memory."""

    def step(self, slots: Ints, kind: Kind, seen: Ints) -> Stepped:
        """Step agents that believe in nothing but the priors."""
        stepped = super().step(slots, kind, seen)
        self.restart(slots)
        return stepped

    def did(self, slot: int, code: int) -> None:
        """Do nothing: that, too, is forgotten."""

    def beliefs(self, slot: int) -> Floats:  # noqa: ARG002 - as minds are asked
        """Return nothing: there is nothing."""
        return np.empty(0)


class NotANumber(Batched):
    """A planted fault: one belief of each agent is NaN."""

    def beliefs(self, slot: int) -> Floats:
        """Return the beliefs with the fault."""
        found = super().beliefs(slot)
        found[0] = np.nan
        return found


class Merging(Batched):
    """A planted fault: models are known by their shape, so different ones become one."""

    def _made(self, kind: Kind) -> Population:
        for other, number in self._known.items():
            if (other.name, other.learns) == (kind.name, kind.learns) and other != kind:
                return self._populations[number]
        return super()._made(kind)


FAULTS: dict[str, type[Batched]] = {
    "none": Batched,
    "forgets": Forgetting,
    "nan": NotANumber,
    "merges": Merging,
}
