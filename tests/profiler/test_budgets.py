"""Who is told, and at which mark, before an operation takes more than it may."""

from __future__ import annotations

import mmap
import warnings

import pytest

from memopt_cli.errors import MemoryBudgetExceeded, UsageError
from memopt_cli.exit_codes import ExitCode
from memopt_cli.profiler import (
    Budget,
    MemoryBudgetAlert,
    MemoryBudgetWarning,
    Registry,
    measured,
    operation,
)
from memopt_cli.profiler.budgets import Level, Notice

MB = 1_000_000
BOUNDARIES = [
    (7_999_999, Level.WITHIN),
    (8_000_000, Level.WARN),
    (9_499_999, Level.WARN),
    (9_500_000, Level.ALERT),
    (10_000_000, Level.ALERT),
    (10_000_001, Level.EXCEEDED),
]


@pytest.mark.parametrize(("used_bytes", "level"), BOUNDARIES)
def test_both_sides_of_each_mark(used_bytes: int, level: Level) -> None:
    """80 % warns, 95 % alerts, and only more than all of it is too much."""
    assert level is Budget.of("10MB").level(used_bytes)


def test_the_marks_can_be_moved() -> None:
    """A budget warns and alerts where it was told to."""
    budget = Budget.of("10MB", warn_at="50%", alert_at="60%")

    assert [Level.WITHIN, Level.WARN, Level.ALERT] == [
        budget.level(share * MB) for share in (4.9, 5, 6)
    ]


@pytest.mark.parametrize(
    ("limit", "warn_at", "alert_at", "found"),
    [
        ("10", "80%", "95%", "'10' has no unit"),
        ("10MB", "0.8", "95%", "'0.8' is not a percentage"),
        ("10MB", "95%", "80%", "out of order: 95% to warn, 80% to alert"),
        ("10MB", "80%", "101%", "out of order"),
        ("0MB", "80%", "95%", "allows nothing"),
    ],
)
def test_what_is_no_budget(limit: str, warn_at: str, alert_at: str, found: str) -> None:
    """What cannot be meant is refused, with what was found."""
    with pytest.raises(UsageError, match=found):
        Budget.of(limit, warn_at=warn_at, alert_at=alert_at)


@measured("hold", budget="10MB", registry=Registry())
def hold(size_bytes: int) -> int:
    """Hold so many bytes for a moment."""
    return len(bytes(size_bytes))


@pytest.mark.parametrize(
    ("size_bytes", "kind"), [(8_500_000, MemoryBudgetWarning), (9_800_000, MemoryBudgetAlert)]
)
def test_a_mark_is_a_warning(size_bytes: int, kind: type[Warning]) -> None:
    """Without a callback, either mark is a warning of its own category."""
    with pytest.warns(MemoryBudgetWarning, match="hold used") as caught:
        hold(size_bytes)

    assert [kind] == [each.category for each in caught]


def test_within_the_budget_nobody_is_told() -> None:
    """Up to the first mark nothing is said."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 7_900_000 == hold(7_900_000)


def test_more_than_the_budget_is_an_error() -> None:
    """The error says who used how much of how much, and has an exit code."""
    with pytest.raises(MemoryBudgetExceeded, match=r"hold used 9\.63 MiB of its 9\.54") as caught:
        hold(10_100_000)

    assert (ExitCode.THRESHOLDS_CROSSED, 10 * MB) == (
        caught.value.exit_code,
        caught.value.limit_bytes,
    )
    assert caught.value.used_bytes == pytest.approx(10_100_000, abs=1000)


def test_a_callback_is_told_instead() -> None:
    """A callback gets the notice, and no warning is issued."""
    told: list[Notice] = []
    budget = Budget.of("10MB", tell=told.append)
    with operation("one", budget=budget, registry=Registry()):
        assert bytes(9 * MB)

    (notice,) = told
    assert ("one", Level.WARN) == (notice.operation, notice.level)
    assert "peak of traced memory" in str(notice)


def test_a_budget_can_be_judged_on_the_way() -> None:
    """A long operation can ask before its end, and is not told twice."""
    seen = []

    def ask() -> None:
        with operation("one", budget="1MB", registry=Registry()) as one:
            for size_bytes in (1000, 2 * MB, 1000):
                seen.append(len(bytes(size_bytes)))
                one.check()

    with pytest.raises(MemoryBudgetExceeded, match=r"one used 1\.91 MiB of its 977 KiB") as caught:
        ask()

    assert [1000, 2 * MB] == seen
    assert not hasattr(caught.value, "__notes__")


def test_the_first_error_is_the_one_that_is_seen() -> None:
    """An operation that fails for another reason says so, and that it was too big besides."""

    @measured("one", budget="1MB", registry=Registry())
    def fail() -> float:
        return len(bytes(2 * MB)) / 0

    with pytest.raises(ZeroDivisionError) as caught:
        fail()

    assert "one used 1.91 MiB of its 977 KiB" in caught.value.__notes__[0]


def test_without_tracing_the_pages_are_judged() -> None:
    """A budget of an operation that is not traced is one of resident memory, and says so."""
    # Pages that are new for certain: malloc may hand out what other tests have freed.
    with (
        mmap.mmap(-1, 40 * MB) as fresh,
        pytest.raises(MemoryBudgetExceeded, match="growth of resident memory"),
        operation("one", budget="10MB", trace=False, registry=Registry()),
    ):
        fresh[:: mmap.PAGESIZE] = bytes(len(range(0, len(fresh), mmap.PAGESIZE)))
