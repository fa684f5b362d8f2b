"""
How often a simulated day finds a leak of 64 KiB per hour, and never one in its clean twin.

    SEEDS=20 python -m tests.benchmarks.bench_soak_leak

Each seed is the scenario soak-24h at one percent of its load: two variants in fresh
processes do the same 24 hours, and one of them forgets 8 bytes of each message. The rate is
known by arithmetic: 1,024 connections send 8 messages an hour each. Takes about half a minute
a seed.
"""

from __future__ import annotations

import os
import sys
import tempfile
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

if TYPE_CHECKING:
    from memopt_cli.analysis.results import Leak, RunFindings
    from memopt_cli.scenario.loading import Plan

LEAK_BYTES_PER_HOUR = 64 * 1024
CONNECTIONS, MESSAGES_PER_HOUR, LEAK_BYTES = 1024, 8, 8
"""Their product is the leak."""

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


def twins(seed: int, folder: Path, *settings: str) -> tuple[Leak, Leak]:
    """Return how memory grows without and with the leak, in one day of a seed."""
    # The same load in larger steps, of which there are fewer to exchange with the subject.
    with mock.patch.object(rates, "LONGEST_TICK_S", STEP_S):
        run = found(plan(seed, *settings), folder)
    clean, leaky = run.variants
    return clean.leak, leaky.leak


def is_found(leak: Leak) -> bool:
    """Return whether it is called a leak, with the true slope inside its interval."""
    slope = leak.slope_bytes_per_s
    inside = slope is not None and slope.low <= LEAK_BYTES_PER_HOUR / 3600 <= slope.high
    return leak.verdict is LeakVerdict.LEAK and inside


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
            clean, leaky = twins(seed, Path(name) / "run")
        missed += not is_found(leaky)
        accused += clean.verdict is LeakVerdict.LEAK
        print(f"seed {seed}\n  leaky: {line(leaky)}\n  clean: {line(clean)}", flush=True)
    print(f"found with the true slope inside: {seeds - missed} of {seeds}")
    print(f"clean twins called a leak: {accused} of {seeds}")
    return int(bool(missed or accused))


if __name__ == "__main__":
    sys.exit(main())
