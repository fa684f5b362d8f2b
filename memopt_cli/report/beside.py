"""The part of a report that shows growth beside a clean run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.report import wording
from memopt_cli.report.tables import table
from memopt_cli.units import Dimension, format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.results import Leak

_METHOD = (
    "Judged beside the run `{name}`. Where that is shown to be clean, or the growth above it is a "
    "leak, the slopes above are differences: fitted to this run less the baseline, block by block "
    "at the same times, so that what both do cancels and what only one does is in the interval. "
    "Beside any other baseline they are this run's own, and only what is clean by itself is called "
    "clean."
)


def baselines(name: str, growths: Sequence[tuple[str, Leak]]) -> list[str]:
    """Return the paragraphs on a baseline; none without one."""
    rows = [
        [
            label,
            "difference" if found.is_null else "this run alone",
            found.alone.replace("_", " "),
            wording.estimate(found.alone_bytes_per_s, Dimension.SIZE_RATE),
            found.verdict.replace("_", " "),
            wording.estimate(found.bytes_per_s, Dimension.SIZE_RATE),
            format_duration(found.over_s),
            "-" if found.longer_s is None else format_duration(found.longer_s),
        ]
        for label, leak in growths
        if (found := leak.baseline) is not None
    ]
    head = [
        "",
        "Slope is of",
        "Alone",
        "Slope alone",
        "Baseline",
        "Its slope",
        "over",
        "should go on for",
    ]
    return [_METHOD.format(name=name), table(head, rows)] if rows else []
