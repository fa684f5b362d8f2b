"""
Agents of memopt beside pymdp, Mesa and pymdp on JAX: memory per agent and steps per second.

``python -m tests.benchmarks.bench_agent_peers [--quick]``, in an environment with the extra
``compare-agents``; a package that is missing is said to be not measured. All kinds see the
same; each runs in fresh processes on one core, times are CPU times. Memory per agent is the
difference between two processes with different numbers of agents, so that neither the
package nor what it compiles is part of it. "MB in all" is above the same process when it had
loaded the package and stepped two small agents, so it has what JAX compiles for the batch.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np

from memopt_cli.optimizer.agents import ModelStore, Population
from memopt_cli.workloads.agents.families import model_named
from tests.benchmarks.agent_peers import NEEDS, PEERS, SEED, SETTLED, Measured, measured
from tests.benchmarks.goals import head, row
from tests.worlds import Worlds

AGENTS: Final = 75
COUNTS: Final = {
    "naive": (25, 75),
    "memopt": (1000, 4000),
    "pymdp": (25, 75),
    "mesa": (1000, 4000),
    "pymdp-jax": (100, 300),
}
"""Between which numbers of agents memory is compared: more where one more is little."""

QUICK_COUNTS: Final = dict.fromkeys(COUNTS, (3, 6))
STEPS: Final = 400
FIRST, WIDTH = 10, 14
LABELS: Final = [
    "MB in all",
    "steps/s",
    "over naive",
    "|dq|",
    "same actions",
    "KB, one more",
    "among",
]
EPISODE: Final = 25


def observations(
    name: str, count: int, steps: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    """Return what agents see who do as memopt's do, [step, agent, modality]."""
    model = model_named(name, SEED)
    leader, worlds = Population(ModelStore().intern(model)), Worlds(model, range(count))
    leader.add(count)
    seen = []
    for step in range(steps):
        if step % EPISODE == 0:
            worlds.relocate()
        seen.append(worlds.observe())
        worlds.act(leader.step(seen[-1]))
    return np.array(seen)


def compare(name: str, counts: dict[str, tuple[int, int]], speed_of: int, steps: int) -> None:
    """Print one table."""
    print(f"\n{name}, {speed_of} agents; and memory of one more among so many")
    print(head(LABELS, first=FIRST, width=WIDTH))
    most = max(many for _, many in counts.values())
    seen = observations(name, speed_of, steps)
    crowd = np.resize(seen[:SETTLED].swapaxes(0, 1), (most, SETTLED, seen.shape[2]))
    with tempfile.TemporaryDirectory() as folder:
        timed, settled = Path(folder) / "timed.npy", Path(folder) / "settled.npy"
        np.save(timed, seen)
        np.save(settled, crowd.swapaxes(0, 1))
        naive: Measured | None = None
        for kind in PEERS:
            if kind in NEEDS and find_spec(NEEDS[kind]) is None:
                print(row(kind, ["not measured"], first=FIRST, width=WIDTH))
                continue
            found = measured(kind, name, speed_of, timed)
            naive = found if naive is None else naive
            few, many = counts[kind]
            above = [measured(kind, name, each, settled).whole_bytes for each in (few, many)]
            one_more = (above[1] - above[0]) / (many - few)
            texts = [*cells(found, naive), f"{one_more / 1e3:,.2f}", f"{few:,}-{many:,}"]
            print(row(kind, texts, first=FIRST, width=WIDTH), flush=True)


def cells(found: Measured, naive: Measured) -> list[str]:
    """Return the figures of one kind."""
    difference = abs(np.array(found.belief) - np.array(naive.belief)).max()
    same = np.mean(np.array(found.actions) == np.array(naive.actions))
    return [
        f"{found.whole_bytes / 1e6:,.1f}",
        f"{found.steps_per_s:,.0f}",
        f"{found.steps_per_s / naive.steps_per_s:,.2f}",
        f"{difference:.1e}",
        f"{same:.0%}",
    ]


def main(arguments: list[str]) -> None:
    """Compare on a small grid, or on the two that the goals are about."""
    if "--quick" in arguments:
        compare("G5", QUICK_COUNTS, 6, SETTLED + 4)
        return
    for name in ("G10", "G20"):
        compare(name, COUNTS, AGENTS, STEPS)
    print(
        "\n|dq|: largest difference of a belief from naive after the first step. Same actions: of"
        "\nthe first step; where not all are, exactly equal actions were told apart by rounding."
    )


if __name__ == "__main__":
    main(sys.argv[1:])
