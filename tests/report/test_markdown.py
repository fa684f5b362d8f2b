"""The report that people read, as a whole, and what it must never say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.results import Distribution, Estimate, Verdict
from memopt_cli.exit_codes import ExitCode
from memopt_cli.report.markdown import markdown
from memopt_cli.report.plots import Picture
from memopt_cli.units import Dimension
from tests.making import distribution, estimate, found, result, run, unmeasured

BASELINE = found(
    name="baseline",
    memory=replace(found().memory, per_unit=estimate(8192, 128), loaded=estimate(3100, 100)),
    retained=None,
    pool=None,
)
CROSSED = run(
    BASELINE,
    found(same_work=True),
    thresholds=(
        result(),
        result(
            Verdict.CROSSED,
            metric="gc_pause",
            expression="max<1ms",
            stage="steady",
            window_s=9.0,
            observed=Estimate.exact(0.004),
            dimension=Dimension.DURATION,
        ),
        result(
            Verdict.INCONCLUSIVE,
            metric="pool_reuse_ratio",
            expression="value>85%",
            observed=None,
            dimension=Dimension.RATIO,
            reason="the pool gave nothing out, or there is none",
        ),
    ),
    verdict=Verdict.CROSSED,
    exit_code=ExitCode.THRESHOLDS_CROSSED,
)


def row(text: str, name: str, number: int = 0) -> list[str]:
    """Return the cells of the first, or a later, table row that begins with *name*."""
    rows = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return rows[number].strip("| ").split(" | ")[1:]


def test_the_whole_report() -> None:
    """Verdict, checks by severity, figures, changes, growth, method and environment."""
    expected = Path(__file__).with_name("small.md").read_text(encoding="utf-8")

    assert expected == markdown(CROSSED, [Picture("p.png", "It grows", b"")])


def test_rendering_twice_gives_the_same() -> None:
    """The report depends on the findings alone."""
    assert markdown(CROSSED) == markdown(CROSSED)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (estimate(1000, 50), estimate(980, 50), "no difference shown"),
        (estimate(1000, 50), estimate(900, 50), "no difference shown"),
        (estimate(1000, 50), estimate(500, 50), "2 (1.57 to 2.59)"),
        (estimate(500, 50), estimate(1000, 50), "2 times more (1.57 to 2.59)"),
        (estimate(1000), estimate(250), "4 (3.62 to 4.42)"),
        (estimate(1000, 50), estimate(-10, 5), "less, not above zero in both"),
        (estimate(-10, 5), estimate(1000, 50), "more, not above zero in both"),
        (estimate(1000), None, "not measured"),
        (None, estimate(1000), "not measured"),
    ],
)
def test_a_change_is_claimed_only_where_the_intervals_do_not_meet(
    before: Estimate | None, after: Estimate | None, expected: str
) -> None:
    """Overlap is told as such, and so is a value that has no factor or was not measured."""
    text = markdown(run(found(name="baseline", retained=before), found(retained=after)))

    assert [expected] == row(text, "kept after the last left", 1)


def test_other_work_is_not_comparable() -> None:
    """A variant that did something else has no factor, however little memory it took."""
    text = markdown(run(BASELINE, found(same_work=False)))

    assert row(text, "memory per connection", 1) == ["not comparable: it did other work"]


def test_what_was_not_measured_is_never_a_zero() -> None:
    """A variant that died before its first sample shows no figure at all."""
    text = markdown(run(unmeasured(), outcome=Outcome.FAILED, reason="the subject died"))

    assert row(text, "memory per connection") == [
        "not measured: 0 plateaus with units were measured"
    ]
    for name in (
        "memory per connection, loaded",
        "fixed cost",
        "peak USS",
        "kept after the last left",
        "GC pauses: p50, p99, max; share of CPU time",
        "operations",
        "operations per second of work",
    ):
        assert row(text, name) == ["not measured"]
    assert row(text, "latency: p50, p99, max") == ["not measured, not measured, not measured"]
    assert row(text, "optimized", 1)[1:3] == ["not measured", "0"]
    assert row(text, "optimized", 1)[5:] == ["not measured"] * 3
    assert "**optimized** did not finish: the subject died" in text
    assert "The run did not finish: the subject died." in text


def test_no_pause_is_told_from_no_recorder() -> None:
    """A collector that never ran has none; without a recorder pauses are not measured."""
    none, unknown = (
        row(markdown(run(found(gc_pause=one))), "GC pauses: p50, p99, max; share of CPU time")
        for one in (Distribution(None, None, None, 0, 0.0, ()), None)
    )

    assert (["none"], ["not measured"]) == (none, unknown)


def test_text_from_outside_does_not_break_a_table() -> None:
    """A bar or a line break in the environment stays in its cell."""
    text = markdown(run(found(), environment={"allocator_settings": "A=1|2\nB=3"}))

    assert "| allocator settings | A=1\\|2 B=3 |" in text


def test_a_matrix_has_a_table_of_its_own() -> None:
    """Memory per unit is shown for every size, and the sizes each have their section."""
    small, large = {"connections": "1000"}, {"connections": "50000"}
    text = markdown(
        run(
            found(name="baseline", cell=small),
            found(cell=small),
            found(name="baseline", cell=large),
        )
    )

    cost = "2.00 KiB (1.94 to 2.06)"
    assert "## Memory per connection at each size" in text
    assert row(text, "1,000 connections") == [cost, cost]
    assert row(text, "50,000 connections") == [cost, "not measured"]
    assert "\n## 50,000 connections\n" in text


def test_a_run_without_anything_says_so() -> None:
    """Neither variants nor thresholds: the report is short, and no table is empty."""
    text = markdown(run(thresholds=()))

    assert "The scenario has no thresholds." in text
    assert "Nothing was measured." in text
    assert "small: passed (no check was made)." in text
    assert "## Growth" not in text


def test_a_verdict_on_equal_work_is_told_in_words() -> None:
    """The digest check shows equal or different digests, not a number."""
    checks = [
        result(
            verdict,
            metric="same_work",
            expression="digest==first",
            observed=Estimate.exact(equal),
            dimension=Dimension.NUMBER,
        )
        for verdict, equal in ((Verdict.PASSED, 1.0), (Verdict.CROSSED, 0.0))
    ]

    text = markdown(run(found(), thresholds=tuple(checks)))

    assert "| CROSSED | `same_work: digest==first` | optimized | different digests |" in text
    assert "| passed | `same_work: digest==first` | optimized | equal digests |" in text


def test_an_hour_that_was_not_simulated_is_an_hour() -> None:
    """On the wall clock, slopes are per hour and nothing is called simulated."""
    text = markdown(run(found(), clock="wall"))

    assert "Slope, per hour" in text
    assert "simulated" not in text


def test_pauses_show_their_share_of_the_work() -> None:
    """Median, 99th percentile, longest, and the share of the CPU time."""
    variant = found(gc_pause=distribution(1_000_000, 9_000_000), cpu_s=0.1)

    assert row(markdown(run(variant)), "GC pauses: p50, p99, max; share of CPU time") == [
        "1.00 ms, 9.00 ms, 9.00 ms; 10.0 %"
    ]
