"""
What agents cost and how fast they think, against agents that own everything.

``OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks.bench_agents [--quick] [section...]``; the
sections are total, marginal, speed, linear, fidelity, sleep. Memory is anonymous memory of
fresh processes, times are CPU times, ratios are of alternating pairs in one process.
"""

from __future__ import annotations

import os
import statistics
import sys
from time import perf_counter_ns, process_time
from typing import TYPE_CHECKING, Final

# Before numpy is imported, which reads it once.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from memopt_cli.optimizer.agents import TIERS, ModelStore, Population
from memopt_cli.workloads.agents.families import model_named
from memopt_cli.workloads.agents.naive import NaiveAgent
from tests.benchmarks import agent_memory
from tests.benchmarks.agent_fidelity import EPISODE, SEED, fidelity
from tests.benchmarks.goals import Goal, print_goals
from tests.benchmarks.pairs import ratio
from tests.worlds import Worlds

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.optimizer.agents.model import Ints
    from memopt_cli.optimizer.agents.tiers import Tier

AGENTS: Final = 75
SPEEDS: Final = {"G10": 25.0, "G20": 50.0, "G30": 70.0}
MARGINALS: Final = {"f64": 4400.0, "f32": 2700.0, "log16": 1100.0, "sparse": 400.0}


def total(*, quick: bool) -> list[Goal]:
    """Print and return what 75 agents occupy."""
    count = 10 if quick else AGENTS
    print(f"\n{count} agents, MB: with the model, above the model")
    found = {}
    for name in ("G10",) if quick else ("G10", "G20", "G30"):
        for kind in ("naive", *TIERS):
            whole, above = agent_memory.totals(name, kind, count)
            found[name, kind] = whole, above
            print(f"  {name:4} {kind:7} {whole / 1e6:>10,.2f} {above / 1e6:>10,.2f}", flush=True)
    missing = (None, None)
    return [
        Goal(
            "G20, 75 agents, f64, above the model",
            _mb(found.get(("G20", "f64"), missing)[1]),
            3,
            "MB",
        ),
        Goal(
            "G30, 75 agents, f64, with the model",
            _mb(found.get(("G30", "f64"), missing)[0]),
            9,
            "MB",
        ),
    ]


def marginal(*, quick: bool) -> list[Goal]:
    """Print and return what one more agent occupies among 100,000."""
    name, count = ("G10", 5_000) if quick else ("G20", 100_000)
    print(f"\nOne more agent of {count:,} on {name}, B, history of 256 actions included")
    goals = []
    for tier in TIERS:
        slope, half = agent_memory.marginal(name, tier, count)
        print(f"  {tier:7} {slope:>9,.1f} +- {half:,.1f}", flush=True)
        goals.append(Goal(f"G20, marginal, {tier}", None if quick else slope, MARGINALS[tier], "B"))
    return goals


class Race:
    """The same agents twice, naive and as a population, led through the same observations."""

    def __init__(
        self, name: str, tier: Tier = "f64", count: int = AGENTS, steps: int = 400
    ) -> None:
        model = model_named(name, SEED)
        self.naive = [NaiveAgent(model) for _ in range(count)]
        shared = ModelStore().intern(model)
        leader, worlds = Population(shared), Worlds(model, range(count))
        self.population = Population(shared, tier=tier, whole_history=True)
        self.handles = self.population.add(count)
        leader.add(count)
        self.seen: list[Ints] = []
        for step in range(steps):
            if step % EPISODE == 0:
                worlds.relocate()
            self.seen.append(worlds.observe())
            worlds.act(leader.step(self.seen[-1]))
        self._naive_at = self._population_at = 0

    def naive_steps(self, steps: int) -> float:
        """Return CPU seconds per agent-step."""
        part = self.seen[self._naive_at : self._naive_at + steps]
        self._naive_at += steps
        began = process_time()
        for seen in part:
            for agent, outcome in zip(self.naive, seen, strict=True):
                agent.step(outcome)
        return (process_time() - began) / (len(part) * len(self.naive))

    def population_steps(self, steps: int) -> float:
        """Return CPU seconds per agent-step."""
        part = self.seen[self._population_at : self._population_at + steps]
        self._population_at += steps
        began = process_time()
        for seen in part:
            self.population.step(seen)
        return (process_time() - began) / (len(part) * len(self.handles))

    def same(self) -> bool:
        """Say whether both have done the same, as far as both have come."""
        both = min(self._naive_at, self._population_at)
        return all(
            agent.action_history[:both] == self.population.history(handle)[:both]
            for agent, handle in zip(self.naive, self.handles, strict=True)
        )


