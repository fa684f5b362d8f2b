"""The ladder of an agents run: what each step adds, as it was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memopt_cli.analysis import fidelity
from memopt_cli.analysis.ladder import ladders
from memopt_cli.report import wording
from memopt_cli.report.tables import table
from memopt_cli.units import format_count

if TYPE_CHECKING:
    from memopt_cli.analysis.comparison import Change
    from memopt_cli.analysis.ladder import Rung
    from memopt_cli.analysis.recording import Fidelity
    from memopt_cli.analysis.results import RunFindings

_READING = (
    "Each row is a variant in a process of its own. *In all* is anonymous memory with every agent "
    "there, at the end of the steady stage, above the process without agents: their models are in "
    "it. *One more agent* is the slope over the plateaus. *Agent-steps per second* are those of "
    "the steady stage, per second of the agents' own work. What a step brings is against the row "
    "above. Actions and beliefs are against naive agents: *led* through the same situations, and "
    "*free* in worlds of their own."
)

_HEAD = (
    "Variant",
    "In all",
    "less than above",
    "One more agent",
    "Agent-steps per second",
    "faster than above",
    "Same actions, led and free",
    "Largest difference of a belief",
    "Largest KL [nat]",
)


def ladder(run: RunFindings) -> list[str]:
    """Return the section, if the run has agents in more than one variant."""
    found = [rungs for rungs in ladders(run.variants) if len(rungs) > 1]
    if not found:
        return []
    sections = ["## What each step adds", _READING]
    for rungs in found:
        first = rungs[0].variant
        if len(found) > 1:
            sections.append(f"{wording.population(first.cell, first.units_peak, first.unit)}:")
        sections.append(table(_HEAD, [_row(rung) for rung in rungs]))
    return sections


def _row(rung: Rung) -> list[str]:
    variant, found = rung.variant, rung.variant.fidelity
    rate = variant.steady_per_s
    return [
        variant.name,
        wording.size_bytes(variant.total.value if variant.total else None),
        _step(rung.memory, "times more"),
        wording.size(variant.memory.per_unit),
        wording.NOT_MEASURED if rate is None else format_count(rate),
        _step(rung.time, "times slower"),
        *_thinking(found),
    ]


def _step(change: Change | None, more: str) -> str:
    if change is None:
        return "-"
    if not change.differs:
        return wording.NO_DIFFERENCE
    return wording.times(change, less="times", more=more)


def _thinking(found: Fidelity | None) -> list[str]:
    if found is None:
        return ["-", "-", "-"]
    if told := fidelity.faults(found):
        return ["; ".join(told), "-", "-"]
    led, free = fidelity.observed(found, "actions"), fidelity.observed(found, "free")
    shares = " and ".join(
        wording.NOT_MEASURED if s is None else wording.share(s) for s in (led, free)
    )
    distances = (found.posterior, found.divergence_nat)
    return [shares, *(wording.NOT_MEASURED if d is None else f"{d:.1e}" for d in distances)]


def document(run: RunFindings) -> list[dict[str, Any]]:
    """Return the rungs as plain values for ``run.json``; sizes in bytes."""
    return [_values(rung) for rungs in ladders(run.variants) for rung in rungs]


def _values(rung: Rung) -> dict[str, Any]:
    variant = rung.variant
    return {
        "variant": variant.name,
        "cell": dict(variant.cell),
        "total_bytes": None if variant.total is None else variant.total.value,
        "steps_per_s": variant.steady_per_s,
        "memory_factor": None if rung.memory is None else rung.memory.factor,
        "time_factor": None if rung.time is None else rung.time.factor,
    }
