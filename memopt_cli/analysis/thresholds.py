"""
Thresholds, judged on unrounded figures, with three outcomes.

A pass has to be proven, a crossing does not: a value beyond its limit is
crossed whatever its interval; a value within the limit whose interval reaches
beyond it is inconclusive; a figure that was not measured is inconclusive. Growth
alone crosses its limit only as a leak, as caches and windows grow too, and then end.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.analysis import durations, steady
from memopt_cli.analysis.results import Estimate, How, LeakVerdict, ThresholdResult, Verdict
from memopt_cli.profiler.histogram import merged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memopt_cli.analysis.recording import Sample, VariantRecording
    from memopt_cli.analysis.results import Leak, VariantFindings
    from memopt_cli.profiler.histogram import Histogram
    from memopt_cli.scenario.model import Scenario, Threshold
    from memopt_cli.scenario.thresholds import Expression

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Observed = tuple[Estimate | None, str]
"""A figure, or `None` and the reason why there is none."""


def reference_of(scenario: Scenario) -> str | None:
    """Return the variant that others are compared with: the first of several."""
    names = [variant.name for variant in scenario.variants]
    return names[0] if len(names) > 1 else None


def applies(threshold: Threshold, recording: VariantRecording, *, reference: str | None) -> bool:
    """
    Return whether a threshold is judged for a variant.

    A threshold that names no variant is for all but the reference (the first of
    several), which is there to be compared with; reuse is judged where there is a
    pool.
    """
    if threshold.variant is not None:
        return threshold.variant == recording.name
    if recording.name == reference:
        return False
    return threshold.metric != "pool_reuse_ratio" or recording.has_pool


def judge(
    threshold: Threshold, recording: VariantRecording, findings: VariantFindings, *, clock: str
) -> ThresholdResult:
    """Return the verdict of one threshold for one variant."""
    part = _part(threshold, recording, findings, clock)
    observed, reason = _observe(part)
    verdict = Verdict.INCONCLUSIVE
    if observed is not None:
        verdict, reason = compare(
            observed,
            threshold.operator,
            threshold.limit.value,
            rounded=threshold.aggregation == "p",
        )
    if verdict is Verdict.CROSSED and threshold.metric == "memory_kept_per_connection":
        verdict, reason = _unless_it_levels_off(part)
    if verdict is Verdict.CROSSED and threshold.metric in _OF_LEAKS:
        verdict, reason = _unless_it_ends(part)
    return ThresholdResult(
        metric=threshold.metric,
        expression=threshold.expression,
        stage=threshold.stage,
        window_s=threshold.window_s,
        cell=recording.cell,
        variant=recording.name,
        observed=observed,
        dimension=threshold.limit.dimension,
        verdict=verdict,
        reason=reason,
    )


def unjudged(threshold: Threshold) -> ThresholdResult:
    """Return the result of a threshold that applied to no variant: never a pass."""
    return ThresholdResult(
        metric=threshold.metric,
        expression=threshold.expression,
        stage=threshold.stage,
        window_s=threshold.window_s,
        cell={},
        variant=threshold.variant or "",
        observed=None,
        dimension=threshold.limit.dimension,
        verdict=Verdict.INCONCLUSIVE,
        reason="no variant that it could be judged for was measured",
    )


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the worst verdict; none at all is a pass."""
    for verdict in (Verdict.CROSSED, Verdict.INCONCLUSIVE):
        if verdict in verdicts:
            return verdict
    return Verdict.PASSED


def compare(observed: Estimate, sign: str, limit: float, *, rounded: bool) -> tuple[Verdict, str]:
    """
    Return the verdict, and why it is inconclusive.

    A percentile is *rounded* up to its bucket's edge: where the limit lies within the
    bucket, neither outcome is known.
    """
    holds = _OPERATORS[sign]
    best = observed.low if sign.startswith("<") else observed.high
    if not holds(best if rounded else observed.value, limit):
        return Verdict.CROSSED, ""
    doubtful = observed.high if sign.startswith("<") else observed.low
    if not holds(doubtful, limit):
        return Verdict.INCONCLUSIVE, "the limit lies within the interval"
    return Verdict.PASSED, ""


@dataclass(frozen=True, slots=True)
class _Part:
    """The part of a variant's recording that a threshold is about."""

    threshold: Threshold
    recording: VariantRecording
    findings: VariantFindings
    clock: str
    stage: int | None
    """Index of the stage that is named, if one is."""

    samples: Sequence[Sample]
    """Of that stage, and of the window at its end if one is given."""


def _part(
    threshold: Threshold, recording: VariantRecording, findings: VariantFindings, clock: str
) -> _Part:
    samples: Sequence[Sample] = recording.samples
    stage = None
    names = [span.name for span in recording.stages]
    if threshold.stage in names:
        stage = names.index(threshold.stage)
        samples = [sample for sample in samples if sample.stage == stage]
    samples = _last(samples, threshold.window_s)
    return _Part(threshold, recording, findings, clock, stage, samples)


