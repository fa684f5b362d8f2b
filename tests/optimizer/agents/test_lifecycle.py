"""Agents come, fall idle, sleep, wake and end, by a clock and a memory that are given."""

from __future__ import annotations

import numpy as np
import pytest

from memopt_cli.errors import AgentError, ForeignHandle, PoolExhausted, StaleHandle
from memopt_cli.optimizer.agents import Lifecycle, LifeRules, LifeStage
from memopt_cli.optimizer.agents.stages import Deed
from tests.optimizer.agents.lives import population_of

KB = 1000


class Now:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.time_s = 0.0

    def __call__(self) -> float:
        """Say how late it is."""
        return self.time_s


def lifecycle(now: Now, rules: LifeRules, awake_bytes: int = KB) -> Lifecycle:
    """Return one whose memory is so much for each agent that is awake."""
    population = population_of("G3", clock=now)
    return Lifecycle(
        population, rules, clock=now, memory=lambda: population.stats().awake * awake_bytes
    )


def deeds(life: Lifecycle) -> list[tuple[float, str, int | None]]:
    """Return what has happened, when, and to whom."""
    return [(each.time_s, str(each.deed), each.handle) for each in life.events]


def test_every_stage_is_reached_and_every_deed_is_kept() -> None:
    """One agent goes through all stages; each change that was somebody's deed is an event."""
    now = Now()
    life = lifecycle(now, LifeRules(limit=2, idle_s=10, hibernate_s=20))
    one = life.register()
    stages = [life.stage(one)]
    now.time_s = 10
    stages.append(life.stage(one))
    now.time_s = 20
    assert 1 == life.tick().hibernated
    stages.append(life.stage(one))
    life.wake(one)
    stages.append(life.stage(one))
    other = life.recycle(one)
    stages += [life.stage(one), life.stage(other)]
    life.hibernate(other)
    life.step([[0, 0]], [other])
    life.terminate(other)
    assert [
        LifeStage.ACTIVE,
        LifeStage.IDLE,
        LifeStage.HIBERNATED,
        LifeStage.ACTIVE,
        LifeStage.TERMINATED,
        LifeStage.ACTIVE,
    ] == stages
    assert [
        (0, "registered", one),
        (20, "hibernated", one),
        (20, "woken", one),
        (20, "recycled", one),
        (20, "registered", other),
        (20, "hibernated", other),
        (20, "woken", other),
        (20, "terminated", other),
    ] == deeds(life)
    assert 0 == len(life.population)


def test_who_is_recycled_cannot_be_reached_and_leaves_nothing_behind() -> None:
    """The new agent believes in the priors and has done nothing; the old handle is stale."""
    life = lifecycle(Now(), LifeRules(limit=1))
    old = life.register()
    life.step([[8, 0]], [old])
    fresh = life.recycle(old)

    assert [] == life.population.history(fresh)
    assert np.allclose(1 / 9, life.population.beliefs(fresh)[0])
    with pytest.raises(StaleHandle):
        life.recycle(old)
    assert 1 == len(life.population)


def test_the_limit_holds_and_a_refusal_is_an_event() -> None:
    """Whoever sleeps counts as well; after an end there is room again."""
    life = lifecycle(Now(), LifeRules(limit=2))
    first, _ = life.register(), life.register()
    life.hibernate(first)
    with pytest.raises(PoolExhausted):
        life.register()
    assert Deed.REFUSED == life.events[-1].deed
    life.terminate(first)
    life.register()
    assert 2 == len(life.population)


def test_a_sweep_says_what_was_measured_and_0_where_nothing_fell() -> None:
    """The figure is the difference of two readings, whatever was put to sleep."""
    now = Now()
    rules = LifeRules(limit=9, idle_s=1, hibernate_s=5)
    freeing, keeping = lifecycle(now, rules), lifecycle(now, rules, awake_bytes=-KB)
    for life in (freeing, keeping):
        for _ in range(3):
            life.register()
    now.time_s = 5
    found = [(each.hibernated, each.freed_bytes) for each in (freeing.tick(), keeping.tick())]
    assert [(3, 3 * KB), (3, 0)] == found


def test_sleep_gives_memory_back_to_the_system() -> None:
    """Of 4,000 agents with beliefs of 800 bytes at least four fifths are found given back."""
    now = Now()
    population = population_of("G10", clock=now)
    life = Lifecycle(population, LifeRules(limit=4000, idle_s=0, hibernate_s=1), clock=now)
    population.add(4000)
    population.hibernate(population.add()[0])
    belief_bytes = population.stats().belief_bytes
    now.time_s = 1
    found = life.tick()
    assert (4000, 3_200_000) == (found.hibernated, belief_bytes)
    assert 0.8 * belief_bytes <= found.freed_bytes


