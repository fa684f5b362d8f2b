"""What a run means: figures that know how they were obtained, and verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memopt_cli.analysis.alerts import Alert
    from memopt_cli.analysis.density import Density
    from memopt_cli.analysis.established import Established
    from memopt_cli.analysis.operation_profile import OperationProfile
    from memopt_cli.analysis.parts import Part
    from memopt_cli.analysis.recording import Fidelity, Outcome, StageSpan
    from memopt_cli.exit_codes import ExitCode
    from memopt_cli.units import Dimension


class How(StrEnum):
    """How a figure was obtained."""

    MEASURED = "measured"
    FITTED = "fitted"
    SIMULATED = "simulated"
    """Per unit of scenario time that did not pass in reality."""

    PROJECTED = "projected"


class Verdict(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    CROSSED = "crossed"
    INCONCLUSIVE = "inconclusive"


class LeakVerdict(StrEnum):
    """Whether memory grows although the population does not."""

    LEAK = "leak"
    NO_LEAK = "no_leak"
    INCONCLUSIVE = "inconclusive"


class Severity(StrEnum):
    """How bad a leak is, by its slope."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Estimate:
    """
    A figure with its 95 % interval; for an exact one low, value and high are equal.

    An end that the data do not bound is infinite.
    """

    value: float
    low: float
    high: float
    how: How

    @classmethod
    def exact(cls, value: float) -> Estimate:
        """Return a figure that was read, not estimated."""
        return cls(value, value, value, How.MEASURED)

    def widened(self, share: float) -> Estimate:
        """Return the figure with its interval wider by a share of the value at either end."""
        reach = share * abs(self.value)
        return Estimate(self.value, self.low - reach, self.high + reach, self.how)

    def overlaps(self, other: Estimate) -> bool:
        """Return whether the two intervals have a point in common: no difference is shown."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True, slots=True)
class MemoryPerUnit:
    """The slope of memory over the population, and what the process needs without any."""

    per_unit: Estimate | None
    """Bytes per unit."""

    fixed: Estimate | None
    """Bytes at no units, by the line."""

    loaded: Estimate | None
    """Bytes per unit after the steady load: what is above the fixed cost, over the units."""

    basis: str
    """The series that was fitted: ``anonymous`` (outside) or ``heap_in_use`` (inside)."""

    cross_check: Estimate | None
    """The same slope by the other series."""

    points: tuple[tuple[int, int], ...]
    """Units and bytes at each plateau that was fitted."""

    reason: str
    """Why there is no figure, or why this basis was taken."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a clean run says beside a verdict on growth."""

    is_null: bool
    """Whether the verdict's figures are what the run grows by more; else they are its own."""

    alone: LeakVerdict
    """Of the run without a baseline."""

    alone_bytes_per_s: Estimate | None
    verdict: LeakVerdict
    """Of the baseline by itself, over all of its length."""

    bytes_per_s: Estimate | None
    over_s: float
    """Of the baseline."""

    longer_s: float | None
    """About how much longer a baseline should go that is not shown to be clean."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Growth in the steady part of a run."""

    verdict: LeakVerdict
    slope_bytes_per_s: Estimate | None
    slope_bytes_per_operation: Estimate | None
    detectable_bytes_per_s: float | None
    """Smaller slopes than this would not have been told from none."""

    samples: int
    over_s: float
    """Scenario time that was judged."""

    reason: str
    """What the verdict rests on, or what would make an inconclusive one decided."""

    settled_s: float = 0.0
    """Where memory settles, from the start of the stage; the slope is that of the rest."""

    longer_s: float | None = None
    """About how much longer an inconclusive stage should go."""

    severity: Severity | None = None
    """Of a leak only."""

    full_in_s: float | None = None
    """When a leak will have filled the machine's memory, from the end of the stage."""

    baseline: Baseline | None = None
    """`None` without one."""

    z: float | None = None
    """The slope in standard errors, by the weakest fit that counts."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Durations of pauses or operations; `None` where none was recorded."""

    p50_s: Estimate | None
    p99_s: Estimate | None
    max_s: float | None
    count: int
    total_s: float
    points: tuple[tuple[float, float], ...]
    """Duration and share of all that do not exceed it, for plotting."""


