"""A difference is one only where the intervals do not meet."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.analysis.comparison import (
    TIMING_SPREAD,
    Change,
    compare,
    in_one_series,
    loaded_apart,
)
from memopt_cli.analysis.results import Estimate
from tests.making import estimate, found

HALF = st.floats(0, 40)
VALUE = st.floats(50, 1000)


def test_the_factor_has_an_interval() -> None:
    """4,000 +- 400 against 1,000 +- 200: between three and five and a half times smaller."""
    before, after = estimate(4000, 400), estimate(1000, 200)

    assert compare(before, after) == Change(before, after, 4.0, 3600 / 1200, 4400 / 800)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (estimate(100, 10), estimate(95, 10)),
        (estimate(100, 10), estimate(80, 10)),
        (estimate(100, 50), estimate(120, 1)),
        (estimate(100), estimate(100)),
    ],
    ids=["overlap", "touch", "one inside the other", "equal"],
)
def test_intervals_that_meet_give_no_factor(before: Estimate, after: Estimate) -> None:
    """Nothing is claimed where both could be the same."""
    assert compare(before, after) == Change(before, after, None, None, None)


def test_what_grew_has_a_factor_below_one() -> None:
    """A change for the worse is shown as well."""
    assert compare(estimate(100), estimate(400)).factor == 0.25


@pytest.mark.parametrize("after", [estimate(0), estimate(-50, 5), estimate(10, 20)])
def test_a_value_that_may_not_be_positive_gives_no_factor(after: Estimate) -> None:
    """Nothing is so many times smaller than zero."""
    assert compare(estimate(1000, 10), after).factor is None


@given(before=st.tuples(VALUE, HALF), after=st.tuples(VALUE, HALF))
def test_swapping_inverts_the_factor(
    before: tuple[float, float], after: tuple[float, float]
) -> None:
    """There and back is one, and the interval holds the factor."""
    there = compare(estimate(*before), estimate(*after))
    back = compare(estimate(*after), estimate(*before))

    if there.factor is None or there.factor_low is None or there.factor_high is None:
        assert back.factor is None
        return
    assert back.factor == pytest.approx(1 / there.factor)
    assert there.factor_low <= there.factor * (1 + 1e-12)
    assert there.factor <= there.factor_high * (1 + 1e-12)
    assert not there.factor_low <= 1 <= there.factor_high


def test_what_equal_processes_differ_by_is_no_change() -> None:
    """A median 7 % lower in one run is what two equal variants show, so nothing is claimed."""
    before, after = Estimate.exact(1.07e-6), Estimate.exact(1.0e-6)

    assert compare(before, after).factor == pytest.approx(1.07)
    assert compare(before, after, spread=TIMING_SPREAD).factor is None


@given(before=st.tuples(VALUE, HALF), after=st.tuples(VALUE, HALF))
def test_a_saving_is_shown_exactly_where_a_factor_is(
    before: tuple[float, float], after: tuple[float, float]
) -> None:
    """The difference and the factor never contradict each other."""
    change = compare(estimate(*before), estimate(*after))

    assert change.differs is (change.factor is not None)
    assert change.saved.low <= change.saved.value <= change.saved.high
    assert change.fell is (change.factor is not None and change.factor > 1)
    assert not (change.fell and change.rose)


def test_what_is_saved_has_an_interval() -> None:
    """4,000 +- 400 less 1,000 +- 200 saves 3,000, 2,400 at least; the way back costs as much."""
    before, after = estimate(4000, 400), estimate(1000, 200)

    assert compare(before, after).saved == estimate(3000, 600)
    assert compare(after, before).saved == estimate(-3000, 600)


def test_a_fall_below_zero_is_a_fall() -> None:
    """Where there is no factor, there may well be a difference."""
    change = compare(estimate(1000, 10), estimate(-50, 5))

    assert (None, True, False) == (change.factor, change.fell, change.rose)


def test_two_series_are_brought_into_one() -> None:
    """Of one fitted outside and one inside, both are taken by heap in use; of one kind, neither."""
    heap = replace(found().memory, basis="heap_in_use", per_unit=estimate(100, 1))
    outside, inside = found(), found(memory=heap)

    assert in_one_series(outside, outside) == (outside, outside)
    assert [v.memory.per_unit for v in in_one_series(outside, inside)] == [
        outside.memory.cross_check,
        heap.per_unit,
    ]
    assert in_one_series(inside, outside) == in_one_series(outside, inside)[::-1]


def test_loaded_memory_is_apart_only_where_both_have_it() -> None:
    """What was not measured is not measured, whatever series it would have been in."""
    heap = found(memory=replace(found().memory, basis="heap_in_use"))
    unread = found(memory=replace(heap.memory, loaded=None))

    assert [True, False, False] == [
        loaded_apart(found(), other) for other in (heap, unread, found())
    ]
