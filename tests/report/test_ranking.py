"""What a variant brings, in words that claim no more than the intervals do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.analysis.ranking import rankings
from memopt_cli.report.markdown import markdown
from memopt_cli.report.ranking import brings, refusal, savings
from memopt_cli.report.ranking_plot import ranking as figure
from tests.making import KIB, MIB, MS, distribution, estimate, found, run, unmeasured

if TYPE_CHECKING:
    from memopt_cli.analysis.ranking import Ranking
    from memopt_cli.analysis.results import MemoryPerUnit, VariantFindings

BASELINE = found(
    name="baseline",
    memory=replace(found().memory, per_unit=estimate(12 * KIB, 10), loaded=estimate(13 * KIB, 10)),
    gc_pause=distribution(100 * MS),
    cpu_s=1.0,
    retained=estimate(64 * KIB, KIB),
    pool=None,
)
SAME = replace(BASELINE, name="other", same_work=True)


def other(**changes: Any) -> VariantFindings:
    """Return a variant that differs from the baseline in what is given."""
    return replace(SAME, **changes)


def memory(idle: float, loaded: float) -> MemoryPerUnit:
    """Return so much memory per unit."""
    return replace(SAME.memory, per_unit=estimate(idle, 10), loaded=estimate(loaded, 10))


def against(*others: VariantFindings) -> Ranking:
    """Return the ranking of variants against the baseline."""
    (one,) = rankings([BASELINE, *others])
    return one


FASTER = distribution(2_000)
NONE = "the longest pause or the median operation"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, f"shows no difference in memory per connection, {NONE}"),
        (
            {
                "memory": memory(KIB, KIB),
                "gc_pause": distribution(MS),
                "operation_latency": FASTER,
                "busy_s": 0.05,
                "peak_uss_bytes": 6 * MIB,
            },
            (
                "saves 11.0 KiB per connection (10.9 to 11.1), 91.7 %; loaded, it saves "
                "12.0 KiB per connection (11.8 to 12.2), 92.3 %; longest pause "
                "99.0 ms shorter (48.5 to 150); median operation 10 times faster (6 to 16.7)"
            ),
        ),
        (
            {"memory": memory(15 * KIB, 20 * KIB)},
            (
                "takes 3.00 KiB more per connection (2.71 to 3.29), 25.0 %; loaded, it takes "
                "7.00 KiB more per connection (6.65 to 7.35), 53.8 %; "
                f"no difference is shown in {NONE}"
            ),
        ),
        (
            {"memory": memory(KIB, 20 * KIB)},
            (
                "saves 11.0 KiB per connection (10.9 to 11.1), 91.7 %; loaded, it takes "
                "7.00 KiB more per connection (6.65 to 7.35), 53.8 %; "
                f"no difference is shown in memory at the peak, {NONE}"
            ),
        ),
        (
            {"memory": memory(KIB, 13 * KIB), "peak_uss_bytes": 14 * MIB},
            (
                "saves 11.0 KiB per connection (10.9 to 11.1), 91.7 %; its peak is 2.00 MiB "
                "(1.74 to 2.26) above that of baseline, so at this size it costs more than it "
                f"saves; no difference is shown in loaded memory per connection, {NONE}"
            ),
        ),
        (
            {"retained": estimate(128 * KIB, KIB)},
            (
                f"shows no difference in memory per connection, {NONE}; it keeps 64.0 KiB more "
                "(52.4 to 75.6) after the last left"
            ),
        ),
        (
            {"gc_pause": replace(distribution(100 * MS), total_s=0.001)},
            (
                f"shows no difference in memory per connection, {NONE}; "
                "collecting takes 0.10 % of CPU time, not 10.0 %"
            ),
        ),
        (
            {"gc_pause": distribution(900 * MS), "cpu_s": 9.0},
            (
                "shows no difference in memory per connection, the time spent collecting or "
                "the median operation; longest pause 800 ms longer (300 ms to 1.30 s)"
            ),
        ),
        (
            {"operation_latency": distribution(200_000), "busy_s": 0.1},
            (
                "shows no difference in memory per connection or the longest pause; "
                "median operation 10 times slower (6 to 16.7); "
                "work per operation 5 times less (3 to 8.33)"
            ),
        ),
        (
            {"operation_latency": FASTER},
            (
                "shows no difference in memory per connection, the longest pause or the work per "
                "operation; median operation 10 times faster (6 to 16.7)"
            ),
        ),
        (
            {"memory": unmeasured().memory, "gc_pause": None, "operation_latency": distribution()},
            (
                "was not measured for memory per connection; pauses were not measured; "
                "operations were not timed"
            ),
        ),
    ],
    ids=[
        "nothing",
        "everything",
        "more",
        "more when loaded",
        "peak above",
        "keeps more",
        "collects less",
        "pauses longer",
        "mean and median differ",
        "median only",
        "unmeasured",
    ],
)
def test_a_sentence_is_what_was_measured(changes: dict[str, Any], expected: str) -> None:
    """Savings, costs and what is not shown stand in one sentence, with their intervals."""
    shown = against(other(**changes))

    assert brings(shown.standings[0], shown) == expected


def test_nearly_all_is_not_all() -> None:
    """A saving of 99.97 % is not written as 100 %."""
    shown = against(other(memory=memory(3, 3)))

    assert ", over 99.9 %;" in brings(shown.standings[0], shown)


def test_two_figures_that_read_the_same_are_no_difference() -> None:
    """Of 0.006 % and 0.014 % of CPU time the report would show 0.01 % twice."""
    quiet = replace(BASELINE, gc_pause=replace(distribution(100 * MS), total_s=0.000064))
    busier = other(gc_pause=replace(distribution(100 * MS), total_s=0.00014))
    (shown,) = rankings([quiet, busier])

    assert "of CPU time" not in brings(shown.standings[0], shown)


def test_the_section_names_whom_it_leaves_out() -> None:
    """A variant that did other work is named with the reason, and has no figure."""
    fake = other(name="fake", same_work=False, memory=memory(1, 1))
    died = unmeasured(name="died")
    text = markdown(run(BASELINE, other(), fake, died))

    assert "| 1 | other | shows no difference in memory per connection" in text
    assert "| - | fake | is not ranked: it did other work than baseline. |" in text
    assert "| - | died | is not ranked: it or baseline did not finish. |" in text
    assert "| less than baseline | other |" in text


def test_every_refusal_has_its_words() -> None:
    """A variant whose work cannot be compared is told from one that did other work."""
    shown = against(other(same_work=None))
    ((_, why),) = shown.refused

    assert refusal(why, shown) == "is not ranked: nothing shows that it did the work of baseline"


def test_a_single_variant_is_not_ranked() -> None:
    """There is nobody to compare it with, so there is neither a section nor a picture."""
    assert "## What each variant brings" not in markdown(run(BASELINE))
    assert figure(run(BASELINE)) is None


def test_the_table_shows_all_measures() -> None:
    """Savings, costs, what is not shown and what has two series, a variant in each column."""
    heap = replace(SAME.memory, basis="heap_in_use", per_unit=estimate(1100, 1))
    shown = against(
        other(name="inside", memory=heap, gc_pause=None),
        other(name="worse", memory=memory(15 * KIB, 13 * KIB), peak_uss_bytes=20 * MIB),
    )

    (text,) = savings(shown)
    shown_table = text.splitlines()

    assert shown_table[0] == "| less than baseline | inside | worse |"
    assert shown_table[2:] == [
        "| memory per connection | 900 B (836 to 964) | 3.00 KiB more (2.71 to 3.29) |",
        "| memory per connection, loaded | not in one series | no difference shown |",
        "| peak USS | no difference shown | 8.00 MiB more (7.68 to 8.32) |",
        "| kept after the last left | no difference shown | no difference shown |",
        "| longest GC pause | not measured | no difference shown |",
        "| collecting, share of CPU time | not measured | no difference shown |",
        "| median operation | no difference shown | no difference shown |",
        "| work per operation | no difference shown | no difference shown |",
    ]


def test_the_picture_states_the_finding() -> None:
    """Its titles name who saves most of what; where nobody does, they say so."""
    quick = other(name="quick", gc_pause=distribution(MS), memory=memory(6 * KIB, 6 * KIB))
    frugal = other(name="frugal", gc_pause=distribution(), memory=memory(KIB, KIB))

    drawn = [figure(run(BASELINE, *others)) for others in ((quick, frugal), (SAME,))]

    assert [
        [axes.get_title(loc="left") for axes in one.axes] for one in drawn if one is not None
    ] == [
        [
            "frugal saves 12.0 KiB per connection",
            "Longest pause: 100 ms in baseline, none in frugal",
        ],
        [
            "No variant is shown to save memory per connection",
            "No longest pause is shown to be shorter",
        ],
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {},
            ["saved, loaded, at 1,000 connections [bytes per connection]", "longest GC pause [s]"],
        ),
        ({"gc_pause": None}, ["saved, loaded, at 1,000 connections [bytes per connection]"]),
        ({"memory": unmeasured().memory}, ["longest GC pause [s]"]),
        (
            {"pauses_lost": 3, "memory": memory(20 * KIB, KIB)},
            ["saved, loaded, at 1,000 connections [bytes per connection]", "longest GC pause [s]"],
        ),
        ({"memory": unmeasured().memory, "gc_pause": None}, []),
        ({"same_work": False}, []),
    ],
    ids=["both", "no recorder", "no slope", "no upper end", "neither", "other work"],
)
def test_what_was_not_measured_is_not_drawn(changes: dict[str, Any], expected: list[str]) -> None:
    """Each panel is there if there is anything to show in it, and its axis has its unit."""
    drawn = figure(run(BASELINE, other(**changes)))

    assert [axes.get_xlabel() for axes in (drawn.axes if drawn else ())] == expected


def test_the_last_cell_that_has_a_ranking_is_drawn() -> None:
    """A matrix whose last cell could not be compared shows the one before."""
    cells = [{"connections": number} for number in ("1000", "2000")]
    drawn = figure(
        run(
            replace(BASELINE, cell=cells[0]),
            other(cell=cells[0]),
            replace(BASELINE, cell=cells[1]),
            other(cell=cells[1], same_work=False),
        )
    )

    assert drawn is not None
    assert (
        drawn.axes[0].get_xlabel() == "saved, loaded, at 1,000 connections [bytes per connection]"
    )
