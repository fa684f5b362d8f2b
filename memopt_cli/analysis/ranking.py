"""Which variant saves what against the first one: an order that the intervals bear out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from memopt_cli.analysis import measures
from memopt_cli.analysis.comparison import (
    KEPT_SPREAD,
    LONGEST_SPREAD,
    MEMORY_SPREAD,
    TIMING_SPREAD,
    Change,
    cells,
    compare,
    in_one_series,
    loaded_apart,
)
from memopt_cli.analysis.fidelity import faults
from memopt_cli.analysis.recording import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from memopt_cli.analysis.results import Estimate, VariantFindings


class Refusal(StrEnum):
    """Why a variant has no place: what it saved may be work that it did not do."""

    OTHER_WORK = "other_work"
    UNFINISHED = "unfinished"
    UNSOUND = "unsound"
    """Its agents lost beliefs, or different models became one."""

    UNCOMPARED = "uncompared"
    """It or the reference has no digest."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One variant against the reference; a change is `None` where either was not measured."""

    place: int
    """From 1; variants that the intervals do not tell apart share one."""

    name: str
    idle: Change | None
    """Bytes per unit, by the slope."""

    loaded: Change | None
    """Bytes per unit after the steady load."""

    loaded_apart: bool
    """Whether there is no such change because loaded memory is of two series."""

    peak: Change | None
    """Bytes of the process at its peak (USS): fixed cost and idle pooled objects included."""

    kept: Change | None
    """Bytes that stayed after the last unit left."""

    longest_pause: Change | None
    """Seconds."""

    collecting: Change | None
    """Share of the subject's CPU time that its collector took."""

    median: Change | None
    """Seconds, of one operation."""

    busy: Change | None
    """Seconds of work per operation: the mean, with the pauses in it."""

    @property
    def costs_memory(self) -> bool:
        """Whether it takes more memory anywhere, whatever it saves elsewhere."""
        changes = (self.idle, self.loaded, self.peak, self.kept)
        return any(change is not None and change.rose for change in changes)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The variants of one cell, by bytes saved per unit (at work if known), then by pause saved."""

    cell: Mapping[str, str]
    unit: str
    units_peak: int
    """Of the reference."""

    reference: str
    standings: tuple[Standing, ...]
    refused: tuple[tuple[str, Refusal], ...]
    """Names of the variants that have no place, and why."""


def rankings(variants: Sequence[VariantFindings]) -> list[Ranking]:
    """
    Return a ranking for each cell that has more than its reference, in the order they ran.

    Variants that were filled with units have different numbers of them, and no places.
    """
    groups = [group for group in cells(variants) if len(group) > 1]
    return [_ranking(group) for group in groups if all(v.density is None for v in group)]


def _ranking(group: Sequence[VariantFindings]) -> Ranking:
    first = group[0]
    refused = tuple((v.name, why) for v in group[1:] if (why := _refusal(v, first)))
    others = [v for v in group[1:] if _refusal(v, first) is None]
    return Ranking(
        cell=first.cell,
        unit=first.unit,
        units_peak=first.units_peak,
        reference=first.name,
        standings=tuple(_standing(first, other, place) for place, other in _placed(others)),
        refused=refused,
    )


def _refusal(variant: VariantFindings, first: VariantFindings) -> Refusal | None:
    if variant.fidelity is not None and faults(variant.fidelity):
        return Refusal.UNSOUND
    if variant.same_work is False:
        return Refusal.OTHER_WORK
    if {variant.outcome, first.outcome} != {Outcome.FINISHED}:
        return Refusal.UNFINISHED
    return None if variant.same_work else Refusal.UNCOMPARED


def _placed(variants: Sequence[VariantFindings]) -> list[tuple[int, VariantFindings]]:
    """
    Return the variants in order, each with its place.

    By loaded memory where the run measured it for all of them in one series: it is what a unit
    costs at work, the idle memory included.
    """
    in_series = len({variant.memory.basis for variant in variants}) == 1
    at_work = in_series and all(variant.memory.loaded for variant in variants)
    take, is_less = (
        (measures.loaded, _needs_less_at_work) if at_work else (measures.idle, _needs_less)
    )
    placed: list[tuple[int, VariantFindings]] = []
    for by_memory in _tiers(variants, take, is_less):
        for tier in _tiers(by_memory, measures.longest_pause, _pauses_less):
            place = len(placed) + 1
            placed += [(place, variant) for variant in tier]
    return placed


def _tiers(
    variants: Sequence[VariantFindings],
    take: Callable[[VariantFindings], Estimate | None],
    is_less: Callable[[VariantFindings, VariantFindings], bool],
) -> list[list[VariantFindings]]:
    """
    Return the variants by a measure, least first, in tiers.

    A tier holds those that are not told apart from its first one. They are compared with
    each other, not by what they saved: the reference's interval would be in both. Those
    that were not measured are the last tier.
    """
    tiers: list[list[VariantFindings]] = []
    known = [(found.value, v) for v in variants if (found := take(v)) is not None]
    for _, variant in sorted(known, key=lambda pair: pair[0]):
        if not tiers or is_less(tiers[-1][0], variant):
            tiers.append([])
        tiers[-1].append(variant)
    unknown = [v for v in variants if take(v) is None]
    return [*tiers, unknown] if unknown else tiers


def _needs_less(one: VariantFindings, other: VariantFindings) -> bool:
    change = _change(*in_one_series(other, one), measures.idle, MEMORY_SPREAD)
    return change is not None and change.fell


def _needs_less_at_work(one: VariantFindings, other: VariantFindings) -> bool:
    change = _change(other, one, measures.loaded, MEMORY_SPREAD)
    return change is not None and change.fell


def _pauses_less(one: VariantFindings, other: VariantFindings) -> bool:
    change = _change(other, one, measures.longest_pause, LONGEST_SPREAD)
    return change is not None and change.fell


def _standing(first: VariantFindings, other: VariantFindings, place: int) -> Standing:
    apart = loaded_apart(first, other)
    return Standing(
        place=place,
        name=other.name,
        idle=_change(*in_one_series(first, other), measures.idle, MEMORY_SPREAD),
        loaded=None if apart else _change(first, other, measures.loaded, MEMORY_SPREAD),
        loaded_apart=apart,
        peak=_change(first, other, measures.peak, MEMORY_SPREAD),
        kept=_change(first, other, measures.kept, KEPT_SPREAD),
        longest_pause=_change(first, other, measures.longest_pause, LONGEST_SPREAD),
        collecting=_change(first, other, measures.collecting, TIMING_SPREAD),
        median=_change(first, other, measures.median, TIMING_SPREAD),
        busy=_change(first, other, measures.busy, TIMING_SPREAD),
    )


def _change(
    first: VariantFindings,
    other: VariantFindings,
    take: Callable[[VariantFindings], Estimate | None],
    spread: float,
) -> Change | None:
    before, after = take(first), take(other)
    if before is None or after is None:
        return None
    return compare(before, after, spread=spread)
