"""Each agent's growth is its own, in bytes a second, and what makes it is suggested."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents import AgentTracker, HotspotKind, deep_bytes


class Agent:
    """An agent that is made of what it is given."""

    def __init__(self, **parts: Any) -> None:
        self.beliefs: list[Any] = []
        vars(self).update(parts)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1e6

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


def watched(tracker: AgentTracker, clock: Clock, grow: Any, looks: int = 12) -> None:
    """Look once a minute, after *grow* was called."""
    for _ in range(looks):
        clock.now_s += 60
        grow()
        tracker.look()


def test_growth_is_the_agents_own(clock: Clock) -> None:
    """One grows by 1.2 MB an hour in arrays within a list, the other does not."""
    tracker, growing, calm = AgentTracker(clock=clock), Agent(), Agent()
    tracker.track("growing", growing)
    tracker.track("calm", calm)
    watched(tracker, clock, lambda: growing.beliefs.append(np.zeros(20_000, np.uint8)))

    found = tracker.growth("growing")
    assert found.growth_bytes_per_s is not None
    assert found.growth_bytes_per_s * 3600 == pytest.approx(1.2e6, rel=0.02)
    assert (found.looks, found.over_s) == (13, 720.0)
    assert found.size_bytes == deep_bytes(growing)
    assert tracker.growth("calm").growth_bytes_per_s == 0.0
    assert ["growing"] == [each.name for each in tracker.fastest()]
    assert str(found).startswith("growing: 23")
    assert "+1.1" in str(found).splitlines()[0]
    assert "MiB/h" in str(found).splitlines()[0]


def test_those_that_grow_are_told_fastest_first(clock: Clock) -> None:
    """Who shrinks or stays is none of them; how fast it shrinks is told with its sign."""
    tracker = AgentTracker(clock=clock)
    slow, fast, shrinking = Agent(), Agent(), Agent(beliefs=[np.zeros(1000) for _ in range(20)])
    for name, agent in (("slow", slow), ("fast", fast), ("shrinking", shrinking)):
        tracker.track(name, agent)

    def live() -> None:
        slow.beliefs.append(np.zeros(100))
        fast.beliefs.append(np.zeros(1000))
        shrinking.beliefs.pop()

    watched(tracker, clock, live)

    assert ["fast", "slow"] == [each.name for each in tracker.fastest()]
    assert ["fast"] == [each.name for each in tracker.fastest(1)]
    assert ", -4" in str(tracker.growth("shrinking")).splitlines()[0]


def test_an_array_is_counted_once(clock: Clock) -> None:
    """Whatever refers to it, inside of containers and as views, it is one array of 8 MB."""
    array = np.zeros(10**6)
    tracker, agent = (
        AgentTracker(clock=clock),
        Agent(beliefs=[array, {"again": (array, array[:5])}]),
    )
    tracker.track("agent", agent)

    assert 8e6 < tracker.growth("agent").size_bytes < 8.01e6


@pytest.mark.parametrize(
    ("kind", "above", "within"),
    [
        (HotspotKind.BELIEFS, {"beliefs": np.ones(625_001)}, {"beliefs": np.ones(620_000)}),
        (HotspotKind.HISTORY, {"history": [0] * 1001}, {"history": [0] * 1000}),
        (
            HotspotKind.CACHE,
            {"cache": dict.fromkeys(range(101))},
            {"cache": dict.fromkeys(range(100))},
        ),
    ],
)
def test_suggestions_begin_at_their_limits(
    clock: Clock, kind: HotspotKind, above: dict[str, Any], within: dict[str, Any]
) -> None:
    """Beliefs of more than 5 MB, histories of more than 1,000, caches of more than 100."""
    tracker, large, small = AgentTracker(clock=clock), Agent(**above), Agent(**within)
    tracker.track("large", large)
    tracker.track("small", small)

    assert kind in {each.kind for each in tracker.growth("large").suggestions}
    assert kind not in {each.kind for each in tracker.growth("small").suggestions}
    assert f": {kind}. " in str(tracker.growth("large"))


def test_two_looks_are_no_slope(clock: Clock) -> None:
    """Nor are any number at one moment."""
    tracker, agent = AgentTracker(clock=clock), Agent()
    tracker.track("agent", agent)
    tracker.look()
    tracker.look()

    assert tracker.growth("agent").growth_bytes_per_s is None
    assert "not known yet" in str(tracker.growth("agent"))


def test_nobody_is_kept_alive(clock: Clock) -> None:
    """Who ended is told once, and then nobody's; looks are bounded."""
    tracker, agent = AgentTracker(looks=3, clock=clock), Agent()
    tracker.track("agent", agent)
    watched(tracker, clock, lambda: None, looks=9)
    assert tracker.growth("agent").looks == 3
    del agent
    gc.collect()

    assert ["agent"] == tracker.look()
    assert [] == tracker.look()
    assert len(tracker) == 0
    with pytest.raises(AgentError, match="no agent 'agent'"):
        tracker.growth("agent")


def test_refusals(clock: Clock) -> None:
    """A name that is taken, what cannot be referred to weakly, and too few looks."""
    tracker, agent = AgentTracker(clock=clock), Agent()
    tracker.track("agent", agent)

    with pytest.raises(AgentError, match="is tracked"):
        tracker.track("agent", agent)
    with pytest.raises(AgentError, match="weak references"):
        tracker.track("number", 5)
    with pytest.raises(AgentError, match="2 looks"):
        AgentTracker(looks=2)
    tracker.forget("agent")
    tracker.track("agent", agent)
