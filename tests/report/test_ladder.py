"""The ladder says what each variant adds to the one before, and nothing of other workloads."""

from __future__ import annotations

from dataclasses import replace

from memopt_cli.analysis.density import Density
from memopt_cli.report.ladder import document, ladder
from tests.making import estimate, found, run, thought

NAIVE = found(name="naive", unit="agents", total=estimate(8e6, 100), steady_per_s=100.0)
BATCHED = found(
    name="batched",
    unit="agents",
    total=estimate(1e6, 100),
    steady_per_s=5000.0,
    fidelity=thought(same_actions=999),
)
LOST = found(name="lost", unit="agents", fidelity=thought(missing=3), total=estimate(1e6, 100))


def test_rows() -> None:
    """A factor where a difference is shown, a dash where there is nothing to compare with."""
    rows = ladder(run(NAIVE, BATCHED, LOST))[-1].splitlines()[2:]

    assert [
        "| naive | 7.63 MiB | - | 2.00 KiB (1.94 to 2.06) | 100 | - | - | - | - |",
        (
            "| batched | 977 KiB | 8 times (7.84 to 8.16) | 2.00 KiB (1.94 to 2.06) | 5,000 "
            "| 50 times (30 to 83.3) | 99.90 % and 100 % | 5.0e-16 | 3.0e-16 |"
        ),
        (
            "| lost | 977 KiB | no difference shown | 2.00 KiB (1.94 to 2.06) | not measured | - "
            "| beliefs were lost in 3 of 1,000 steps | - | - |"
        ),
    ] == rows


def test_values() -> None:
    """The same for programs; what was not compared is null."""
    assert [
        {
            "variant": "naive",
            "cell": {},
            "total_bytes": 8e6,
            "steps_per_s": 100.0,
            "memory_factor": None,
            "time_factor": None,
        },
        {
            "variant": "batched",
            "cell": {},
            "total_bytes": 1e6,
            "steps_per_s": 5000.0,
            "memory_factor": 8.0,
            "time_factor": 50.0,
        },
    ] == document(run(NAIVE, BATCHED))


def test_only_agents_have_one() -> None:
    """Nor has a single variant a step."""
    assert [] == ladder(run(found(), found(name="other")))
    assert [] == document(run(found(), found(name="other")))
    assert [] == ladder(run(NAIVE))


def test_what_filled_its_memory_has_none() -> None:
    """Other numbers of agents are no steps from one to the next."""
    filled = Density(10**8, 100, stopped=True, peak_bytes=9, computed_bytes=1e6, owns_all=True)
    both = run(replace(NAIVE, density=filled), replace(BATCHED, density=filled))

    assert ([], []) == (ladder(both), document(both))
