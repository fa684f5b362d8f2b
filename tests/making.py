"""Recordings and findings made by hand, with only what a test is about spelt out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memopt_cli.analysis.recording import (
    Fidelity,
    Outcome,
    Recording,
    Sample,
    StageSpan,
    VariantRecording,
)
from memopt_cli.analysis.results import (
    Distribution,
    Estimate,
    How,
    Leak,
    LeakVerdict,
    MemoryPerUnit,
    RunFindings,
    SamplingCost,
    ThresholdResult,
    VariantFindings,
    Verdict,
)
from memopt_cli.exit_codes import ExitCode
from memopt_cli.profiler.histogram import Histogram
from memopt_cli.scenario.checks import OWN_METRICS
from memopt_cli.scenario.model import Scenario
from memopt_cli.units import Dimension

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

AGENTS_ONLY = {metric for metric, word in OWN_METRICS.items() if word == "agents"}
KIB, MIB = 1024, 1024**2
MS = 1_000_000
"""Nanoseconds."""

STAGES = (
    StageSpan("baseline", 0.0, 5.0, 0),
    StageSpan("ramp-up", 5.0, 15.0, 1000),
    StageSpan("steady", 15.0, 75.0, 1000),
    StageSpan("ramp-down", 75.0, 80.0, 0),
    StageSpan("drain", 80.0, 85.0, 0),
)
BASELINE, RAMP_UP, STEADY, RAMP_DOWN, DRAIN = range(5)


def sample(at_s: float = 0.0, **changes: Any) -> Sample:
    """Return a sample of a process that does nothing and holds 10 MiB."""
    values: dict[str, Any] = {
        "at_s": at_s,
        "wall_s": at_s,
        "stage": 0,
        "units": 0,
        "operations": 0,
        "rss_bytes": 16 * MIB,
        "resident_anonymous_bytes": 10 * MIB,
        "cpu_s": 0.0,
        "busy_s": 0.0,
        "gc_pauses": 0,
        "gc_pause_s": 0.0,
        "gc_pause_max_s": 0.0,
        "cost_s": 0.001,
    }
    return Sample(**{**values, **changes})


def plateau(units: int, anonymous_bytes: int | None, **changes: Any) -> Sample:
    """Return a sample at rest, at which memory was read exactly."""
    return sample(
        **{
            "at_s": 5.0 + units / 100,
            "units": units,
            "stage": RAMP_UP if units else BASELINE,
            "is_plateau": True,
            "anonymous_bytes": anonymous_bytes,
            "uss_bytes": anonymous_bytes,
            **changes,
        }
    )


def steady(sizes: Sequence[float], *, every_s: float = 1.0, rate: int = 1000) -> list[Sample]:
    """Return one sample of the steady stage per size, *rate* operations apart, of 100 units."""
    return [
        sample(
            15.0 + number * every_s,
            stage=STEADY,
            units=100,
            operations=number * rate,
            resident_anonymous_bytes=round(size),
        )
        for number, size in enumerate(sizes)
    ]


def histogram(*durations_ns: int) -> Histogram:
    """Return a histogram of durations."""
    made = Histogram()
    for duration_ns in durations_ns:
        made.record(duration_ns)
    return made


def variant(samples: Iterable[Sample] = (), **changes: Any) -> VariantRecording:
    """Return the recording of a finished variant with a working recorder."""
    values: dict[str, Any] = {
        "cell": {},
        "name": "optimized",
        "unit": "connections",
        "has_pool": False,
        "outcome": Outcome.FINISHED,
        "failure": "",
        "digest": "d1",
        "transcript": "t1",
        "pool": None,
        "stages": STAGES,
        "samples": tuple(samples),
        "pauses": {},
        "pauses_lost": 0,
        "recorder_installed": True,
        "latency": {},
    }
    return VariantRecording(**{**values, **changes})


def recording(*variants: VariantRecording, **changes: Any) -> Recording:
    """Return the recording of a finished run."""
    values: dict[str, Any] = {
        "scenario": "version: 1\n",
        "started_at": "2026-01-31T12:00:00Z",
        "outcome": Outcome.FINISHED,
        "reason": "",
        "signal": None,
        "clock": "virtual",
        "environment": {"python": "CPython 3.11.7", "cores": 2, "memory_bytes": 8 * 1024**3},
        "wall_s": 2.5,
        "variants": variants,
    }
    return Recording(**{**values, **changes})


def scenario(
    thresholds: dict[str, Any] | None = None, *names: str, leak: dict[str, Any] | None = None
) -> Scenario:
    """Return a scenario with these limits, of agents if one asks, and variants so named."""
    word = "agents" if AGENTS_ONLY & (thresholds or {}).keys() else "connections"
    return Scenario.model_validate(
        {
            "version": 1,
            "name": "small",
            "description": "A thousand connections.",
            "workload": word,
            "variants": [{"name": name} for name in names or ("optimized",)],
            "load": {
                "stages": [
                    {
                        "name": stage.name,
                        "duration": f"{stage.ends_s - stage.starts_s:g}s",
                        word: stage.units,
                    }
                    for stage in STAGES
                ]
            },
            "leak": leak or {},
            "thresholds": thresholds or {},
        }
    )


def estimate(value: float, half_width: float = 0.0, how: How = How.FITTED) -> Estimate:
    """Return a figure with a symmetric interval."""
    return Estimate(value, value - half_width, value + half_width, how)


def thought(**changes: Any) -> Fidelity:
    """Return how agents thought that thought as naive ones do."""
    values: dict[str, Any] = {
        "steps": 1000,
        "same_actions": 1000,
        "free_steps": 1000,
        "same_free_actions": 1000,
        "posterior": 5e-16,
        "divergence_nat": 3e-16,
        "missing": 0,
        "not_finite": 0,
        "impossible": 0,
        "twins": 50,
        "merged": 0,
    }
    return Fidelity(**{**values, **changes})


def distribution(*durations_ns: int) -> Distribution:
    """Return the figures of durations whose percentiles are known exactly."""
    ordered = sorted(durations_ns)
    if not ordered:
        return Distribution(None, None, None, 0, 0.0, ())
    seconds = [one * 1e-9 for one in ordered]
    return Distribution(
        p50_s=Estimate.exact(seconds[(len(seconds) - 1) // 2]),
        p99_s=Estimate.exact(seconds[-1]),
        max_s=seconds[-1],
        count=len(seconds),
        total_s=sum(seconds),
        points=tuple((one, (number + 1) / len(seconds)) for number, one in enumerate(seconds)),
    )


def found(**changes: Any) -> VariantFindings:
    """Return the findings of a variant for which everything was measured."""
    values: dict[str, Any] = {
        "cell": {},
        "name": "optimized",
        "unit": "connections",
        "outcome": Outcome.FINISHED,
        "failure": "",
        "units_peak": 1000,
        "digest": "0123456789abcdef",
        "transcript": "fedcba9876543210",
        "same_work": None,
        "memory": MemoryPerUnit(
            per_unit=estimate(2048, 64),
            fixed=estimate(8 * MIB, 8 * KIB),
            loaded=estimate(3072, 128),
            basis="anonymous",
            cross_check=estimate(2000, 32),
            points=((200, 8 * MIB + 400 * KIB), (600, 8 * MIB + 1200 * KIB), (1000, 10 * MIB)),
            reason="anonymous memory grew by far more than free heap could hide",
        ),
        "peak_uss_bytes": 12 * MIB,
        "peak_rss_bytes": 20 * MIB,
        "retained": Estimate(64 * KIB, 32 * KIB, 96 * KIB, How.MEASURED),
        "leak": Leak(
            LeakVerdict.NO_LEAK,
            estimate(0.0, 10.24, How.SIMULATED),
            estimate(0.0, 0.5),
            10.24,
            48,
            47.0,
            "",
        ),
        "gc_pause": distribution(2 * MS, 4 * MS),
        "gc_pauses_by_generation": (1, 0, 1),
        "pauses_lost": 0,
        "operation_latency": distribution(10_000, 20_000, 30_000),
        "operations": 12_000,
        "operations_per_s": 24_000.0,
        "busy_s": 0.5,
        "cpu_s": 0.75,
        "wall_s": 1.25,
        "simulated_s": 85.0,
        "pool": {"reuse_ratio": 0.902},
        "sampling": SamplingCost(0.0002, 0.004, 0.001, 90),
        "stages": STAGES,
    }
    return VariantFindings(**{**values, **changes})


def unmeasured(**changes: Any) -> VariantFindings:
    """Return the findings of a variant whose process died before the first sample."""
    values: dict[str, Any] = {
        "outcome": Outcome.FAILED,
        "failure": "the subject died",
        "units_peak": 0,
        "digest": "",
        "transcript": "",
        "memory": MemoryPerUnit(
            None, None, None, "anonymous", None, (), "0 plateaus with units were measured"
        ),
        "peak_uss_bytes": None,
        "peak_rss_bytes": None,
        "retained": None,
        "leak": Leak(LeakVerdict.INCONCLUSIVE, None, None, None, 0, 0.0, "0 samples"),
        "gc_pause": None,
        "gc_pauses_by_generation": (0, 0, 0),
        "operation_latency": distribution(),
        "operations": 0,
        "operations_per_s": None,
        "busy_s": 0.0,
        "cpu_s": 0.0,
        "wall_s": 0.0,
        "simulated_s": 0.0,
        "pool": None,
        "sampling": SamplingCost(None, None, None, 0),
        "stages": (),
    }
    return found(**{**values, **changes})


def result(verdict: Verdict = Verdict.PASSED, **changes: Any) -> ThresholdResult:
    """Return a judged threshold on memory per connection."""
    values: dict[str, Any] = {
        "metric": "memory_per_connection",
        "expression": "value<2MB",
        "stage": None,
        "window_s": None,
        "cell": {},
        "variant": "optimized",
        "observed": estimate(2048, 64),
        "dimension": Dimension.SIZE,
        "verdict": verdict,
        "reason": "",
    }
    return ThresholdResult(**{**values, **changes})


def run(*variants: VariantFindings, **changes: Any) -> RunFindings:
    """Return a finished run that passed."""
    values: dict[str, Any] = {
        "scenario": "small",
        "tags": {"kind": "scale"},
        "description": "A thousand connections.",
        "started_at": "2026-01-31T12:00:00Z",
        "outcome": Outcome.FINISHED,
        "reason": "",
        "signal": None,
        "clock": "virtual",
        "environment": {"python": "CPython 3.11.7", "cores": 2, "memory_bytes": 8 * 1024**3},
        "wall_s": 2.5,
        "variants": variants,
        "thresholds": (result(),),
        "verdict": Verdict.PASSED,
        "exit_code": ExitCode.PASSED,
    }
    return RunFindings(**{**values, **changes})
