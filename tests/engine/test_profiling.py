"""What stays of agents that ended is measured, and named by its line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.analysis.findings import variant_findings
from memopt_cli.analysis.operation_profile import PARTS, KeptLine, OperationProfile, PartCost
from memopt_cli.analysis.recording import StageSpan
from memopt_cli.engine.events import SampleTaken, VariantEnded
from memopt_cli.engine.profiling import Profiler
from memopt_cli.report import operation_profile
from memopt_cli.scenario.model import Scenario
from tests.making import found, run, variant

if TYPE_CHECKING:
    from tests.engine.conftest import Runner

CYCLES = 300
STAGES = [
    {"name": "baseline", "duration": "2s", "agents": 0},
    {"name": "ramp-up", "duration": "5s", "agents": 20},
    {"name": "warm-up", "duration": "60s", "agents": 20},
    {"name": "cycles", "duration": f"{CYCLES}s", "agents": 20},
    {"name": "drain", "duration": "2s", "agents": 0},
]


def cycled(runner: Runner, **agents: Any) -> tuple[OperationProfile, float]:
    """Return the profile of a run of one cycle a second, and the bytes that a cycle kept."""
    events = runner.run(
        workload="agents",
        agents={"mix": {"G5": "60%", "chain3": "40%"}, "probes": 0, "profile": 20, **agents},
        variants=[{"name": "batched", "agents": "on"}],
        sampling={"interval": "1s", "heap": "on"},
        load={"arrival_rate": "1/s", "message_rate": "1/s", "stages": STAGES},
    )
    ended = next(one for one in events if isinstance(one, VariantEnded))
    assert ended.failure == ""
    assert ended.profile is not None
    samples = [one.sample for one in events if isinstance(one, SampleTaken)]
    assert all(sample.heap_in_use_bytes is not None for sample in samples)
    recorded = variant(
        samples,
        unit="agents",
        stages=(
            StageSpan("baseline", 0.0, 2.0, 0),
            StageSpan("ramp-up", 2.0, 7.0, 20),
            StageSpan("warm-up", 7.0, 67.0, 20),
            StageSpan("cycles", 67.0, 67.0 + CYCLES, 20),
            StageSpan("drain", 67.0 + CYCLES, 69.0 + CYCLES, 0),
        ),
    )
    slope = variant_findings(recorded, first=recorded, clock="virtual").leak.slope_bytes_per_s
    assert slope is not None
    return ended.profile, slope.value


def test_a_planted_leak_is_found_and_named(runner: Runner) -> None:
    """Of 800 B per cycle, within 50 B by both ways, and the line that keeps it."""
    profile, slope = cycled(runner, leak_per_cycle="800B")

    assert slope == pytest.approx(800, abs=50)
    assert profile.retained_bytes == pytest.approx(800, abs=50)
    assert profile.given_back is not None
    assert profile.given_back < 0.99
    assert profile.lines[0].place.startswith("memopt_cli/workloads/population.py:")
    assert profile.lines[0].bytes_per_agent == pytest.approx(800, abs=50)


def test_nothing_stays_of_agents_that_do_not_leak(runner: Runner) -> None:
    """No more than 50 B per cycle, and a hundredth of what an agent created."""
    profile, slope = cycled(runner)

    assert abs(slope) < 50
    assert profile.given_back is not None
    assert profile.given_back >= 0.99
    assert profile.lines == ()
    assert [part.name for part in profile.parts] == ["perceive", "update", "plan"]
    assert all(part.s_per_step > 0 for part in profile.parts)


class Rounds:
    """A subject, its memory and its stop: each round takes more, the first a hundred times more."""

    def __init__(self, kept_bytes: int) -> None:
        self.asked: list[str] = []
        self.held_bytes = self.round = 0
        self._kept_bytes = kept_bytes

    def exchange(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        """Answer as a subject with ten agents does."""
        what = message["what"]
        self.asked.append(what)
        self.round += what == "grow"
        created = 10 * (1000 * self.round if self.round > 1 else 100_000)
        self.held_bytes += {"grow": created, "shrink": 10 * self._kept_bytes - created}.get(what, 0)
        of_each = dict.fromkeys(PARTS, created * 100)
        answers: dict[str, dict[str, Any]] = {
            "open": {"agents": 10},
            "use": {"ns": of_each, "steps": 5},
            "trace": {"peak": of_each, "kept": of_each},
            "lines": {"lines": [("here.py:46", 39)]},
        }
        return answers.get(what, {}), []

    def heap(self) -> dict[str, int | None]:
        """Return what is held."""
        return {"in_use": self.held_bytes}

    def anonymous_bytes(self) -> int:
        """Return pages that never move."""
        return 0

    def check(self) -> None:
        """Let it go on."""


@pytest.mark.parametrize(("kept_bytes", "lines"), [(41, 1), (40, 0)])
def test_the_first_round_is_not_measured(kept_bytes: int, lines: int) -> None:
    """Of the others the middle one is told; lines are asked for above a hundredth that stays."""
    subject: Any = Rounds(kept_bytes)
    asked = Scenario.model_validate(
        {
            "version": 1,
            "name": "profiled",
            "workload": "agents",
            "agents": {"profile": 10},
            "load": {"stages": STAGES},
        }
    )
    profile = Profiler(subject, subject, subject).profile(asked)

    assert profile is not None
    assert (4000, kept_bytes, 5, 25) == (
        profile.created_bytes,
        profile.retained_bytes,
        profile.rounds,
        profile.steps,
    )
    assert [4e-3 / 5] * 3 == pytest.approx([part.s_per_step for part in profile.parts])
    assert (lines, lines) == (len(profile.lines), subject.asked.count("lines"))


def test_it_is_told() -> None:
    """In a table, and of a leak in a sentence; runs that were not profiled have no section."""
    parts = tuple(PartCost(name, 1e-5, 2048, 16.0) for name in PARTS)
    leaking = OperationProfile(20, 5, 1000, parts, 8000.0, 800.0, (KeptLine("here.py:46", 790.0),))
    told = operation_profile.section(run(found(unit="agents", profile=leaking)))

    assert [
        (
            "| optimized | 10.0 us | 10.0 us | 10.0 us | 2.00 KiB | 2.00 KiB | 2.00 KiB | 48 B "
            "| 7.81 KiB | 800 B | 90.00 % |"
        ),
        "What agents of **optimized** leave is kept by `here.py:46` (790 B of each).",
    ] == [told[-2].splitlines()[2], told[-1]]
    assert [] == operation_profile.section(run(found()))