def _observe(part: _Part) -> Observed:
    if part.threshold.stage is not None and part.stage is None:
        return None, f"stage {part.threshold.stage!r} was not reached"
    return _OBSERVERS[part.threshold.metric](part)


def _last(samples: Sequence[Sample], window_s: float | None) -> Sequence[Sample]:
    """Return the samples of the last *window_s*; all of them without a window."""
    if window_s is None or not samples:
        return samples
    return [sample for sample in samples if sample.at_s >= samples[-1].at_s - window_s]


def _operations(part: _Part) -> int:
    """Return how many operations the samples of the part count."""
    if not part.samples:
        return 0
    before = _sample_before(part)
    return part.samples[-1].operations - (before.operations if before else 0)


def _per_unit(part: _Part) -> Observed:
    return part.findings.memory.per_unit, part.findings.memory.reason


def _loaded(part: _Part) -> Observed:
    memory = part.findings.memory
    reason = memory.reason if memory.per_unit is None else "the peak was not held after the growth"
    return memory.loaded, "" if memory.loaded else reason


def _fixed(part: _Part) -> Observed:
    return part.findings.memory.fixed, part.findings.memory.reason


def _retained(part: _Part) -> Observed:
    return part.findings.retained, "the population was not emptied, or memory not read after it"


def _kept(part: _Part) -> Observed:
    found = part.findings.connections
    if found is None:
        return None, _NOT_REAL
    return found.waves.kept_per_connection, found.waves.reason


def _kernel(part: _Part) -> Observed:
    found = part.findings.connections
    if found is None:
        return None, _NOT_REAL
    return found.kernel_per_connection, "the kernel's memory was not read at three plateaus"


def _connect_time(part: _Part) -> Observed:
    found = part.findings.connections
    if found is None or not found.recording.connected:
        return None, _NOT_REAL
    return Estimate.exact(found.recording.connect_s), ""


def _reuse(part: _Part) -> Observed:
    reason = "the pool gave nothing out there, or there is none"
    if part.stage is None and part.threshold.window_s is None:
        pool = part.findings.pool
        return _exactly(None if pool is None else pool.get("reuse_ratio")), reason
    if not part.samples:
        return None, reason
    created, reused = (
        _counted(part, count) for count in (lambda s: s.pool_created, lambda s: s.pool_reused)
    )
    acquired = created + reused
    return _exactly(reused / acquired if acquired else None), reason


def _counted(part: _Part, count: Callable[[Sample], int | None]) -> int:
    """Return by how much a counter of the pool rose in the part."""
    before = _sample_before(part)
    return (count(part.samples[-1]) or 0) - ((before and count(before)) or 0)


def _sample_before(part: _Part) -> Sample | None:
    first = part.recording.samples.index(part.samples[0])
    return part.recording.samples[first - 1] if first else None


def _leak_slope(part: _Part) -> Observed:
    found = _leak(part)
    return found.slope_bytes_per_s, found.reason


def _leak_per_operation(part: _Part) -> Observed:
    found = _leak(part)
    return found.slope_bytes_per_operation, found.reason


def _leak(part: _Part) -> Leak:
    """Return the growth of the part; of the steady stage where no stage is named."""
    samples = part.samples
    if part.stage is None:
        stage = steady.steady_stage(part.recording.stages)
        if stage is None:
            return part.findings.leak
        samples = [sample for sample in part.recording.samples if sample.stage == stage]
        samples = _last(samples, part.threshold.window_s)
    harmless = _harmless_bytes_per_s(part.threshold, samples)
    return steady.growth(samples, clock=part.clock, harmless_bytes_per_s=harmless)


def _harmless_bytes_per_s(threshold: Threshold, samples: Sequence[Sample]) -> float | None:
    """Return the limit that the scenario sets on growth, per second of these samples."""
    if threshold.metric == "memory_leak_slope":
        return threshold.limit.value
    over_s = samples[-1].at_s - samples[0].at_s if samples else 0.0
    done = samples[-1].operations - samples[0].operations if samples else 0
    return threshold.limit.value * done / over_s if over_s and done else None


def _unless_it_ends(part: _Part) -> tuple[Verdict, str]:
    """Return whether growth beyond its limit is a leak: what may end crosses nothing."""
    found = _leak(part)
    if found.verdict is LeakVerdict.LEAK:
        return Verdict.CROSSED, ""
    return Verdict.INCONCLUSIVE, found.reason


def _unless_it_levels_off(part: _Part) -> tuple[Verdict, str]:
    """Return whether what is kept of closed connections goes on, from wave to wave."""
    found = part.findings.connections
    if found is not None and found.waves.verdict is LeakVerdict.LEAK:
        return Verdict.CROSSED, ""
    return Verdict.INCONCLUSIVE, "" if found is None else found.waves.reason


