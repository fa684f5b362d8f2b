"""Whether growth is Python's, native, or free memory that is not given back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from memopt_cli.analysis.drift import climbs, drift

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.results import Estimate
    from memopt_cli.profiler.agent import InsideHeap


FLAT_SHARE = 0.5
"""What is in use must grow, at most, by so much of the process's growth to count as flat."""


class Origin(StrEnum):
    """Who asked for memory that grows."""

    PYTHON = "python"
    NATIVE = "native"
    """Malloc has handed out more, Python has not: no line of Python can be named."""

    FRAGMENTATION = "fragmentation"
    """The process grows, and what is in use in it does not."""

    NONE_SHOWN = "none shown"


@dataclass(frozen=True, slots=True)
class GrowthOrigin:
    """The verdict, and the three drifts behind it; `None` with too few readings."""

    origin: Origin
    blocks_per_s: Estimate | None
    malloc_bytes_per_s: Estimate | None
    resident_bytes_per_s: Estimate | None


def origin(
    heaps: Sequence[InsideHeap],
    resident_bytes: Sequence[int],
    operations: Sequence[float] | None = None,
) -> GrowthOrigin:
    """
    Return where growth comes from.

    Args:
        heaps: Readings of the inside, in order.
        resident_bytes: Anonymous resident memory at each of them.
        operations: Done by then, if somebody counts: against them a leak is straight
            even where the load comes in bursts. The drifts are per second all the same.
    """
    seconds = [heap.at_s for heap in heaps]
    blocks = [heap.blocks for heap in heaps]
    told = [heap.malloc_in_use_bytes for heap in heaps if heap.malloc_in_use_bytes is not None]
    malloc = told if len(told) == len(heaps) else []
    progress = seconds if operations is None else operations
    found = Origin.NONE_SHOWN
    if climbs(progress, blocks):
        found = Origin.PYTHON
    elif malloc and climbs(progress, malloc):
        found = Origin.NATIVE
    elif malloc and climbs(progress, resident_bytes) and _flat(progress, malloc, resident_bytes):
        found = Origin.FRAGMENTATION
    return GrowthOrigin(
        origin=found,
        blocks_per_s=drift(seconds, blocks),
        malloc_bytes_per_s=drift(seconds, malloc) if malloc else None,
        resident_bytes_per_s=drift(seconds, resident_bytes),
    )


def _flat(progress: Sequence[float], in_use: Sequence[int], resident: Sequence[int]) -> bool:
    """Return whether what is in use is shown not to be what the process grows by."""
    asked, grown = drift(progress, in_use), drift(progress, resident)
    return asked is not None and grown is not None and asked.high < FLAT_SHARE * grown.value
