"""A report says which hours were simulated, which were lived, and what is projected."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memopt_cli.analysis.day import DAY_S, growth_in_a_day
from memopt_cli.analysis.results import Estimate, How
from memopt_cli.report.hours import hours, in_a_day
from memopt_cli.report.json import document
from tests.making import KIB, found, run, unmeasured

SLOPE = Estimate(KIB / 3600, 0.0, 2 * KIB / 3600, How.SIMULATED)
LEAK = replace(found().leak, slope_bytes_per_s=SLOPE)


@pytest.mark.parametrize(
    ("over_s", "how"),
    [(60.0, How.PROJECTED), (DAY_S - 1, How.PROJECTED), (DAY_S, How.SIMULATED)],
)
def test_only_a_steady_day_shows_a_day(over_s: float, how: How) -> None:
    """Growth in 24 h is projected from a minute, and from an hour less than a day."""
    growth = growth_in_a_day(replace(LEAK, over_s=over_s))
    assert growth is not None
    assert how == growth.how
    assert [0.0, 24 * KIB, 48 * KIB] == pytest.approx([growth.low, growth.value, growth.high])


def test_a_minute_is_projected_in_every_report() -> None:
    """The table and the document say of 24 h that they are projected."""
    short = found(leak=replace(LEAK, over_s=60.0))
    assert "24.0 KiB (0 B to 48.0 KiB), projected" == in_a_day(short.leak)
    (variant,) = document(run(short))["variants"]
    assert "projected" == variant["leak"]["growth_in_24h_bytes"]["how"]


def test_without_a_slope_there_is_no_day() -> None:
    """What was not measured is not projected."""
    assert "not measured" == in_a_day(unmeasured().leak)


def test_simulated_hours_are_not_lived() -> None:
    """Of 24 hours in 2.5 s, the report says what passed, what was done, and what could not."""
    day = found(simulated_s=DAY_S, leak=replace(LEAK, over_s=14 * 3600.0))
    assert (
        "The hours were simulated: each variant had 24.0 h of load, 14.0 h of them with a steady "
        "population. Every arrival, message and departure of it was done; idle time was skipped, "
        "so that all of it took 2.50 s. No hour was lived: what waits for real time, such as a "
        "timeout, did not happen. Growth is that of the steady part alone. What is said of 24 h is "
        "projected from it: it holds if growth goes on at that rate."
    ) == hours(run(day))


def test_lived_hours_are_lived() -> None:
    """A day on the wall clock is projected from nothing."""
    day = found(simulated_s=26 * 3600.0, leak=replace(LEAK, over_s=DAY_S))
    assert (
        "The hours were lived: each variant had 26.0 h of load on the wall clock, 24.0 h of them "
        "with a steady population. Growth is that of the steady part alone, which has the 24 h "
        "that figures are for."
    ) == hours(run(day, clock="wall"))


def test_a_run_without_samples_claims_no_steady_hours() -> None:
    """Of a variant that died at once nothing is said to have been steady."""
    assert "none of them judged as steady" in hours(run(unmeasured()))
