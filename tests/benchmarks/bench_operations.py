"""
What measuring in one's own code costs: an operation, a snapshot, a leak test.

Times are CPU times of the calling thread. Run it on a quiet machine, or believe the ratios only.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING

from memopt_cli.profiler import Registry, Snapshots, measured
from memopt_cli.testing import find_leak
from memopt_cli.units import format_duration
from tests.benchmarks.pairs import ratio

if TYPE_CHECKING:
    from collections.abc import Callable

PAIRS = 12
CALLS = 2000
TEXT = json.dumps([{"number": number, "name": f"name {number}"} for number in range(40)])
STARTS = 15


def parse() -> object:
    """Do some 10 us of work that allocates."""
    return json.loads(TEXT)


def cpu_s(function: Callable[[], object], calls: int = CALLS) -> float:
    """Return CPU seconds of one call."""
    began = time.thread_time()
    for _ in range(calls):
        function()
    return (time.thread_time() - began) / calls


def told(name: str, function: Callable[[], object]) -> None:
    """Print what one call takes, and its ratio to the plain function."""
    each = statistics.median(cpu_s(function) for _ in range(PAIRS))
    found = ratio(lambda: cpu_s(function), lambda: cpu_s(parse), pairs=PAIRS)
    print(f"{name:40} {format_duration(each):>10}   {found} of the plain call")


def starts(*arguments: str) -> float:
    """Return the CPU seconds of a Python that starts."""
    script = "import time, pytest\n{}\nprint(time.process_time())".format(*arguments or ("",))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Print the costs."""
    registry = Registry()
    plain = statistics.median(cpu_s(parse) for _ in range(PAIRS))
    print(f"{'plain call':40} {format_duration(plain):>10}")
    told("measured, not traced", measured("a", trace=False, registry=registry)(parse))
    told("measured, tracer switched on and off", measured("b", registry=registry)(parse))
    tracemalloc.start()
    traced = statistics.median(cpu_s(parse) for _ in range(PAIRS))
    print(f"{'plain call while somebody traces':40} {format_duration(traced):>10}")
    each = measured("c", registry=registry)(parse)
    print(f"{'measured while somebody traces':40} {format_duration(cpu_s(each)):>10}")
    tracemalloc.stop()
    with Snapshots() as snapshots:
        costs = sorted(snapshots.take().cost_s for _ in range(200))
    print(f"{'a snapshot':40} {format_duration(costs[100]):>10}")
    kept: list[object] = []
    for name, function in (("clean", parse), ("leaking", lambda: kept.append(object()))):
        began = time.thread_time()
        found = find_leak(function)
        spent = time.thread_time() - began
        print(f"{'a leak test, ' + name:40} {format_duration(spent):>10}   {found.verdict}")
    plugin = "import memopt_cli.testing.plugin"
    found_ratio = ratio(lambda: starts(plugin), starts, pairs=STARTS)
    print(f"start of pytest with the plugin over without: {found_ratio}")


if __name__ == "__main__":
    main()
