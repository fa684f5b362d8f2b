"""
What the controller itself grows by over a day of samples: `memopt simulate` as the command does.

    python -m tests.benchmarks.bench_soak_controller [--quick]

One sample per simulated second of a real subject with ten units, kept on disk, shown, and
judged while it goes on by thresholds that may abort it. The controller's resident set is
read after the first twentieth of the samples and at the last one. Takes about a minute.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memopt_cli.cli.display import live
from memopt_cli.engine.clock import SystemClock
from memopt_cli.engine.events import SampleTaken
from memopt_cli.engine.keeping import kept
from memopt_cli.engine.launcher import LocalLauncher
from memopt_cli.engine.simulate import simulate
from memopt_cli.engine.stopping import StopRequest
from memopt_cli.engine.watch import ThresholdWatch
from memopt_cli.profiler.process import ProcessReader
from memopt_cli.scenario.dumping import dump
from memopt_cli.scenario.loading import Cell, Plan
from memopt_cli.scenario.model import Scenario
from memopt_cli.store import layout, reader
from memopt_cli.store.writer import RunWriter
from tests.benchmarks.goals import Goal, print_goals

if TYPE_CHECKING:
    from collections.abc import Callable

DAY_S = 86_400
MIB = 1024**2
MOST_BYTES, MOST_DISK_BYTES = MIB, 20e6
"""What the controller may grow by over a day, and what a day may take on disk."""


def scenario(seconds: int) -> Scenario:
    """Return a soak of ten units, with a threshold that is judged while it goes on."""
    stages = [
        {"name": "ramp-up", "duration": "10s", "units": 10},
        {"name": "steady", "duration": f"{seconds}s", "units": 10},
    ]
    return Scenario.model_validate(
        {
            "version": 1,
            "name": "controller",
            "workload": "synthetic",
            "load": {"message_rate": "100/s", "stages": stages},
            "sampling": {"interval": "1s"},
            "thresholds": {
                "memory_leak_slope": [{"threshold": "value<1MB/h", "abort_on_fail": True}],
                "gc_pause": [{"threshold": "max<10s", "abort_on_fail": True}],
            },
        }
    )


@dataclass(frozen=True, slots=True)
class Grown:
    """What the controller grew by."""

    samples: int
    """Between the two readings."""

    size_bytes: int
    disk_bytes: int
    """Of all samples."""


def grown(seconds: int, folder: Path, read: Callable[[], int], *, warm: float = 0.05) -> Grown:
    """
    Run a soak of so many seconds, and return what the controller grew by.

    Args:
        seconds: As many samples are taken.
        folder: Of the run.
        read: Returns the controller's memory in bytes.
        warm: Share of the samples after which it is read first. It is read last at the last
            sample: what ends a run loads modules that were not needed before.
    """
    planned = scenario(seconds)
    clock, stop = SystemClock(), StopRequest()
    first, taken, before, after = round(seconds * warm), 0, 0, 0
    with RunWriter(folder) as writer, live(None) as shown:
        watch = ThresholdWatch(planned, read=lambda: reader.glance(folder), clock=clock, stop=stop)
        stream = simulate(
            Plan(planned, (Cell({}, planned),)),
            scenario_yaml=dump(planned),
            started_at="2026-01-31T12:00:00Z",
            launcher=LocalLauncher(folder / layout.TARGET_LOG, clock=clock, stop=stop),
            clock=clock,
            stop=stop,
        )
        for event in kept(stream, writer):
            watch.see(event)
            shown.see(event)
            if isinstance(event, SampleTaken):
                taken += 1
                before = read() if taken == first else before
                after = read() if taken == seconds else after
    return Grown(seconds - first, after - before, (folder / layout.SAMPLES).stat().st_size)


def main() -> None:
    """Print what a day costs the controller."""
    seconds = 2_000 if "--quick" in sys.argv else DAY_S
    with tempfile.TemporaryDirectory() as name, ProcessReader(os.getpid()) as own:
        found = grown(seconds, Path(name) / "run", lambda: own.residency().rss_bytes)
    print(f"{found.size_bytes / 1024:,.0f} KiB over {found.samples:,} samples")
    print(f"on disk: {found.disk_bytes:,} B, {found.disk_bytes / seconds:.0f} B per sample")
    print_goals(
        [
            Goal("the controller's growth", found.size_bytes / MIB, MOST_BYTES / MIB, "MiB"),
            Goal("samples on disk", found.disk_bytes / 1e6, MOST_DISK_BYTES / 1e6, "MB"),
        ]
    )


if __name__ == "__main__":
    main()
