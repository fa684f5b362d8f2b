"""
What watching strangers' processes costs: the watcher, its memory, and shared memory.

A program that forks short-lived children as fast as it can, with the most that their
rings have taken; the watcher's CPU time and memory beside eight processes at the usual
interval; and how long a program with 100,000 objects stands still for a census.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from memopt_cli.engine.clock import SystemClock
from memopt_cli.engine.stopping import StopRequest
from memopt_cli.engine.watch_events import ReadingTaken, WatchEnded
from memopt_cli.engine.watching import Watching, watch
from memopt_cli.profiler.process import ProcessReader
from memopt_cli.profiler.tree import Tree, living
from memopt_cli.units import format_count, format_duration, format_size

CHILDREN = int(os.environ.get("CHILDREN", "5000"))
SECONDS = float(os.environ.get("SECONDS", "60"))

FORKS = """
import os
for _ in range(CHILDREN):
    if os.fork() == 0: os._exit(0)
    os.wait()
"""
FAMILY = """
import os, time
for _ in range(7):
    if os.fork() == 0: break
kept = []
while True:
    kept.append([str(len(kept))] * 10)
    time.sleep(0.01)
"""


def _rings_bytes() -> int:
    total = 0
    for path in Path("/dev/shm").glob("memopt-watch-*/*.ring"):  # noqa: S108 - where rings are
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def forks() -> None:
    """Print how much shared memory the rings of many children take at most."""
    most, done = 0, threading.Event()

    def look() -> None:
        nonlocal most
        while not done.wait(0.02):
            most = max(most, _rings_bytes())

    looker = threading.Thread(target=look)
    looker.start()
    began = time.monotonic()
    script = FORKS.replace("CHILDREN", str(CHILDREN))
    target = [sys.executable, "-c", script]
    for _ in watch(Watching(target), started_at="", clock=SystemClock(), stop=StopRequest()):
        pass
    took = time.monotonic() - began
    done.set()
    looker.join()
    alone = time.monotonic()
    subprocess.run([sys.executable, "-c", script], check=True)
    print(
        f"{format_count(CHILDREN)} forks in {format_duration(took)} "
        f"({format_duration(time.monotonic() - alone)} unwatched): "
        f"rings of {format_size(most)} at most, {format_size(_rings_bytes())} at the end"
    )


def family() -> None:
    """Print what the watcher uses for eight processes that all grow."""
    cost_s, readings, heaps, inside_s = 0.0, 0, 0, 0.0
    with ProcessReader(os.getpid()) as own:
        events = watch(
            Watching([sys.executable, "-c", FAMILY], duration_s=SECONDS),
            started_at="",
            clock=SystemClock(),
            stop=StopRequest(),
        )
        before_s, before = time.process_time(), own.footprint().anonymous_bytes
        ended = None
        for event in events:
            if isinstance(event, ReadingTaken):
                readings += 1
                cost_s += event.reading.cost_s
                heaps += event.reading.allocated_blocks is not None
                inside_s += event.reading.inside_cost_s
            elif isinstance(event, WatchEnded):
                ended = event
        cpu_s = time.process_time() - before_s
        grown = own.footprint().anonymous_bytes - before
    assert ended is not None
    print(
        f"8 processes for {format_duration(ended.wall_s)}: {cpu_s / ended.wall_s:.2%} of a core, "
        f"{format_size(grown)} more memory; {format_duration(cost_s / readings)} per reading, "
        f"{heaps / readings:.0%} with the heap; agents worked {inside_s / ended.wall_s / 8:.2%}"
    )


def passes() -> None:
    """Print what a pass over all processes of the machine costs."""
    own = living(os.getpid())
    assert own is not None
    tree = Tree(own)
    began = time.perf_counter()
    for _ in range(20):
        tree.look(thoroughly=True)
    each = (time.perf_counter() - began) / 20
    number = sum(name.name.isdigit() for name in Path("/proc").iterdir())
    print(f"a pass over {number} processes: {format_duration(each)}")


def main() -> None:
    """Print all figures."""
    passes()
    forks()
    family()


if __name__ == "__main__":
    main()
