"""What agents occupy: grown in a fresh process, which is read from outside."""

from __future__ import annotations

import gc
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np

from memopt_cli.analysis.statistics import fit_line
from memopt_cli.optimizer.agents import TIERS, ModelStore, Population
from memopt_cli.profiler.process import ProcessReader
from memopt_cli.workloads.agents.families import model_named
from memopt_cli.workloads.agents.naive import NaiveAgent
from tests.worlds import Worlds

if TYPE_CHECKING:
    from memopt_cli.optimizer.agents.tiers import Tier

PLATEAUS = 5
WORLDS = 64
"""Worlds that are drawn; agents beyond see what one of these shows, and act alike."""

STEPS = 6
BATCH = 100
SEED = 1


def footprints(*arguments: object) -> list[float]:
    """Return the anonymous bytes of a fresh process at each of its stops."""
    command = [sys.executable, "-m", "tests.benchmarks.agent_memory", *map(str, arguments)]
    found: list[float] = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        with ProcessReader(child.pid) as reader:
            while child.stdout.readline():
                found.append(reader.footprint().anonymous_bytes)
                child.stdin.write("\n")
                child.stdin.flush()
    assert child.returncode == 0, command
    return found


def totals(name: str, tier: str, count: int) -> tuple[float, float]:
    """Return what agents occupy with their model, and above it, in bytes; medians of three."""
    runs = [footprints("total", name, tier, count) for _ in range(3)]
    whole = sorted(run[2] - run[0] for run in runs)
    above = sorted(run[2] - run[1] for run in runs)
    return whole[1], above[1]


def marginal(name: str, tier: str, count: int) -> tuple[float, float]:
    """Return the slope in bytes per agent, and half of its 95 % interval."""
    found = footprints("grow", name, tier, count)
    sizes = [count * (number + 1) / PLATEAUS for number in range(PLATEAUS)]
    line = fit_line(sizes, found)
    assert line is not None
    return line.slope, line.slope_half_width


def sleeping(name: str, count: int) -> tuple[float, float]:
    """Return bytes per sleeping agent, and the share of memory left with one in 20 awake."""
    base, every, few, none = footprints("sleep", name, "f64", count)
    return (none - base) / count, (few - base) / (every - base)


def stop() -> None:
    """Say that there is something to read, and wait until it was."""
    gc.collect()
    print(flush=True)
    sys.stdin.readline()


def warm_up() -> None:
    """Load all code, so that no later figure contains it."""
    store = ModelStore()
    for tier in TIERS:
        population = Population(store.intern(model_named("G3", SEED)), tier=tier)
        handle = population.add()[0]
        population.step([[0, 0]])
        population.hibernate(handle)
        population.wake(handle)
    NaiveAgent(model_named("G3", SEED)).step([0, 0])


def total(name: str, tier: str, count: int) -> None:
    """Stop without anything, with the model, and with the agents after some steps."""
    warm_up()
    stop()
    random = np.random.default_rng(SEED)
    model = model_named(name, SEED)
    observations = random.integers(model.outcomes, size=(3, count, len(model.outcomes)))
    if tier == "naive":
        stop()
        agents = [NaiveAgent(model) for _ in range(count)]
        for agent, seen in zip(agents, observations[0], strict=True):
            agent.step(seen)
        stop()
        return
    shared = ModelStore().intern(model)
    del model
    stop()
    population = Population(shared, tier=_tier(tier))
    population.add(count)
    for seen in observations:
        population.step(seen)
    stop()


def grow(name: str, tier: str, count: int) -> None:
    """Stop at each plateau, every agent having done some steps."""
    warm_up()
    model = model_named(name, SEED)
    worlds, population = (
        Worlds(model, range(WORLDS)),
        Population(ModelStore().intern(model), tier=_tier(tier)),
    )
    part = count // PLATEAUS
    for _ in range(PLATEAUS):
        worlds.relocate()
        handles = population.add(part)
        places = np.arange(part) % WORLDS
        for _ in range(STEPS):
            codes = population.step(worlds.observe()[places], handles)
            worlds.act(codes[:WORLDS])
        del handles, places, codes
        stop()


def sleep(name: str, tier: str, count: int) -> None:
    """Stop without agents, with all awake, with one in 20, and with all asleep."""
    warm_up()
    population = Population(ModelStore().intern(model_named(name, SEED)), tier=_tier(tier))
    stop()
    # In parts, so that the list of handles is none of the difference.
    for _ in range(count // BATCH):
        population.add(BATCH)
    stop()
    for number, handle in enumerate(population.handles()):
        if number % 20:
            population.hibernate(int(handle))
    stop()
    for handle in population.handles():
        population.hibernate(int(handle))
    stop()


def _tier(name: str) -> Tier:
    return next(tier for tier in TIERS if tier == name)


if __name__ == "__main__":
    kinds = {"total": total, "grow": grow, "sleep": sleep}
    kinds[sys.argv[1]](sys.argv[2], sys.argv[3], int(sys.argv[4]))
