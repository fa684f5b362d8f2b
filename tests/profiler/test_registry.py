"""Statistics of operations by name."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from memopt_cli.profiler.operations import OperationCost
from memopt_cli.profiler.registry import OTHERS, Registry

MS = 1_000_000
"""Nanoseconds."""


def cost(name: str = "one", **changes: Any) -> OperationCost:
    """Return the cost of an operation that took a millisecond and was not traced."""
    values: dict[str, Any] = {
        "name": name,
        "duration_ns": MS,
        "net_traced_bytes": None,
        "peak_traced_bytes": None,
        "allocated_blocks": 0,
        "rss_bytes": 0,
        "gc_pauses": 0,
        "gc_pause_ns": 0,
        "gc_pause_max_ns": 0,
        "alone": True,
        "failed": False,
    }
    return OperationCost(**{**values, **changes})


def test_count_total_and_percentiles() -> None:
    """Of 100 durations and peaks from 1 to 100, percentiles are right to a bucket of 3.2 %."""
    registry = Registry()
    for number in range(1, 101):
        registry.add(
            cost(duration_ns=number * MS, net_traced_bytes=10, peak_traced_bytes=number * 1000)
        )

    found = registry.statistics()["one"]
    assert (100, 100, 1000, 100_000) == (
        found.count,
        found.traced,
        found.net_traced_bytes,
        found.peak_max_bytes,
    )
    assert found.total_s == pytest.approx(5.05)
    assert (found.p50_s, found.p99_s, found.max_s) == pytest.approx((0.05, 0.099, 0.1), rel=0.032)
    assert (found.peak_p50_bytes, found.peak_p99_bytes) == pytest.approx(
        (50_000, 99_000), rel=0.032
    )


def test_untraced_operations_have_no_bytes() -> None:
    """What was never traced is missing, not zero."""
    registry = Registry()
    registry.add(cost())

    found = registry.statistics()["one"]
    assert (1, 0, None, None) == (
        found.count,
        found.traced,
        found.net_traced_bytes,
        found.peak_max_bytes,
    )


def test_names_beyond_the_limit_are_counted_together() -> None:
    """A name per user does not make the registry grow: it holds its limit and one more."""
    registry = Registry(limit=2)
    for number in range(10):
        registry.add(cost(f"user {number}"))
    registry.add(cost("user 0"))

    assert {"user 0": 2, "user 1": 1, OTHERS: 8} == {
        name: each.count for name, each in registry.statistics().items()
    }


def test_its_memory_is_bounded() -> None:
    """Ten thousand operations of ten thousand names take 19 KiB for each of nine names."""
    registry = Registry(limit=8)
    names = [f"user {number}" for number in range(10_000)]
    tracemalloc.start()
    try:
        for name in names:
            registry.add(cost(name))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert held < 9 * 20 * 1024


def test_clear() -> None:
    """A cleared registry has counted nothing."""
    registry = Registry()
    registry.add(cost())
    registry.clear()

    assert {} == registry.statistics()
