"""How each metric of a threshold is read from a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.analysis import durations, fidelity, threshold_growth
from memopt_cli.analysis.limits import compare
from memopt_cli.analysis.results import Estimate, How, Verdict
from memopt_cli.analysis.threshold_parts import operations, sample_before
from memopt_cli.profiler.histogram import merged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memopt_cli.analysis.recording import Sample, VariantRecording
    from memopt_cli.analysis.threshold_parts import Observed, Part
    from memopt_cli.profiler.histogram import Histogram
    from memopt_cli.scenario.model import Threshold
    from memopt_cli.scenario.thresholds import Expression


def observe(part: Part) -> Observed:
    """Return the figure that a threshold is about, or why there is none."""
    if part.threshold.stage is not None and part.stage is None:
        return None, f"stage {part.threshold.stage!r} was not reached"
    return OBSERVERS[part.threshold.metric](part)


def _per_unit(part: Part) -> Observed:
    return part.findings.memory.per_unit, part.findings.memory.reason


def _loaded(part: Part) -> Observed:
    memory = part.findings.memory
    reason = memory.reason if memory.per_unit is None else "the peak was not held after the growth"
    return memory.loaded, "" if memory.loaded else reason


def _fixed(part: Part) -> Observed:
    return part.findings.memory.fixed, part.findings.memory.reason


def _all_units(part: Part) -> Observed:
    return part.findings.total, "memory was not read at the peak, or not before the first unit"


def _retained(part: Part) -> Observed:
    return part.findings.retained, "the population was not emptied, or memory not read after it"


def _kept(part: Part) -> Observed:
    found = part.findings.connections
    if found is None:
        return None, _NOT_REAL
    return found.waves.kept_per_connection, found.waves.reason


def _kernel(part: Part) -> Observed:
    found = part.findings.connections
    if found is None:
        return None, _NOT_REAL
    return found.kernel_per_connection, "the kernel's memory was not read at three plateaus"


def _connect_time(part: Part) -> Observed:
    found = part.findings.connections
    if found is None or not found.recording.connected:
        return None, _NOT_REAL
    return Estimate.exact(found.recording.connect_s), ""


def _unless_others_worked(part: Part) -> tuple[Verdict, str]:
    """
    Return whether connecting took too long through the server, or through other programs too.

    Server and drivers wait for processors that work for others. Without those the same work
    takes the share of the time that is left at least: only if that is too long, it is theirs.
    """
    found = part.findings.connections
    share = None if found is None else found.recording.connect_others_share
    if found is None or not share:
        return Verdict.CROSSED, ""
    alone = Estimate.exact(found.recording.connect_s * (1.0 - share))
    limit = part.threshold.limit.value
    verdict, _ = compare(alone, part.threshold.operator, limit, rounded=False)
    if verdict is Verdict.CROSSED:
        return verdict, ""
    told = f"other programs took {share:.0%} of the processors meanwhile"
    return Verdict.INCONCLUSIVE, f"{told}: run it where nothing else runs"


def _reuse(part: Part) -> Observed:
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


def _counted(part: Part, count: Callable[[Sample], int | None]) -> int:
    """Return by how much a counter of the pool rose in the part."""
    before = sample_before(part)
    return (count(part.samples[-1]) or 0) - ((before and count(before)) or 0)


def _total(part: Part) -> Observed:
    sizes = [sample.uss_bytes for sample in part.samples if sample.uss_bytes is not None]
    if not sizes:
        return None, "memory was not read exactly"
    # Between exact readings the peak may have been higher, but not above the resident set.
    most = max(sample.rss_bytes for sample in part.samples)
    return Estimate(max(sizes), max(sizes), max(most, *sizes, 0), How.MEASURED), ""


def _busy_s(samples: Sequence[Sample]) -> float:
    return samples[-1].busy_s - samples[0].busy_s if samples else 0.0


def _rate(part: Part) -> Observed:
    busy_s = _busy_s(part.samples)
    if not busy_s:
        return None, _IDLE
    done = part.samples[-1].operations - part.samples[0].operations
    return _exactly(done / busy_s), ""


def _pause_share(part: Part) -> Observed:
    samples = part.samples
    cpu_s = samples[-1].cpu_s - samples[0].cpu_s if samples else 0.0
    if (reason := _incomplete(part.recording)) is not None:
        return None, reason
    if not cpu_s:
        return None, _IDLE
    return _exactly(sum(sample.gc_pause_s for sample in samples[1:]) / cpu_s), ""


def _pauses(part: Part) -> Observed:
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


def _recent_pauses(part: Part) -> Observed:
    """Return the longest or the number of a window's pauses; percentiles are kept by stage."""
    if part.threshold.aggregation == "count":
        return _exactly(sum(sample.gc_pauses for sample in part.samples)), ""
    if part.threshold.aggregation == "max":
        return _exactly(max((s.gc_pause_max_s for s in part.samples), default=None)), "no samples"
    return None, "a window keeps the number and the longest of its pauses, no percentiles"


def _latency(part: Part) -> Observed:
    kept = merged(
        found for key, found in part.recording.latency.items() if part.stage in {None, key}
    )
    if kept.count < operations(part):
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


def _fidelity(part: Part) -> Observed:
    found = part.findings.fidelity
    if found is None:
        return None, "the agents were not compared with naive ones"
    reason = "nothing was compared"
    return _exactly(fidelity.observed(found, part.threshold.aggregation)), reason


def _fitting(part: Part) -> Observed:
    found = part.findings.density
    if found is None:
        return None, "the agents were not to fill a memory: write agents.until"
    if not found.held:
        return None, "memory rose above its limit after they were there"
    return found.fits, ""


def _given_back(part: Part) -> Observed:
    found = part.findings.profile
    if found is None:
        return None, "agents were not profiled: write agents.profile"
    return _exactly(found.given_back), "agents created nothing that could be seen"


def _exactly(value: float | None) -> Estimate | None:
    return None if value is None else Estimate.exact(value)


_NOT_REAL = "no connection was made"
_IDLE = "it takes two samples with work between them; sample more often"

OBSERVERS: dict[str, Callable[[Part], Observed]] = {
    "memory_per_connection": _per_unit,
    "memory_per_unit": _per_unit,
    "memory_per_connection_loaded": _loaded,
    "memory_per_unit_loaded": _loaded,
    "memory_per_agent": _per_unit,
    "memory_per_agent_loaded": _loaded,
    "memory_all_agents": _all_units,
    "memory_fixed": _fixed,
    "memory_total": _total,
    "memory_retained": _retained,
    "memory_leak_slope": threshold_growth.leak_slope,
    "memory_leak_per_operation": threshold_growth.leak_per_operation,
    "pool_reuse_ratio": _reuse,
    "gc_pause": _pauses,
    "gc_pause_share": _pause_share,
    "operation_latency": _latency,
    "operations_per_s": _rate,
    "fidelity": _fidelity,
    "agents_that_fit": _fitting,
    "memory_given_back": _given_back,
    "memory_kept_per_connection": _kept,
    "kernel_memory_per_connection": _kernel,
    "connect_time": _connect_time,
}
"""How each metric of `memopt_cli.scenario.thresholds.METRICS` is read from a recording."""

EXCUSES: dict[str, Callable[[Part], tuple[Verdict, str]]] = {
    "connect_time": _unless_others_worked,
    "memory_kept_per_connection": threshold_growth.unless_it_levels_off,
    **dict.fromkeys(threshold_growth.OF_LEAKS, threshold_growth.unless_it_ends),
}
"""Metrics that a value beyond the limit does not cross alone: whether it does, and why not."""
