"""Growth is given an origin only where the readings show it, by the verdict's own fits."""

from __future__ import annotations

import random

import pytest

from memopt_cli.analysis.leak_signals import Metric, Signal, together
from memopt_cli.analysis.origin import Origin, origin
from tests.making import KIB, MIB

OVER_S = 600


def signal(metric: Metric, per_s: float, noise: float = 8.0) -> Signal:
    """Return ten minutes of a metric that climbs by so much a second, and wanders."""
    chance, times = random.Random(metric), range(0, OVER_S, 5)
    return Signal(
        metric, list(times), [10**8 + per_s * at + chance.gauss(0, noise) for at in times]
    )


A, M, F, B = (
    Metric.ANONYMOUS,
    Metric.MALLOC_IN_USE,
    Metric.MALLOC_FREE,
    Metric.ALLOCATED_BLOCKS,
)
GROWS, STILL = signal(A, 20 * KIB), signal(A, 0)


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        ([GROWS, signal(M, 15 * KIB), signal(B, 200)], Origin.PYTHON),
        # Few large objects: their count says no leak of its own, and yet it climbs along.
        ([GROWS, signal(M, 20 * KIB), signal(B, 2, 0)], Origin.PYTHON),
        ([GROWS, signal(M, 20 * KIB), signal(B, 0)], Origin.NATIVE),
        # So large would each object have to be that something else is the likelier.
        ([signal(A, 20 * MIB), signal(M, 20 * MIB), signal(B, 2, 0)], Origin.NATIVE),
        ([GROWS, signal(M, 0), signal(B, 0), signal(F, 20 * KIB)], Origin.FRAGMENTATION),
        ([GROWS, signal(M, 0), signal(B, 0), signal(F, 0)], Origin.MAPPED),
        # Too noisy to say that it does not climb: then nothing can be said.
        ([GROWS, signal(M, 20 * KIB), signal(B, 0, 10**6)], Origin.NONE_SHOWN),
        ([GROWS, signal(B, 0)], Origin.NONE_SHOWN),
        ([GROWS], Origin.NONE_SHOWN),
        ([STILL, signal(M, 0), signal(B, 0)], Origin.NONE_SHOWN),
    ],
    ids=[
        "python",
        "large objects",
        "native",
        "larger than objects are",
        "fragmentation",
        "mapped",
        "unknown blocks",
        "unknown malloc",
        "unknown inside",
        "no growth",
    ],
)
def test_origin(signals: list[Signal], expected: Origin) -> None:
    """Python's blocks first, then malloc's bytes, then what malloc holds free."""
    assert expected == origin(together(signals)).origin


def test_native_growth_says_how_large_objects_would_have_to_be() -> None:
    """The interval of the count leaves room for few objects: then they would be large."""
    found = origin(together([GROWS, signal(M, 20 * KIB), signal(B, 0)]))

    assert found.block_bytes_at_least is not None
    assert found.block_bytes_at_least > 10 * KIB


def test_slopes_are_those_of_the_verdict() -> None:
    """Blocks as a count, malloc and memory in bytes, each with its interval."""
    found = origin(together([GROWS, signal(M, 15 * KIB), signal(B, 200)]))

    slopes = (found.blocks_per_s, found.malloc_bytes_per_s, found.resident_bytes_per_s)
    assert [200, 15 * KIB, 20 * KIB] == [
        pytest.approx(slope.value, rel=0.01) for slope in slopes if slope
    ]
