"""Each planted problem is found with its saving, a clean agent has none, and sizes add up."""

from __future__ import annotations

import functools
import sys
from collections import deque
from typing import Any

import numpy as np
import pytest

from memopt_cli.optimizer.agents import (
    HotspotKind,
    HotspotLimits,
    ModelStore,
    deep_bytes,
    find_hotspots,
)
from memopt_cli.optimizer.memory import reserve
from memopt_cli.units import format_size
from memopt_cli.workloads.agents.families import model_named
from memopt_cli.workloads.agents.naive import NaiveAgent

HEADER = sys.getsizeof(np.zeros(0))


class Agent:
    """An agent with nothing wrong, until something is put into it."""

    def __init__(self, **parts: Any) -> None:
        self.beliefs = [np.full(25, 1 / 25, dtype=np.float32)]
        self.cache = {number: number for number in range(100)}
        self.action_history = list(range(1000))
        for name, part in parts.items():
            setattr(self, name, part)


class Remembering(Agent):
    """One whose method remembers every answer it has given, to anybody."""

    @functools.lru_cache(maxsize=None)  # noqa: B019, UP033 - the fault that is to be found
    def answer(self, number: int) -> int:
        """Return a number."""
        return number


class Slotted:
    """An agent without a table of attributes."""

    __slots__ = ("__hidden", "beliefs")

    def __init__(self, hidden: object) -> None:
        self.beliefs, self.__hidden = (), hidden


def spots(agent: object) -> list[tuple[HotspotKind, str, int]]:
    """Return what was found: why, where, and what it would save."""
    return [(each.kind, each.path, each.saved_bytes) for each in find_hotspots(agent)]


def test_a_clean_agent_has_none() -> None:
    """An object with nothing above a limit, and the model that agents of a population share."""
    shared = ModelStore().intern(model_named("G10", 1))
    assert ([], []) == (spots(Agent()), spots(shared))


def test_zeros_that_are_stored_are_found() -> None:
    """Of 100 x 100 float32 with 50 that are not zero, 300 bytes would be left."""
    matrix = np.zeros((100, 100), dtype=np.float32)
    matrix.reshape(-1)[::200] = 1
    assert [(HotspotKind.SPARSE, ".matrix", 40_000 - 50 * 6)] == spots(Agent(matrix=matrix))
    matrix.reshape(-1)[::4] = 1
    assert [40_000 - 2500 * 6] == [each[2] for each in spots(Agent(matrix=matrix))]
    matrix.reshape(-1)[::2] = 1
    assert [] == spots(Agent(matrix=matrix))


def test_float64_is_found() -> None:
    """Half of it would be left; float32 of the same shape is clean."""
    matrix = np.ones((100, 100))
    assert [(HotspotKind.FLOAT64, ".parts['w']", 40_000)] == spots(Agent(parts={"w": matrix}))
    assert [] == spots(Agent(parts={"w": matrix.astype(np.float32)}))


def test_large_arrays_are_found_once_and_mapped_ones_are_clean() -> None:
    """Two views of one array are one; one that a file or the system backs is none."""
    matrix = np.ones((512, 1024), dtype=np.float32)
    agent = Agent(rows=[matrix[:3], matrix[3:]])
    assert [(HotspotKind.LARGE, ".rows[0].base", 1 << 21)] == spots(agent)
    mapped = np.ndarray((512, 1024), np.float32, reserve(1 << 21))
    mapped[:] = 1
    assert [] == spots(Agent(mapped=mapped))


@pytest.mark.parametrize(
    "cache",
    [
        {str(number): number for number in range(400)},
        list(range(1000, 1400)),
        set(range(1000, 1400)),
    ],
)
def test_unbounded_caches_are_found(cache: object) -> None:
    """Of 400 entries where 100 are enough, three quarters would be saved."""
    ((kind, path, saved),) = spots(Agent(cache=cache))
    assert (HotspotKind.CACHE, ".cache") == (kind, path)
    assert deep_bytes(cache) * 3 // 4 == saved


