"""Growth of a run's steady stage: from its samples to a verdict, in words."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from memopt_cli.analysis import leak_outlook, leak_parts, paired
from memopt_cli.analysis.leak import FEWEST_SAMPLES
from memopt_cli.analysis.leak_signals import Metric, Null, Pattern, Signal, together
from memopt_cli.analysis.leak_views import OF_BASELINE, Doubt
from memopt_cli.analysis.results import Baseline, Estimate, How, Leak, LeakVerdict
from memopt_cli.units import format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from memopt_cli.analysis.leak import Growth
    from memopt_cli.analysis.leak_signals import Together
    from memopt_cli.analysis.paired import Beside
    from memopt_cli.analysis.recording import Sample, StageSpan, VariantRecording
    from memopt_cli.analysis.results import Severity

SETTLED_OPERATIONS = 20
"""
Operations per unit before growth can be called a leak.

Units that have hardly worked still fill their lazy fields, buffers and windows;
that growth ends, but over a short run it is as straight as a leak's.
"""

_ROUNDING_S = 1e-6

_READINGS: Mapping[Metric, Callable[[Sample], float | None]] = {
    Metric.ANONYMOUS: lambda sample: sample.resident_anonymous_bytes,
    Metric.HEAP_IN_USE: lambda sample: sample.heap_in_use_bytes,
    Metric.ALLOCATED_BLOCKS: lambda sample: sample.allocated_blocks,
}
"""The cheap counter, and what is known from inside where it was read often enough."""


def steady_stage(stages: Sequence[StageSpan]) -> int | None:
    """Return the index of the longest stage whose population neither grows nor shrinks."""
    found: list[tuple[float, int]] = []
    before: int | None = 0
    for index, stage in enumerate(stages):
        if stage.units and stage.units == before:
            found.append((stage.ends_s - stage.starts_s, -index))
        before = stage.units
    return -max(found)[1] if found else None


def growth(
    samples: Sequence[Sample],
    *,
    clock: str,
    harmless_bytes_per_s: float | None = None,
    limit_bytes: float | None = None,
    beside: Sequence[Sample] | None = None,
    breaks: Sequence[float] = (),
    severities: Mapping[Severity, float] = leak_outlook.SEVERITIES,
) -> Leak:
    """
    Return how memory grows over the samples of a steady stage.

    Args:
        samples: Of one stage, in order; at least 24.
        clock: ``virtual`` marks the slope as simulated time.
        harmless_bytes_per_s: A limit that the user has set on the slope.
        limit_bytes: The memory that there is, for the time until a leak has filled it.
        beside: Of the same stage of a clean run, from the same moment on.
        severities: Bytes per second from which a leak is called so.
        breaks: Scenario times at which the subject went on after a gap, at another level.
    """
    if len(samples) < FEWEST_SAMPLES:
        found = f"{len(samples)} samples in the steady part, a slope needs {FEWEST_SAMPLES}"
        return _unmeasured(samples, f"{found}: lengthen it or sample more often")
    over_s = samples[-1].at_s - samples[0].at_s
    if over_s <= 0:
        return _unmeasured(samples, "all samples have the same time")
    tolerance = None if harmless_bytes_per_s is None else harmless_bytes_per_s * over_s
    null = None if beside is None else _null(samples, beside)
    found_together = together(_signals(samples, breaks), tolerance=tolerance, null=null)
    leading = found_together.growths[found_together.measured_by]
    verdict, reason = _verdict(found_together, leading, samples)
    rate = (samples[-1].operations - samples[0].operations) / over_s
    full_in_s = leak_outlook.time_to_limit_s(
        leading, now_bytes=samples[-1].rss_bytes, limit_bytes=limit_bytes
    )
    leaks, unsure = verdict is LeakVerdict.LEAK, verdict is LeakVerdict.INCONCLUSIVE
    return Leak(
        verdict=verdict,
        slope_bytes_per_s=estimate(leading, 1.0, _how(clock)),
        slope_bytes_per_operation=estimate(leading, rate, How.FITTED) if rate else None,
        detectable_bytes_per_s=leading.detectable,
        samples=len(samples),
        over_s=over_s,
        reason=reason,
        settled_s=leading.settled_s,
        longer_s=_longer_s(leading, samples) if unsure else None,
        severity=leak_outlook.severity(leading, severities) if leaks else None,
        full_in_s=full_in_s if leaks else None,
        z=leading.z,
        baseline=baseline(found_together.besides.get(found_together.measured_by), _how(clock)),
    )


def stage_beside(
    recording: VariantRecording, stage: int, samples: Sequence[Sample]
) -> Sequence[Sample] | None:
    """Return the samples of the baseline's stage of that name from the first of *samples* on."""
    if recording.beside is None:
        return None
    names = [one.name for one in recording.beside.stages]
    name = recording.stages[stage].name
    if name not in names or not samples:
        return ()
    number = names.index(name)
    # Times of both are sums of the same ticks.
    began_s = samples[0].at_s - _ROUNDING_S
    return [s for s in recording.beside.samples if s.stage == number and s.at_s >= began_s]


