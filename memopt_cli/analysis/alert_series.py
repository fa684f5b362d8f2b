"""The alerts of runs and watches: which series each rule is about."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

from memopt_cli.analysis import alerts, leak_outlook
from memopt_cli.analysis.alerts import fired
from memopt_cli.analysis.results import LeakVerdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from memopt_cli.analysis.alerts import Alert, AlertRule
    from memopt_cli.analysis.recording import Recording, Sample, VariantRecording
    from memopt_cli.analysis.results import Leak, VariantFindings
    from memopt_cli.analysis.watch_results import ProcessFindings, TreeFindings
    from memopt_cli.analysis.watching import ProcessRecording, WatchRecording

_ENOUGH_UNITS = 0.1
"""Below this share of the peak, what a process costs anyway is not divided by its units."""

_NEARLY_ALL = 0.9
"""Of the most there were: what is kept of those that left is not charged to the others."""

_RECENT = 10
"""Samples over which a share of time is taken, at least."""

_ENOUGH_CPU_S = 1.0
"""The time that a share is of, at least: of less, one full collection is a tenth."""

_ENOUGH_ACQUIRES = 100
"""A ratio of fewer is that of single ones."""

Points: TypeAlias = list[tuple[float, float]]
"""Time in seconds, and the value in SI units."""


@dataclass(frozen=True, slots=True)
class _Variant:
    recording: VariantRecording
    findings: VariantFindings
    memory_bytes: float | None


def of_run(recording: Recording, variants: Sequence[VariantFindings]) -> tuple[Alert, ...]:
    """
    Return every alert of a run, variant by variant in the order of the rules.

    Args:
        recording: Its samples.
        variants: The figures of each variant.
    """
    memory_bytes = leak_outlook.memory_limit_bytes(recording.environment)
    told = [
        _Variant(one, findings, memory_bytes)
        for one, findings in zip(recording.variants, variants, strict=True)
    ]
    return tuple(
        alert
        for one in told
        for rule, points in _OF_A_VARIANT.items()
        if rule.unit in {"", one.recording.unit}
        for alert in fired(rule, points(one), owner=one.findings.label)
    )


def of_watch(
    recording: WatchRecording, processes: Sequence[ProcessFindings], tree: TreeFindings | None
) -> tuple[Alert, ...]:
    """
    Return every alert of a watch: of each process, and what all of them hold together.

    Args:
        recording: Its readings.
        processes: The figures of each process.
        tree: Those of all together; `None` of a single process.
    """
    found = [
        alert
        for one, findings in zip(recording.processes, processes, strict=True)
        for rule, points in _of_a_process(one, findings).items()
        for alert in fired(rule, points, owner=str(one.pid))
    ]
    memory_bytes = leak_outlook.memory_limit_bytes(recording.environment)
    if memory_bytes:
        owner = str(recording.processes[0].pid) if tree is None and recording.processes else "all"
        used = [(at_s, size / memory_bytes) for at_s, size in _held(recording, tree)]
        found += fired(alerts.MEMORY_USED, used, owner=owner)
    return tuple(found)


def _of_a_process(one: ProcessRecording, findings: ProcessFindings) -> dict[AlertRule, Points]:
    at_s, longest_s, paused_s, cpu_s = map(
        one.readings.column, ("at_s", "gc_pause_max_s", "gc_pause_s", "cpu_s")
    )
    growth = _shown(findings.growth.leak, at_s)
    if one.inside:
        return {alerts.GROWTH: growth}
    return {
        alerts.GC_PAUSE: list(zip(at_s, longest_s, strict=True)),
        alerts.GC_SHARE: _shares(at_s, paused_s, cpu_s),
        alerts.GROWTH: growth,
    }


def _held(recording: WatchRecording, tree: TreeFindings | None) -> Points:
    """Return the memory of all processes together."""
    if tree is not None:
        return [(at_s, size) for at_s, _, size in tree.points]
    columns = [
        (one.readings.column("at_s"), one.readings.column("rss_bytes"))
        for one in recording.processes
    ]
    return [point for one in columns for point in zip(*one, strict=True)]


def _per_unit(told: _Variant) -> Points:
    """Return memory above what the process had before its first unit, by unit."""
    samples, empty_bytes = told.recording.samples, None
    enough = _ENOUGH_UNITS * max((one.units for one in samples), default=0)
    found, most = [], 0
    for one in samples:
        most = max(most, one.units)
        if not one.units:
            # What a population leaves is used again by the next, and is memory of units still.
            empty_bytes = one.resident_anonymous_bytes if empty_bytes is None else empty_bytes
        elif empty_bytes is not None and one.units >= max(enough, _NEARLY_ALL * most):
            found.append((one.at_s, (one.resident_anonymous_bytes - empty_bytes) / one.units))
    return found


def _reuse(told: _Variant) -> Points:
    """Return the share of acquires that got a used object, since the population was full."""
    samples = told.recording.samples
    peak = max((one.units for one in samples), default=0)
    full = next((n for n, one in enumerate(samples) if one.units >= peak), len(samples))
    return list(_reused(samples[full:])) if told.recording.has_pool else []


def _reused(samples: Sequence[Sample]) -> Iterator[tuple[float, float]]:
    known = [
        (one.at_s, one.pool_created, one.pool_reused)
        for one in samples
        if one.pool_created is not None and one.pool_reused is not None
    ]
    for at_s, created, reused in known[1:]:
        _, first_created, first_reused = known[0]
        acquired = created - first_created + reused - first_reused
        if acquired >= _ENOUGH_ACQUIRES:
            yield at_s, (reused - first_reused) / acquired


def _pauses(one: _Variant) -> Points:
    samples = one.recording.samples if one.recording.recorder_installed else ()
    return [(sample.at_s, sample.gc_pause_max_s) for sample in samples]


def _collecting(one: _Variant) -> Points:
    samples = one.recording.samples if one.recording.recorder_installed else ()
    return _shares(
        [sample.at_s for sample in samples],
        [sample.gc_pause_s for sample in samples],
        [sample.cpu_s for sample in samples],
    )


def _shares(at_s: Sequence[float], paused_s: Sequence[float], cpu_s: Sequence[float]) -> Points:
    """Return the share of its recent CPU time that a program collected, at each time."""
    found, first = [], 0
    collected_s = list(accumulate(paused_s))
    for number in range(_RECENT, len(at_s)):
        while first < number - _RECENT and cpu_s[number] - cpu_s[first + 1] >= _ENOUGH_CPU_S:
            first += 1
        worked_s = cpu_s[number] - cpu_s[first]
        if worked_s >= _ENOUGH_CPU_S:
            # A pause lasts on while the processor is another's.
            share = min(1.0, (collected_s[number] - collected_s[first]) / worked_s)
            found.append((at_s[number], share))
    return found


def _growth(one: _Variant) -> Points:
    return _shown(one.findings.leak, [sample.at_s for sample in one.recording.samples])


def _shown(leak: Leak, at_s: Sequence[float]) -> Points:
    """Return growth that is called a leak, at the end of its times."""
    slope = leak.slope_bytes_per_s if leak.verdict is LeakVerdict.LEAK else None
    return [(at_s[-1], slope.value)] if slope and at_s else []


def _used(told: _Variant) -> Points:
    if not told.memory_bytes:
        return []
    return [(one.at_s, one.rss_bytes / told.memory_bytes) for one in told.recording.samples]


_OF_A_VARIANT: dict[AlertRule, Callable[[_Variant], Points]] = {
    alerts.MEMORY_PER_CONNECTION: _per_unit,
    alerts.MEMORY_PER_AGENT: _per_unit,
    alerts.POOL_REUSE: _reuse,
    alerts.GC_PAUSE: _pauses,
    alerts.GC_SHARE: _collecting,
    alerts.GROWTH: _growth,
    alerts.MEMORY_USED: _used,
}
