"""
What `--metrics-port` costs a run that has lasted a day: a look at it, and its ticks meanwhile.

    python -m tests.benchmarks.bench_metrics [--quick]

A made-up day of one sample per second is on disk and goes on: a process is read and a sample
is written a hundred times a second, first alone, then while another thread looks as often as
it can, which is twenty times as often as the endpoint does. Takes about half a minute.
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from memopt_cli.analysis.recording import Outcome
from memopt_cli.cli import looks
from memopt_cli.profiler.process import ProcessReader
from memopt_cli.report.openmetrics import openmetrics
from memopt_cli.scenario import loading
from memopt_cli.scenario.dumping import dump
from memopt_cli.store.writer import RunWriter
from tests.benchmarks.bench_soak_report import DAY_S, day, write
from tests.benchmarks.goals import Goal, print_goals
from tests.making import KIB, sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.scenario.model import Scenario

TICKS = 1_000
PAUSE_S = 0.01
MOST_LOOK_S, MOST_TICK_S = 10.0, 0.1
"""What Prometheus waits unless it is told otherwise; a tenth of the interval of soaks."""


def looked(folder: Path, scenario: Scenario, times: int) -> list[float]:
    """Return what looks take, rendered as a scrape is answered, in seconds."""
    took_s = []
    for _ in range(times):
        began = time.perf_counter()
        openmetrics([looks.at_run(folder, scenario)])
        took_s.append(time.perf_counter() - began)
    return took_s


def ticks(count: int, writer: RunWriter, process: ProcessReader) -> list[float]:
    """Return what ticks take from the moment at which each was due, in seconds."""
    took_s = []
    for number in range(count):
        due = time.perf_counter() + PAUSE_S
        time.sleep(PAUSE_S)
        read = process.residency()
        process.activity()
        one = sample(float(DAY_S + number), stage=2, rss_bytes=read.rss_bytes)
        writer.add_sample(1, one)
        took_s.append(time.perf_counter() - due)
    return took_s


def beside(work: Callable[[], object], measured: Callable[[], list[float]]) -> list[float]:
    """Return what is measured while another thread works over and over."""
    is_over = threading.Event()

    def over_and_over() -> None:
        while not is_over.is_set():
            work()

    other = threading.Thread(target=over_and_over)
    other.start()
    try:
        return measured()
    finally:
        is_over.set()
        other.join()


def told(name: str, took_s: list[float]) -> str:
    """Return the middle, the 99th percentile and the longest as a line."""
    cuts = statistics.quantiles(took_s, n=100)
    figures = (statistics.median(took_s), cuts[98], max(took_s))
    median, p99, most = (f"{1e3 * one:.2f} ms" for one in figures)
    return f"{name}: median {median}, p99 {p99}, longest {most}"


def main() -> None:
    """Print what a look takes, and what a tick takes alone and beside looks."""
    quick = "--quick" in sys.argv
    seconds, count = (2_000, 100) if quick else (DAY_S, TICKS)
    scenario = loading.load(Path("scenarios/soak-24h.yaml")).scenario
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        write(folder, day(seconds), scenario=dump(scenario))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # The first one loads what judging needs.
        first, *others = looked(folder, scenario, 6)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        look_s = statistics.median(others)
        apart_s = max(looks.FRESH_S, look_s / looks.SHARE_OF_TIME)
        print(f"a look at {seconds:,} samples: {look_s:.3f} s, the first {first:.3f} s")
        print(f"  so one in {apart_s:.1f} s at most, {look_s / apart_s:.1%} of a core")
        print(f"  peak memory grew by {(after - before) / KIB:.1f} MiB, modules included")
        with RunWriter(folder, resumed=True) as writer, ProcessReader(os.getpid()) as process:
            writer.resume_variant(1)
            alone = ticks(count, writer, process)
            held = beside(
                lambda: looks.at_run(folder, scenario), lambda: ticks(count, writer, process)
            )
            writer.end_variant(1, Outcome.FINISHED)
    print(told("a tick alone", alone))
    print(told("a tick beside a look", held))
    print_goals(
        [
            Goal("the first look", first, MOST_LOOK_S, "s"),
            Goal("the longest tick beside a look", max(held), MOST_TICK_S, "s"),
        ]
    )


if __name__ == "__main__":
    main()
