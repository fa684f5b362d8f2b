"""Two runs side by side: every measure of the variants that did the same work in both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from memopt_cli.analysis import checks, measures
from memopt_cli.analysis.comparison import Change, compare, in_one_series, loaded_apart
from memopt_cli.analysis.fidelity import faults
from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.results import Estimate, How

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from memopt_cli.analysis.measures import Measure
    from memopt_cli.analysis.results import RunFindings, VariantFindings

_OF_A_MACHINE = ("python", "build", "libc", "kernel", "machine", "cpu", "cores")
_OF_ITS_SETTINGS = ("transparent_hugepages", "allocator_settings", "subject_settings")


class Incomparable(StrEnum):
    """Why two variants of one name are not compared."""

    OTHER_TRANSCRIPT = "other_transcript"
    """They were given another load: another scenario, seed or scale."""

    OTHER_WORK = "other_work"
    """They were given the same load and remember something else of it."""

    UNSOUND = "unsound"
    """Its agents lost beliefs, or different models became one."""

    UNFINISHED = "unfinished"
    UNKNOWN = "unknown"
    """One of them has no digest."""

    MISSING = "missing"
    """The other run has no variant of this name and cell."""


@dataclass(frozen=True, slots=True)
class MeasureChange:
    """A measure that both runs have of a variant."""

    measure: Measure
    before: Estimate
    """As measured, without what equal processes differ by; so the next."""

    after: Estimate
    change: Change
    """With it."""

    @property
    def relative(self) -> Estimate | None:
        """After over before, minus one, with all that the intervals allow; `None` of zero."""
        return relative(self.change)

    @property
    def difference(self) -> Estimate:
        """After minus before."""
        saved = self.change.saved
        return Estimate(-saved.value, -saved.high, -saved.low, saved.how)

    @property
    def is_worse(self) -> bool:
        """Whether the intervals allow no other conclusion than that it is worse."""
        return self.change.rose if self.measure.more_is_worse else self.change.fell


@dataclass(frozen=True, slots=True)
class VariantComparison:
    """One variant in both runs."""

    name: str
    cell: Mapping[str, str]
    unit: str
    is_reference: bool
    """Whether it is the first of several, which others are compared with."""

    refusal: Incomparable | None
    changes: tuple[MeasureChange, ...]
    """Empty where it is refused; a measure that either run lacks is not in it."""

    @property
    def label(self) -> str:
        """The variant's name with its matrix values."""
        values = ", ".join(f"{key} {value}" for key, value in self.cell.items())
        return f"{self.name} ({values})" if values else self.name


@dataclass(frozen=True, slots=True)
class RunComparison:
    """A run against a base."""

    base: RunFindings
    new: RunFindings
    variants: tuple[VariantComparison, ...]
    differs: tuple[str, ...]
    """What is not the same of the two machines, by the names of the environment."""

    @property
    def compared(self) -> list[VariantComparison]:
        """The variants that were not refused."""
        return [one for one in self.variants if one.refusal is None]


def compare_runs(base: RunFindings, new: RunFindings) -> RunComparison:
    """Return how *new* differs from *base*, in the order of its variants."""
    names = (*_OF_A_MACHINE, *_OF_ITS_SETTINGS)
    return RunComparison(
        base=base,
        new=new,
        variants=tuple(_variants(base, new)),
        differs=tuple(
            name for name in names if base.environment.get(name) != new.environment.get(name)
        ),
    )


def _variants(base: RunFindings, new: RunFindings) -> Iterator[VariantComparison]:
    before = {(one.name, *one.cell.items()): one for one in base.variants}
    after = {(one.name, *one.cell.items()): one for one in new.variants}
    reference = new.variants[0].name if len({one.name for one in new.variants}) > 1 else None
    for key in [*after, *(key for key in before if key not in after)]:
        one, other = before.get(key), after.get(key)
        known = other or one
        if known is None:
            continue
        refusal = _refusal(one, other)
        yield VariantComparison(
            name=known.name,
            cell=known.cell,
            unit=known.unit,
            is_reference=known.name == reference,
            refusal=refusal,
            changes=() if refusal or one is None or other is None else tuple(_changes(one, other)),
        )


def _refusal(  # noqa: PLR0911 - one for each reason
    one: VariantFindings | None, other: VariantFindings | None
) -> Incomparable | None:
    if one is None or other is None:
        return Incomparable.MISSING
    if one.unit != other.unit:
        return Incomparable.OTHER_TRANSCRIPT
    if {one.outcome, other.outcome} != {Outcome.FINISHED}:
        return Incomparable.UNFINISHED
    if not all((one.digest, one.transcript, other.digest, other.transcript)):
        return Incomparable.UNKNOWN
    if one.transcript != other.transcript:
        return Incomparable.OTHER_TRANSCRIPT
    if any(each.fidelity is not None and faults(each.fidelity) for each in (one, other)):
        return Incomparable.UNSOUND
    # Agents whose beliefs are rounded may once do otherwise; how rarely was judged in each run.
    alike = checks.thinks_the_same(one.fidelity) and checks.thinks_the_same(other.fidelity)
    return None if one.digest == other.digest or alike else Incomparable.OTHER_WORK


def _changes(one: VariantFindings, other: VariantFindings) -> Iterator[MeasureChange]:
    in_series = in_one_series(one, other)
    for measure in measures.MEASURES:
        first, second = in_series if measure.take is measures.idle else (one, other)
        before, after = measure.take(first), measure.take(second)
        apart = measure.take is measures.loaded and loaded_apart(one, other)
        if before is not None and after is not None and not apart:
            change = compare(before, after, spread=measure.spread)
            yield MeasureChange(measure, before, after, change)


def relative(change: Change) -> Estimate | None:
    """
    Return after over before, minus one.

    The interval divides the ends of the two, which is wider than a 95 % interval of
    the ratio. `None` where the base may be zero or less; two exact zeros are no change.
    """
    before, after = change.before, change.after
    if before == after == Estimate.exact(0.0):
        return after
    if before.low <= 0 or math.isinf(before.high):
        return None
    ends = [end / by - 1 for end in (after.low, after.high) for by in (before.low, before.high)]
    return Estimate(after.value / before.value - 1, min(ends), max(ends), How.MEASURED)