def test_functions_that_remember_without_a_bound_are_found() -> None:
    """On the object and on its class; with a bound they are clean."""
    lookup = functools.lru_cache(maxsize=None)(float)
    bounded = functools.lru_cache(maxsize=1000)(float)
    for number in range(200):
        lookup(number), bounded(number)
    ((kind, path, saved),) = spots(Agent(lookup=lookup, bounded=bounded))
    assert (HotspotKind.CACHE, ".lookup") == (kind, path)
    assert 5_000 < saved < 20_000
    agent = Remembering()
    for number in range(200):
        agent.answer(number)
    try:
        assert [(HotspotKind.CACHE, ".answer")] == [each[:2] for each in spots(agent)]
    finally:
        Remembering.answer.cache_clear()


def test_long_histories_and_heavy_beliefs_are_found() -> None:
    """A history of 2,000, beliefs of 6 MB; a deque with a bound is no such history."""
    history = list(range(1000, 3000))
    agent = Agent(
        action_history=history,
        event_history=deque(range(2000), maxlen=3000),
        beliefs=[np.full(1000, 1e-3) for _ in range(750)],
    )
    assert [
        (HotspotKind.BELIEFS, ".beliefs", 3_000_000),
        (HotspotKind.HISTORY, ".action_history", deep_bytes(history) // 2),
    ] == spots(agent)


def test_beliefs_of_float32_are_heavy_and_save_nothing_by_it() -> None:
    """The advice says what would be left, which is all of it."""
    beliefs = [np.full(1000, 1e-3, dtype=np.float32) for _ in range(1500)]
    (spot,) = find_hotspots(Agent(beliefs=beliefs))
    assert (HotspotKind.BELIEFS, 0) == (spot.kind, spot.saved_bytes)
    assert spot.advice.endswith(f"as float32 {format_size(spot.size_bytes)}.")


def test_the_naive_agent_has_what_the_population_saves() -> None:
    """Of a grid of 20 by 20: transitions and likelihoods sparse and double, and large."""
    agent = NaiveAgent(model_named("G20", 1))
    found = {(each.kind, each.path): each.saved_bytes for each in find_hotspots(agent)}
    transitions = agent.B[0]
    kept = np.count_nonzero(transitions) * 12
    assert transitions.nbytes - kept == found[HotspotKind.SPARSE, ".B[0]"]
    assert transitions.nbytes // 2 == found[HotspotKind.FLOAT64, ".B[0]"]
    assert transitions.nbytes == found[HotspotKind.LARGE, ".B[0]"]
    assert (HotspotKind.SPARSE, ".A[0]") in found


def test_limits_are_the_callers() -> None:
    """What one finds large another does not."""
    agent = Agent(matrix=np.ones(1000))
    assert [] == find_hotspots(agent)
    (spot,) = find_hotspots(agent, HotspotLimits(array_bytes=8000))
    assert (8000, 4000) == (spot.size_bytes, spot.saved_bytes)


def test_deep_size_counts_each_array_once_wherever_it_is() -> None:
    """In lists, dicts, sets of tuples, attributes and slots, and by views of it."""
    matrix = np.ones(1000)
    plain = deep_bytes([matrix])
    assert HEADER + 8000 + sys.getsizeof([matrix]) == plain
    assert plain + 8 == deep_bytes([matrix, matrix])
    view = matrix[:2]
    assert plain + 8 + sys.getsizeof(view) == deep_bytes([view, matrix])
    assert deep_bytes([view, matrix]) == deep_bytes([matrix, view])
    for holder in (Agent(x=matrix), {"x": {1: [matrix]}}, Slotted(matrix), deque([matrix])):
        assert 8000 < deep_bytes(holder) < 60_000
    nested: list[Any] = []
    for _ in range(20_000):
        nested = [nested]
    nested.append(nested)
    assert 20_000 * 64 < deep_bytes(nested)
