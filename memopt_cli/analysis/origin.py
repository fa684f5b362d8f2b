"""Whether growth is Python's, native, or free memory that is not given back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from memopt_cli.analysis.leak_signals import BYTES_EACH, OUTSIDE, Metric, Pattern
from memopt_cli.analysis.results import Estimate, How, LeakVerdict

if TYPE_CHECKING:
    from memopt_cli.analysis.leak import Growth
    from memopt_cli.analysis.leak_signals import Together


LARGEST_BLOCK_BYTES = 64 * 1024
"""
Blocks that would have to be larger than this on average are not what grows.

Python's count of blocks creeps in most programs; one that creeps beside a native leak
would otherwise be blamed for it.
"""


SMALLEST_BLOCK_BYTES = 1024
"""
Growth that Python objects of less could make up, within the interval of their count, is no
sure native one.
"""


class Origin(StrEnum):
    """Who asked for memory that grows."""

    PYTHON = "python"
    NATIVE = "native"
    """Malloc has handed out more, Python has not: no line of Python can be named."""

    MAPPED = "mapped"
    """The process grows, and neither allocator has handed out more or holds it free."""

    FRAGMENTATION = "fragmentation"
    """The process grows, and what is in use in it does not."""

    NONE_SHOWN = "none shown"


@dataclass(frozen=True, slots=True)
class GrowthOrigin:
    """Who asked, and the three slopes behind it; `None` of what was not judged."""

    origin: Origin
    blocks_per_s: Estimate | None
    malloc_bytes_per_s: Estimate | None
    resident_bytes_per_s: Estimate | None
    block_bytes_at_least: float | None
    """Of native growth: Python's objects would need this size to be the reason after all."""


def origin(found: Together) -> GrowthOrigin:
    """
    Return where growth comes from, by the same fits that made the verdict.

    The slopes are per unit of the signals' times: per operation if these are counts of
    operations.
    """
    growths = found.growths
    blocks = growths.get(Metric.ALLOCATED_BLOCKS)
    malloc = growths.get(Metric.MALLOC_IN_USE)
    outside = next((growths[one] for one in OUTSIDE if one in growths), None)
    grown = max((one.slope or 0.0 for one in (malloc, outside) if one is not None), default=0.0)
    who = _origin(found, blocks, malloc, grown)
    return GrowthOrigin(
        origin=who,
        blocks_per_s=_slope(blocks, BYTES_EACH[Metric.ALLOCATED_BLOCKS]),
        malloc_bytes_per_s=_slope(malloc),
        resident_bytes_per_s=_slope(outside),
        block_bytes_at_least=_least_size(blocks, grown) if who is Origin.NATIVE else None,
    )


def _origin(found: Together, blocks: Growth | None, malloc: Growth | None, grown: float) -> Origin:
    if found.pattern is Pattern.FRAGMENTATION:
        return Origin.FRAGMENTATION
    if found.verdict is not LeakVerdict.LEAK:
        return Origin.NONE_SHOWN
    if blocks is None:
        return Origin.NONE_SHOWN
    size = _least_size(blocks, grown)
    if (blocks.low or 0.0) > 0 and (size is None or size <= LARGEST_BLOCK_BYTES):
        return Origin.PYTHON
    if malloc is not None and malloc.verdict is LeakVerdict.LEAK:
        sure = size is None or size >= SMALLEST_BLOCK_BYTES
        return Origin.NATIVE if sure else Origin.NONE_SHOWN
    steady = {one.verdict for one in (blocks, malloc) if one is not None}
    unasked = malloc is not None and steady == {LeakVerdict.NO_LEAK}
    return Origin.MAPPED if unasked else Origin.NONE_SHOWN


def _least_size(blocks: Growth | None, grown: float) -> float | None:
    """Return how large each new block would have to be, on average, to make up the growth."""
    if blocks is None or blocks.high is None or blocks.high <= 0:
        return None
    return grown / (blocks.high / BYTES_EACH[Metric.ALLOCATED_BLOCKS])


def _slope(growth: Growth | None, each: float = 1.0) -> Estimate | None:
    if growth is None or growth.slope is None or growth.low is None or growth.high is None:
        return None
    return Estimate(growth.slope / each, growth.low / each, growth.high / each, How.FITTED)
