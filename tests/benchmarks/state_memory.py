"""What one more connection state costs in memory: grown in a child, read from outside."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from dataclasses import dataclass

from memopt_cli.analysis.statistics import fit_line
from memopt_cli.profiler.process import ProcessReader
from tests.benchmarks.candidate import DISTINCT_CONTENTS, content_of, metadata_of
from tests.benchmarks.candidates import CANDIDATES

PLATEAUS = 8
IDLE, UNIQUE, SHARED = "idle", "unique", "shared"
KINDS = (IDLE, UNIQUE, SHARED)
"""After the handshake; active with metadata of its own; active with metadata of many."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a connection of one kind costs."""

    state_bytes: float
    """Slope of anonymous memory over connections, the table to find them by included."""

    half_width_bytes: float
    """Of its 95 % interval."""

    tracked: float
    """Objects per connection that the collector looks at."""


def memory_of(name: str, kind: str, count: int) -> Memory:
    """Grow a population to *count* in a fresh process, in equal steps, and fit a line."""
    command = [sys.executable, "-m", "tests.benchmarks.state_memory", name, kind, str(count)]
    sizes: list[float] = []
    anonymous_bytes: list[float] = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        with ProcessReader(child.pid) as reader:
            for _ in range(PLATEAUS):
                sizes.append(int(child.stdout.readline()))
                anonymous_bytes.append(reader.footprint().anonymous_bytes)
                child.stdin.write("\n")
                child.stdin.flush()
            tracked = json.loads(child.stdout.readline())
    line = fit_line(sizes, anonymous_bytes)
    assert line is not None
    return Memory(line.slope, line.slope_half_width, tracked)


def grow(name: str, kind: str, count: int) -> None:
    """Grow, stop at each plateau until told to go on, and say how many objects are tracked."""
    population = CANDIDATES[name]()
    shared = [metadata_of(number) for number in range(DISTINCT_CONTENTS)] if kind == SHARED else []
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(PLATEAUS):
        start = population.count
        population.grow(count // PLATEAUS)
        if kind != IDLE:
            for number in range(start, population.count):
                population.fill(population.places[number], content_of(number, shared))
        gc.collect()
        print(population.count, flush=True)
        sys.stdin.readline()
    print(json.dumps((len(gc.get_objects()) - before) / population.count))


if __name__ == "__main__":
    grow(sys.argv[1], sys.argv[2], int(sys.argv[3]))
