"""JSON for github-action-benchmark, as its tool ``customSmallerIsBetter`` reads it."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from memopt_cli.report import wording
from memopt_cli.units import Dimension

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from memopt_cli.report.summary import Figure, Summary

_UNITS = {Dimension.SIZE: "bytes", Dimension.DURATION: "seconds", Dimension.RATIO: "ratio"}

_LEFT_OUT = {"memory_retained", "pool_reuse_ratio"}
"""The action divides each value by the one before: what is zero or less has no place in it,
nor what is better when it is more. Slopes and rates have no unit here for the same reason."""


def benchmark(summaries: Sequence[Summary]) -> str:
    """
    Return the figures of what finished, as JSON text.

    A history must not be compared with a run that was cut short: of one there is no
    figure, and the action refuses an empty document.
    """
    return json.dumps([one for summary in summaries for one in _entries(summary)], indent=2) + "\n"


def _entries(summary: Summary) -> Iterator[dict[str, Any]]:
    seen: Counter[str] = Counter()
    # A person who ends a watch has measured what there was until then.
    cut_short = summary.kind == "watch" and not summary.unfinished.startswith("interrupted")
    if summary.unfinished and (summary.kind == "run" or cut_short):
        return
    for part in summary.parts:
        # A process has another number in every watch; its command tells it.
        name = part.labels["command"] if summary.kind == "watch" else part.name
        seen[name] += 1
        shown = name if seen[name] == 1 else f"{name} #{seen[name]}"
        for figure in () if part.unfinished else part.figures:
            known = figure.dimension in _UNITS and figure.metric not in _LEFT_OUT
            if known and figure.observed.value > 0:
                yield _entry(f"{summary.name} / {shown} / {figure.title}", figure)


def _entry(name: str, figure: Figure) -> dict[str, Any]:
    found = figure.observed
    entry = {"name": name, "unit": _UNITS[figure.dimension], "value": found.value}
    reach = max(found.high - found.value, found.value - found.low)
    if math.isfinite(reach):
        # Shown behind a plus-minus sign: one number, so that of the wider side.
        entry["range"] = f"{reach:.6g}"
    return {**entry, "extra": f"{wording.estimate(found, figure.dimension)}, {found.how}"}
