"""A soak of a day says leak where there is one, and the controller is as small at its end."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

from memopt_cli.analysis.results import LeakVerdict
from tests.benchmarks.bench_soak_controller import grown
from tests.benchmarks.bench_soak_leak import twins

if TYPE_CHECKING:
    from pathlib import Path

FEWER = (
    "load.arrival_rate=450/h",
    "load.stages.ramp-up.connections=128",
    "load.stages.steady.connections=128",
    "variants.leaky.leak=64B",
)
"""An eighth of the benchmark's connections, each of whose messages leaks eight times as much."""


def test_a_day_finds_a_leak_of_64_kib_an_hour(tmp_path: Path) -> None:
    """The true slope is inside the interval of the leaky twin; the clean one is not accused."""
    both = twins(1, tmp_path / "run", *FEWER)
    assert LeakVerdict.NO_LEAK == both.clean.verdict
    assert both.leak_is_found


def test_the_controller_does_not_grow_with_its_samples(tmp_path: Path) -> None:
    """Nothing is kept of a sample that was written."""
    tracemalloc.start()
    try:
        memory = tracemalloc.get_traced_memory
        found = grown(3000, tmp_path / "run", lambda: memory()[0], warm=0.5)
    finally:
        tracemalloc.stop()
    # A sample that is kept takes 600 bytes; what judging leaves in free lists is 70 KiB once.
    assert found.size_bytes < 100 * found.samples
    assert found.disk_bytes < 20e6 / 86_400 * 3000
