"""The figures of a variant by name: what is ranked, exported, and compared between runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from memopt_cli.analysis.comparison import (
    KEPT_SPREAD,
    LONGEST_SPREAD,
    MEMORY_SPREAD,
    TIMING_SPREAD,
)
from memopt_cli.analysis.results import Estimate
from memopt_cli.units import Dimension

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.analysis.results import VariantFindings


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure that a run may have of each variant."""

    metric: str
    """As thresholds name it, with ``unit`` for connections and agents."""

    aggregation: str
    """As thresholds name it: ``value``, ``p(99)`` or ``max``."""

    title: str
    """In words; ``{unit}`` stands for what one unit is called."""

    dimension: Dimension
    spread: float
    """What equal processes differ by, as a share of the figure; see `comparison`."""

    take: Callable[[VariantFindings], Estimate | None]
    """`None` where it was not measured."""

    more_is_worse: bool = True


def idle(variant: VariantFindings) -> Estimate | None:
    """Return bytes per unit, by the slope."""
    return variant.memory.per_unit


def loaded(variant: VariantFindings) -> Estimate | None:
    """Return bytes per unit after the steady load."""
    return variant.memory.loaded


def kept(variant: VariantFindings) -> Estimate | None:
    """Return bytes that stayed after the last unit left."""
    return variant.retained


def median(variant: VariantFindings) -> Estimate | None:
    """Return the median operation, in seconds."""
    return variant.operation_latency.p50_s


def longest_pause(variant: VariantFindings) -> Estimate | None:
    """
    Return the longest pause in seconds, zero where the collector never ran.

    All pauses are recorded, so it is exact, unless some were overwritten before they
    were read: then there may have been a longer one.
    """
    found = variant.gc_pause
    if found is None:
        return None
    return _with_the_lost(found.max_s or 0.0, variant.pauses_lost)


def collecting(variant: VariantFindings) -> Estimate | None:
    """Return the share of the subject's CPU time that its collector took."""
    share = variant.pause_share
    return None if share is None else _with_the_lost(share, variant.pauses_lost)


def _with_the_lost(value: float, lost: int) -> Estimate:
    exact = Estimate.exact(value)
    return replace(exact, high=math.inf) if lost else exact


def peak(variant: VariantFindings) -> Estimate | None:
    """Return the process's most bytes (USS), fixed cost and idle pooled objects included."""
    return _exactly(variant.peak_uss_bytes)


def busy(variant: VariantFindings) -> Estimate | None:
    """Return seconds of work per operation: the mean, with the pauses in it."""
    if not variant.operations:
        return None
    return Estimate.exact(variant.busy_s / variant.operations)


def _pause_p99(variant: VariantFindings) -> Estimate | None:
    return variant.gc_pause.p99_s if variant.gc_pause else None


def _reuse(variant: VariantFindings) -> Estimate | None:
    return _exactly((variant.pool or {}).get("reuse_ratio"))


def _exactly(value: float | None) -> Estimate | None:
    return None if value is None else Estimate.exact(value)


MEASURES = (
    Measure("memory_per_unit", "value", "memory per {unit}", Dimension.SIZE, MEMORY_SPREAD, idle),
    Measure(
        "memory_per_unit_loaded",
        "value",
        "memory per {unit}, loaded",
        Dimension.SIZE,
        MEMORY_SPREAD,
        loaded,
    ),
    Measure(
        "memory_fixed",
        "value",
        "fixed cost",
        Dimension.SIZE,
        MEMORY_SPREAD,
        lambda v: v.memory.fixed,
    ),
    Measure("memory_total", "value", "peak USS", Dimension.SIZE, MEMORY_SPREAD, peak),
    Measure(
        "memory_retained", "value", "kept after the last left", Dimension.SIZE, KEPT_SPREAD, kept
    ),
    Measure(
        "memory_leak_slope",
        "value",
        "growth while steady",
        Dimension.SIZE_RATE,
        0.0,
        lambda v: v.leak.slope_bytes_per_s,
    ),
    Measure("gc_pause", "p(99)", "GC pause, p99", Dimension.DURATION, TIMING_SPREAD, _pause_p99),
    Measure("gc_pause", "max", "GC pause, max", Dimension.DURATION, LONGEST_SPREAD, longest_pause),
    Measure(
        "gc_pause_share",
        "value",
        "collecting, share of CPU time",
        Dimension.RATIO,
        TIMING_SPREAD,
        collecting,
    ),
    Measure(
        "operation_latency",
        "p(50)",
        "operation latency, p50",
        Dimension.DURATION,
        TIMING_SPREAD,
        median,
    ),
    Measure(
        "operation_latency",
        "p(99)",
        "operation latency, p99",
        Dimension.DURATION,
        TIMING_SPREAD,
        lambda v: v.operation_latency.p99_s,
    ),
    Measure(
        "operations_per_s",
        "value",
        "operations per second of work",
        Dimension.RATE,
        TIMING_SPREAD,
        lambda v: _exactly(v.operations_per_s),
        more_is_worse=False,
    ),
    Measure(
        "pool_reuse_ratio",
        "value",
        "pool reuse",
        Dimension.RATIO,
        MEMORY_SPREAD,
        _reuse,
        more_is_worse=False,
    ),
)
"""Every figure that is compared, in the order of a report."""
