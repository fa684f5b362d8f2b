"""How far agents of each tier are from naive ones, led by them and on their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from memopt_cli.optimizer.agents import TIERS, ModelStore, Population
from memopt_cli.workloads.agents.families import model_named
from memopt_cli.workloads.agents.naive import NaiveAgent
from tests.benchmarks.goals import Goal
from tests.worlds import Worlds

if TYPE_CHECKING:
    from memopt_cli.optimizer.agents.model import Floats
    from memopt_cli.optimizer.agents.tiers import Tier

SEED: Final = 1
EPISODE: Final = 25


def fidelity(*, quick: bool) -> list[Goal]:
    """Print and return how far each tier is from naive agents, led and on its own."""
    names = ("G5",) if quick else ("G10", "G20", "alias10", "chain10", "xy20")
    print("\nAgainst naive: |dq|, KL, other actions led and free, of how many; bytes of beliefs")
    goals = []
    for name in names:
        for tier in TIERS:
            found = _fidelity(name, tier, 5 if quick else 100, 100)
            difference, divergence, led, free, steps, size = found
            print(
                f"  {name:8}{tier:7} {difference:9.1e} {divergence:9.1e} {led:5} {free:5} "
                f"{steps:>7,} {size:>7,.0f}",
                flush=True,
            )
            if name in ("G10", "G20") and not quick:
                most = {"f64": 0.0, "f32": 1e-3, "log16": 1e-3, "sparse": 1e-3}[tier]
                goals.append(Goal(f"{name}, {tier}, other actions, led", led / steps, most, ""))
                if tier == "f64":
                    goals.append(Goal(f"{name}, f64, other actions, free", free / steps, 0, ""))
                    goals.append(Goal(f"{name}, f64, |dq|", difference, 1e-12, ""))
                else:
                    bound = 2e-3 if tier == "sparse" else 1e-6
                    goals.append(Goal(f"{name}, {tier}, KL", divergence, bound, "nat"))
    return goals


def _fidelity(
    name: str, tier: Tier, count: int, steps: int
) -> tuple[float, float, int, int, int, float]:
    model = model_named(name, SEED)
    shared = ModelStore().intern(model)
    naive = [NaiveAgent(model) for _ in range(count)]
    led, free = (Population(shared, tier=tier, whole_history=True) for _ in range(2))
    led_handles, free_handles = led.add(count), free.add(count)
    worlds, free_worlds = Worlds(model, range(count)), Worlds(model, range(count))
    difference = divergence = 0.0
    others = 0
    for step in range(steps):
        if step % EPISODE == 0 and step:
            # Everybody is told to have been put elsewhere, and begins anew.
            for agent in naive:
                agent.restart()
            led.restart()
            free.restart()
            worlds.relocate()
            free_worlds.relocate()
        seen = worlds.observe()
        expected = np.array([each.step(one) for each, one in zip(naive, seen, strict=True)])
        chosen = led.step(seen)
        others += int((chosen != expected).sum())
        for number in np.flatnonzero(chosen != expected):
            led.did(led_handles[number], int(expected[number]))
        worlds.act(expected)
        free_worlds.act(free.step(free_worlds.observe()))
        for agent, handle in zip(naive, led_handles, strict=True):
            for one, other in zip(agent.beliefs, led.beliefs(handle), strict=True):
                difference = max(difference, float(abs(one - other).max()))
                divergence = max(divergence, _divergence(one, other))
    diverged = sum(
        int((np.array(agent.action_history) != np.array(free.history(handle))).sum())
        for agent, handle in zip(naive, free_handles, strict=True)
    )
    size = led.stats().belief_bytes / count
    return difference, divergence, others, diverged, count * steps, size


def _divergence(one: Floats, other: Floats) -> float:
    """Return KL(one || other) in nats."""
    held = one > 0
    return float((one[held] * np.log(one[held] / other[held])).sum())
