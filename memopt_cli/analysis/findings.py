"""From a recording to findings: every figure of a report is made here, once."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

from memopt_cli.analysis import (
    alert_series,
    checks,
    comparing,
    density,
    established,
    leak_outlook,
    memory,
    pairing,
    regressions,
    steady,
    thresholds,
)
from memopt_cli.analysis.durations import distribution
from memopt_cli.analysis.ending import exit_code
from memopt_cli.analysis.limits import worst
from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.results import (
    Leak,
    LeakVerdict,
    RunFindings,
    SamplingCost,
    Severity,
    VariantFindings,
    Verdict,
)
from memopt_cli.profiler.histogram import merged
from memopt_cli.profiler.recorder import GENERATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.recording import Recording, Sample, VariantRecording
    from memopt_cli.analysis.results import ThresholdResult
    from memopt_cli.scenario.model import LeakSection, Scenario


def judge(recording: Recording, scenario: Scenario) -> RunFindings:
    """
    Return what a recording means under the thresholds of its scenario.

    A run that was cut short can show a crossed threshold; it cannot pass.
    """
    recording = pairing.with_baseline(recording)
    firsts = {_cell(v): v for v in reversed(recording.variants)}
    limit_bytes = leak_outlook.memory_limit_bytes(recording.environment)
    variants = tuple(
        variant_findings(
            variant,
            first=firsts[_cell(variant)],
            clock=recording.clock,
            limit_bytes=limit_bytes,
            limits=scenario.leak,
        )
        for variant in recording.variants
    )
    results = (
        *checks.same_work(variants),
        *checks.real_connections(variants, scenario),
        *checks.on_schedule(variants, clock=recording.clock),
        *checks.fidelity(variants, scenario),
        *density.checks(variants),
        *checks.leaks(variants, scenario),
        *_judged(recording, scenario, variants),
    )
    verdict = _verdict(recording, results)
    found = RunFindings(
        scenario=scenario.name,
        description=scenario.description,
        tags=scenario.tags,
        started_at=recording.started_at,
        outcome=recording.outcome,
        reason=recording.reason,
        signal=recording.signal,
        clock=recording.clock,
        environment=recording.environment,
        wall_s=recording.wall_s,
        variants=variants,
        thresholds=results,
        verdict=verdict,
        exit_code=exit_code(recording.outcome, recording.signal, verdict),
        alerts=alert_series.of_run(recording, variants),
        baseline=recording.baseline_name,
    )
    return _with_regressions(found, recording, scenario)


def _with_regressions(found: RunFindings, recording: Recording, scenario: Scenario) -> RunFindings:
    """Return a run with the regressions judged that its baseline was given for."""
    if recording.baseline is None or not recording.regressions:
        return found
    comparison = comparing.compare_runs(judge(recording.baseline, scenario), found)
    asked = [regressions.parse(text) for text in recording.regressions]
    results = (*found.thresholds, *regressions.judge(comparison, asked))
    verdict = _verdict(recording, results)
    code = exit_code(recording.outcome, recording.signal, verdict)
    return replace(found, thresholds=results, verdict=verdict, exit_code=code)


def variant_findings(
    recording: VariantRecording,
    *,
    first: VariantRecording,
    clock: str,
    limit_bytes: float | None = None,
    limits: LeakSection | None = None,
) -> VariantFindings:
    """
    Return the figures of one variant.

    Args:
        recording: What was recorded of it.
        first: The first variant of the same cell, which the others are compared with.
        clock: The clock of the run, ``virtual`` or ``wall``.
        limit_bytes: The machine's memory, which a leak would fill.
        limits: What of growth is tolerated, and what is severe.
    """
    samples, real = recording.samples, recording.connections
    last = samples[-1] if samples else None
    by_generation = [
        merged(h for (_, kind), h in recording.pauses.items() if kind == generation)
        for generation in range(GENERATIONS)
    ]
    pauses = distribution(merged(by_generation)) if recording.recorder_installed else None
    busy_s = last.busy_s if last else 0.0
    operations = last.operations if last else 0
    per_unit = memory.per_unit(
        samples if real is None else established.first_wave(recording),
        preallocated=recording.preallocated,
        processes=1 if real is None else max(1, real.servers),
    )
    connections = established.established(recording, per_unit=per_unit.per_unit)
    leak = _leak(recording, clock, limit_bytes, limits)
    return VariantFindings(
        cell=recording.cell,
        name=recording.name,
        unit=recording.unit,
        outcome=recording.outcome,
        failure=recording.failure,
        units_peak=max((sample.units for sample in samples), default=0),
        digest=recording.digest,
        transcript=recording.transcript,
        same_work=_same_work(recording, first),
        memory=per_unit,
        peak_uss_bytes=max((s.uss_bytes for s in samples if s.uss_bytes is not None), default=None),
        peak_rss_bytes=max((s.rss_bytes for s in samples), default=None),
        # What a server kept of closed connections is gone with it.
        retained=None if _has_lost_a_server(recording) else memory.retained(samples),
        leak=leak if connections is None else established.leak_over(connections.waves, leak),
        gc_pause=pauses,
        gc_pauses_by_generation=tuple(histogram.count for histogram in by_generation),
        pauses_lost=recording.pauses_lost,
        operation_latency=distribution(merged(recording.latency.values())),
        operations=operations,
        operations_per_s=operations / busy_s if busy_s else None,
        busy_s=busy_s,
        cpu_s=last.cpu_s if last else 0.0,
        wall_s=last.wall_s if last else 0.0,
        simulated_s=last.at_s if last else 0.0,
        pool=recording.pool,
        sampling=_sampling_cost(samples),
        stages=recording.stages,
        fidelity=recording.fidelity,
        density=recording.density,
        profile=recording.profile,
        total=memory.total(samples),
        steady_per_s=_steady_per_s(recording),
        lateness=_lateness(recording) if clock == "wall" else 0.0,
        connections=connections,
        parts=recording.parts,
    )


def _cell(variant: VariantRecording) -> tuple[tuple[str, str], ...]:
    return tuple(variant.cell.items())


def _same_work(recording: VariantRecording, first: VariantRecording) -> bool | None:
    if recording is not first and _has_lost_a_server(recording, first):
        # What its connections remembered went with it: all that was asked can be compared.
        told = recording.transcript, first.transcript
        return told[0] == told[1] if all(told) else None
    if recording is first or not recording.digest or not first.digest:
        return None
    if recording.density is not None:
        # Each variant has as many agents as it had room for.
        return None
    if (recording.digest, recording.transcript) == (first.digest, first.transcript):
        return True
    # Agents whose beliefs are rounded may once do otherwise; how rarely is what was judged.
    return recording.transcript == first.transcript and checks.thinks_the_same(recording.fidelity)


def _has_lost_a_server(*recordings: VariantRecording) -> bool:
    """Return whether one was resumed whose connections, other than units, could not be rebuilt."""
    return any(one.breaks and one.connections is not None for one in recordings)


def _leak(
    recording: VariantRecording,
    clock: str,
    limit_bytes: float | None,
    limits: LeakSection | None,
) -> Leak:
    stage = steady.steady_stage(recording.stages)
    if stage is None:
        reason = "no stage holds its population: add one with the same population as the one before"
        return Leak(LeakVerdict.INCONCLUSIVE, None, None, None, 0, 0.0, reason)
    samples = [sample for sample in recording.samples if sample.stage == stage]
    return steady.growth(
        samples,
        clock=clock,
        limit_bytes=limit_bytes,
        harmless_bytes_per_s=None if limits is None else limits.tolerate_bytes_per_s,
        severities=leak_outlook.SEVERITIES if limits is None else _severities(limits),
        beside=steady.stage_beside(recording, stage, samples),
        breaks=recording.breaks,
    )


def _severities(limits: LeakSection) -> dict[Severity, float]:
    found = limits.severity
    return {
        Severity.MEDIUM: found.medium_bytes_per_s,
        Severity.HIGH: found.high_bytes_per_s,
        Severity.CRITICAL: found.critical_bytes_per_s,
    }


def _steady_per_s(recording: VariantRecording) -> float | None:
    """Return operations per busy second while the population is held."""
    stage = steady.steady_stage(recording.stages)
    held = [sample for sample in recording.samples if sample.stage == stage]
    if not held or held[-1].busy_s <= held[0].busy_s:
        return None
    return (held[-1].operations - held[0].operations) / (held[-1].busy_s - held[0].busy_s)


def _lateness(recording: VariantRecording) -> float:
    """Return how far behind its load the latest stage fell, as a share of that stage."""
    shares = [0.0]
    for number, stage in enumerate(recording.stages):
        behind = [s.wall_s - s.at_s for s in recording.samples if s.stage == number]
        if behind:
            shares.append(max(behind) / (stage.ends_s - stage.starts_s))
    return max(shares)


def _sampling_cost(samples: Sequence[Sample]) -> SamplingCost:
    costs = [sample.cost_s for sample in samples]
    exact = [sample.cost_s for sample in samples if sample.anonymous_bytes is not None]
    return SamplingCost(
        p50_s=statistics.median(costs) if costs else None,
        max_s=max(costs, default=None),
        exact_p50_s=statistics.median(exact) if exact else None,
        samples=len(samples),
    )


def _judged(
    recording: Recording, scenario: Scenario, variants: Sequence[VariantFindings]
) -> list[ThresholdResult]:
    reference = thresholds.reference_of(scenario)
    results: list[ThresholdResult] = []
    for threshold in scenario.thresholds:
        judged = [
            thresholds.judge(threshold, recorded, findings, clock=recording.clock)
            for recorded, findings in zip(recording.variants, variants, strict=True)
            if thresholds.applies(threshold, recorded, reference=reference)
        ]
        results += judged or [thresholds.unjudged(threshold)]
    return results


def _verdict(recording: Recording, results: Sequence[ThresholdResult]) -> Verdict:
    verdict = worst([result.verdict for result in results])
    if recording.outcome is not Outcome.FINISHED and verdict is Verdict.PASSED:
        return Verdict.INCONCLUSIVE
    return verdict
