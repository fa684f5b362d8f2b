"""The labelled series of `tests/analysis/leaks`, and how a verdict scores on them."""

from __future__ import annotations

import json
import lzma
import math
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FOLDER = Path(__file__).with_name("leaks")


class Detect(Protocol):
    """A verdict: ``leak``, ``no_leak`` or ``inconclusive``, with a slope where it has one."""

    def __call__(self, t_seconds: Floats, sizes: Floats, /) -> dict[str, Any]:
        """Return the verdict on one series."""


@dataclass(frozen=True, slots=True)
class Series:
    """One labelled series."""

    times: Floats
    sizes: Floats
    label: dict[str, Any]

    @property
    def is_clean(self) -> bool:
        """Whether it must not be called a leak."""
        return bool(self.label["label"] == "no_leak")

    @property
    def is_leak(self) -> bool:
        """Whether it has a leak that this metric shows."""
        return bool(self.label["label"] == "leak" and self.label["visible"])

    @property
    def is_strong(self) -> bool:
        """Whether its leak grows to three standard deviations of the noise or more."""
        return self.is_leak and bool(self.label["snr"] >= 3)

    def covered_by(self, low: float, high: float) -> bool:
        """Return whether an interval meets the true slope, as well as that is known."""
        true = self.label["true_slope"]
        reach = self.label.get("truth_tol", 0.0) * abs(true)
        least, most = self.label.get("slope_lo", true), self.label.get("slope_hi", true)
        return bool(low <= max(true, most) + reach and high >= min(true, least) - reach)


@dataclass(frozen=True, slots=True)
class Scores:
    """How a verdict does on labelled series; all are shares but the last two."""

    false_positives: float
    """Of clean series, those called a leak."""

    detected: float
    """Of leaks of three standard deviations of the noise or more."""

    false_assurance: float
    """Of such leaks that also matter (2 % of the level, 256 KiB), those called no leak."""

    cleared: float
    """Of clean series, those called no leak."""

    covered_clean: float
    """Of intervals of clean series, those that contain no growth."""

    covered_leaks: float
    """Of intervals of leaks that stay, those that meet the true slope."""

    slope_error: float
    """Median relative error of the slope of strong leaks."""

    median_ms: float
    """CPU time of a verdict: wall time on a busy machine is that of the others."""


def corpus() -> list[Series]:
    """Return all labelled series."""
    labels = json.loads(FOLDER.joinpath("labels.json").read_text(encoding="utf-8"))
    steps = np.frombuffer(lzma.decompress(FOLDER.joinpath("series.xz").read_bytes()), "<i8")
    times, sizes = steps.reshape(2, -1)
    ends = np.cumsum([label["samples"] for label in labels])[:-1]
    return [
        Series(np.cumsum(t) * label["t_scale"], np.cumsum(y) * float(label["y_scale"]), label)
        for label, t, y in zip(labels, np.split(times, ends), np.split(sizes, ends), strict=True)
    ]


def score(detect: Detect, series: Sequence[Series]) -> Scores:
    """Return how a verdict does."""
    found: list[tuple[Series, dict[str, Any]]] = []
    took_ms = []
    for one in series:
        began = time.thread_time()
        found.append((one, detect(one.times, one.sizes)))
        took_ms.append(1000 * (time.thread_time() - began))
    clean = [verdict for one, verdict in found if one.is_clean]
    strong = [(one, verdict) for one, verdict in found if one.is_strong]
    stays = [(o, verdict) for o, verdict in found if o.is_leak and "released_end" not in o.label]
    errors = [
        _error(verdict["slope_bytes_per_s"], one.label["true_slope"])
        for one, verdict in strong
        if verdict["slope_bytes_per_s"] is not None
    ]
    return Scores(
        false_positives=_share(v["verdict"] == "leak" for v in clean),
        detected=_share(v["verdict"] == "leak" for _, v in strong),
        false_assurance=_share(
            v["verdict"] == "no_leak" for one, v in strong if one.label["material"]
        ),
        cleared=_share(v["verdict"] == "no_leak" for v in clean),
        covered_clean=_covered([(one, v) for one, v in found if one.is_clean]),
        covered_leaks=_covered(stays),
        slope_error=statistics.median(errors) if errors else float("nan"),
        median_ms=statistics.median(took_ms),
    )


def _error(slope: float, true: float) -> float:
    """Return a relative error; infinite for no number, which a median would not survive."""
    return abs(slope / true - 1) if math.isfinite(slope) else math.inf


def _covered(found: Iterable[tuple[Series, dict[str, Any]]]) -> float:
    return _share(
        one.covered_by(verdict["ci_low"], verdict["ci_high"])
        for one, verdict in found
        if verdict["ci_low"] is not None
    )


def _share(holds: Iterable[bool]) -> float:
    held = [bool(one) for one in holds]
    return statistics.fmean(held) if held else float("nan")
