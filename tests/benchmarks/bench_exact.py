"""
Whether memory per connection is what it is: servers that allocate exactly k bytes for each.

From malloc and as Python objects; and whether one KiB that a server keeps of each closed
connection is read as that, and nothing of one that keeps nothing. ``--quick`` runs each once.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from memopt_cli.analysis.findings import judge
from memopt_cli.analysis.results import LeakVerdict
from tests.benchmarks.goals import Goal, print_goals
from tests.exactly import connected_to, exact, recorded

if TYPE_CHECKING:
    from memopt_cli.analysis.results import Estimate, VariantFindings

COUNTS = {512: 10_000, 4096: 4_000, 65_536: 1_000}
RUNS = 10
WITHIN = 0.02
KEPT_BYTES, KEPT_COUNT, WAVES, KEPT_WITHIN = 1024, 4_000, 5, 0.05


def measured(command: list[str], count: int, waves: int = 1) -> VariantFindings:
    """Return what is found of one run."""
    scenario = connected_to(command, count, waves=waves)
    with tempfile.TemporaryDirectory() as folder:
        (variant,) = judge(recorded(scenario, Path(folder) / "run"), scenario).variants
    return variant


def of_one(level: str, size_bytes: int, runs: int) -> list[Goal]:
    """Return how often a server's figure is within its bounds, and its interval holds the truth."""
    near = held = 0
    for _ in range(runs):
        found = measured(exact(level, size_bytes), COUNTS[size_bytes]).memory.per_unit
        if found is None:
            continue
        near += abs(found.value - size_bytes) <= WITHIN * size_bytes
        held += found.low <= size_bytes <= found.high
        print(f"  {level:6} {size_bytes:6,} B: {_shown(found)}")
    name = f"{level}, {size_bytes:,} B"
    return [
        Goal(f"{name}: not within {WITHIN:.0%}", runs - near, runs // 10, f"of {runs}"),
        Goal(f"{name}: interval without it", runs - held, runs // 10, f"of {runs}"),
    ]


def kept(*, keep: bool, runs: int) -> list[Goal]:
    """Return how often what is kept of a closed connection is read as it is."""
    wrong = miscalled = 0
    truth = KEPT_BYTES if keep else 0
    for _ in range(runs):
        found = measured(exact("c", KEPT_BYTES, keep=keep), KEPT_COUNT, WAVES).connections
        each = None if found is None else found.waves.kept_per_connection
        if found is None or each is None:
            wrong += 1
            continue
        wrong += (
            abs(each.value - truth) > KEPT_WITHIN * truth
            if keep
            else not (each.low <= 0 <= each.high)
        )
        miscalled += found.waves.verdict is not (LeakVerdict.LEAK if keep else LeakVerdict.NO_LEAK)
        print(f"  keeps {truth:5,} B: {_shown(each)}, {found.waves.verdict}")
    name = "keeps 1 KiB" if keep else "keeps nothing"
    return [
        Goal(f"{name}: read as something else", wrong, 0, f"of {runs}"),
        Goal(f"{name}: wrong verdict", miscalled, 0, f"of {runs}"),
    ]


def _shown(found: Estimate) -> str:
    return f"{found.value:10,.1f} ({found.low:,.1f} to {found.high:,.1f})"


def main() -> None:
    """Print all of it."""
    runs = 1 if "--quick" in sys.argv else RUNS
    goals = [
        goal
        for level in ("c", "python")
        for size_bytes in COUNTS
        for goal in of_one(level, size_bytes, runs)
    ]
    goals += kept(keep=True, runs=runs) + kept(keep=False, runs=runs)
    print_goals(goals)


if __name__ == "__main__":
    main()
