"""
What adopting agents saves and costs, and when the collector's and the allocator's tuning helps.

``python -m tests.benchmarks.bench_agent_tuning [--quick] [section...]``; the sections are
adoption, collector, allocator. Memory is anonymous memory of a fresh process read from
outside; times are CPU times, ratios of alternating pairs, for the allocator of fresh processes.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from functools import partial
from time import process_time
from typing import TYPE_CHECKING, Final

# Before numpy is imported, which reads it once.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from memopt_cli.optimizer import GcPauses
from memopt_cli.optimizer.agents import AgentOptimizer, ModelStore, Population, StepBoundaries
from memopt_cli.optimizer.malloc import keep_freed
from memopt_cli.profiler.process import ProcessReader
from memopt_cli.workloads.agents.families import model_named
from memopt_cli.workloads.agents.naive import NaiveAgent
from tests.benchmarks.pairs import ratio

if TYPE_CHECKING:
    from collections.abc import Callable

SEED: Final = 1
AGENTS: Final = 75
SETTLED: Final = 20
"""Steps that agents have done, and remember, when they are adopted."""


def adoption(*, quick: bool) -> None:
    """Print what adopting saves on the process, what it says it saves, and what a step takes."""
    print("\nAdopting naive agents: MB before, after, saved as it says; time per step over naive")
    for name, count in (("G5", 10),) if quick else (("G10", AGENTS), ("G20", AGENTS)):
        before, after, said = _adopted(name, count)
        model, pairs = model_named(name, SEED), 3 if quick else 15
        plain, adopted = ([NaiveAgent(model) for _ in range(10)] for _ in range(2))
        AgentOptimizer().optimize_agent(*adopted)
        found = ratio(_stepping(adopted), _stepping(plain), pairs=pairs)
        megabytes = " ".join(f"{each / 1e6:>9,.1f}" for each in (before, after, said))
        print(f"  {name:4} {count:>3} agents {megabytes}   {found}", flush=True)


def _adopted(name: str, count: int) -> tuple[float, float, float]:
    """Return what agents occupy before and after in a fresh process, and what is said of it."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_agent_tuning", "--child"]
    found: list[int] = []
    with subprocess.Popen(
        [*command, "adoption", name, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        with ProcessReader(child.pid) as reader:
            said = 0
            for _ in range(3):
                said = int(child.stdout.readline())
                found.append(reader.footprint().anonymous_bytes)
                child.stdin.write("\n")
                child.stdin.flush()
    return found[1] - found[0], found[2] - found[0], said


def adoption_in_child(name: str, count: str) -> None:
    """Stop without agents, with agents that have done some steps, and after adopting them."""
    warm = NaiveAgent(model_named("G3", SEED))
    warm.step([0, 0])
    AgentOptimizer().optimize_agent(warm)
    del warm
    model, books, said = model_named(name, SEED), AgentOptimizer(), 0
    _stop(said)
    agents = [NaiveAgent(model) for _ in range(int(count))]
    for _ in range(SETTLED):
        for agent in agents:
            agent.step([0, 0])
    _stop(said)
    said = books.optimize_agent(*agents).saved_bytes
    _stop(said)


def _stepping(agents: list[NaiveAgent]) -> Callable[[], float]:
    def steps() -> float:
        began = process_time()
        for number in range(10):
            for agent in agents:
                agent.step([number, 0])
        return process_time() - began

    return steps


def collector(*, quick: bool) -> None:
    """Print the pauses within steps, and the time, with the collector free and at boundaries."""
    steps, pairs = (20, 3) if quick else (1000, 5)
    # What a service has alive beside its agents is what a full collection looks at.
    alive = [{"number": [number]} for number in range(2_000 if quick else 500_000)]
    population = Population(ModelStore().intern(model_named("G5", SEED)))
    handles = population.add(AGENTS)
    observations = np.zeros((AGENTS, 2), dtype=int)
    longest: dict[str, float] = {"free": 0.0, "boundaries": 0.0}

    def work(kept: list[dict[str, list[int]]]) -> None:
        population.step(observations)
        # Each agent's caller makes something that lives for a while.
        kept[:] = [{"seen": [int(handle)]} for handle in handles for _ in range(20)]

    def free() -> float:
        kept: list[dict[str, list[int]]] = []
        began = process_time()
        for _ in range(steps):
            with GcPauses() as pauses:
                work(kept)
            longest["free"] = max(longest["free"], pauses.statistics().all.max_s or 0.0)
        return process_time() - began

    def bounded() -> float:
        kept: list[dict[str, list[int]]] = []
        began = process_time()
        with StepBoundaries() as boundaries:
            for _ in range(steps):
                with boundaries.step(), GcPauses() as pauses:
                    work(kept)
                found = pauses.statistics().all.max_s or 0.0
                longest["boundaries"] = max(longest["boundaries"], found)
        return process_time() - began

    found = ratio(bounded, free, pairs=pairs)
    print(f"\nCollector at boundaries over free, {len(alive):,} other objects, time: {found}")
    for name, pause_s in longest.items():
        print(f"  longest pause within a step, {name:10} {pause_s * 1e3:8.3f} ms")


def allocator(*, quick: bool) -> None:
    """Print what two calls of mallopt change in the time of a step, and in what stays."""
    print("\nAllocator told to keep what is freed, over left alone: time per step; MB that stay")
    pairs = 3 if quick else 7
    cases = [("G5", "memopt", 10)]
    if not quick:
        cases = [
            ("G20", "memopt", AGENTS),
            ("G20", "memopt", 10_000),
            ("G20", "naive", 10),
            ("G30", "naive", 5),
        ]
    for case in cases:
        stays: dict[str, float] = {}
        kept, alone = (partial(_allocated, way, case, stays) for way in ("kept", "alone"))
        found = ratio(kept, alone, pairs=pairs)
        sizes = " ".join(f"{stays[way] / 1e6:>8,.1f}" for way in ("kept", "alone"))
        name, kind, count = case
        print(f"  {name:4} {kind:7} {count:>6,} agents   {found}   {sizes}", flush=True)


def _allocated(way: str, case: tuple[str, str, int], stays: dict[str, float]) -> float:
    """Return seconds per step in a fresh process; what it occupies at its end goes to *stays*."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_agent_tuning", "--child"]
    text = subprocess.run(
        [*command, "allocator", way, *map(str, case)], check=True, capture_output=True, text=True
    ).stdout
    figures = json.loads(text)
    stays[way] = figures["bytes"]
    return float(figures["step_s"])


def allocator_in_child(way: str, name: str, kind: str, count: str) -> None:
    """Print the time of a step, and what the process occupies after all of them."""
    if way == "kept":
        assert keep_freed()
    model, number = model_named(name, SEED), int(count)
    if kind == "naive":
        agents = [NaiveAgent(model) for _ in range(number)]
        for agent in agents:
            agent.belief_history = _Nothing()

        def step() -> None:
            for agent in agents:
                agent.step([0, 0])
    else:
        population = Population(ModelStore().intern(model))
        population.add(number)
        seen = np.zeros((number, 2), dtype=int)

        def step() -> None:
            population.step(seen)

    step()
    began, steps = process_time(), 0
    while process_time() - began < 1.0:
        step()
        steps += 1
    step_s = (process_time() - began) / steps
    with ProcessReader(os.getpid()) as reader:
        stays = reader.footprint().anonymous_bytes
    print(json.dumps({"step_s": step_s, "bytes": stays}))


class _Nothing(list[list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]]):
    """A past that is forgotten at once, so that it is no part of what stays."""

    def append(self, item: object) -> None:
        """Forget."""


def _stop(figure: int) -> None:
    gc.collect()
    print(figure, flush=True)
    sys.stdin.readline()


SECTIONS: Final = {"adoption": adoption, "collector": collector, "allocator": allocator}


def main(arguments: list[str]) -> None:
    """Measure what is asked for."""
    if arguments[:1] == ["--child"]:
        children: dict[str, Callable[..., None]] = {
            "adoption": adoption_in_child,
            "allocator": allocator_in_child,
        }
        children[arguments[1]](*arguments[2:])
        return
    named = [each for each in arguments if each in SECTIONS] or list(SECTIONS)
    for name in named:
        SECTIONS[name](quick="--quick" in arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
