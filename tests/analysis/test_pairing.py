"""What may be compared with what."""

from __future__ import annotations

from typing import Any

import pytest

from memopt_cli.analysis import pairing
from memopt_cli.scenario.model import Scenario
from tests.making import recording, variant
from tests.watchings import flat, watching


def written(**changes: Any) -> Scenario:
    """Return a scenario of three stages."""
    stages = changes.pop("stages", {})
    return Scenario.model_validate(
        {
            "version": 1,
            "name": "leaky",
            "workload": "connections",
            "variants": [{"name": "one", "compact": "on"}],
            "load": {
                "message_rate": "1/s",
                "stages": [
                    {"name": name, "duration": stages.get(name, "10s"), "connections": units}
                    for name, units in (("ramp", 10), ("steady", 10), ("drain", 0))
                ],
                **changes.pop("load", {}),
            },
            **changes,
        }
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": "clean", "description": "Another one.", "tags": {"kind": "proof"}},
        {"variants": [{"name": "clean", "compact": "on", "leak": "64B"}]},
        {"stages": {"steady": "30s", "drain": "1s"}},
        {"thresholds": {"memory_total": ["value<1GB"]}},
    ],
)
def test_what_a_baseline_may_have_otherwise(changes: dict[str, Any]) -> None:
    """Names, limits, the planted leak, and a longer steady stage with what follows it."""
    assert [] == list(pairing.differences(written(), written(**changes)))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 2}, ["seed"]),
        ({"sampling": {"interval": "2s"}}, ["sampling"]),
        ({"load": {"message_rate": "2/s"}}, ["load.message_rate_per_s"]),
        ({"stages": {"ramp": "30s"}}, ["load.stages.ramp"]),
        ({"stages": {"steady": "5s"}}, ["load.stages.steady"]),
        ({"connections": {"receive_buffer": "1KiB"}}, ["connections"]),
        ({"variants": [{"name": "one"}]}, ["variants.one"]),
        ({"variants": [{"name": "two"}, {"name": "three"}]}, ["variants.one"]),
    ],
)
def test_what_is_no_baseline(changes: dict[str, Any], told: list[str]) -> None:
    """Another load, seed or variant is named; so is a baseline that is shorter."""
    assert told == list(pairing.differences(written(), written(**changes)))


def test_variants_belong_together_by_cell_and_name() -> None:
    """Two runs of one variant each belong together whatever it is called."""
    cell = {"connections": "10"}
    several = recording(variant(name="a"), variant(name="b"), variant(name="a", cell=cell))
    clean = recording(variant(name="clean"))
    single = recording(variant(name="leaky"), baseline=clean)

    paired = pairing.with_baseline(
        recording(*several.variants, variant(name="c"), baseline=several)
    )

    assert [(*several.variants, None)] == [tuple(one.beside for one in paired.variants)]
    assert [clean.variants[0]] == [one.beside for one in pairing.with_baseline(single).variants]
    assert several is pairing.with_baseline(several)


def test_processes_belong_together_by_place_and_command() -> None:
    """The target's command may differ, children are taken in their order."""
    before = [flat(pid=pid, command=c) for pid, c in ((1, "old"), (2, "w"), (3, "x"), (4, "w"))]
    now = [flat(pid=pid, command=c) for pid, c in ((5, "new"), (6, "w"), (7, "w"), (8, "w"))]

    paired = pairing.watch_with_baseline(watching(*now, baseline=watching(*before)))

    mates = [None if one.beside is None else one.beside.pid for one in paired.processes]
    assert [1, 2, 4, None] == mates


def test_another_interpreter_is_told() -> None:
    """It warms up otherwise; another kernel does not matter."""
    own = {"python": "CPython 3.11.7", "kernel": "Linux 6.1"}

    assert ["python"] == list(pairing.other_machine(own, {**own, "python": "CPython 3.12.1"}))
    assert [] == list(pairing.other_machine(own, {**own, "kernel": "Linux 6.8"}))
