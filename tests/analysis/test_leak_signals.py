"""Several metrics of one process: where they differ, the difference is the finding."""

from __future__ import annotations

import random

import pytest

from memopt_cli.analysis.leak_signals import Metric, Pattern, Signal, together
from memopt_cli.analysis.results import LeakVerdict
from tests.making import KIB, MIB

A, H, M, F, B, T, O = (  # noqa: E741 - the letters of the table
    Metric.ANONYMOUS,
    Metric.HEAP_IN_USE,
    Metric.MALLOC_IN_USE,
    Metric.MALLOC_FREE,
    Metric.ALLOCATED_BLOCKS,
    Metric.TRACED,
    Metric.OBJECTS,
)


def signal(metric: Metric, shape: str) -> Signal:
    """Return ten minutes of a metric that is "flat", goes "up" or is "unsure", at its own rate."""
    chance = random.Random(metric)
    times = range(0, 600, 2 if metric is H else 5)
    each = 64 if metric in {B, O} else 1
    per_s, error = {"flat": (0, KIB), "up": (20 * KIB, KIB), "unsure": (0, 30 * MIB)}[shape]
    level = 64 * MIB
    values = [(level + per_s * at + chance.gauss(0, error)) // each for at in times]
    return Signal(metric, list(times), values)


@pytest.mark.parametrize(
    ("shapes", "pattern", "leading"),
    [
        ({A: "up"}, Pattern.LEAK, A),
        ({A: "flat"}, Pattern.NO_LEAK, A),
        ({A: "unsure"}, Pattern.INCONCLUSIVE, A),
        ({A: "up", H: "flat"}, Pattern.FRAGMENTATION, H),
        ({A: "up", H: "flat", B: "flat"}, Pattern.FRAGMENTATION, H),
        ({A: "up", H: "up"}, Pattern.LEAK, H),
        ({A: "up", H: "unsure"}, Pattern.LEAK, A),
        ({A: "up", B: "flat"}, Pattern.OUTSIDE_LEAK, A),
        ({A: "flat", H: "up"}, Pattern.HIDDEN_LEAK, H),
        ({A: "flat", B: "up"}, Pattern.HIDDEN_LEAK, B),
        ({A: "unsure", O: "up"}, Pattern.HIDDEN_LEAK, O),
        ({A: "unsure", H: "flat"}, Pattern.NO_LEAK, H),
        ({A: "unsure", B: "flat"}, Pattern.INCONCLUSIVE, B),
        ({A: "flat", B: "flat"}, Pattern.NO_LEAK, B),
        ({B: "flat"}, Pattern.INCONCLUSIVE, B),
        ({B: "up"}, Pattern.LEAK, B),
        ({A: "up", T: "flat"}, Pattern.NO_LEAK, T),
        ({A: "up", M: "flat", B: "flat", F: "up"}, Pattern.FRAGMENTATION, A),
        ({A: "up", M: "flat", B: "flat", F: "flat"}, Pattern.OUTSIDE_LEAK, A),
        ({A: "up", M: "flat", B: "flat"}, Pattern.OUTSIDE_LEAK, A),
        ({A: "up", M: "flat", B: "unsure", F: "up"}, Pattern.OUTSIDE_LEAK, A),
        ({A: "flat", M: "flat", B: "unsure"}, Pattern.INCONCLUSIVE, B),
        ({A: "unsure", M: "flat", B: "flat"}, Pattern.INCONCLUSIVE, M),
        ({A: "flat", M: "flat", B: "flat", F: "up"}, Pattern.NO_LEAK, M),
        ({A: "flat", M: "up", B: "flat"}, Pattern.HIDDEN_LEAK, M),
        ({}, Pattern.INCONCLUSIVE, None),
    ],
)
def test_one_verdict_for_all(
    shapes: dict[Metric, str], pattern: Pattern, leading: Metric | None
) -> None:
    """Fragmentation is no leak, a hidden leak is one, and traced processes hide nothing."""
    found = together([signal(metric, shape) for metric, shape in shapes.items()])

    assert (pattern, leading) == (found.pattern, found.leading)


def test_fragmentation_is_called_so() -> None:
    """It is no leak, and the reason says what grows and what does not."""
    found = together([signal(Metric.RSS, "up"), signal(H, "flat")])

    assert (
        LeakVerdict.NO_LEAK,
        "resident set grows and heap in use does not: fragmentation, no leak",
    ) == (found.verdict, found.reason)


def test_a_count_leads_but_bytes_are_the_figure() -> None:
    """Blocks that grow are the finding; the slope in bytes is that of memory."""
    found = together([signal(A, "flat"), signal(B, "up")])

    assert (B, A) == (found.leading, found.measured_by)


def test_malloc_is_half_of_the_heap() -> None:
    """Whether both halves grow or neither, the figure is the whole: memory seen from outside."""
    for shape in ("up", "flat"):
        found = together([signal(metric, shape) for metric in (A, M, B)])

        assert (M, A) == (found.leading, found.measured_by)


def test_a_metric_without_samples_is_missing() -> None:
    """An empty series is as one that was not read."""
    found = together([signal(A, "up"), Signal(H, [], [])])

    assert (Pattern.LEAK, {A}) == (found.pattern, set(found.growths))
