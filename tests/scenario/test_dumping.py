"""A dumped scenario loads back to an equal one."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.scenario import catalogue, loading, source
from memopt_cli.scenario.dumping import dump
from memopt_cli.scenario.model import Scenario
from memopt_cli.scenario.starter import starter

TEXT = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" \n"), max_size=30)
NAME = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="/\\."), min_size=1, max_size=9
)
DECIMAL = st.decimals(min_value=0, max_value=1000, places=3).map(lambda one: format(one, "f"))
SIZE = st.integers(64, 2**20).map("{}B".format)
DURATION = st.builds(
    "{}{}".format, st.integers(10, 1000), st.sampled_from(["ms", "s", "m"])
) | st.builds("{}.{}s".format, st.integers(1, 99), st.integers(0, 999_999))
RATE = st.builds("{}/{}".format, DECIMAL, st.sampled_from("smhd"))
GROWTH = st.builds(
    "{}{}/{}".format, st.integers(1, 99), st.sampled_from(["MB", "GiB"]), st.just("s")
)
RATIO = st.decimals(min_value="0.001", max_value=100, places=5).map(
    lambda one: f"{format(one, 'f')}%"
)
SWITCH = st.sampled_from(["on", "off", True, False])
POOL = SWITCH | st.builds(lambda a, b: {"size": a, "max_size": a + b}, *[st.integers(1, 9999)] * 2)
VARIANT = st.fixed_dictionaries(
    {"name": NAME},
    optional={
        "pool": POOL,
        "compact": SWITCH
        | st.fixed_dictionaries({}, optional={"compression": SWITCH, "shared_payloads": SWITCH}),
        "gc": st.sampled_from(["default", "off", "frozen", "adaptive"]),
        "leak": SIZE,
    },
)
PATTERN = (
    st.sampled_from(["constant", "poisson", "ramp", "churn"])
    | st.fixed_dictionaries(
        {"name": st.just("sine")}, optional={"period": DURATION, "amplitude": RATIO}
    )
    | st.fixed_dictionaries(
        {"name": st.just("burst")}, optional={"period": DURATION, "share": RATIO}
    )
)
SLOW = st.sampled_from(["0/s", "1/d", "0.00001/s"])
THRESHOLD = st.sampled_from(["p(99)<100ms", "max < 1s", "count<=5"]) | st.fixed_dictionaries(
    {"threshold": st.sampled_from(["max>=1us", "count>1"])},
    optional={"window": DURATION, "abort_on_fail": SWITCH},
)


def _unique(items: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(items, min_size=1, max_size=3, unique_by=lambda item: str(item["name"]))


@st.composite
def scenarios(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a right scenario, as keys and values that YAML could hold."""
    word = draw(st.sampled_from(["connections", "units"]))
    rest = {"pattern": PATTERN, "plateaus": st.integers(1, 100), "message_rate": SLOW}
    closed = {"name": NAME, "duration": DURATION, word: st.just(0) | st.integers(10**5, 10**6)}
    opened = {"name": NAME, "duration": DURATION, "arrival_rate": RATE}
    stage = st.fixed_dictionaries(closed, optional=rest) | st.fixed_dictionaries(
        opened, optional=rest
    )
    load = st.fixed_dictionaries(
        {"stages": _unique(stage), "lifetime": DURATION},
        optional={
            "arrival_rate": RATE,
            "message_rate": SLOW,
            "pattern": PATTERN,
            "clock": st.sampled_from(["virtual", "wall"]),
        },
    )
    matrix = st.dictionaries(
        NAME,
        st.lists(st.integers() | st.booleans() | TEXT, min_size=1, max_size=2, unique_by=repr),
        max_size=3,
    )
    raw: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {"version": st.just(1), "name": st.just("drawn"), "load": load},
            optional={
                "description": TEXT,
                "tags": st.dictionaries(TEXT.filter(bool), TEXT, max_size=3),
                "variants": _unique(VARIANT),
                "sampling": st.fixed_dictionaries({"interval": DURATION}),
                "leak": st.fixed_dictionaries(
                    {},
                    optional={
                        "tolerate": GROWTH,
                        "severity": st.fixed_dictionaries({}, optional={"critical": GROWTH}),
                    },
                ),
                "seed": st.integers(0, 10**17),
                "thresholds": st.fixed_dictionaries(
                    {"gc_pause": st.lists(THRESHOLD, min_size=1, max_size=3)}
                ),
                "matrix": matrix,
            },
        )
    )
    raw["workload"] = "connections" if word == "connections" else "synthetic"
    if word == "units":
        for variant in raw.get("variants", ()):
            variant.pop("pool", None)
            variant.pop("compact", None)
    if word == "connections":
        raw["connections"] = draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "capabilities_size": SIZE,
                    "receive_buffer": SIZE,
                    "writes": RATIO,
                    "distinct_messages": st.integers(0, 10**6),
                },
            )
        )
    else:
        raw["synthetic"] = draw(st.fixed_dictionaries({}, optional={"bytes_per_unit": SIZE}))
    return raw


@given(raw=scenarios())
def test_round_trip(raw: dict[str, Any]) -> None:
    """Nothing is lost or rounded on the way through YAML."""
    # Of a matrix, YAML's plain numbers have at most eighteen digits.
    raw["matrix"] = {
        key: [v % 10**17 if type(v) is int else v for v in values]
        for key, values in raw.get("matrix", {}).items()
    }
    scenario = Scenario.model_validate(raw)
    assert Scenario.model_validate(source.parse(dump(scenario), "dump").data) == scenario


@given(scale=st.floats(0.001, 1.0), name=st.sampled_from(catalogue.names()))
def test_scaled_round_trip(scale: float, name: str) -> None:
    """A scaled duration is written with all its digits."""
    scenario = loading.load(catalogue.find(name), scale=scale).scenario
    assert Scenario.model_validate(source.parse(dump(scenario), "dump").data) == scenario


@pytest.mark.parametrize("name", catalogue.names())
def test_shipped(name: str) -> None:
    """Each shipped scenario is named like its file, and can be dumped and loaded."""
    scenario = loading.load(catalogue.find(name)).scenario
    again = Scenario.model_validate(source.parse(dump(scenario), "dump").data)
    assert (again, again.name) == (scenario, name)


def test_starter_has_every_key() -> None:
    """The starter is valid as it stands, and shows each key that a dump writes."""
    document = source.parse(starter("mine"), "mine.yaml")
    assert Scenario.model_validate(document.data).name == "mine"
    assert set(source.parse(dump(Scenario.model_validate(document.data)), "d").data) == set(
        document.data
    )


@pytest.mark.parametrize("workload", ["agents", "sockets", "target", "synthetic"])
def test_the_other_workloads_of_the_starter(workload: str) -> None:
    """What the starter says of each other workload in a comment is valid in a scenario of it."""
    lines = iter(starter("mine").splitlines())
    block = [next(line for line in lines if line == f"# {workload}:")]
    block += takewhile(lambda line: line.startswith("#   "), lines)
    unit = {"agents": "agents", "synthetic": "units"}.get(workload, "connections")
    text = "\n".join(
        [
            "version: 1",
            "name: mine",
            f"workload: {workload}",
            *(line.removeprefix("# ") for line in block),
            "load:",
            "  clock: wall",
            f"  stages: [{{name: up, duration: 1s, {unit}: 10}}]",
        ]
    )
    scenario = Scenario.model_validate(source.parse(text, "mine.yaml").data)
    assert (workload, len(block) > 1) == (scenario.workload, True)
