"""Two variants side by side: a difference is one only where the intervals do not overlap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from memopt_cli.analysis.memory import HEAP
from memopt_cli.analysis.results import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.results import VariantFindings


MEMORY_SPREAD, KEPT_SPREAD, TIMING_SPREAD, LONGEST_SPREAD = 0.01, 0.05, 0.25, 0.5
"""
What equal processes differ by, as a share of the figure; it is in no interval of one run.

Four equal processes of four variants, in five runs of ``connections-1k`` and ``-10k`` on two
busy cores, make 120 pairs of equals. With these shares, none of them was told apart by memory
per unit or at its peak, by memory kept (which 0.01 told apart in 4), percentiles, or the
longest pause (0.25: in 16), two by the share of time spent collecting, three by the time per
operation. Two figures that are each off by a quarter can differ by 67 %, by a half threefold.
"""


@dataclass(frozen=True, slots=True)
class Change:
    """A measure before and after, and by what factor it fell."""

    before: Estimate
    after: Estimate
    factor: float | None
    """Before divided by after; `None` where no difference is shown or a value is not positive."""

    factor_low: float | None
    """The least factor that the two intervals allow."""

    factor_high: float | None

    @property
    def saved(self) -> Estimate:
        """
        Before minus after, negative where it grew.

        The interval subtracts the ends of the two, and holds zero exactly where they meet.
        """
        return Estimate(
            self.before.value - self.after.value,
            self.before.low - self.after.high,
            self.before.high - self.after.low,
            self.before.how,
        )

    @property
    def fell(self) -> bool:
        """Whether the intervals allow no other conclusion than that it is less."""
        return self.saved.low > 0

    @property
    def rose(self) -> bool:
        """Whether the intervals allow no other conclusion than that it is more."""
        return self.saved.high < 0

    @property
    def differs(self) -> bool:
        """Whether the two intervals are apart."""
        return self.fell or self.rose


def compare(before: Estimate, after: Estimate, *, spread: float = 0.0) -> Change:
    """
    Return the change between two figures of one measure.

    Args:
        before: The figure to compare with.
        after: The figure that is compared.
        spread: What equal processes differ by; both intervals are widened by it.

    The factor's interval divides the ends of the two intervals, which is wider than
    a 95 % interval of the ratio: both would have to be wrong the unlucky way at once.
    """
    before, after = before.widened(spread), after.widened(spread)
    positive = min(before.low, after.low) > 0
    if before.overlaps(after) or not positive:
        return Change(before, after, None, None, None)
    return Change(
        before,
        after,
        before.value / after.value,
        before.low / after.high,
        before.high / after.low,
    )


def cells(variants: Sequence[VariantFindings]) -> list[list[VariantFindings]]:
    """Return the variants by cell of the matrix, in the order they ran; never an empty cell."""
    groups: dict[tuple[tuple[str, str], ...], list[VariantFindings]] = {}
    for variant in variants:
        groups.setdefault(tuple(variant.cell.items()), []).append(variant)
    return list(groups.values())


def in_one_series(
    one: VariantFindings, other: VariantFindings
) -> tuple[VariantFindings, VariantFindings]:
    """
    Return two variants with idle memory per unit by a series that both have.

    Anonymous memory and heap in use are two quantities: one over the other is no factor,
    and their difference no saving. Where one was fitted for either, both get heap in use.
    Loaded memory stays as it is; see `loaded_apart`.
    """
    if one.memory.basis == other.memory.basis:
        return one, other
    return _by_heap(one), _by_heap(other)


def _by_heap(variant: VariantFindings) -> VariantFindings:
    memory = variant.memory
    if memory.basis == HEAP:
        return variant
    return replace(variant, memory=replace(memory, per_unit=memory.cross_check))


def loaded_apart(one: VariantFindings, other: VariantFindings) -> bool:
    """
    Return whether loaded memory was measured in both, but in two series.

    It is read in the series that was fitted for the variant, and in no other.
    """
    measured = one.memory.loaded is not None and other.memory.loaded is not None
    return measured and one.memory.basis != other.memory.basis
