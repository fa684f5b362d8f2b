"""Actions with times and rewards come back in order, at the times at which they were done."""

from __future__ import annotations

import random

import pytest

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents import ExperienceRing, deep_bytes
from memopt_cli.optimizer.agents.experience import REWARD_ERROR, Experience

EPOCH_S = 1_795_000_000.0


def test_a_second_is_kept_at_todays_epoch() -> None:
    """Times are exact, a second or a millisecond apart."""
    times = [EPOCH_S + second for second in range(5)] + [EPOCH_S + 5.001, EPOCH_S + 5.002]
    ring = ExperienceRing(5, 100)
    for time_s in times:
        ring.append(1, time_s, 0.0)
    assert times == [each.time_s for each in ring]


@pytest.mark.parametrize("count", range(12))
def test_around_the_end_the_order_is_right(count: int) -> None:
    """Of any number the latest four remain, the oldest first."""
    ring = ExperienceRing(300, 4)
    for number in range(count):
        ring.append(100 + number, EPOCH_S + number, number / 2)
    kept = range(max(count - 4, 0), count)
    assert [Experience(100 + each, EPOCH_S + each, each / 2) for each in kept] == list(ring)
    assert len(kept) == len(ring)


@pytest.mark.parametrize("actions", [256, 257, 65_536, 65_537, 1 << 32])
def test_the_last_action_of_all_fits(actions: int) -> None:
    """As many bytes as its number needs; one more is refused."""
    ring = ExperienceRing(actions, 2)
    ring.append(actions - 1, 0.0, 0.0)
    for wrong in (actions, -1):
        with pytest.raises(AgentError):
            ring.append(wrong, 0.0, 0.0)
    assert [actions - 1] == [each.action for each in ring]


def test_rewards_keep_to_the_error() -> None:
    """Each within 6e-8 of itself; what is not a number is refused and changes nothing."""
    source, ring = random.Random(1), ExperienceRing(2, 1000)
    rewards = [source.uniform(-1, 1) * 10 ** source.randint(-9, 9) for _ in range(1000)]
    for reward in rewards:
        ring.append(0, 0.0, reward)
    for reward, found in zip(rewards, ring, strict=True):
        assert REWARD_ERROR * abs(reward) >= abs(reward - found.reward)
    for time_s, reward in ((float("nan"), 0.0), (0.0, float("inf")), (0.0, float("nan"))):
        with pytest.raises(AgentError):
            ring.append(0, time_s, reward)
    assert 1000 == len(ring)


def test_it_is_an_eighth_of_a_list_of_tuples() -> None:
    """In deep size, 5,000 of each; the ring never takes more than its limit needs."""
    ring, plain = ExperienceRing(5, 5000), []
    for number in range(20_000):
        ring.append(number % 5, EPOCH_S + number, number / 7)
        plain.append((number % 5, EPOCH_S + number, number / 7))
    assert 8 * deep_bytes(ring) < deep_bytes(plain[-5000:])
    assert 13 * 5000 <= ring.size_bytes <= 1.25 * 13 * 5000


@pytest.mark.parametrize(("actions", "limit"), [(0, 1), (1, 0), ((1 << 32) + 1, 1)])
def test_a_ring_of_nothing_is_refused(actions: int, limit: int) -> None:
    """Without actions, without room, or with more actions than can be numbered."""
    with pytest.raises(AgentError):
        ExperienceRing(actions, limit)
