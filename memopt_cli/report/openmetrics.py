"""
OpenMetrics 1.0 text: for GitLab's metrics report, and a textfile that node-exporter reads.

Everything is a gauge, verdicts too (1 for the one that holds, 0 for the others): the
textfile collector knows neither state sets nor infos, and refuses timestamps.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.report import wording
from memopt_cli.units import Dimension

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from enum import StrEnum

    from memopt_cli.report.summary import Figure, Part, Summary

_UNITS = {
    Dimension.SIZE: "bytes",
    Dimension.DURATION: "seconds",
    Dimension.SIZE_RATE: "bytes_per_second",
    Dimension.RATE: "per_second",
    Dimension.RATIO: "ratio",
}
_HELP = {
    "memopt_verdict": "Verdict of the run or watch.",
    "memopt_check": "Verdict of one check.",
    "memopt_leak": "Verdict on growth while the population is steady.",
    "memopt_finished": "1 if it finished, 0 if it goes on or was cut short.",
    "memopt_wall_seconds": "How long it took.",
    "memopt_memory_limit_bytes": "Memory of the machine that it ran on.",
    "memopt_current_memory_bytes": "Resident anonymous memory, when it was read last.",
    "memopt_current_units": "Connections or agents that were there then.",
    "memopt_last_sample_timestamp_seconds": "When memory was read last, in Unix time.",
    "memopt_progress_ratio": "Share of the planned time that is over.",
}

_Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]
"""By the name of the family, then by labels: of two that are labelled alike the first stays."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """What is known of a run or a watch that goes on, beside what is judged."""

    name: str
    """One of those that have a help text, ending in its unit."""

    labels: Mapping[str, str]
    value: float


def openmetrics(summaries: Sequence[Summary], now: Sequence[Gauge] = ()) -> str:
    """
    Return runs and watches as one exposition; a figure that was not measured is left out.

    Args:
        summaries: What was judged.
        now: What is known beside it of one that goes on; a series that both have is the
            summary's.
    """
    families: _Samples = defaultdict(dict)
    helps = dict(_HELP)
    for summary in summaries:
        whole = {"scenario" if summary.kind == "run" else "target": summary.name}
        _add_whole(families, summary, whole)
        for part in summary.parts:
            _add_part(families, helps, part, whole)
    for gauge in now:
        _add(families[gauge.name], gauge.labels, gauge.value)
    lines = [line for name, samples in families.items() for line in _family(name, samples, helps)]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _add_whole(families: _Samples, summary: Summary, whole: Mapping[str, str]) -> None:
    _add_verdict(families["memopt_verdict"], whole, summary.verdict)
    _add(families["memopt_finished"], whole, float(not summary.unfinished))
    _add(families["memopt_wall_seconds"], whole, summary.wall_s)
    if summary.memory_bytes is not None:
        _add(families["memopt_memory_limit_bytes"], whole, summary.memory_bytes)
    owners = {part.name: part.labels for part in summary.parts}
    for name, check in summary.all_checks:
        labels = {**whole, **owners.get(name, {}), "check": wording.expression(check)}
        _add_verdict(families["memopt_check"], labels, check.verdict)


def _add_verdict(
    samples: dict[tuple[tuple[str, str], ...], float], labels: Mapping[str, str], found: StrEnum
) -> None:
    for verdict in type(found):
        _add(samples, {**labels, "verdict": verdict}, float(found is verdict))


def _add(
    samples: dict[tuple[tuple[str, str], ...], float], labels: Mapping[str, str], value: float
) -> None:
    samples.setdefault(tuple((_label(key), text) for key, text in labels.items()), value)


def _add_part(
    families: _Samples, helps: dict[str, str], part: Part, whole: Mapping[str, str]
) -> None:
    if part.leak is not None:
        _add_verdict(families["memopt_leak"], {**whole, **part.labels}, part.leak)
    for figure in part.figures:
        found = figure.observed
        for end, value in (("", found.value), ("low", found.low), ("high", found.high)):
            name = metric_name(figure, end)
            bound = f" {end.capitalize()} end of its 95 % interval." if end else ""
            helps.setdefault(name, f"{figure.title[0].upper()}{figure.title[1:]}.{bound}")
            _add(families[name], {**whole, **part.labels}, value)


def metric_name(figure: Figure, end: str = "") -> str:
    """
    Return the name of a figure's series, which ends in its unit.

    Args:
        figure: What is exported.
        end: ``low`` or ``high`` for an end of its interval.
    """
    stem = figure.metric.removesuffix("_ratio").removesuffix("_per_s")
    aggregation = "" if figure.aggregation == "value" else re.sub(r"\W", "", figure.aggregation)
    words = ("memopt", stem, aggregation, end, _UNITS[figure.dimension])
    return "_".join(word for word in words if word)


def _family(
    name: str, samples: Mapping[tuple[tuple[str, str], ...], float], helps: Mapping[str, str]
) -> Iterator[str]:
    yield f"# TYPE {name} gauge"
    # The longest that fits: bytes per second end like counts per second.
    unit = max((u for u in _UNITS.values() if name.endswith(f"_{u}")), key=len, default="")
    if unit:
        yield f"# UNIT {name} {unit}"
    yield f"# HELP {name} {_escaped(helps[name])}"
    for labels, value in samples.items():
        told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
        yield f"{name}{{{told}}} {_number(value)}"


def _label(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))