def _total(part: _Part) -> Observed:
    sizes = [sample.uss_bytes for sample in part.samples if sample.uss_bytes is not None]
    if not sizes:
        return None, "memory was not read exactly"
    # Between exact readings the peak may have been higher, but not above the resident set.
    most = max(sample.rss_bytes for sample in part.samples)
    return Estimate(max(sizes), max(sizes), max(most, *sizes, 0), How.MEASURED), ""


def _busy_s(samples: Sequence[Sample]) -> float:
    return samples[-1].busy_s - samples[0].busy_s if samples else 0.0


def _rate(part: _Part) -> Observed:
    busy_s = _busy_s(part.samples)
    if not busy_s:
        return None, _IDLE
    done = part.samples[-1].operations - part.samples[0].operations
    return _exactly(done / busy_s), ""


def _pause_share(part: _Part) -> Observed:
    samples = part.samples
    cpu_s = samples[-1].cpu_s - samples[0].cpu_s if samples else 0.0
    if (reason := _incomplete(part.recording)) is not None:
        return None, reason
    if not cpu_s:
        return None, _IDLE
    return _exactly(sum(sample.gc_pause_s for sample in samples[1:]) / cpu_s), ""


def _pauses(part: _Part) -> Observed:
    recording = part.recording
    if (reason := _incomplete(recording)) is not None:
        return None, reason
    if part.threshold.window_s is not None:
        return _recent_pauses(part)
    kept = merged(found for key, found in recording.pauses.items() if part.stage in {None, key[0]})
    if kept.count < sum(sample.gc_pauses for sample in part.samples):
        return None, "not all pauses were kept: the run was killed"
    return aggregate(part.threshold, kept), ""


def _incomplete(recording: VariantRecording) -> str | None:
    """Return why the pauses that were recorded are not all, or `None`."""
    if not recording.recorder_installed:
        return "no recorder worked inside the subject"
    if recording.pauses_lost:
        return f"{recording.pauses_lost:,} pauses were overwritten before they were read"
    return None


def _recent_pauses(part: _Part) -> Observed:
    """Return the longest or the number of a window's pauses; percentiles are kept by stage."""
    if part.threshold.aggregation == "count":
        return _exactly(sum(sample.gc_pauses for sample in part.samples)), ""
    if part.threshold.aggregation == "max":
        return _exactly(max((s.gc_pause_max_s for s in part.samples), default=None)), "no samples"
    return None, "a window keeps the number and the longest of its pauses, no percentiles"


def _latency(part: _Part) -> Observed:
    kept = merged(
        found for key, found in part.recording.latency.items() if part.stage in {None, key}
    )
    if kept.count < _operations(part):
        return None, "not all latencies were kept: the run was killed"
    if not kept.count:
        return None, "no operation was timed"
    return aggregate(part.threshold, kept), ""


def aggregate(threshold: Threshold | Expression, histogram: Histogram) -> Estimate | None:
    """Return what a threshold is about of durations that were all kept."""
    if threshold.aggregation == "count":
        return Estimate.exact(histogram.count)
    if not histogram.count:
        # The recorder worked and the collector never ran: that is a measurement.
        return Estimate.exact(0.0)
    if threshold.aggregation == "p":
        return durations.within_bucket(histogram, threshold.quantile or 0.0)
    found = {"max": histogram.max_s, "min": histogram.min_s, "avg": histogram.mean_s}
    return _exactly(found[threshold.aggregation])


def _exactly(value: float | None) -> Estimate | None:
    return None if value is None else Estimate.exact(value)


_NOT_REAL = "no connection was made"
_IDLE = "it takes two samples with work between them; sample more often"

_OF_LEAKS = frozenset({"memory_leak_slope", "memory_leak_per_operation"})

_OBSERVERS: dict[str, Callable[[_Part], Observed]] = {
    "memory_per_connection": _per_unit,
    "memory_per_unit": _per_unit,
    "memory_per_connection_loaded": _loaded,
    "memory_per_unit_loaded": _loaded,
    "memory_fixed": _fixed,
    "memory_total": _total,
    "memory_retained": _retained,
    "memory_leak_slope": _leak_slope,
    "memory_leak_per_operation": _leak_per_operation,
    "pool_reuse_ratio": _reuse,
    "gc_pause": _pauses,
    "gc_pause_share": _pause_share,
    "operation_latency": _latency,
    "memory_kept_per_connection": _kept,
    "kernel_memory_per_connection": _kernel,
    "connect_time": _connect_time,
    "operations_per_s": _rate,
}
"""How each metric of `memopt_cli.scenario.thresholds.METRICS` is read from a recording."""
