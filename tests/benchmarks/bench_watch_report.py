"""How long a watch of a day takes to be kept, read, judged and rendered, and in what memory."""

from __future__ import annotations

import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memopt_cli.analysis import leak
from memopt_cli.analysis.watch_findings import judge
from memopt_cli.analysis.watch_limits import WatchLimits
from memopt_cli.report import watch_folder
from memopt_cli.store.watch_reader import read_watch
from memopt_cli.store.watch_writer import WatchWriter
from tests.analysis import leak_series
from tests.making import MIB
from tests.watchings import reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.analysis.watching import Reading

DAY_S = 86_400
GROUP = 8
"""Readings whose median would stand for them, if long series were thinned."""


def day(seed: int, readings: int) -> tuple[Reading, ...]:
    """Return a reading each second of a process that leaks 1 MiB/h."""
    chance = random.Random(seed)
    return tuple(
        reading(
            float(at_s),
            resident_anonymous_bytes=64 * MIB + round(at_s * MIB / 3600 + chance.gauss(0, MIB)),
            allocated_blocks=500_000 + round(at_s * 4 + chance.gauss(0, 200)),
        )
        for at_s in range(readings)
    )


def timed(name: str, work: Callable[[], object]) -> None:
    """Do some work and print what it took."""
    began = time.perf_counter()
    work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name}: {time.perf_counter() - began:.2f} s; peak so far {peak:.0f} MiB")


def write(folder: Path, processes: int, readings: int) -> None:
    """Write a watch of some processes."""
    with WatchWriter(folder) as writer:
        writer.begin(
            target="app", started_at="2026-01-31T12:00:00Z", interval_s=1.0, environment={}
        )
        for number in range(processes):
            writer.begin_process(
                number, pid=number + 1, parent_pid=0, command="app", began_s=0.0, inside=""
            )
            for one in day(number, readings):
                writer.add_reading(number, one)


def thinning() -> None:
    """Print how the verdict on generated series changes if groups of readings are thinned."""
    counts = {"whole": [0, 0, 0], "thinned": [0, 0, 0]}
    for one in leak_series.series(2, each=60):
        if len(one.times) < GROUP * leak.FEWEST_SAMPLES:
            continue
        kept = len(one.times) // GROUP * GROUP
        thin = [
            np.median(part[:kept].reshape(-1, GROUP), axis=1) for part in (one.times, one.sizes)
        ]
        for name, found in (
            ("whole", leak.judge(one.times, one.sizes)),
            ("thinned", leak.judge(*thin)),
        ):
            counts[name][0] += one.is_clean
            counts[name][1] += one.is_clean and found.verdict == "leak"
            counts[name][2] += one.is_strong and found.verdict == "leak"
    for name, (clean, false, found_) in counts.items():
        print(f"{name}: {false} of {clean} clean series accused, {found_} strong leaks found")


def main() -> None:
    """Print the times of each step for one and for four processes, then what thinning does."""
    readings = 2_000 if "--quick" in sys.argv else DAY_S
    for processes in (1, 4):
        print(f"{processes} processes, {readings:,} readings each")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "watch"
            timed("  made and kept", lambda: write(folder, processes, readings))  # noqa: B023 - called at once
            timed("  read", lambda: read_watch(folder))  # noqa: B023 - called at once
            recorded = read_watch(folder)
        found = judge(recorded, WatchLimits())
        timed("  judged", lambda: judge(recorded, WatchLimits()))  # noqa: B023 - called at once
        timed("  rendered", lambda: watch_folder.files(found, recorded))  # noqa: B023 - called at once
        print(f"  verdict: {found.processes[0].growth.leak.verdict}")
    thinning()


if __name__ == "__main__":
    main()