@dataclass(frozen=True, slots=True)
class SamplingCost:
    """What the controller's samples cost, in seconds of its time."""

    p50_s: float | None
    max_s: float | None
    exact_p50_s: float | None
    """Of those samples that read memory exactly (smaps_rollup)."""

    samples: int


@dataclass(frozen=True, slots=True)
class VariantFindings:
    """What was found of one variant in one cell of the matrix."""

    cell: Mapping[str, str]
    name: str
    unit: str
    outcome: Outcome
    failure: str
    units_peak: int
    digest: str
    transcript: str
    same_work: bool | None
    """Whether its digest equals the first variant's; `None` if either is missing."""

    memory: MemoryPerUnit
    peak_uss_bytes: int | None
    peak_rss_bytes: int | None
    retained: Estimate | None
    """Anonymous bytes after the last unit left, minus before the first came."""

    leak: Leak
    gc_pause: Distribution | None
    """`None` when no recorder worked inside the subject."""

    gc_pauses_by_generation: tuple[int, ...]
    pauses_lost: int
    operation_latency: Distribution
    operations: int
    operations_per_s: float | None
    """Per second of the subject's busy time."""

    busy_s: float
    cpu_s: float
    wall_s: float
    simulated_s: float
    pool: Mapping[str, float | None] | None
    sampling: SamplingCost
    stages: tuple[StageSpan, ...]
    fidelity: Fidelity | None = None
    """How agents thought; `None` where that was not measured."""

    density: Density | None = None
    """How many agents fitted; `None` where they were not to fill a memory."""

    profile: OperationProfile | None = None
    """What a step of an agent consists of; `None` where that was not asked for."""

    total: Estimate | None = None
    """Anonymous bytes with all units there, at the end of their load, above the empty process."""

    steady_per_s: float | None = None
    """Operations of the steady stage, per second of the subject's busy time there."""

    lateness: float = 0.0
    """On the wall clock, how far any stage was behind its load, as a share of the stage."""

    connections: Established | None = None
    """Of real connections only."""

    parts: tuple[Part, ...] = ()
    """What it was lived in; more than one if it was interrupted and resumed."""

    @property
    def pause_share(self) -> float | None:
        """Share of its CPU time that the subject spent collecting."""
        if self.gc_pause is None or not self.cpu_s:
            return None
        return self.gc_pause.total_s / self.cpu_s

    @property
    def label(self) -> str:
        """The variant's name with its matrix values."""
        values = ", ".join(f"{key} {value}" for key, value in self.cell.items())
        return f"{self.name} ({values})" if values else self.name


@dataclass(frozen=True, slots=True)
class ThresholdResult:
    """One threshold, judged for one variant."""

    metric: str
    expression: str
    stage: str | None
    window_s: float | None
    cell: Mapping[str, str]
    variant: str
    observed: Estimate | None
    """In SI units; `None` when it was not measured."""

    dimension: Dimension
    verdict: Verdict
    reason: str
    """Why it is inconclusive, or empty."""

    z: float | None = None
    """Of growth: its slope in standard errors."""


@dataclass(frozen=True, slots=True)
class RunFindings:
    """A run, judged."""

    scenario: str
    description: str
    tags: Mapping[str, str]
    started_at: str
    outcome: Outcome
    reason: str
    signal: int | None
    clock: str
    environment: Mapping[str, str | int | float]
    wall_s: float
    variants: tuple[VariantFindings, ...]
    thresholds: tuple[ThresholdResult, ...]
    verdict: Verdict
    exit_code: ExitCode
    alerts: tuple[Alert, ...] = ()
    """What was beyond a limit for a while; it fails nothing."""

    baseline: str = ""
    """The run that growth was judged beside, as it was named; empty without one."""