def _null(samples: Sequence[Sample], beside: Sequence[Sample]) -> Null:
    own, others = (
        [(one.at_s, float(one.operations)) for one in each] for each in (samples, beside)
    )
    unfit = Doubt.BASELINE_LOAD if paired.other_load(own, others) else None
    return Null(_signals(beside), unfit)


def baseline(beside: Beside | None, how: How) -> Baseline | None:
    """Return what a baseline says, for a report."""
    if beside is None:
        return None
    null = beside.baseline
    unsure = null.verdict is LeakVerdict.INCONCLUSIVE and null.slope is not None
    return Baseline(
        is_null=beside.is_null,
        alone=beside.alone.verdict,
        alone_bytes_per_s=estimate(beside.alone, 1.0, how),
        verdict=null.verdict,
        bytes_per_s=estimate(null, 1.0, how),
        over_s=null.over_s,
        longer_s=leak_outlook.longer_s(null) if unsure else None,
    )


def _how(clock: str) -> How:
    return How.SIMULATED if clock == "virtual" else How.FITTED


def _unmeasured(samples: Sequence[Sample], reason: str) -> Leak:
    return Leak(LeakVerdict.INCONCLUSIVE, None, None, None, len(samples), 0.0, reason)


def _signals(samples: Sequence[Sample], breaks: Sequence[float] = ()) -> list[Signal]:
    """Return the metrics that were read often enough to be judged."""
    signals = []
    for metric, reading in _READINGS.items():
        read = [(s.at_s, value) for s in samples if (value := reading(s)) is not None]
        if len(read) >= FEWEST_SAMPLES:
            at, values = [one for one, _ in read], [value for _, value in read]
            signals.append(Signal(metric, at, values, (*leak_parts.holes(at), *breaks)))
    return signals


def estimate(found: Growth, per_s: float, how: How) -> Estimate | None:
    """Return a slope per unit of what happens *per_s* times a second."""
    if found.slope is None or found.low is None or found.high is None:
        return None
    return Estimate(found.slope / per_s, found.low / per_s, found.high / per_s, how)


def _verdict(
    found: Together, leading: Growth, samples: Sequence[Sample]
) -> tuple[LeakVerdict, str]:
    """Return the verdict, and in words what it rests on or what would settle it."""
    per_unit = _operations_per_unit(samples)
    if found.verdict is LeakVerdict.LEAK and 0 < per_unit < SETTLED_OPERATIONS:
        reason = (
            f"each unit did only {per_unit:.1f} operations while it was watched: growth may be "
            f"its first filling; lengthen the steady stage to {SETTLED_OPERATIONS} or more"
        )
        return LeakVerdict.INCONCLUSIVE, reason
    if found.verdict is LeakVerdict.INCONCLUSIVE:
        return found.verdict, _unsettled(leading, samples)
    if found.pattern is Pattern.NO_LEAK and leading.high is not None:
        most, over = format_size(max(0.0, leading.high) * 3600), format_duration(leading.over_s)
        return found.verdict, f"no more than {most}/h{above(found)}, seen for {over}"
    if found.pattern is Pattern.LEAK and found.leading is Metric.ANONYMOUS and not found.besides:
        return found.verdict, "it grows to the end and does not slow down"
    return found.verdict, f"{found.reason}{above(found)}"


def _unsettled(leading: Growth, samples: Sequence[Sample]) -> str:
    """Return why a stage could not tell, and what would."""
    if leading.doubt in OF_BASELINE:
        return str(leading.doubt)
    longer = format_duration(_longer_s(leading, samples))
    return f"{doubtful(leading)}: run the steady stage {longer} longer"


def above(found: Together) -> str:
    """Return words for growth that is more than a baseline's."""
    beside = found.besides.get(found.measured_by)
    return " above the baseline" if beside is not None and beside.is_null else ""


def doubtful(growth: Growth) -> str:
    """Return why growth is neither a leak nor none."""
    if growth.doubt in {Doubt.UNSURE, Doubt.SMALL, None}:
        return "the interval is too wide to tell"
    return str(growth.doubt)


def _longer_s(growth: Growth, samples: Sequence[Sample]) -> float:
    """Return how much longer the stage should go, to tell and to have every unit settled."""
    per_unit = _operations_per_unit(samples)
    settling = SETTLED_OPERATIONS / per_unit - 1 if per_unit else 0.0
    return max(leak_outlook.longer_s(growth), settling * growth.over_s)


def _operations_per_unit(samples: Sequence[Sample]) -> float:
    units = statistics.median(sample.units for sample in samples)
    return (samples[-1].operations - samples[0].operations) / units if units else 0.0
