"""Growth is given an origin only where the readings show it."""

from __future__ import annotations

import random

import pytest

from memopt_cli.analysis.origin import Origin, origin
from memopt_cli.profiler.agent import InsideHeap

READINGS = 20
NOISE = random.Random(7)


def readings(per_reading: int, noise: int = 0) -> list[int]:
    """Return a line that climbs by so much per reading, and wanders."""
    return [
        100_000_000 + number * per_reading + round(NOISE.uniform(-noise, noise))
        for number in range(READINGS)
    ]


@pytest.mark.parametrize(
    ("blocks", "malloc", "resident", "expected"),
    [
        (readings(100), readings(50_000), readings(60_000), Origin.PYTHON),
        (readings(0, 5), readings(50_000), readings(60_000), Origin.NATIVE),
        (readings(0, 5), readings(0, 2_000), readings(60_000), Origin.FRAGMENTATION),
        (readings(0, 5), readings(0, 2_000), readings(0, 2_000), Origin.NONE_SHOWN),
        # Too noisy to say whether it climbs: then it is not flat either.
        (readings(0, 5), readings(50_000, 500_000), readings(60_000), Origin.NONE_SHOWN),
    ],
    ids=["python", "native", "fragmentation", "none", "unknown"],
)
def test_origin(
    blocks: list[int], malloc: list[int], resident: list[int], expected: Origin
) -> None:
    """Python's blocks first, then malloc's bytes; free memory only if neither grew."""
    heaps = [
        InsideHeap(float(number), block, in_use, 0, 0.0)
        for number, (block, in_use) in enumerate(zip(blocks, malloc, strict=True))
    ]

    assert expected == origin(heaps, resident).origin
