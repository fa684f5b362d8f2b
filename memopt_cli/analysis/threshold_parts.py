"""The part of a variant's recording that a threshold is about: a stage, or a window at its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.recording import Sample, VariantRecording
    from memopt_cli.analysis.results import Estimate, VariantFindings
    from memopt_cli.scenario.model import Threshold

Observed: TypeAlias = "tuple[Estimate | None, str]"
"""A figure, or `None` and the reason why there is none."""


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a variant's recording that a threshold is about."""

    threshold: Threshold
    recording: VariantRecording
    findings: VariantFindings
    clock: str
    stage: int | None
    """Index of the stage that is named, if one is."""

    samples: Sequence[Sample]
    """Of that stage, and of the window at its end if one is given."""


def part_of(
    threshold: Threshold, recording: VariantRecording, findings: VariantFindings, clock: str
) -> Part:
    """Return the stage that a threshold names, or the whole run, and of it the window."""
    samples: Sequence[Sample] = recording.samples
    stage = None
    names = [span.name for span in recording.stages]
    if threshold.stage in names:
        stage = names.index(threshold.stage)
        samples = [sample for sample in samples if sample.stage == stage]
    samples = last(samples, threshold.window_s)
    return Part(threshold, recording, findings, clock, stage, samples)


def last(samples: Sequence[Sample], window_s: float | None) -> Sequence[Sample]:
    """Return the samples of the last *window_s*; all of them without a window."""
    if window_s is None or not samples:
        return samples
    return [sample for sample in samples if sample.at_s >= samples[-1].at_s - window_s]


def operations(part: Part) -> int:
    """Return how many operations the samples of the part count."""
    if not part.samples:
        return 0
    before = sample_before(part)
    return part.samples[-1].operations - (before.operations if before else 0)


def sample_before(part: Part) -> Sample | None:
    """Return the sample that counters rose from; `None` where the part begins with the run."""
    first = part.recording.samples.index(part.samples[0])
    return part.recording.samples[first - 1] if first else None