def speed(*, quick: bool) -> list[Goal]:
    """Print and return how much faster a population steps than naive agents."""
    pairs = 3 if quick else 9
    print(f"\nAgent-steps per CPU second, {AGENTS} agents, f64; ratio of {pairs} pairs, 95 %")
    goals = []
    for name, least in SPEEDS.items() if not quick else [("G10", 25.0)]:
        race = Race(name)
        race.naive_steps(1)
        race.population_steps(10)
        slow: list[float] = []
        fast: list[float] = []

        def naive(race: Race = race, times: list[float] = slow) -> float:
            times.append(race.naive_steps(2))
            return times[-1]

        def ours(race: Race = race, times: list[float] = fast) -> float:
            times.append(race.population_steps(20))
            return times[-1]

        found = ratio(naive, ours, pairs=pairs)
        rates = [1 / statistics.median(each) for each in (slow, fast)]
        same = "same actions" if race.same() else "OTHER ACTIONS"
        print(f"  {name:4} {rates[0]:>9,.0f} {rates[1]:>9,.0f}   {found}, {same}", flush=True)
        # Goals are limits from above: the share of the naive time that is left.
        share = None if quick else 1 / found.low
        goals.append(Goal(f"{name}, time over naive, low end, 1/{least:.0f}", share, 1 / least, ""))
    return goals


def linear(*, quick: bool) -> list[Goal]:
    """Print and return how the time per agent-step changes from 75 agents to 100,000."""
    name, many, pairs = ("G10", 2_000, 3) if quick else ("G20", 100_000, 5)
    model = model_named(name, SEED)
    shared = ModelStore().intern(model)
    seen = Worlds(model, range(AGENTS)).observe()

    def timed(count: int, repeats: int) -> Callable[[], float]:
        population = Population(shared)
        population.add(count)
        observations = np.resize(seen, (count, seen.shape[1]))

        def step() -> float:
            began = process_time()
            for _ in range(repeats):
                population.step(observations)
            return (process_time() - began) / (count * repeats)

        step()
        return step

    found = ratio(timed(many, 1), timed(AGENTS, 50), pairs=pairs)
    print(f"\nTime per agent-step on {name}, {many:,} agents over {AGENTS}: {found}")
    return [Goal("G20, time per step, 100,000 over 75", None if quick else found.value, 1.2, "")]


def sleep(*, quick: bool) -> list[Goal]:
    """Print and return what sleep takes and saves."""
    name, count = ("G10", 500) if quick else ("G20", 10_000)
    population = Population(ModelStore().intern(model_named(name, SEED)))
    handles = population.add(2_000)
    population.step(np.zeros((2_000, 2), dtype=int))
    times: dict[str, list[int]] = {"hibernate": [], "wake": []}
    for handle in np.random.default_rng(SEED).permutation(handles):
        for what, does in (("hibernate", population.hibernate), ("wake", population.wake)):
            one = int(handle)
            began = perf_counter_ns()
            does(one)
            times[what].append(perf_counter_ns() - began)
    hibernate_us, wake_us = (statistics.median(times[each]) / 1e3 for each in times)
    idle, share = agent_memory.sleeping(name, count)
    print(
        f"\nSleep on {name}, f64: hibernate {hibernate_us:.1f} us, wake {wake_us:.1f} us; "
        f"{count:,} asleep {idle:.1f} B each; 5 % awake hold {share:.3f}"
    )
    if quick:
        return []
    return [
        Goal("hibernate, median", hibernate_us, 11, "us"),
        Goal("wake, median", wake_us, 60, "us"),
        Goal("sleeping agent, resident", idle, 60, "B"),
        Goal("10,000 agents, 5 % awake, over all awake", share, 1 / 3, ""),
    ]


def _mb(size_bytes: float | None) -> float | None:
    return None if size_bytes is None else size_bytes / 1e6


SECTIONS: Final = {
    "total": total,
    "marginal": marginal,
    "speed": speed,
    "linear": linear,
    "fidelity": fidelity,
    "sleep": sleep,
}


def main(arguments: list[str]) -> None:
    """Measure what is asked for."""
    quick = "--quick" in arguments
    named = [each for each in arguments if each in SECTIONS] or list(SECTIONS)
    goals = [goal for name in named for goal in SECTIONS[name](quick=quick)]
    print_goals(goals)


if __name__ == "__main__":
    main(sys.argv[1:])
