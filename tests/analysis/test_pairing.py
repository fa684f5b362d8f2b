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


def test_other_stages_are_no_baseline() -> None:
    """By their names, and by how many there are, before any is compared with another."""
    stages = [
        {"name": name, "duration": "10s", "connections": 10} for name in ("ramp", "hold", "drain")
    ]

    for others in (stages, stages[:2]):
        found = list(pairing.differences(written(), written(load={"stages": others})))
        assert ["load.stages"] == found


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"leak_per_operation": "64B"}, []), ({"bytes_per_unit": "2KiB"}, ["synthetic"])],
)
def test_a_synthetic_baseline_may_leak_and_be_no_larger(
    changes: dict[str, str], told: list[str]
) -> None:
    """The planted leak is what is compared; other units are another program."""
    asked = {
        "version": 1,
        "name": "small",
        "workload": "synthetic",
        "load": {"stages": [{"name": "steady", "duration": "10s", "units": 10}]},
    }
    own, other = (
        Scenario.model_validate({**asked, **more}) for more in ({}, {"synthetic": changes})
    )

    assert told == list(pairing.differences(own, other))


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


@pytest.mark.parametrize(
    "key", ["python", "libc", "machine", "allocator_settings", "subject_settings"]
)
def test_another_interpreter_or_allocator_is_told(key: str) -> None:
    """They warm up and fragment otherwise; another kernel does not matter."""
    own = {key: "one", "kernel": "Linux 6.1"}

    assert [key] == list(pairing.other_machine(own, {**own, key: "another"}))
    assert [] == list(pairing.other_machine(own, {**own, "kernel": "Linux 6.8"}))
