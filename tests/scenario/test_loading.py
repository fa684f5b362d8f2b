"""Settings, scale and matrix change a plan as they would change the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from memopt_cli.errors import UsageError
from memopt_cli.scenario import loading

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.scenario.loading import Plan

STAGES = """\
version: 1
name: staged
workload: connections
load:
  stages:
    - {name: ramp-up, duration: 10s, connections: 50}
    - {name: steady, duration: 1m, connections: 100}
    - {name: drain, duration: 5s, connections: 0}
"""

WRONG_SETTINGS = {
    "load.hold_fr=30m": "unknown key 'hold_fr' | Did you mean 'hold_for'?",
    "load.hold_for=30": "'30' has no unit | Write 30s, 30ms or 30m.",
    "load.stages.steady.duration=1m": (
        "the load is in the short form, without stages"
        " | Set load.ramp_up or load.hold_for, or write the stages out in the file."
    ),
    "seed": "a setting without a key and a value | Write it like seed=2.",
    "=2": "a setting without a key and a value | Write it like seed=2.",
    "seed=": "there is no value after the equals sign | Write it like seed=2.",
    "seed=1e4": "'1e4' is text to some YAML readers | Write the digits out, or \"1e4\".",
    "seed=[1": "not valid YAML: expected ',' or ']', but got '<stream end>' | ",
    "seed.value=1": "'seed' has no keys | Set it as a whole.",
    "variants.optimised.gc=off": "unknown name 'optimised' | Known: baseline.",
    "variants.3.gc=off": "there is no item 3 | The last one is 0.",
    "variants.baseline.gk=off": (
        "unknown key 'gk' | Known: name, pool, compact, agents, gc, server, leak."
    ),
    "thresholds.memory=['value<1MB']": "unknown key 'memory' | Did you mean 'memory_total'?",
}


def _peaks(plan: Plan) -> list[list[int | None]]:
    return [[stage.units for stage in cell.scenario.load.stages] for cell in plan.cells]


def test_no_matrix_is_one_cell(plan: Callable[..., Plan], base: str) -> None:
    """A scenario without a matrix has one cell, without a label."""
    found = plan(base)
    assert found.cells == (loading.Cell({}, found.scenario),)


def test_matrix_of_the_short_form(plan: Callable[..., Plan], base: str) -> None:
    """A bare population replaces that of the short form."""
    found = plan(base + "matrix: {connections: [10, 20], seed: [1, 2]}\n")
    assert [(cell.label, cell.scenario.load.peak_units) for cell in found.cells] == [
        ({"connections": "10", "seed": "1"}, 10),
        ({"connections": "10", "seed": "2"}, 10),
        ({"connections": "20", "seed": "1"}, 20),
        ({"connections": "20", "seed": "2"}, 20),
    ]


def test_cells_have_no_matrix(plan: Callable[..., Plan], base: str) -> None:
    """A cell can be stored and run again as a scenario of its own."""
    found = plan(base + "matrix: {connections: [10, 20]}\n")
    assert [cell.scenario.matrix for cell in found.cells] == [{}, {}]


def test_matrix_of_stages_keeps_proportions(plan: Callable[..., Plan]) -> None:
    """A bare population resizes all targets, so that the peak is its value."""
    assert _peaks(plan(STAGES + "matrix: {connections: [10, 1000]}\n")) == [
        [5, 10, 0],
        [500, 1000, 0],
    ]


def test_matrix_of_any_key(plan: Callable[..., Plan]) -> None:
    """A dotted key varies one value."""
    found = plan(STAGES + "matrix: {load.stages.steady.duration: [1s, 2s]}\n")
    durations = [cell.scenario.load.stages[1].duration_s for cell in found.cells]
    assert (durations, found.cells[1].label) == (
        [1.0, 2.0],
        {"load.stages.steady.duration": "2s"},
    )


def test_scale(plan: Callable[..., Plan]) -> None:
    """Populations and durations are scaled, and a unit stays a unit."""
    stages = plan(STAGES.replace("50}", "1}"), scale=0.05).scenario.load.stages
    assert [(s.units, s.duration_s) for s in stages] == [(1, 0.5), (5, 3.0), (0, 0.25)]


def test_scale_rounds_up_exactly(plan: Callable[..., Plan], base: str) -> None:
    """Seven percent of a hundred is seven, whatever the floating point says."""
    assert plan(base, scale=0.07).scenario.load.peak_units == 7


def test_label_is_what_runs(plan: Callable[..., Plan], base: str) -> None:
    """A population in a label is the one after scaling."""
    found = plan(base + "matrix: {connections: [1000]}\n", scale=0.05)
    assert found.cells[0].label == {"connections": "50"}


def test_scale_that_is_too_large(told: Callable[..., list[str]], base: str) -> None:
    """A scale may not bring about what a file may not say."""
    assert told(base.replace("100}", "1000000}"), scale=100.0)[0] == (
        "--scale 10000%: a population of 100,000,000 | Use at most 10,000,000."
    )


@pytest.mark.parametrize("scale", [0.0, -1.0, 1001.0, float("nan")])
def test_scale_out_of_range(plan: Callable[..., Plan], base: str, scale: float) -> None:
    """No scale, a negative one and an absurd one are refused."""
    with pytest.raises(UsageError, match="out of range"):
        plan(base, scale=scale)


@pytest.mark.parametrize("text", ["5", "0.05", "five", ""])
def test_scale_that_is_no_percentage(text: str) -> None:
    """A scale is written as a percentage."""
    with pytest.raises(UsageError, match="not a percentage"):
        loading.parse_scale(text)


@pytest.mark.parametrize("setting", WRONG_SETTINGS)
def test_wrong_setting(told: Callable[..., list[str]], base: str, setting: str) -> None:
    """A wrong setting is told as it was written on the command line."""
    assert told(base, setting) == [f"--set {setting}: {WRONG_SETTINGS[setting]}"]


def test_settings_apply_in_order(plan: Callable[..., Plan], base: str) -> None:
    """The last of two settings of one key counts."""
    assert plan(base, "seed=2", "seed=3").scenario.seed == 3


def test_setting_repairs_a_file(plan: Callable[..., Plan], base: str) -> None:
    """A setting replaces a value before that value is checked."""
    assert plan(base + "seed: -1\n", "seed=2").scenario.seed == 2


def test_file_and_setting_problems_in_order(told: Callable[..., list[str]], base: str) -> None:
    """What is wrong in the file comes before what is wrong on the command line."""
    assert told(base + "seed: -1\n", "sampling.interval=5") == [
        "s.yaml:5:7: -1 is out of range | Write at least 0.",
        "--set sampling.interval=5: '5' has no unit | Write 5s, 5ms or 5m.",
    ]
