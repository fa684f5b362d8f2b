"""What the engine tells while it runs; whoever listens may keep it, show it or judge it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memopt_cli.analysis.connections import ConnectionsRecording
    from memopt_cli.analysis.density import Density
    from memopt_cli.analysis.operation_profile import OperationProfile
    from memopt_cli.analysis.parts import Checkpoint
    from memopt_cli.analysis.recording import Fidelity, Outcome, Sample, StageSpan
    from memopt_cli.profiler.histogram import Histogram


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins."""

    scenario: str
    """The scenario, expanded, as YAML."""

    started_at: str
    """UTC, ISO 8601."""

    clock: str
    environment: Mapping[str, str | int | float]
    expected_operations: float
    """About how many operations all variants will do, for an estimate of the time."""

    resumed: bool = False
    """Whether it goes on with what was kept of it."""


@dataclass(frozen=True, slots=True)
class VariantStarted:
    """A fresh subject process runs one variant in one cell of the matrix."""

    cell: Mapping[str, str]
    name: str
    unit: str
    has_pool: bool
    preallocated: int
    """Units that the pool makes before the first arrives."""

    expected_operations: float
    kept_as: int | None = None
    """Its number in the store, where it was begun before."""

    resumed_at_s: float | None = None
    """The scenario time it goes on from, once its population is rebuilt; `None` if it is new."""


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage of the variant begins."""

    number: int
    stage: StageSpan


@dataclass(frozen=True, slots=True)
class SampleTaken:
    """The subject was read."""

    sample: Sample
    checkpoint: Checkpoint | None = None
    """Of the same moment."""


@dataclass(frozen=True, slots=True)
class CheckpointMade:
    """Where the variant is, between two samples."""

    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class DurationsRecorded:
    """Pauses and latencies of a stage up to now; each event replaces the one before."""

    stage: int
    pauses: Mapping[int, Histogram]
    """By generation."""

    latency: Histogram
    pauses_lost: int
    recorder_installed: bool
    checkpoint: Checkpoint | None = None
    """Of the same moment, where no sample was taken."""


@dataclass(frozen=True, slots=True)
class ConnectionsCounted:
    """What is known of real connections up to now; each event replaces the one before."""

    connections: ConnectionsRecording


@dataclass(frozen=True, slots=True)
class VariantEnded:
    """The variant's process is gone."""

    outcome: Outcome
    failure: str = ""
    digest: str = ""
    transcript: str = ""
    pool: Mapping[str, float | None] | None = None
    fidelity: Fidelity | None = None
    """How agents thought; `None` where that was not measured."""

    density: Density | None = None
    """How many agents fitted the memory; `None` where it was not to be filled."""

    profile: OperationProfile | None = None
    """What a step of an agent consists of; `None` where that was not asked for."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run is over."""

    outcome: Outcome
    reason: str
    signal: int | None
    wall_s: float


Event = (
    RunStarted
    | VariantStarted
    | StageStarted
    | SampleTaken
    | CheckpointMade
    | DurationsRecorded
    | ConnectionsCounted
    | VariantEnded
    | RunEnded
)
