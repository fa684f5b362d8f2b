"""
What being sampled costs a subject: CPU time with samples every second, and without.

100,000 connections in the compact variant. Both runs do the same ticks and read
memory at the same plateaus; only one is sampled in between.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from memopt_cli.engine import events
from memopt_cli.engine.clock import SystemClock
from memopt_cli.engine.launcher import LocalLauncher
from memopt_cli.engine.simulate import simulate
from memopt_cli.engine.stopping import StopRequest
from memopt_cli.scenario import catalogue, loading
from memopt_cli.units import format_duration
from tests.benchmarks.pairs import ratio

if TYPE_CHECKING:
    from memopt_cli.analysis.recording import Sample

PAIRS = 8


def samples(interval: str) -> list[Sample]:
    """Return the samples of one run of the compact variant."""
    settings = [f"sampling.interval={interval}", "variants=[{name: compact, compact: on}]"]
    settings.append("thresholds={memory_per_connection: ['value<2MB']}")
    plan = loading.load(catalogue.find("connections-100k"), settings=settings)
    clock, stop = SystemClock(), StopRequest()
    with tempfile.TemporaryDirectory() as folder:
        launcher = LocalLauncher(Path(folder, "target.log"), clock=clock, stop=stop)
        stream = simulate(
            plan, scenario_yaml="", started_at="", launcher=launcher, clock=clock, stop=stop
        )
        return [event.sample for event in stream if isinstance(event, events.SampleTaken)]


def main() -> None:
    """Print the ratio, and what one sample costs the controller."""
    found = ratio(lambda: samples("1s")[-1].cpu_s, lambda: samples("1h")[-1].cpu_s, pairs=PAIRS)
    print(f"subject's CPU time, sampled over not sampled: {found}")
    full = [sample for sample in samples("1s") if sample.units == 100_000]
    costs = sorted(sample.cost_s for sample in full if not sample.is_plateau)
    print(
        f"one sample at 100,000 connections: p50 {format_duration(costs[len(costs) // 2])}, "
        f"max {format_duration(costs[-1])}, {len(costs)} samples"
    )


if __name__ == "__main__":
    main()
