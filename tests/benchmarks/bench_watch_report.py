"""
What a report of a day's watch takes: memory and time, for one process and for four.

    python -m tests.benchmarks.bench_watch_report [--quick]

A made-up day of one reading per second, all figures in each. The memory is the peak of
`memopt report` as a command of its own, beside that of a watch of a minute; then each step
is timed, and what is held for a reading is traced. Last, how many verdicts would change if
groups of eight readings were thinned to one. Takes a minute or two.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
import tracemalloc
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
from tests.benchmarks.goals import Goal, print_goals
from tests.benchmarks.peaks import peak_bytes
from tests.making import MIB
from tests.watchings import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from memopt_cli.analysis.watching import Reading
    from tests.analysis.leak_corpus import Floats, Series

DAY_S, MINUTE_S = 86_400, 60
PROCESSES = (1, 4)
MOST_HELD_BYTES = 150
"""For a reading."""

MOST_BYTES = {1: 128 * MIB, 4: 170 * MIB}
"""That `memopt report` of a day may take, by the number of processes."""

GROUP = 8
"""Readings that one would stand for, if long series were thinned."""


def day(seed: int, readings: int) -> Iterator[Reading]:
    """Yield a reading each second of a process that leaks 1 MiB/h."""
    chance = random.Random(seed)
    for second in range(readings):
        size = 64 * MIB + round(second * MIB / 3600 + chance.gauss(0, MIB))
        collected = second % 3
        yield reading(
            second + chance.random() / 100,
            rss_bytes=size + 16 * MIB,
            resident_anonymous_bytes=size,
            cpu_s=second / 400,
            gc_pauses=collected,
            gc_pause_s=collected * chance.random() / 1000,
            gc_pause_max_s=(collected > 0) * chance.random() / 1000,
            cost_s=chance.random() / 1000,
            inside_cost_s=chance.random() / 1000,
            anonymous_bytes=size,
            uss_bytes=size,
            malloc_in_use_bytes=30 * MIB + round(chance.gauss(0, 10_000)),
            malloc_free_bytes=10 * MIB + round(chance.gauss(0, 10_000)),
            allocated_blocks=500_000 + round(second * 4 + chance.gauss(0, 200)),
            operations=second * 40.0,
        )


def write(folder: Path, processes: int, readings: int) -> None:
    """Write a watch of some processes, in the order in which they are read."""
    with WatchWriter(folder) as writer:
        writer.begin(
            target="app", started_at="2026-01-31T12:00:00Z", interval_s=1.0, environment={}
        )
        for number in range(processes):
            writer.begin_process(
                number, pid=number + 1, parent_pid=0, command="app", began_s=0.0, inside=""
            )
        for each in zip(*(day(seed, readings) for seed in range(processes)), strict=True):
            for number, one in enumerate(each):
                writer.add_reading(number, one)


def timed(name: str, work: Callable[[], object]) -> None:
    """Do some work and print what it took."""
    began = time.perf_counter()
    work()
    print(f"  {name}: {time.perf_counter() - began:.2f} s")


def steps(folder: Path) -> None:
    """Print how long each step of a report takes."""
    timed("read", lambda: read_watch(folder))
    recorded = read_watch(folder)
    timed("judged", lambda: judge(recorded, WatchLimits()))
    found = judge(recorded, WatchLimits())
    timed("rendered", lambda: watch_folder.files(found, recorded))
    print(f"  verdict: {found.processes[0].growth.leak.verdict}")


def held_bytes(folder: Path) -> float:
    """Return what is held for each reading of a watch that was read."""
    tracemalloc.start()
    recorded = read_watch(folder)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / sum(len(one.readings) for one in recorded.processes)


def medians(values: Floats) -> Floats:
    """Return the median of each group."""
    whole = len(values) // GROUP * GROUP
    return np.asarray(np.median(values[:whole].reshape(-1, GROUP), axis=1))


THINNED: dict[str, Callable[[Floats], Floats]] = {
    "whole": lambda values: values,
    f"medians of {GROUP}": medians,
    f"every {GROUP}th": lambda values: values[GROUP - 1 :: GROUP],
}


def thinning(name: str, whole: Sequence[Series]) -> None:
    """Print how verdicts on generated series change if groups of readings are thinned."""
    long = [one for one in whole if len(one.times) >= GROUP * leak.FEWEST_SAMPLES]
    verdicts = {
        how: [leak.judge(choose(one.times), choose(one.sizes)).verdict for one in long]
        for how, choose in THINNED.items()
    }
    clean, strong = ([getattr(one, f"is_{kind}") for one in long] for kind in ("clean", "strong"))
    print(f"{name}: {sum(clean)} clean series, {sum(strong)} with a strong leak")
    for how, told in verdicts.items():
        accused, found = (
            sum(of and verdict == "leak" for of, verdict in zip(kind, told, strict=True))
            for kind in (clean, strong)
        )
        changed = sum(one != other for one, other in zip(verdicts["whole"], told, strict=True))
        print(f"  {how}: {accused} accused, {found} leaks found, {changed} verdicts changed")


def main() -> None:
    """Print what a report takes, whether that is within its goals, and what thinning would do."""
    quick = "--quick" in sys.argv
    readings = 2_000 if quick else DAY_S
    with tempfile.TemporaryDirectory() as name:
        folders = {processes: Path(name, str(processes)) for processes in PROCESSES}
        write(Path(name, "minute"), 1, MINUTE_S)
        for processes, folder in folders.items():
            write(folder, processes, readings)
        least = peak_bytes(Path(name, "minute"))
        peaks = {processes: peak_bytes(folder) for processes, folder in folders.items()}
        print(f"a minute of one process: peak of the report {least / MIB:.0f} MiB")
        for processes, folder in folders.items():
            print(f"processes: {processes}, {readings:,} readings each")
            print(f"  peak of the report: {peaks[processes] / MIB:.0f} MiB")
            steps(folder)
        held = held_bytes(folders[1])
    print_goals(
        [
            Goal("held for a reading", held, MOST_HELD_BYTES, "B"),
            *(
                Goal(f"a day of {number}", peaks[number] / MIB, MOST_BYTES[number] / MIB, "MiB")
                for number in PROCESSES
            ),
        ]
    )
    thinning("up to 1,440 readings", leak_series.series(2, each=2 if quick else 60))
    if not quick:
        thinning("a day", leak_series.series(5, each=6, lengths=(DAY_S,), spans_s=(DAY_S,)))


if __name__ == "__main__":
    main()
