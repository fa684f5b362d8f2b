"""
What a day of samples takes: bytes on disk, and the time and the memory of one page of report.

    python -m tests.benchmarks.bench_soak_report [--quick]

A made-up day of one sample per second is written by what writes a run (which also replaces
checkpoints and histograms as it goes on: they take hardly any disk, and time that is not in
here). Then the folder is read, judged and rendered: in a command of its own, for the peak of
its memory, and step by step, for the time. Takes about ten seconds.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from memopt_cli.analysis.findings import judge
from memopt_cli.analysis.recording import Outcome, StageSpan
from memopt_cli.report import folder as contents
from memopt_cli.scenario import loading
from memopt_cli.scenario.dumping import dump
from memopt_cli.store import layout, reader
from memopt_cli.store.writer import RunWriter
from tests.benchmarks.goals import Goal, print_goals
from tests.benchmarks.peaks import peak_bytes
from tests.making import MIB, histogram, sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memopt_cli.analysis.recording import Sample

DAY_S, RAMP_S = 86_400, 36_000
CONNECTIONS = 100_000
STAGES = (
    StageSpan("before", 0.0, 60.0, 0),
    StageSpan("ramp-up", 60.0, RAMP_S, CONNECTIONS),
    StageSpan("steady", RAMP_S, DAY_S, CONNECTIONS),
)
MOST_DISK_BYTES, MOST_REPORT_S, MOST_REPORT_BYTES = 20e6, 5.0, 200 * MIB
"""What a day may take on disk, and a page of report from it in time and memory."""


def day(seconds: int = DAY_S) -> Iterator[Sample]:
    """Yield one sample per second of a server that holds its memory, as a sampler fills them."""
    chance = random.Random(1)
    for at_s in range(seconds):
        units = round(CONNECTIONS * min(1.0, max(0, at_s - 60) / (RAMP_S - 60)))
        size = 10 * MIB + units * 70 + round(chance.gauss(0, 64)) * 4096
        exact = size if at_s % 20 == 0 else None
        yield sample(
            float(at_s),
            wall_s=at_s / 300 + chance.random() / 1000,
            stage=0 if at_s < 60 else 1 if at_s < RAMP_S else 2,
            units=units,
            operations=at_s * 250,
            rss_bytes=size + 12 * MIB,
            resident_anonymous_bytes=size,
            cpu_s=at_s / 400,
            busy_s=at_s / 500 + chance.random() / 1000,
            gc_pauses=at_s % 3,
            gc_pause_s=(at_s % 3) * chance.random() / 1000,
            gc_pause_max_s=(at_s % 3 > 0) * chance.random() / 1000,
            cost_s=chance.random() / 1000,
            is_plateau=at_s in {59, RAMP_S // 2, RAMP_S - 1} or at_s % 600 == 599,
            anonymous_bytes=exact,
            uss_bytes=exact,
            pss_bytes=exact,
            heap_in_use_bytes=size - MIB if at_s % 600 == 599 else None,
            heap_free_bytes=MIB if at_s % 600 == 599 else None,
            allocated_blocks=40_000 if at_s % 600 == 599 else None,
            threads=1,
            fds=9,
            pool_created=units,
            pool_reused=at_s * 100,
        )


def write(folder: Path, samples: Iterator[Sample], *, scenario: str) -> None:
    """Write a day as a run writes it."""
    with RunWriter(folder) as writer:
        writer.begin(
            scenario=scenario, started_at="2026-01-31T12:00:00Z", clock="virtual", environment={}
        )
        variant = writer.begin_variant(
            {}, "optimized", unit="connections", has_pool=True, preallocated=0
        )
        for number, stage in enumerate(STAGES):
            writer.begin_stage(variant, number, stage)
            writer.put_latency(variant, number, histogram(1000))
        for one in samples:
            writer.add_sample(variant, one)
        writer.end_variant(
            variant, Outcome.FINISHED, failure="", digest="d", transcript="t", pool=None
        )
        writer.finish(Outcome.FINISHED, reason="", signal=None, wall_s=300.0)


def timed(name: str, work: Callable[[], object]) -> float:
    """Do some work, print what it took, and return it in seconds."""
    began = time.perf_counter()
    work()
    took_s = time.perf_counter() - began
    print(f"{name}: {took_s:.2f} s")
    return took_s


def main() -> None:
    """Print what each step takes, and whether a day stays within its goals."""
    seconds = 2_000 if "--quick" in sys.argv else DAY_S
    plan = loading.load(Path("scenarios/soak-24h.yaml"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        scenario = dump(plan.scenario)
        timed("made and written", lambda: write(folder, day(seconds), scenario=scenario))
        size = (folder / layout.SAMPLES).stat().st_size
        print(f"on disk: {size:,} B, {size / seconds:.0f} B per sample")
        peak = peak_bytes(folder)
        print(f"peak of the report: {peak / MIB:.0f} MiB")
        read_s = timed("read", lambda: reader.read(folder))
        recorded = reader.read(folder)
        judged_s = timed("judged", lambda: judge(recorded, plan.scenario))
        found = judge(recorded, plan.scenario)
        drawn_s = timed("rendered", lambda: contents.files(found, recorded))
    print_goals(
        [
            Goal("a day on disk", size / seconds * DAY_S / 1e6, MOST_DISK_BYTES / 1e6, "MB"),
            Goal("a page of report", read_s + judged_s + drawn_s, MOST_REPORT_S, "s"),
            Goal("its memory", peak / MIB, MOST_REPORT_BYTES / MIB, "MiB"),
        ]
    )


if __name__ == "__main__":
    main()
