"""Reuse is what it is called: the share of acquires that got a used object."""

from __future__ import annotations

from memopt_cli.pool import PoolStats
from memopt_cli.units import Dimension, format_quantity


def test_ninety_percent_prints_as_such() -> None:
    """142,500 reused and 15,432 created are 90.2 %."""
    ratio = PoolStats(created=15_432, reused=142_500).reuse_ratio

    assert ratio is not None
    assert format_quantity(ratio, Dimension.RATIO) == "90.2 %"


def test_no_acquire_has_no_ratio() -> None:
    """Before the first acquire the ratio is missing, not zero."""
    assert PoolStats(available=3).reuse_ratio is None


def test_total_is_what_is_live() -> None:
    """In use and available are the total."""
    assert PoolStats(in_use=3, available=4).total == 7


def test_stats_add_up() -> None:
    """The counters of several pools are added one by one."""
    one, two = PoolStats(1, 2, 3, 4, 5, 6, 7, 8), PoolStats(10, 20, 30, 40, 50, 60, 70, 80)

    assert PoolStats(11, 22, 33, 44, 55, 66, 77, 88) == one + two
