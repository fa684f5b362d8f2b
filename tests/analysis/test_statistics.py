"""Lines and their intervals, against tables, exact lines and simulations."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.analysis.statistics import fit_line, student_quantile


@pytest.mark.parametrize(
    ("probability", "degrees", "expected"),
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.975, 3, 3.182),
        (0.975, 5, 2.571),
        (0.975, 8, 2.306),
        (0.975, 10, 2.228),
        (0.975, 30, 2.042),
        (0.975, 120, 1.980),
        (0.95, 10, 1.812),
        (0.995, 4, 4.604),
        (0.9995, 1, 636.619),
        (0.975, 1e9, 1.960),
        (0.5, 7, 0.0),
    ],
)
def test_quantiles_are_those_of_the_tables(
    probability: float, degrees: float, expected: float
) -> None:
    """Student's t, to the three decimals that tables print."""
    assert expected == round(student_quantile(probability, degrees), 3)


@pytest.mark.parametrize("probability", [-0.1, 0.4, 1.0])
def test_quantiles_of_the_lower_half_are_refused(probability: float) -> None:
    """The function covers the upper half only, and says so."""
    with pytest.raises(ValueError, match="probability"):
        student_quantile(probability, 3)


def test_a_megabyte_per_second_is_found_exactly() -> None:
    """A straight line of 1 MiB/s has that slope, no interval and R squared one."""
    xs = [float(second) for second in range(60)]

    line = fit_line(xs, [5e6 + 1_048_576 * x for x in xs])

    assert line is not None
    assert (1_048_576.0, 60) == (line.slope, line.points)
    assert line.intercept == pytest.approx(5e6)
    assert line.slope_half_width == pytest.approx(0, abs=1e-6)
    assert line.r_squared == pytest.approx(1.0)


def test_a_textbook_line() -> None:
    """Slope, intercept, both half-widths and R squared of five points computed by hand."""
    line = fit_line([1, 2, 3, 4, 5], [2, 4, 5, 4, 5])

    # Residual sum 2.4, spread 10, t(3) = 3.182446.
    assert line is not None
    found = [
        line.slope,
        line.intercept,
        line.slope_half_width,
        line.intercept_half_width,
        line.r_squared,
    ]
    t = 3.182446305
    assert found == pytest.approx([0.6, 2.2, t * 0.08**0.5, t * (0.8 * 1.1) ** 0.5, 0.6])


@given(
    points=st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(0, 10**9)), min_size=3, max_size=30
    ),
    seed=st.integers(0, 9),
)
def test_the_order_of_the_points_does_not_matter(points: list[tuple[int, int]], seed: int) -> None:
    """Shuffled points give the same line, to the last bit."""
    shuffled = list(points)
    random.Random(seed).shuffle(shuffled)

    assert fit_line(*zip(*points, strict=True)) == fit_line(*zip(*shuffled, strict=True))


@pytest.mark.parametrize(
    ("xs", "ys"), [([], []), ([1], [1]), ([1, 2], [1, 2]), ([3, 3, 3, 3], [1, 2, 3, 4])]
)
def test_too_few_points_make_no_line(xs: list[float], ys: list[float]) -> None:
    """Fewer than three points, or all at one place, are not enough."""
    assert fit_line(xs, ys) is None


def test_points_without_a_partner_are_an_error() -> None:
    """Lists of unequal lengths are a bug of the caller, and not cut short."""
    with pytest.raises(ValueError, match="zip"):
        fit_line([1, 2, 3, 4], [1, 2, 3])


def test_the_interval_holds_the_true_slope_19_times_in_20() -> None:
    """In 2,000 seeded simulations of noisy lines 95 % of the intervals hold the truth."""
    chance = random.Random(20)
    xs = [1000.0, 2000, 4000, 6000, 8000, 10000]
    slope, fixed, held = 2048.0, 9e6, 0
    for _ in range(2000):
        line = fit_line(xs, [fixed + slope * x + chance.gauss(0, 50_000) for x in xs])
        assert line is not None
        held += abs(line.slope - slope) <= line.slope_half_width

    # Three standard deviations of 2,000 draws.
    assert held / 2000 == pytest.approx(0.95, abs=0.015)


@given(noise=st.integers(1, 10**5), seed=st.integers(0, 2**16))
def test_more_noise_makes_a_wider_interval(noise: int, seed: int) -> None:
    """The half-width grows in proportion to the noise."""
    chance = random.Random(seed)
    draws = [chance.gauss(0, 1) for _ in range(10)]
    xs = [float(x) for x in range(10)]

    narrow = fit_line(xs, [5 * x + noise * e for x, e in zip(xs, draws, strict=True)])
    wide = fit_line(xs, [5 * x + 10 * noise * e for x, e in zip(xs, draws, strict=True)])

    assert narrow is not None
    assert wide is not None
    assert wide.slope_half_width == pytest.approx(10 * narrow.slope_half_width, rel=1e-6)
