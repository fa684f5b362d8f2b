"""What follows from a growth verdict: severity, the time that is left, and how long to look."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memopt_cli.analysis.leak import Growth, judge
from memopt_cli.analysis.leak_outlook import longer_s, severity, time_to_limit_s
from memopt_cli.analysis.results import LeakVerdict, Severity
from tests.making import MIB

LEAK = judge(range(100), [64 * MIB + 1000.0 * second for second in range(100)])


def growing(slope: float) -> Growth:
    """Return a leak of a slope."""
    return replace(LEAK, verdict=LeakVerdict.LEAK, slope=slope)


@pytest.mark.parametrize(
    ("slope", "expected"),
    [
        (1.0, Severity.LOW),
        (99_999.0, Severity.LOW),
        (100_000.0, Severity.MEDIUM),
        (500_000.0, Severity.HIGH),
        (1_000_000.0, Severity.CRITICAL),
    ],
)
def test_severity_by_slope(slope: float, expected: Severity) -> None:
    """100, 500 and 1,000 kB/s make a leak medium, high and critical."""
    assert expected is severity(growing(slope))


def test_severities_can_be_set() -> None:
    """Other limits give other names; what is no leak has none, whatever its slope."""
    limits = {Severity.HIGH: 10.0}

    assert (Severity.LOW, Severity.HIGH) == (
        severity(growing(9.0), limits),
        severity(growing(10.0), limits),
    )
    assert severity(replace(growing(1e9), verdict=LeakVerdict.INCONCLUSIVE)) is None


def test_the_time_to_a_limit() -> None:
    """A leak of 100 B/s reaches 1,000 B from 400 B in 6 s; one that is there has no time left."""
    assert 6.0 == time_to_limit_s(growing(100.0), now_bytes=400, limit_bytes=1000)
    assert 0.0 == time_to_limit_s(growing(100.0), now_bytes=1400, limit_bytes=1000)


def test_what_is_no_leak_is_not_projected() -> None:
    """Growth that may end has no time to a limit, nor has a leak without one."""
    ends = replace(growing(100.0), verdict=LeakVerdict.INCONCLUSIVE)

    assert time_to_limit_s(ends, now_bytes=0, limit_bytes=1000) is None
    assert time_to_limit_s(growing(100.0), now_bytes=0, limit_bytes=None) is None


@pytest.mark.parametrize(("half_width", "expected"), [(0.1, 125.0), (1.0, 200.0), (32.0, 800.0)])
def test_how_much_longer(half_width: float, expected: float) -> None:
    """At 32 times the tolerance 2 x 32^0.4 = 8 times as long; never less than 1.25 times."""
    unsure = replace(LEAK, low=-half_width, high=half_width, over_s=100.0, tolerance=100.0)

    assert longer_s(unsure) == pytest.approx(expected)
