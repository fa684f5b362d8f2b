"""Growth of the part that a threshold is about; beyond a limit, only a leak crosses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.analysis import steady
from memopt_cli.analysis.results import LeakVerdict, Verdict
from memopt_cli.analysis.threshold_parts import last

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.recording import Sample
    from memopt_cli.analysis.results import Leak
    from memopt_cli.analysis.threshold_parts import Observed, Part
    from memopt_cli.scenario.model import Threshold

OF_LEAKS = frozenset({"memory_leak_slope", "memory_leak_per_operation"})
"""Metrics that are crossed only by a leak."""


def leak_slope(part: Part) -> Observed:
    """Return growth per second of scenario time, and what it rests on."""
    found = leak(part)
    return found.slope_bytes_per_s, found.reason


def leak_per_operation(part: Part) -> Observed:
    """Return growth per operation, and what it rests on."""
    found = leak(part)
    return found.slope_bytes_per_operation, found.reason


def leak(part: Part) -> Leak:
    """Return the growth of the part; of the steady stage where no stage is named."""
    samples, stage = part.samples, part.stage
    if stage is None:
        stage = steady.steady_stage(part.recording.stages)
        if stage is None:
            return part.findings.leak
        samples = [sample for sample in part.recording.samples if sample.stage == stage]
        samples = last(samples, part.threshold.window_s)
    harmless = _harmless_bytes_per_s(part.threshold, samples)
    beside = steady.stage_beside(part.recording, stage, samples)
    return steady.growth(
        samples,
        clock=part.clock,
        harmless_bytes_per_s=harmless,
        beside=beside,
        breaks=part.recording.breaks,
    )


def _harmless_bytes_per_s(threshold: Threshold, samples: Sequence[Sample]) -> float | None:
    """Return the limit that the scenario sets on growth, per second of these samples."""
    if threshold.metric == "memory_leak_slope":
        return threshold.limit.value
    over_s = samples[-1].at_s - samples[0].at_s if samples else 0.0
    done = samples[-1].operations - samples[0].operations if samples else 0
    return threshold.limit.value * done / over_s if over_s and done else None


def unless_it_ends(part: Part) -> tuple[Verdict, str]:
    """Return whether growth beyond its limit is a leak: what may end crosses nothing."""
    found = leak(part)
    if found.verdict is LeakVerdict.LEAK:
        return Verdict.CROSSED, ""
    return Verdict.INCONCLUSIVE, found.reason


def unless_it_levels_off(part: Part) -> tuple[Verdict, str]:
    """Return whether what is kept of closed connections goes on, from wave to wave."""
    found = part.findings.connections
    if found is not None and found.waves.verdict is LeakVerdict.LEAK:
        return Verdict.CROSSED, ""
    return Verdict.INCONCLUSIVE, "" if found is None else found.waves.reason
