"""
How often a simulated day finds a leak of 64 KiB per hour, and never one in its clean twin.

    SEEDS=20 python -m tests.benchmarks.bench_soak_leak

Each seed is the scenario soak-24h at one percent of its load: two variants in fresh
processes do the same 24 hours, and one of them forgets 8 bytes of each message. 1,024
connections send 8 messages an hour each on average; the true rate is by those that they
sent. Takes half a minute a seed.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from memopt_cli.analysis.findings import judge
from memopt_cli.analysis.results import LeakVerdict
from memopt_cli.engine.clock import SystemClock
from memopt_cli.engine.keeping import kept
from memopt_cli.engine.launcher import LocalLauncher
from memopt_cli.engine.simulate import simulate
from memopt_cli.engine.stopping import StopRequest
from memopt_cli.report import wording
from memopt_cli.scenario import catalogue, loading
from memopt_cli.scenario.dumping import dump
from memopt_cli.store import reader
from memopt_cli.store.writer import RunWriter
from memopt_cli.units import Dimension
from memopt_cli.workloads import rates
from memopt_cli.workloads.transcript import Transcript

if TYPE_CHECKING:
    from memopt_cli.analysis.results import Leak, RunFindings
    from memopt_cli.scenario.loading import Plan
    from memopt_cli.scenario.model import Scenario

CONNECTIONS, MESSAGES_PER_HOUR, LEAK_BYTES = 1024, 8, 8
"""Their product is the leak: 64 KiB an hour."""

STEP_S = 60.0

OPTIMIZED = "pool: {size: 10, max_size: 100}, compact: {compression: on}, gc: adaptive"
DAY = (
    "sampling.interval=1m",
    "load.arrival_rate=1/s",
    f"load.message_rate={MESSAGES_PER_HOUR}/h",
    f"load.stages.ramp-up.connections={CONNECTIONS}",
    f"load.stages.steady.connections={CONNECTIONS}",
    f"variants=[{{name: clean, {OPTIMIZED}}}, {{name: leaky, leak: {LEAK_BYTES}B, {OPTIMIZED}}}]",
)


def plan(seed: int, *settings: str) -> Plan:
    """Return a day with a leak, beside the same day without one."""
    return loading.load(catalogue.find("soak-24h"), settings=(*DAY, f"seed={seed}", *settings))


def found(asked: Plan, folder: Path) -> RunFindings:
    """Run a plan, keep it in a folder, and return what is found in it."""
    clock, stop = SystemClock(), StopRequest()
    with RunWriter(folder) as writer:
        stream = simulate(
            asked,
            scenario_yaml=dump(asked.scenario),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            launcher=LocalLauncher(folder / "target.log", clock=clock, stop=stop),
            clock=clock,
            stop=stop,
        )
        for _ in kept(stream, writer):
            pass
    return judge(reader.read(folder), asked.scenario)


def twins(seed: int, folder: Path, *settings: str) -> Twins:
    """Return how memory grows with and without the leak, in one day of a seed."""
    asked = plan(seed, *settings)
    # The same load in larger steps, of which there are fewer to exchange with the subject.
    with mock.patch.object(rates, "LONGEST_TICK_S", STEP_S):
        clean, leaky = found(asked, folder).variants
        return Twins(clean.leak, leaky.leak, planted_bytes_per_s(asked.scenario))


def planted_bytes_per_s(scenario: Scenario) -> float:
    """Return what the leak is by the messages of the steady stage, which are drawn at random."""
    transcript = Transcript(
        scenario.load,
        mix=[share for _, share in scenario.connections.message_mix],
        writes=scenario.connections.writes,
        interval_s=scenario.sampling.interval_s,
        seed=scenario.seed,
    )
    names = [stage.name for stage in scenario.load.stages]
    steady = names.index("steady")
    messages = sum(len(tick.message_codes) for tick in transcript if tick.stage == steady)
    leaky = scenario.variants[-1]
    return messages * leaky.leak_bytes / scenario.load.stages[steady].duration_s


@dataclass(frozen=True, slots=True)
class Twins:
    """Growth of two variants that did the same."""

    clean: Leak
    leaky: Leak
    planted_bytes_per_s: float

    @property
    def leak_is_found(self) -> bool:
        """Whether it is called a leak, with the true slope inside its interval."""
        slope = self.leaky.slope_bytes_per_s
        inside = slope is not None and slope.low <= self.planted_bytes_per_s <= slope.high
        return self.leaky.verdict is LeakVerdict.LEAK and inside


def line(leak: Leak) -> str:
    """Return a verdict and its slope."""
    slope = wording.estimate(leak.slope_bytes_per_s, Dimension.SIZE_RATE)
    return f"{wording.leak(leak)}, {slope} ({leak.reason})"


def main() -> int:
    """Print what each seed's twins are found to be; return 1 if any is wrong."""
    seeds = int(os.environ.get("SEEDS", "20"))
    missed = accused = 0
    for seed in range(1, seeds + 1):
        with tempfile.TemporaryDirectory() as name:
            both = twins(seed, Path(name) / "run")
        missed += not both.leak_is_found
        accused += both.clean.verdict is LeakVerdict.LEAK
        planted = both.planted_bytes_per_s * 3600 / 1024
        print(f"seed {seed}: planted {planted:.2f} KiB/h, found: {both.leak_is_found}")
        print(f"  leaky: {line(both.leaky)}\n  clean: {line(both.clean)}", flush=True)
    print(f"found with the true slope inside: {seeds - missed} of {seeds}")
    print(f"clean twins called a leak: {accused} of {seeds}")
    return int(bool(missed or accused))


if __name__ == "__main__":
    sys.exit(main())
