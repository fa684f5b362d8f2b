"""Figures are pictures of what was measured, the same bytes each time, or are left out."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from memopt_cli.analysis.findings import judge
from memopt_cli.analysis.results import Distribution
from memopt_cli.report.drawing import OKABE_ITO
from memopt_cli.report.folder import files
from memopt_cli.report.plots import durations, matrix, memory_over_time, memory_per_unit, pictures
from tests.making import (
    KIB,
    MIB,
    MS,
    STEADY,
    distribution,
    estimate,
    found,
    histogram,
    plateau,
    recording,
    run,
    sample,
    scenario,
    unmeasured,
    variant,
)

if TYPE_CHECKING:
    from memopt_cli.analysis.recording import Recording
    from memopt_cli.analysis.results import RunFindings

PNG = b"\x89PNG\r\n\x1a\n"

PAUSED = {"gc_pauses": 1, "gc_pause_s": 0.004, "gc_pause_max_s": 0.004}
SAMPLES = (
    plateau(0, 10 * MIB, at_s=5.0),
    plateau(200, 12 * MIB),
    plateau(600, 16 * MIB, **PAUSED),
    plateau(1000, 20 * MIB, **PAUSED),
    sample(75.0, stage=STEADY, units=1000, operations=5000, busy_s=0.5, **PAUSED),
)
MEASURED = variant(
    SAMPLES,
    pauses={(STEADY, 0): histogram(4 * MS, 5 * MS)},
    latency={STEADY: histogram(1000, 2000, 90_000)},
)


def judged(recorded: Recording, *names: str) -> tuple[RunFindings, Recording]:
    """Return a recording with its findings."""
    return judge(recorded, scenario({}, *names)), recorded


def names(recorded: Recording) -> list[str]:
    """Return the names of the pictures of a recording; each must be a PNG with a title."""
    shown = pictures(*judged(recorded))
    assert all(one.png.startswith(PNG) and one.title for one in shown)
    return [one.name for one in shown]


def test_a_run_has_its_pictures() -> None:
    """Two variants have memory over time and per unit, and the durations."""
    recorded = recording(replace(MEASURED, name="baseline"), MEASURED)

    assert [
        "ranking.png",
        "memory-over-time.png",
        "memory-per-unit.png",
        "durations.png",
    ] == names(recorded)


def test_a_single_variant_has_its_pictures() -> None:
    """A run of one variant has the same."""
    assert ["memory-over-time.png", "memory-per-unit.png", "durations.png"] == names(
        recording(MEASURED)
    )


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        (recording(), []),
        (recording(variant([])), []),
        (recording(variant([], stages=(), recorder_installed=False)), []),
        (recording(variant([sample()])), ["memory-over-time.png"]),
        (recording(variant([sample()], stages=())), ["memory-over-time.png"]),
        (recording(variant([plateau(1000, MIB)])), ["memory-over-time.png"]),
        (recording(variant([]), variant([sample(), sample(1.0)])), ["memory-over-time.png"]),
        (
            recording(replace(MEASURED, pauses={})),
            ["memory-over-time.png", "memory-per-unit.png", "durations.png"],
        ),
        (
            recording(replace(MEASURED, latency={})),
            ["memory-over-time.png", "memory-per-unit.png", "durations.png"],
        ),
        (
            recording(replace(MEASURED, pauses={}, latency={})),
            ["memory-over-time.png", "memory-per-unit.png"],
        ),
    ],
    ids=[
        "no variant",
        "no sample",
        "nothing at all",
        "one sample",
        "no stage",
        "one plateau",
        "one of two died",
        "no pauses",
        "no latency",
        "neither",
    ],
)
def test_what_was_not_measured_has_no_picture(recorded: Recording, expected: list[str]) -> None:
    """Little is drawn as far as it goes, nothing is not drawn, and neither warns."""
    assert expected == names(recorded)


def test_many_variants_are_drawn() -> None:
    """More variants than there are colours and markers repeat them."""
    many = [replace(MEASURED, name=f"v{number}") for number in range(12)]

    assert len(names(recording(*many))) == 4


def test_a_cost_below_zero_has_no_place_on_a_logarithmic_axis() -> None:
    """A slope that came out negative is left to the tables; the others are drawn without it."""
    memory = replace(
        found().memory,
        per_unit=estimate(-10, 20),
        points=((200, 8 * MIB - KIB), (600, 8 * MIB - 2 * KIB), (1000, 8 * MIB - 3 * KIB)),
    )

    negative = [
        found(name="shrunk", cell={"connections": str(n)}, units_peak=n, memory=memory)
        for n in (1, 2)
    ]

    assert (None, None) == (memory_per_unit(run(*negative)), matrix(run(*negative)))
    assert ["One more connection costs 2.00 KiB in optimized"] == [
        one.title
        for one in pictures(run(*negative, found()), recording())
        if one.name == "memory-per-unit.png"
    ]


def test_points_below_the_fixed_cost_are_left_out() -> None:
    """A plateau that lies below the fixed cost cannot be drawn above it, the line can."""
    memory = replace(found().memory, points=((200, MIB), (600, MIB), (1000, MIB)))

    assert memory_per_unit(run(found(memory=memory))) is not None


def test_a_matrix_has_its_picture() -> None:
    """Variants at several sizes are drawn against the size, with the spread in the title."""
    sized = run(
        *(
            found(
                name=name,
                cell={"connections": str(units)},
                units_peak=units,
                memory=replace(found().memory, per_unit=estimate(cost, 10)),
            )
            for units, cost in ((1000, 2000), (10_000, 2200))
            for name in ("baseline", "optimized")
        ),
        unmeasured(name="died", cell={"connections": "10000"}),
    )

    titles = {one.name: one.title for one in pictures(sized, recording())}

    assert titles["matrix.png"] == (
        "Memory per connection differs by a factor of at most 1.1 "
        "between 1,000 and 10,000 connections"
    )


@pytest.mark.parametrize("sizes", [[], [1000], [1000, 1000]])
def test_one_size_is_no_matrix(sizes: list[int]) -> None:
    """With fewer than two sizes there is no matrix to draw."""
    cells = [found(cell={"x": str(n)}, units_peak=size) for n, size in enumerate(sizes)]

    assert matrix(run(*cells)) is None


def test_titles_state_what_was_found() -> None:
    """Each title is the finding, with its unit, not the name of the axes."""
    recorded = recording(
        replace(
            MEASURED,
            name="baseline",
            samples=(*SAMPLES, sample(80.0, units=1000, resident_anonymous_bytes=40 * MIB)),
        ),
        MEASURED,
    )
    titles = [one.title for one in pictures(*judged(recorded, "baseline", "optimized"))]

    assert titles == [
        (
            "No variant is shown to save memory per connection; "
            "No longest pause is shown to be shorter"
        ),
        "1,000 connections peak at 40.0 MiB in baseline, at 10.0 MiB in optimized",
        "One more connection costs 10.2 KiB in baseline",
        "Longest GC pause: 5.00 ms in optimized; Longest operation: 90.0 us in optimized",
    ]


def test_axes_carry_their_units() -> None:
    """Every axis says in brackets what it counts in."""
    findings, recorded = judged(recording(MEASURED))
    figures = [
        memory_over_time(findings, recorded),
        memory_per_unit(findings),
        durations(findings),
    ]

    labels = [
        label
        for figure in figures
        if figure is not None
        for axes in figure.axes
        for label in (axes.get_xlabel(), axes.get_ylabel())
        if label
    ]

    assert labels == [
        "anonymous memory [MiB]",
        "simulated time [s]",
        "longest GC\npause [ms]",
        "connections [count]",
        "memory above the fixed cost [bytes]",
        "GC pause [s]",
        "share that took longer",
        "operation latency [s]",
    ]


def test_a_distribution_without_durations_is_not_drawn() -> None:
    """Neither pauses nor operations: there is no picture of durations."""
    empty = Distribution(None, None, None, 0, 0.0, ())

    assert durations(run(found(gc_pause=empty, operation_latency=empty))) is None
    assert durations(run(found(gc_pause=distribution(0, 0), operation_latency=empty))) is not None


def test_pauses_that_nobody_measured_have_no_panel() -> None:
    """An empty panel shows nothing: that it was not measured is said in the title."""
    figure = durations(run(found(gc_pause=None, operation_latency=distribution(MS, 2 * MS))))

    assert figure is not None
    (axes,) = figure.axes
    assert "GC pauses: not measured; Longest operation: 2.00 ms in optimized" == axes.get_title(
        loc="left"
    )


def test_ticks_are_legible_on_any_range() -> None:
    """Within one power of ten there are ticks between; over nine they leave some out."""
    for nanoseconds, expected in (
        ((MS, 9 * MS), ["1.00 ms", "2.00 ms", "5.00 ms", "10.0 ms"]),
        ((1000, 1000 * MS), ["1.00 us", "100 us", "10.0 ms", "1.00 s"]),
    ):
        figure = durations(run(found(gc_pause=None, operation_latency=distribution(*nanoseconds))))
        assert figure is not None
        figure.draw_without_rendering()
        (axes,) = figure.axes
        low, high = axes.get_xlim()
        ticks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
        assert expected == [label.get_text() for at, label in ticks if low <= at <= high]


def test_a_gap_is_marked_and_no_line_leads_over_it() -> None:
    """Each part has a line of its own, in one colour and once in the legend."""
    told, recorded = judged(recording(replace(MEASURED, breaks=(10.0,))))
    figure = memory_over_time(told, recorded)

    assert figure is not None
    first, second, mark = (
        line for line in figure.axes[0].get_lines() if line.get_color() == OKABE_ITO[0]
    )
    at_s = [np.asarray(line.get_xdata()).tolist() for line in (first, second, mark)]
    assert [[5.0, 7.0], [11.0, 15.0, 75.0], [10.0, 10.0]] == at_s
    assert "resumed" in [text.get_text() for text in figure.axes[0].texts]
    assert ["optimized"] == figure.axes[0].get_legend_handles_labels()[1]


def test_names_of_stages_stand_clear() -> None:
    """A name that is longer than its stage is left out, and none lies on what is drawn."""
    whole = replace(MEASURED, samples=(*SAMPLES, sample(80.0), sample(85.0)))
    figure = memory_over_time(*judged(recording(whole)))
    assert figure is not None
    figure.draw_without_rendering()
    axes = figure.axes[0]
    boxes = [text.get_window_extent() for text in axes.texts]
    boxes.sort(key=lambda box: float(box.x0))
    highest_mib = max(one.resident_anonymous_bytes for one in whole.samples) / MIB

    assert ["ramp-up", "steady"] == [text.get_text() for text in axes.texts]
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))
    assert axes.transData.transform((0, highest_mib))[1] < min(box.y0 for box in boxes)


def test_rendering_twice_gives_the_same_files() -> None:
    """Text, JSON and pictures are the same bytes, so a report can be committed."""
    findings, recorded = judged(recording(replace(MEASURED, name="baseline"), MEASURED))

    first, second = files(findings, recorded), files(findings, recorded)

    assert first == second
    assert list(first) == [
        "report.md",
        "run.json",
        "ranking.png",
        "memory-over-time.png",
        "memory-per-unit.png",
        "durations.png",
    ]
    assert b"![1,000 connections peak at 10.0 MiB](memory-over-time.png)" in first["report.md"]


def test_pictures_do_not_tell_who_made_them() -> None:
    """No version of the drawing library and no time is in the file."""
    (picture, *_) = pictures(*judged(recording(MEASURED)))

    assert [False, False, False] == [
        mark in picture.png for mark in (b"Software", b"matplotlib", b"tEXt")
    ]


def test_text_reports_do_not_load_the_drawing_library() -> None:
    """Markdown and JSON are made without matplotlib and numpy."""
    script = (
        "import sys, memopt_cli.report.markdown, memopt_cli.report.json, memopt_cli.report.plots\n"
        "print(sorted({'matplotlib', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert told.stdout == "[]\n"
