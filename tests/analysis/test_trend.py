"""The plain trend: exact on a line, the same in any order, silent with too little."""

from __future__ import annotations

import random

import pytest

from memopt_cli.analysis.trend import Trend, trend
from tests.making import MIB


def test_a_line_of_a_mebibyte_per_second() -> None:
    """1 MiB/s is 1,048,576 B/s in whatever order the samples come."""
    samples = [(float(second), float(second * MIB)) for second in range(60)]
    random.Random(1).shuffle(samples)

    found = trend([at for at, _ in samples], [size for _, size in samples])

    expected = Trend(1_048_576.0, 1.0, 0.0, 0.0, 59.0 * MIB, 29.5 * MIB, 59.0 * MIB, 60)
    assert found == expected
    assert 3_774_873_600.0 == expected.slope_bytes_per_hour


@pytest.mark.parametrize("times", [[], [1.0], [1.0, 2.0], [3.0, 3.0, 3.0]])
def test_not_enough_data(times: list[float]) -> None:
    """Fewer than three points, or one moment, have no trend."""
    assert trend(times, [1.0] * len(times)) is None


def test_the_chance_of_a_slope() -> None:
    """Anscombe's first series has p = 0.00217 (F. J. Anscombe, 1973); a flat one has 1."""
    xs = [10.0, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5]
    ys = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]

    found, flat = trend(xs, ys), trend(xs, [5.0] * len(xs))

    assert found is not None
    assert flat is not None
    assert found.p == pytest.approx(0.00217, rel=0.002)
    assert found.r_squared == pytest.approx(0.6665, rel=0.001)
    assert 1.0 == flat.p
