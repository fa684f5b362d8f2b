"""The signs of a failure lead to its cause, and a healthy run has none."""

from __future__ import annotations

import errno

import pytest

from memopt_cli.analysis.symptoms import ERRORS, Symptoms, diagnose

STEPS = [(0.001, 60), (2.03, 3), (2.04, 4), (2.05, 6), (2.06, 2), (3.06, 10), (3.07, 3), (3.08, 3)]
"""Connect times as measured with 40 connects at once to a backlog of 8 (Linux 6.18)."""


def _signs(symptoms: Symptoms) -> list[str]:
    return [one.sign for one in diagnose(symptoms)]


def test_a_healthy_run_has_no_signs() -> None:
    """Fast connects, all accepted, closed at all ages: nothing to say."""
    ages = [(float(age), 1) for age in range(60)]
    healthy = Symptoms({"EMFILE": 0}, 100, 100, [(0.001, 98), (0.3, 2)], ages)

    assert () == diagnose(healthy)


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    """Each error that is explained exists, and its explanation says what to do."""
    (found,) = diagnose(Symptoms({name: 3}))

    assert hasattr(errno, name)
    assert f"{name} (3): {ERRORS[name][0]}. {ERRORS[name][1]}" == str(found)


def test_an_error_that_nobody_knows() -> None:
    """It is told all the same."""
    assert ["EXDEV"] == _signs(Symptoms({"EXDEV": 1}))


@pytest.mark.parametrize(("accepted", "missing"), [(1000, 0), (250, 750), (None, 0)])
def test_connected_is_not_accepted(accepted: int | None, missing: int) -> None:
    """What the server does not hold is counted, unless nobody looked."""
    found = diagnose(Symptoms(connected=1000, accepted=accepted))

    assert [missing] * bool(missing) == [one.count for one in found]


def test_a_backlog_that_overflows() -> None:
    """Connects that take whole seconds are repeated packets."""
    (found,) = diagnose(Symptoms(connect_times_s=STEPS))

    assert ("connects that took whole seconds", 31) == (found.sign, found.count)
    assert "somaxconn" in found.remedy


def test_slow_is_not_a_backlog() -> None:
    """Times without steps blame the machine, and two late connects nobody."""
    spread = [(1 + n / 20, 1) for n in range(40)]

    assert ["slow connects"] == _signs(Symptoms(connect_times_s=spread))
    assert [] == _signs(Symptoms(connect_times_s=[(1.0, 2)]))


@pytest.mark.parametrize(
    ("age_s", "known"), [(5.1, "uvicorn and node"), (75.0, "nginx and aiohttp"), (33.0, "so long.")]
)
def test_an_idle_time_out(age_s: float, known: str) -> None:
    """Connections that all end at one age are ended by the server's clock."""
    (found,) = diagnose(Symptoms(closing_ages_s=[(age_s, 50), (age_s + 0.2, 50)]))

    assert 100 == found.count
    assert known in str(found)


@pytest.mark.parametrize("ages", [[(5.0, 9)], [(float(age), 2) for age in range(20)]])
def test_no_idle_time_out(ages: list[tuple[float, int]]) -> None:
    """Few, or all ages, are no time-out."""
    assert [] == _signs(Symptoms(closing_ages_s=ages))


def test_the_most_frequent_is_first() -> None:
    """A reader with time for one line sees the one that explains most."""
    found = _signs(Symptoms({"EMFILE": 2, "ECONNREFUSED": 9}, connect_times_s=STEPS))

    assert ["connects that took whole seconds", "ECONNREFUSED", "EMFILE"] == found
