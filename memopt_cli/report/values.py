"""Figures as plain values, the same in every document for programs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memopt_cli.analysis.results import Baseline, Distribution, Estimate

HOUR_S = 3600.0


def bounded(value: float, low: float, high: float) -> dict[str, float | None]:
    """Return a value with its interval; null where nothing bounds it: JSON has no infinity."""
    ends = {"value": value, "low": low, "high": high}
    return {name: end if math.isfinite(end) else None for name, end in ends.items()}


def estimate(found: Estimate | None, factor: float = 1.0) -> dict[str, Any] | None:
    """Return a figure, in other units by *factor*, with how it was obtained; null for none."""
    if found is None:
        return None
    ends = bounded(found.value * factor, found.low * factor, found.high * factor)
    return {**ends, "how": found.how}


def distribution(found: Distribution) -> dict[str, Any]:
    """Return percentiles in seconds, and of how many."""
    return {
        "p50": None if found.p50_s is None else found.p50_s.value,
        "p99": None if found.p99_s is None else found.p99_s.value,
        "max": found.max_s,
        "count": found.count,
    }


def baseline(found: Baseline | None) -> dict[str, Any] | None:
    """Return what a clean run says beside a verdict on growth."""
    if found is None:
        return None
    return {
        "is_null": found.is_null,
        "verdict": found.verdict,
        "slope_bytes_per_hour": estimate(found.bytes_per_s, HOUR_S),
        "over_s": found.over_s,
        "longer_s": found.longer_s,
        "alone_verdict": found.alone,
        "alone_slope_bytes_per_hour": estimate(found.alone_bytes_per_s, HOUR_S),
    }
