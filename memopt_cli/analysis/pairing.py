"""Which parts of a run and of its baseline belong together, and whether they may be compared."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from memopt_cli.analysis import steady
from memopt_cli.analysis.recording import StageSpan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from memopt_cli.analysis.recording import Recording, VariantRecording
    from memopt_cli.analysis.watching import ProcessRecording, WatchRecording
    from memopt_cli.scenario.model import Scenario, Variant

_FREE = {"name", "description", "tags", "thresholds", "leak", "variants", "load", "synthetic"}
"""What a baseline may have otherwise, or what is compared by its parts."""

_PLANTED = {"name", "leak_bytes", "leak_per_operation_bytes"}
_SAME_MACHINE = ("python", "libc", "machine", "allocator_settings", "subject_settings")
"""Another interpreter or allocator warms up and fragments otherwise."""


def with_baseline(recording: Recording) -> Recording:
    """Return a run whose variants know their baselines; the same without one."""
    if recording.baseline is None:
        return recording
    variants = tuple(
        replace(one, beside=_mate(one, recording.variants, recording.baseline.variants))
        for one in recording.variants
    )
    return replace(recording, variants=variants)


def _mate(
    variant: VariantRecording, own: Sequence[VariantRecording], others: Sequence[VariantRecording]
) -> VariantRecording | None:
    """Return the variant of that name and cell; of two runs of one variant, the other's."""
    alone = all(len({one.name for one in each}) == 1 for each in (own, others))
    return next(
        (o for o in others if o.cell == variant.cell and (alone or o.name == variant.name)), None
    )


def differences(scenario: Scenario, baseline: Scenario) -> Iterator[str]:
    """
    Yield what keeps a run of *baseline* from being the null of one of *scenario*.

    It must have the same load, seed and variants. A leak may be planted in one of them,
    and the steady stage of the baseline may be longer.
    """
    for key, value in scenario:
        if key not in _FREE and value != getattr(baseline, key):
            yield key
    if _without(scenario.synthetic, _PLANTED) != _without(baseline.synthetic, _PLANTED):
        yield "synthetic"
    for key, value in scenario.load:
        if key != "stages" and value != getattr(baseline.load, key):
            yield f"load.{key}"
    yield from _stages(scenario, baseline)
    yield from _variants(scenario.variants, baseline.variants)


def _stages(scenario: Scenario, baseline: Scenario) -> Iterator[str]:
    own, others = scenario.load.stages, baseline.load.stages
    if [one.name for one in own] != [one.name for one in others]:
        yield "load.stages"
        return
    longest = steady.steady_stage(StageSpan.planned(scenario.load))
    for number, (one, other) in enumerate(zip(own, others, strict=True)):
        may_go_on = number == longest and other.duration_s > one.duration_s
        # What follows the steady stage cannot change it any more.
        if longest is not None and number > longest:
            return
        if _without(one, {"duration_s"}) != _without(other, {"duration_s"}) or (
            other.duration_s != one.duration_s and not may_go_on
        ):
            yield f"load.stages.{one.name}"


def _variants(own: Sequence[Variant], others: Sequence[Variant]) -> Iterator[str]:
    alone = len(own) == len(others) == 1
    named = {one.name: one for one in others}
    for one in own:
        other = others[0] if alone else named.get(one.name)
        if other is None or _without(one, _PLANTED) != _without(other, _PLANTED):
            yield f"variants.{one.name}"


def _without(section: Any, keys: set[str]) -> dict[str, Any]:
    """Return the values of a section but for some."""
    return {key: value for key, value in section if key not in keys}


def other_machine(own: Mapping[str, Any], others: Mapping[str, Any]) -> Iterator[str]:
    """Yield what differs in where two runs were made, and changes how memory is used."""
    yield from (key for key in _SAME_MACHINE if own.get(key) != others.get(key))


def watch_with_baseline(recording: WatchRecording) -> WatchRecording:
    """
    Return a watch whose processes know their baselines; the same without one.

    Targets belong together, and children by their command line, in the order in which
    they came.
    """
    if recording.baseline is None:
        return recording
    first, *rest = recording.baseline.processes or (None,)
    named: dict[str, list[ProcessRecording]] = defaultdict(list)
    for one in rest:
        if one is not None:
            named[one.command].append(one)
    mates = [
        first if number == 0 else (named[one.command].pop(0) if named[one.command] else None)
        for number, one in enumerate(recording.processes)
    ]
    processes = tuple(
        replace(one, beside=mate) for one, mate in zip(recording.processes, mates, strict=True)
    )
    return replace(recording, processes=processes)
