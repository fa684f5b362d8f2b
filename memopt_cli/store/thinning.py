"""The samples of a long variant, or the readings of a process, as few as a look needs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from memopt_cli.analysis.recording import Sample
    from memopt_cli.analysis.watching import Reading

MOST_SEEN = 1024
"""Beside plateaus and ends of stages; a verdict on growth cuts its series into 36 blocks."""


def thinned(samples: Iterable[Sample], count: int, *, most: int = MOST_SEEN) -> Iterator[Sample]:
    """
    Yield samples that each stand for as many, so that there are about *most* of *count*.

    Such a sample is the last of its group, with the pauses of all of it and the most memory
    that any of it has read. A plateau, and a stage's last sample, end their group: what is
    known of them is kept as it was read.
    """
    size = -(-count // most)
    group: list[Sample] = []
    for sample in samples:
        if group and (
            len(group) >= size or group[-1].is_plateau or group[-1].stage != sample.stage
        ):
            yield _merged(group)
            group = []
        group.append(sample)
    if group:
        yield _merged(group)


def _merged(group: Sequence[Sample]) -> Sample:
    if len(group) == 1:
        return group[0]
    last = group[-1]
    return replace(
        last,
        rss_bytes=max(one.rss_bytes for one in group),
        uss_bytes=max((one.uss_bytes for one in group if one.uss_bytes is not None), default=None),
        gc_pauses=sum(one.gc_pauses for one in group),
        gc_pause_s=sum(one.gc_pause_s for one in group),
        gc_pause_max_s=max(one.gc_pause_max_s for one in group),
        cost_s=max(one.cost_s for one in group),
    )


_RARELY_READ = (
    "anonymous_bytes",
    "uss_bytes",
    "malloc_in_use_bytes",
    "malloc_free_bytes",
    "allocated_blocks",
    "operations",
)


def thinned_reading(group: Sequence[Reading]) -> Reading:
    """
    Return a reading that stands for a group of one process.

    It is the last of them, with the pauses of all, the most resident memory of any, and
    what is not read every time as it was read last in the group.
    """
    if len(group) == 1:
        return group[0]
    rare: dict[str, Any] = {
        name: next(
            (found for one in reversed(group) if (found := getattr(one, name)) is not None), None
        )
        for name in _RARELY_READ
    }
    return replace(
        group[-1],
        rss_bytes=max(one.rss_bytes for one in group),
        gc_pauses=sum(one.gc_pauses for one in group),
        gc_pause_s=sum(one.gc_pause_s for one in group),
        gc_pause_max_s=max(one.gc_pause_max_s for one in group),
        cost_s=max(one.cost_s for one in group),
        inside_cost_s=sum(one.inside_cost_s for one in group),
        **rare,
    )
