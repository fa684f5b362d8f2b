"""The variants of an agents run as the rungs of a ladder: what each adds to the one before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.analysis.comparison import MEMORY_SPREAD, TIMING_SPREAD, cells, compare
from memopt_cli.analysis.results import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.comparison import Change
    from memopt_cli.analysis.results import VariantFindings


@dataclass(frozen=True, slots=True)
class Rung:
    """One variant, as it was measured in a process of its own, and its step up."""

    variant: VariantFindings
    memory: Change | None
    """Bytes of all agents and what they share, against the rung before."""

    time: Change | None
    """Seconds per agent-step, against the rung before."""


def ladders(variants: Sequence[VariantFindings]) -> list[list[Rung]]:
    """
    Return a ladder for each cell that has agents, its rungs in the order they ran.

    Variants that were filled with agents have different numbers of them, and none.
    """
    groups = [g for g in cells(variants) if g[0].unit == "agents" and g[0].density is None]
    return [_ladder(group) for group in groups]


def _ladder(group: Sequence[VariantFindings]) -> list[Rung]:
    before: list[VariantFindings | None] = [None, *group[:-1]]
    return [
        Rung(variant, _memory(below, variant), _time(below, variant))
        for below, variant in zip(before, group, strict=True)
    ]


def _memory(below: VariantFindings | None, variant: VariantFindings) -> Change | None:
    if below is None or below.total is None or variant.total is None:
        return None
    return compare(below.total, variant.total, spread=MEMORY_SPREAD)


def _time(below: VariantFindings | None, variant: VariantFindings) -> Change | None:
    if below is None or not below.steady_per_s or not variant.steady_per_s:
        return None
    before, after = Estimate.exact(1 / below.steady_per_s), Estimate.exact(1 / variant.steady_per_s)
    return compare(before, after, spread=TIMING_SPREAD)
