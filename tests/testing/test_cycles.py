"""Units that are created, used and destroyed, and what is left of them."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING

import pytest

from memopt_cli.analysis.results import LeakVerdict
from memopt_cli.errors import LeakFound, UsageError
from memopt_cli.testing import cycle_test

if TYPE_CHECKING:
    from collections.abc import Callable


class Note:
    """One small object, of a size that is the same in all versions of Python."""

    __slots__ = ("text",)


class Agent:
    """Holds beliefs, and itself."""

    def __init__(self) -> None:
        self.me = self
        self.beliefs = [0.0] * 100
        self.history: list[list[int]] = []

    def step(self) -> None:
        """Remember something."""
        self.history.append([1, 2, 3])


def forget(agent: Agent) -> None:
    """Do nothing: the agent is let go of."""


def test_the_clean_twin_passes() -> None:
    """Agents that are let go of keep nothing, to a byte per agent."""
    found = cycle_test(Agent, Agent.step, forget)

    assert LeakVerdict.NO_LEAK is found.verdict
    assert () == found.retained
    assert str(found).startswith("Agent: no destroyed unit leaks more than 1 B, seen over")


def test_one_small_object_for_each_destroyed_unit_is_found() -> None:
    """It is reported by type, and in bytes per destroyed unit with an interval."""
    kept: list[Note] = []
    found = cycle_test(Agent, Agent.step, lambda _: kept.append(Note()))

    assert LeakVerdict.LEAK is found.verdict
    retained = {each.type_name: each.objects for each in found.retained}
    assert found.growth.last_operations == retained[f"{__name__}.Note"]
    each = found.growth.per_operation
    # The object takes 48 bytes, its place in the list 8.
    assert 45 <= each.low <= 56 <= each.high <= 70
    with pytest.raises(LeakFound, match="each destroyed unit leaks"):
        found.check()


def test_an_agent_that_stays_registered_is_found() -> None:
    """Units that are not destroyed at all are retained, each of them."""
    registry: dict[int, Agent] = {}
    found = cycle_test(Agent, lambda agent: registry.setdefault(id(agent), agent), forget)

    assert LeakVerdict.LEAK is found.verdict
    retained = {each.type_name: each.objects for each in found.retained}
    assert found.growth.last_operations == retained[f"{__name__}.Agent"]


def test_094_mb_per_cycle_is_a_leak() -> None:
    """20 units of which 0.94 MB stay per cycle are a leak of 47 kB each, whatever the limit was."""
    kept: list[bytes] = []
    found = cycle_test(Agent, Agent.step, lambda _: kept.append(bytes(47_000)))

    assert LeakVerdict.LEAK is found.verdict
    assert 47_000 == pytest.approx(found.growth.per_operation.value, rel=0.01)


def caching(bound: int) -> Callable[[Agent], object]:
    """Return a step that fills a cache of *bound* entries, one per unit."""
    numbers = itertools.count()
    cached = functools.lru_cache(maxsize=bound)(lambda number: [number] * 10)
    return lambda _: cached(next(numbers))


def test_warm_up_is_as_long_as_it_is() -> None:
    """A cache that is full after two cycles makes two or three of ten cycles the warm-up."""
    found = cycle_test(Agent, caching(40), forget)

    assert LeakVerdict.NO_LEAK is found.verdict
    assert 200 == found.growth.operations
    assert 2 * 20 <= found.growth.warm_up <= 3 * 20


def test_a_cache_that_outlasts_the_first_round_is_no_leak() -> None:
    """Growth over ten cycles that stops in the fifteenth is waited for."""
    found = cycle_test(Agent, caching(300), forget)

    assert LeakVerdict.NO_LEAK is found.verdict
    assert found.growth.operations > 200


@pytest.mark.parametrize(
    "settings", [{"cycles": 9}, {"objects": 0}, {"patience": 0}, {"tolerance": "1"}]
)
def test_what_cannot_be_asked(settings: dict[str, int]) -> None:
    """What cannot give a verdict is refused."""
    with pytest.raises(UsageError):
        cycle_test(Agent, **settings)  # type: ignore[arg-type] # refused: that is tested