def test_relief_takes_the_idle_least_used_first_and_spares_the_active() -> None:
    """It stops when enough was given back, and gives less where only active ones are left."""
    now = Now()
    life = lifecycle(now, LifeRules(limit=200, idle_s=10, hibernate_s=1000))
    old = [life.register() for _ in range(100)]
    now.time_s = 50
    young = [life.register() for _ in range(10)]
    found = life.relieve(10 * KB)
    assert (64, 64 * KB) == (found.hibernated, found.freed_bytes)
    assert old[:64] == [each.handle for each in life.events if each.deed is Deed.HIBERNATED]
    assert 36 * KB == life.relieve(100 * KB).freed_bytes
    assert [LifeStage.ACTIVE] * 10 == [life.stage(each) for each in young]
    assert 0 == life.relieve(KB).freed_bytes
    told = [each.freed_bytes for each in life.events if each.deed is Deed.RELIEVED]
    assert [64 * KB, 36 * KB, 0] == told


def test_the_awake_limit_falls_above_the_budget_and_rises_where_there_is_room() -> None:
    """It falls by a quarter to no less than the fewest, and comes back up to the limit."""
    now, occupied = Now(), [0]
    population = population_of("G3", clock=now)
    rules = LifeRules(limit=16, idle_s=10, hibernate_s=1000, fewest_awake=8, budget_bytes=1000)
    life = Lifecycle(population, rules, clock=now, memory=lambda: occupied[0])
    for _ in range(16):
        life.register()
    limits, awake = [], []
    for size in (1001, 1001, 1001, 900, 799, 799):
        occupied[0] = size
        limits.append(life.tick().awake_limit)
        awake.append(population.stats().awake)
    assert [12, 9, 8, 8, 9, 10] == limits
    assert [12, 9, 8, 8, 8, 8] == awake
    for _ in range(20):
        life.tick()
    assert 16 == life.awake_limit
    changed = [each.awake_limit for each in life.events if each.deed is Deed.LIMITED]
    assert [12, 9, 8, 9, 10, 11, 12, 13, 14, 15, 16] == changed


def test_the_awake_limit_falls_from_those_who_are_awake() -> None:
    """A limit above that would be lowered without anybody's going to sleep."""
    population = population_of("G3", clock=Now())
    life = Lifecycle(population, LifeRules(limit=16, budget_bytes=1), memory=lambda: 2)
    handles = [life.register() for _ in range(16)]
    for each in handles[:8]:
        life.hibernate(each)

    assert (6, 2) == ((found := life.tick()).awake_limit, found.hibernated)


def test_who_wakes_at_the_awake_limit_displaces_the_least_used() -> None:
    """Waking one and registering one each put the longest unused to sleep."""
    now = Now()
    life = lifecycle(now, LifeRules(limit=4))
    handles = []
    for time_s in range(3):
        now.time_s = time_s
        handles.append(life.register())
    life.awake_limit = 2
    life.tick()
    now.time_s = 3
    life.wake(handles[0])
    assert [False, True, False] == [life.population.is_asleep(each) for each in handles]
    now.time_s = 4
    fresh = life.register()
    expected = [False, True, True, False]
    assert expected == [life.population.is_asleep(each) for each in (*handles, fresh)]


def test_asking_for_the_stage_wakes_nobody() -> None:
    """Neither who sleeps nor the time since the last use changes; a foreign handle is refused."""
    now = Now()
    life = lifecycle(now, LifeRules(limit=4, idle_s=2, hibernate_s=9))
    asleep, awake = life.register(), life.register()
    life.hibernate(asleep)
    now.time_s = 3
    for _ in range(2):
        assert (LifeStage.HIBERNATED, LifeStage.IDLE) == (life.stage(asleep), life.stage(awake))
    assert [np.inf, 3.0] == life.population.unused_s((asleep, awake)).tolist()
    assert [3.0] == life.population.unused_s().tolist()
    with pytest.raises(ForeignHandle):
        life.stage(17)


def test_the_latest_events_are_kept() -> None:
    """Older ones go, so that a long life costs no memory."""
    population = population_of("G3")
    life = Lifecycle(population, LifeRules(limit=9), memory=lambda: 0, events=2)
    first = life.register()
    life.hibernate(first)
    life.wake(first)
    assert [Deed.HIBERNATED, Deed.WOKEN] == [each.deed for each in life.events]


@pytest.mark.parametrize(
    "rules", [{"limit": 0}, {"limit": 3, "fewest_awake": 4}, {"limit": 3, "idle_s": 301.0}]
)
def test_rules_that_contradict_each_other_are_refused(rules: dict[str, int]) -> None:
    """Nobody could live by them."""
    with pytest.raises(AgentError):
        LifeRules(**rules)
