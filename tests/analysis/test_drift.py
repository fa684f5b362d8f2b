"""A climb is told from a walk, from what fills up, and from what is emptied."""

from __future__ import annotations

import random
from itertools import accumulate

import pytest

from memopt_cli.analysis.drift import FEWEST_READINGS, climbs, drift
from memopt_cli.analysis.results import Estimate, How

READINGS = 40
RUNS = 200


def walk(seed: int, *, drift_per_s: float = 0.0) -> list[float]:
    """Return a random walk with steps of standard deviation 10."""
    chance = random.Random(seed)
    return list(accumulate(chance.gauss(drift_per_s, 10.0) for _ in range(READINGS)))


def test_the_drift_of_a_straight_line_is_exact() -> None:
    """Without noise the interval has no width, whatever the readings' distances."""
    xs = [0.0, 1, 2, 4, 8, 9, 10, 20]

    assert Estimate(3.0, 3.0, 3.0, How.FITTED) == drift(xs, [5 + 3 * x for x in xs])


def test_the_interval_covers_as_often_as_it_says() -> None:
    """95 % of the intervals of random walks hold the true drift."""
    xs = [float(x) for x in range(READINGS)]
    found = [drift(xs, walk(seed, drift_per_s=2.0)) for seed in range(RUNS)]

    covering = sum(each is not None and each.low <= 2.0 <= each.high for each in found)
    assert 0.95 == pytest.approx(covering / RUNS, abs=0.04)


def test_a_walk_is_not_called_a_climb() -> None:
    """Of 200 random walks, in which a line would see trends, hardly one climbs."""
    xs = [float(x) for x in range(READINGS)]

    assert sum(climbs(xs, walk(seed)) for seed in range(RUNS)) <= 2


@pytest.mark.parametrize(
    ("expected", "ys"),
    [
        (True, [3.0 * x for x in range(READINGS)]),
        (True, [3.0 * x + x % 2 for x in range(READINGS)]),
        (False, [min(3.0 * x, 60.0) for x in range(READINGS)]),
        (False, [3.0 * (x % 10) for x in range(READINGS)]),
        (False, [0.0] * 20 + [1000.0] * 20),
        (False, [-3.0 * x for x in range(READINGS)]),
        (False, [7.0] * READINGS),
    ],
    ids=["line", "uneven line", "filled", "emptied", "step", "falling", "constant"],
)
def test_what_climbs(expected: bool, ys: list[float]) -> None:
    """Only what grows beyond doubt, to the end."""
    assert expected is climbs([float(x) for x in range(READINGS)], ys)


def test_too_few_readings_show_nothing() -> None:
    """One reading fewer than are needed: no figure, and no climb."""
    xs = [float(x) for x in range(FEWEST_READINGS)]

    assert climbs(xs, xs)
    assert drift(xs[:-1], xs[:-1]) is None
    assert not climbs(xs[:-1], xs[:-1])
