"""
Where agents of a run live: worlds that cost the same, and next to nothing, for every variant.

A world is a place, a count and a checksum in columns that are written once before the first
agent arrives, so they are part of the fixed cost. What is random in a world is computed from
the run's seed, the agent's number and its step, not drawn from a generator that the world
would have to own: an agent that sleeps, or is stepped by another thread, misses nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from memopt_cli.workloads.agents.world import Rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from memopt_cli.optimizer.agents.model import Floats, Ints
    from memopt_cli.workloads.agents.kinds import Kind

SEE, ACT, BEGIN = range(3)
"""What draws are for; no two of a step may be the same."""

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_PRIME: Final = np.uint64(0x100000001B3)


class Habitat:
    """The world of each agent, by slot."""

    def __init__(self, kinds: Sequence[Kind], *, seed: int, capacity: int) -> None:
        self._rules = [Rules(kind.model()) for kind in kinds]
        self._seed = np.uint64(seed)
        factors = max(rules.factors for rules in self._rules)
        # Filled, so that every page is there before the first agent.
        self._at = np.full((capacity, factors), -1, dtype=np.int32)
        self._steps = np.full(capacity, -1, dtype=np.int32)
        self.numbers = np.full(capacity, -1, dtype=np.int64)
        self.kinds = np.full(capacity, -1, dtype=np.int16)
        self._trail: NDArray[Any] = np.full(capacity, 1, dtype=np.uint64)

    def settle(self, slots: Ints, numbers: Ints, kinds: Ints) -> None:
        """Put new agents, each known by its number, somewhere in worlds of their kinds."""
        self._make_room(int(slots.max(initial=-1)) + 1)
        self.numbers[slots], self.kinds[slots] = numbers, kinds
        self._steps[slots], self._trail[slots] = 0, 1
        for kind in np.unique(kinds):
            some = slots[kinds == kind]
            rules = self._rules[kind]
            self._at[some, : rules.factors] = rules.start(self._draws(some, rules, BEGIN))

    def leave(self, slots: Ints) -> None:
        """Forget the worlds of agents that ended."""
        self.kinds[slots] = -1

    @property
    def room(self) -> int:
        """The first slot that nobody has had."""
        return len(self.kinds)

    def living(self) -> Ints:
        """Return the slots in use, in order."""
        return np.flatnonzero(self.kinds >= 0)

    def seen(self, slots: Ints, kind: int) -> Ints:
        """Return what agents of one kind see, [agent, modality]."""
        rules = self._rules[kind]
        at = self._at[slots, : rules.factors].astype(np.intp)
        return rules.seen(at, self._draws(slots, rules, SEE))

    def act(self, slots: Ints, kind: int, codes: Ints) -> None:
        """Let agents of one kind, each named once, do what they chose."""
        rules = self._rules[kind]
        at = self._at[slots, : rules.factors].astype(np.intp)
        self._at[slots, : rules.factors] = rules.after(at, codes, self._draws(slots, rules, ACT))
        self._steps[slots] += 1
        self._trail[slots] = (self._trail[slots] ^ (codes + 1).astype(np.uint64)) * _PRIME

    def trail(self, slot: int) -> tuple[int, int, int]:
        """Return an agent's number, how often it has acted, and a checksum of all it did."""
        return int(self.numbers[slot]), int(self._steps[slot]), int(self._trail[slot])

    def _draws(self, slots: Ints, rules: Rules, use: int) -> Floats:
        """
        Return numbers from 0 to 1, [agent, draw].

        splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
        OOPSLA 2014) of a counter that no other agent, step or use has.
        """
        width = rules.draws
        agents = _mixed(self.numbers[slots].astype(np.uint64) * _GOLDEN + self._seed)
        counts = self._steps[slots].astype(np.uint64) * np.uint64(3) + np.uint64(use)
        first = agents + counts * np.uint64(width) * _GOLDEN
        drawn = _mixed(first[:, None] + np.arange(width, dtype=np.uint64) * _GOLDEN)
        return (drawn >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def _make_room(self, count: int) -> None:
        if count <= len(self.kinds):
            return
        more = max(count, len(self.kinds) + len(self.kinds) // 4) - len(self.kinds)
        for name in ("_at", "_steps", "numbers", "kinds", "_trail"):
            old = getattr(self, name)
            fresh = np.full((more, *old.shape[1:]), 1 if name == "_trail" else -1, old.dtype)
            setattr(self, name, np.concatenate([old, fresh]))


def _mixed(values: NDArray[Any]) -> NDArray[Any]:
    """Return the finalizer of splitmix64; unsigned products wrap."""
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    mixed: NDArray[Any] = values ^ (values >> np.uint64(31))
    return mixed
