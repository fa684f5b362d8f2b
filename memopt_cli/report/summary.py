"""What every output for machines tells of a run or a watch: checks and figures by part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.analysis import leak_outlook
from memopt_cli.analysis.measures import MEASURES
from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.results import Estimate
from memopt_cli.report import watch_wording, wording
from memopt_cli.units import Dimension

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from memopt_cli.analysis.alerts import Alert
    from memopt_cli.analysis.results import (
        LeakVerdict,
        RunFindings,
        ThresholdResult,
        VariantFindings,
        Verdict,
    )
    from memopt_cli.analysis.watch_results import ProcessFindings, TreeFindings, WatchFindings


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure that was measured."""

    metric: str
    aggregation: str
    title: str
    dimension: Dimension
    observed: Estimate


@dataclass(frozen=True, slots=True)
class Part:
    """A variant of a run, or a process of a watch."""

    name: str
    labels: Mapping[str, str]
    """What tells it from the other parts, by name."""

    unfinished: str
    """How it ended if it did not finish, or empty."""

    wall_s: float
    leak: LeakVerdict | None
    """On its growth; `None` of a comparison."""

    checks: tuple[ThresholdResult, ...]
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """A run or a watch, judged, with all that it was judged on."""

    kind: str
    """``run``, ``watch`` or ``comparison``."""

    name: str
    """The scenario, or the target of the watch."""

    headline: str
    verdict: Verdict
    unfinished: str
    """How it ended if it did not finish, or empty."""

    started_at: str
    wall_s: float
    memory_bytes: float | None
    """What the machine has; `None` if it did not tell."""

    parts: tuple[Part, ...]
    checks: tuple[ThresholdResult, ...]
    """Those that belong to no part."""

    alerts: tuple[Alert, ...] = ()
    details: str = ""
    """Markdown that stands in a job summary instead of checks and figures."""

    @property
    def all_checks(self) -> list[tuple[str, ThresholdResult]]:
        """Every check with the name of its part, empty for those of none."""
        told = [(part.name, check) for part in self.parts for check in part.checks]
        return told + [("", check) for check in self.checks]


def of_run(run: RunFindings) -> Summary:
    """Return a run, a part for each variant in each cell of its matrix."""
    parts = tuple(_variant(variant, run.thresholds) for variant in run.variants)
    return Summary(
        kind="run",
        name=run.scenario,
        headline=wording.summary(run),
        verdict=run.verdict,
        unfinished=_unfinished(run.outcome, run.reason),
        started_at=run.started_at,
        wall_s=run.wall_s,
        memory_bytes=leak_outlook.memory_limit_bytes(run.environment),
        parts=parts,
        checks=of_no_part(run.thresholds, parts),
        alerts=run.alerts,
    )


def of_watch(watch: WatchFindings) -> Summary:
    """Return a watch, a part for each process that has a check or was judged."""
    processes = [_process(one, watch.thresholds) for one in watch.processes]
    told = [
        part
        for part, one in zip(processes, watch.processes, strict=True)
        if part.checks or one.is_judged
    ]
    if watch.tree is not None:
        told.append(_tree(watch.tree, watch))
    parts = tuple(told)
    return Summary(
        kind="watch",
        name=watch.target,
        headline=watch_wording.headline(watch),
        verdict=watch.verdict,
        unfinished=_unfinished(watch.outcome, watch.reason),
        started_at=watch.started_at,
        wall_s=watch.wall_s,
        memory_bytes=leak_outlook.memory_limit_bytes(watch.environment),
        parts=parts,
        checks=of_no_part(watch.thresholds, parts),
        alerts=watch.alerts,
    )


def _unfinished(outcome: Outcome, reason: str) -> str:
    match outcome:
        case Outcome.FINISHED:
            return ""
        case Outcome.RUNNING:
            return "it goes on, or was killed: this is what it had measured"
        case _:
            return f"{outcome}: {reason}" if reason else str(outcome)


def of_no_part(
    checks: Iterable[ThresholdResult], parts: Iterable[Part]
) -> tuple[ThresholdResult, ...]:
    """Return the checks that none of *parts* has."""
    taken = {id(check) for part in parts for check in part.checks}
    return tuple(check for check in checks if id(check) not in taken)


def _variant(variant: VariantFindings, checks: Iterable[ThresholdResult]) -> Part:
    unit = wording.singular(variant.unit)
    figures = [
        Figure(one.metric, one.aggregation, one.title.format(unit=unit), one.dimension, found)
        for one in MEASURES
        if (found := one.take(variant)) is not None and math.isfinite(found.value)
    ]
    return Part(
        name=variant.label,
        labels=variant_labels(variant.name, variant.unit, variant.cell),
        unfinished=_unfinished(variant.outcome, variant.failure),
        wall_s=variant.wall_s,
        leak=variant.leak.verdict,
        checks=tuple(
            one for one in checks if (one.variant, one.cell) == (variant.name, variant.cell)
        ),
        figures=tuple(figures),
    )


def variant_labels(name: str, unit: str, cell: Mapping[str, str]) -> dict[str, str]:
    """Return what tells a variant in a cell of the matrix from the others."""
    matrix = {f"matrix_{key}": value for key, value in cell.items()}
    return {"variant": name, "unit": wording.singular(unit), **matrix}


def _process(one: ProcessFindings, checks: Iterable[ThresholdResult]) -> Part:
    pauses = one.gc_pause
    longest_s = pauses.max_s if pauses else None
    found = (
        (_GROWTH, one.growth.leak.slope_bytes_per_s),
        (_PEAK, _exactly(one.peak_rss_bytes)),
        (_PAUSE_P99, pauses.p99_s if pauses else None),
        (_PAUSE_MAX, _exactly(longest_s)),
        (_COLLECTING, _exactly(one.gc_pause_share)),
        (_CPU, _exactly(one.cpu_share)),
    )
    return Part(
        name=watch_wording.process(one),
        labels={"pid": str(one.pid), "command": one.command},
        unfinished="",
        wall_s=one.watched_s,
        leak=one.growth.leak.verdict,
        checks=tuple(each for each in checks if each.cell == {"process": str(one.pid)}),
        figures=tuple(Figure(*each, told) for each, told in found if told is not None),
    )


_GROWTH = ("memory_leak_slope", "value", "growth", Dimension.SIZE_RATE)
_PEAK = ("memory_total", "value", "peak RSS", Dimension.SIZE)
_PAUSE_P99 = ("gc_pause", "p(99)", "GC pause, p99", Dimension.DURATION)
_PAUSE_MAX = ("gc_pause", "max", "GC pause, max", Dimension.DURATION)
_COLLECTING = ("gc_pause_share", "value", "collecting, share of time", Dimension.RATIO)
_CPU = ("cpu_share", "value", "CPU time, share of time", Dimension.RATIO)


def _tree(tree: TreeFindings, watch: WatchFindings) -> Part:
    slope = tree.growth.leak.slope_bytes_per_s
    return Part(
        name="all processes",
        labels={"pid": "all", "command": watch.target},
        unfinished="",
        wall_s=watch.wall_s,
        leak=tree.growth.leak.verdict,
        checks=tuple(one for one in watch.thresholds if not one.cell),
        figures=() if slope is None else (Figure(*_GROWTH, slope),),
    )


def _exactly(value: float | None) -> Estimate | None:
    return None if value is None else Estimate.exact(value)
