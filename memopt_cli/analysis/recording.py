"""What was recorded of a run: plain values, in the order in which they happened."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from memopt_cli.analysis.connections import ConnectionsRecording
    from memopt_cli.analysis.density import Density
    from memopt_cli.analysis.operation_profile import OperationProfile
    from memopt_cli.analysis.parts import Part
    from memopt_cli.profiler.histogram import Histogram
    from memopt_cli.scenario.load import Load


class Outcome(StrEnum):
    """How a variant, or a whole run, ended."""

    RUNNING = "running"
    """It runs still, or its controller was killed."""

    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    """A person or a signal stopped it."""

    ABORTED = "aborted"
    """A threshold with ``abort_on_fail`` was crossed."""

    FAILED = "failed"
    """The subject died, hung, or ran out of memory."""

    STOPPED = "stopped"
    """The time that was given to a slice was over; the run is meant to be resumed."""


@dataclass(frozen=True, slots=True)
class Sample:
    """
    One row of the time series. `None` means that it was not read in this sample.

    Times are seconds since the variant began, memory is in bytes.
    """

    at_s: float
    """Scenario time; on a virtual clock idle time passes at once."""

    wall_s: float
    """Real time."""

    stage: int
    units: int
    operations: int
    """Since the variant began: arrivals, messages and departures."""

    rss_bytes: int
    resident_anonymous_bytes: int
    """The kernel's counter, read in every sample."""

    cpu_s: float
    """CPU time that the subject has used."""

    busy_s: float
    """Wall time that the subject has spent on operations."""

    gc_pauses: int
    """Collections since the sample before, all generations."""

    gc_pause_s: float
    """Their sum."""

    gc_pause_max_s: float
    cost_s: float
    """What this sample cost the controller, the next fields included."""

    is_plateau: bool = False
    """Taken at rest at a measuring point: memory is read exactly."""

    anonymous_bytes: int | None = None
    """Exact, from smaps_rollup."""

    uss_bytes: int | None = None
    pss_bytes: int | None = None
    heap_in_use_bytes: int | None = None
    heap_free_bytes: int | None = None
    allocated_blocks: int | None = None
    threads: int | None = None
    fds: int | None = None
    pool_created: int | None = None
    """Acquires since the variant began that were the first use of an object."""

    pool_reused: int | None = None


@dataclass(frozen=True, slots=True)
class StageSpan:
    """One stage as it was run."""

    name: str
    starts_s: float
    ends_s: float
    units: int | None
    """The population it leads to; `None` where arrivals decide."""

    @classmethod
    def planned(cls, load: Load) -> list[StageSpan]:
        """Return the stages of a load as they are to be, one after the other."""
        spans: list[StageSpan] = []
        at_s = 0.0
        for stage in load.stages:
            spans.append(cls(stage.name, at_s, at_s + stage.duration_s, stage.units))
            at_s += stage.duration_s
        return spans


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How a variant's agents thought, against naive ones in the same situations."""

    steps: int
    """Agent-steps of agents that were led: saw and did what the naive ones saw and did."""

    same_actions: int
    """Of those, the ones in which they would have done the same."""

    free_steps: int
    """Agent-steps of agents on their own, in worlds like those of the naive ones."""

    same_free_actions: int
    posterior: float | None
    """The largest difference of a belief; `None` if there was none to compare."""

    divergence_nat: float | None
    """The largest KL(naive || judged) of those that are finite."""

    missing: int
    """Led steps after which beliefs were lost."""

    not_finite: int
    """Led steps after which beliefs held NaN or infinity."""

    impossible: int
    """Led steps after which a state that naive agents hold possible had no probability at all."""

    twins: int
    """Steps in which agents of two models of one shape should have believed otherwise."""

    merged: int
    """Of those, the ones in which they believed the same."""


@dataclass(frozen=True, slots=True)
class VariantRecording:
    """All that was recorded of one variant in one cell of the matrix."""

    cell: Mapping[str, str]
    """The matrix values of this run, empty without a matrix."""

    name: str
    unit: str
    """What one unit is called, in the plural."""

    has_pool: bool
    outcome: Outcome
    failure: str
    """Why it failed, or empty."""

    digest: str
    transcript: str
    pool: Mapping[str, float | None] | None
    stages: tuple[StageSpan, ...]
    samples: tuple[Sample, ...]
    pauses: Mapping[tuple[int, int], Histogram]
    """Collection pauses by stage index and generation."""

    pauses_lost: int
    recorder_installed: bool
    latency: Mapping[int, Histogram]
    """Operation latency by stage index."""

    connections: ConnectionsRecording | None = None
    """Of real connections only."""

    preallocated: int = 0
    """Units that the variant's pool made before the first arrived."""

    breaks: tuple[float, ...] = ()
    """Scenario times at which it went on after a gap: memory before tells nothing of after."""

    parts: tuple[Part, ...] = ()
    """When it was lived; empty for runs of earlier releases."""

    beside: VariantRecording | None = None
    """The same variant of the baseline."""

    fidelity: Fidelity | None = None
    """Of agents; `None` where it was not measured."""

    density: Density | None = None
    """Of agents that were to fill a memory; `None` otherwise."""

    profile: OperationProfile | None = None
    """Of agents; `None` where it was not asked for."""

    def by_part(self, samples: Iterable[Sample]) -> list[list[Sample]]:
        """Return samples apart by the part that they were taken in, in their order."""
        found: dict[int, list[Sample]] = {}
        for sample in samples:
            found.setdefault(bisect_right(self.breaks, sample.at_s), []).append(sample)
        return list(found.values())


@dataclass(frozen=True, slots=True)
class Recording:
    """All that was recorded of a run."""

    scenario: str
    """The scenario as it was run, as YAML."""

    started_at: str
    """UTC, ISO 8601."""

    outcome: Outcome
    reason: str
    """Why it did not finish, or empty."""

    signal: int | None
    """The signal that ended it, if one did."""

    clock: str
    environment: Mapping[str, str | int | float]
    wall_s: float
    variants: tuple[VariantRecording, ...] = field(default=())
    baseline: Recording | None = None
    """A clean run that growth is judged beside."""

    baseline_name: str = ""
    """As the user named it."""

    regressions: tuple[str, ...] = ()
    """What must not have regressed against it, as it was asked for."""
