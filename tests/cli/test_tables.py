"""What stands on the terminal fits it, and no figure is broken at the end of a line."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from memopt_cli.analysis.results import Estimate, RunFindings, Verdict
from memopt_cli.cli.display import show_results
from memopt_cli.cli.tables import wrapped
from memopt_cli.units import Dimension
from tests.making import KIB, MIB, MS, distribution, estimate, found, result, run

WIDE, NARROW = 200, 80

BASELINE = found(
    name="baseline",
    units_peak=100_000,
    memory=replace(found().memory, per_unit=estimate(12_595, 10), loaded=estimate(13_500, 10)),
    gc_pause=distribution(24_123, 2_420_000, 1_240 * MS),
    pool=None,
)
COMPACT = found(
    name="compact",
    same_work=True,
    units_peak=100_000,
    memory=replace(found().memory, per_unit=estimate(161, 2), loaded=estimate(379, 2)),
    gc_pause=distribution(84_000, 109_000),
    peak_uss_bytes=MIB,
)
FAKE = replace(COMPACT, name="optimized", same_work=False)
RUN = run(
    BASELINE,
    COMPACT,
    FAKE,
    thresholds=(
        result(variant="compact"),
        result(variant="optimized", observed=estimate(12_595, 30)),
        result(
            Verdict.INCONCLUSIVE,
            metric="memory_leak_slope",
            expression="value<1MB/h",
            stage="steady",
            observed=estimate(10.5, 1.5),
            dimension=Dimension.SIZE_RATE,
            reason="it grew by only 93.9 KiB while it was watched: lengthen the steady stage",
        ),
    ),
)


def printed(shown: RunFindings, width: int, *, terminal: bool = True) -> str:
    """Return what is printed at the end of a run on a terminal of so many columns."""
    out = io.StringIO()
    show_results(
        Console(file=out, width=width, force_terminal=terminal, no_color=True, highlight=False),
        shown,
        "reports/x",
    )
    return re.sub(r"\x1b\[[\d;]*m", "", out.getvalue())


def test_the_end_of_a_run_at_80_columns() -> None:
    """Two tables of figures, a sentence per variant and the checks, all of them whole."""
    lines = [line.rstrip() for line in printed(RUN, NARROW).splitlines()]

    assert lines == [
        "variant    connections    memory per connection    loaded   reuse",
        "baseline       100,000  12.3 KiB (12.3 to 12.3)  13.2 KiB       -",
        "compact        100,000       161 B (159 to 163)     379 B  90.2 %",
        "optimized      100,000       161 B (159 to 163)     379 B  90.2 %",
        "variant    connections    GC pause p50, p99, max; share",
        "baseline       100,000   2.42 ms, 1.24 s, 1.24 s; 166 %",
        "compact        100,000  84.0 us, 109 us, 109 us; 0.03 %",
        "optimized      100,000  84.0 us, 109 us, 109 us; 0.03 %",
        "Against baseline, 100,000 connections:",
        "1. compact saves 12.1 KiB per connection (12.0 to 12.3), 98.7 %; loaded, it",
        "   saves 12.8 KiB per connection (12.7 to 13.0), 97.2 %; longest pause 1.24 s",
        "   shorter (620 ms to 1.86 s); no difference is shown in the median operation.",
        "- optimized is not ranked: it did other work than baseline.",
        "verdict       check                   variant    observed",
        "passed        memory_per_connection:  compact    2.00 KiB (1.94 to 2.06)",
        "              value<2MB",
        "passed        memory_per_connection:  optimized  12.3 KiB (12.3 to 12.3)",
        "              value<2MB",
        "inconclusive  memory_leak_slope:      optimized  36.9 KiB/h (31.6 to 42.2): it",
        "              value<1MB/h in steady              grew by only 93.9 KiB while it",
        "                                                 was watched: lengthen the",
        "                                                 steady stage",
        "small: passed (2 passed, 1 inconclusive).",
        "Report: reports/x/report.md",
    ]


@pytest.mark.parametrize("width", [74, NARROW, 100, 120, WIDE])
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    """Whatever the width, nothing is cut off and nothing goes beyond it."""
    text = printed(RUN, width)

    assert [] == [line for line in text.splitlines() if len(line.rstrip()) > width]
    for figure in ("12.3 KiB (12.3 to 12.3)", "161 B (159 to 163)", "2.42 ms, 1.24 s, 1.24 s"):
        assert figure in text


def test_a_terminal_too_narrow_for_a_figure_still_gets_it() -> None:
    """A table is cut off nowhere: the terminal itself breaks what is too long for it."""
    text = printed(RUN, 30)

    assert "12.3 KiB (12.3 to 12.3)" in text
    assert "2.42 ms, 1.24 s, 1.24 s; 166 %" in text


def test_wide_enough_there_is_one_table() -> None:
    """Memory and pauses stand in one row where there is room, and each check in a line."""
    text = printed(RUN, WIDE)

    assert 1 == text.count("connections  ")
    assert "memory_leak_slope: value<1MB/h in steady" in text


def test_what_is_no_terminal_gets_whole_sentences() -> None:
    """In a file or a pipe a sentence is a line, to be searched for."""
    sentences = [
        line
        for line in printed(RUN, WIDE, terminal=False).splitlines()
        if line.startswith(("1.", "-"))
    ]

    assert [text.split()[1] for text in sentences] == ["compact", "optimized"]
    assert sentences[0].endswith(".")


def test_of_many_cells_the_last_is_told() -> None:
    """A matrix would fill the screen: its other cells are in the report."""
    cells = [{"connections": str(number)} for number in (1000, 2000, 3000)]
    text = printed(
        run(
            *(
                replace(variant, cell=cell, name=name, same_work=None if name == "a" else True)
                for cell in cells
                for name, variant in zip("abcde", [BASELINE, *[COMPACT] * 4], strict=True)
            )
        ),
        NARROW,
    )

    assert re.findall(r"^Against .*$|^The other .*$", text, re.MULTILINE) == [
        "Against a, 3,000 connections:",
        "The other 2 cells of the matrix are in the report.",
    ]


def test_many_checks_that_passed_are_not_listed() -> None:
    """Of more than two dozen checks, those that did not pass are shown."""
    crossed = result(Verdict.CROSSED, variant="bad", observed=Estimate.exact(9 * KIB))
    text = printed(run(found(), thresholds=(*[result()] * 30, crossed)), NARROW)

    assert "CROSSED  memory_per_connection: value<2MB  bad      9.00 KiB" in text
    assert "passed   memory" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it takes 12.1 KiB", "it takes\n  12.1 KiB"),
        ("at most (12.0 to 12.3)", "at most\n  (12.0 to 12.3)"),
        ("about 98.7 % saved", "about 98.7 %\n  saved"),
        ("more than 1.50 s", "more than\n  1.50 s"),
        ("work is 2.84 times less", "work is\n  2.84 times\n  less"),
        ("up to 3 seconds", "up to 3\n  seconds"),
    ],
)
def test_a_line_never_ends_within_a_figure(text: str, expected: str) -> None:
    """A number keeps its unit and an interval its ends; words do not stick to numbers."""
    assert wrapped(text, 13, "  ") == expected
