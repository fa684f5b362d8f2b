"""Scenarios of real connections: what they may say, and what does not go together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from memopt_cli.scenario import loading
from memopt_cli.scenario.dumping import dump
from memopt_cli.scenario.faults import caught
from memopt_cli.scenario.model import Scenario

if TYPE_CHECKING:
    from pathlib import Path

STAGES = [
    {"name": "before", "duration": "1s", "connections": 0},
    {"name": "up", "duration": "1s", "connections": 1000, "plateaus": 4, "rounds": 1},
]
REDIS: dict[str, Any] = {
    "url": "redis://:secret@127.0.0.1:{port}",
    "command": ["redis-server", "--port", "{port}", "--save", ""],
    "environment": {"A": 1},
    "options": {"user": "me", "deep": {"a": [1, True]}},
    "headers": {"Authorization": "Bearer ${TOKEN}"},
    "tls": {"cafile": "ca.pem", "verify": "off"},
    "sources": ["127.0.0.1"],
    "collect": ["kill", "-USR1", "{pid}"],
    "needs": {"programs": ["redis-server"], "hint": "Install it."},
    "ready_within": "5s",
}


def written(workload: str = "target", **changes: Any) -> dict[str, Any]:
    """Return a scenario of real connections as YAML has it."""
    load = {"clock": "wall", "stages": STAGES, **changes.pop("load", {})}
    values = {"version": 1, "name": "small", "workload": workload, "load": load}
    if workload == "target":
        values["target"] = REDIS
    return {**values, **changes}


@pytest.mark.parametrize(
    "values",
    [
        written(),
        written(target={"url": "mcp+https://[::1]/mcp", "pid": 7, "protocol": "mine:Own"}),
        written(
            "sockets",
            sockets={"servers": 6, "handshake_size": "1KiB", "settle_within": "2s"},
            variants=[{"name": "naive"}, {"name": "best", "server": "optimized"}],
            thresholds={"memory_kept_per_connection": ["value<1B"], "connect_time": ["value<1s"]},
        ),
    ],
)
def test_what_is_written_out_loads_back(values: dict[str, Any], tmp_path: Path) -> None:
    """The expanded scenario is the same scenario."""
    scenario = Scenario.model_validate(values)

    assert scenario == loading.load_text(dump(scenario), tmp_path / "again.yaml")


def target(**changes: Any) -> dict[str, Any]:
    """Return a scenario with another target."""
    return written(target={**REDIS, **changes})


REFUSED = [
    (written(load={"clock": "virtual"}), "real connections take real time"),
    (written(load={"pattern": "poisson"}), "do not arrive by the pattern 'poisson'"),
    (written(load={"stages": STAGES[:1]}), "no stage has any connections"),
    (
        written(load={"stages": [{**STAGES[1], "pattern": "poisson"}]}),
        "real connections arrive evenly",
    ),
    (
        written(
            load={
                "lifetime": "1s",
                "stages": [{"name": "up", "duration": "1s", "arrival_rate": "5/s"}],
            }
        ),
        "stage 'up' does not say how many connections there are",
    ),
    (written(variants=[{"name": "a"}, {"name": "b"}]), "several variants of one target"),
    (written(variants=[{"name": "a", "gc": "off"}]), "workload 'target' has no gc"),
    (written(variants=[{"name": "a", "pool": "on"}]), "workload 'target' has no pool"),
    (written(variants=[{"name": "a", "leak": "64B"}]), "workload 'target' has no leak"),
    (written(variants=[{"name": "a", "server": "naive"}]), "has no server"),
    (written(target=None), "'target'"),
    (target(url="redis:7000"), "names no host"),
    (target(url="rdis://127.0.0.1:1"), "unknown scheme 'rdis'"),
    (target(url="tcp://127.0.0.1"), "names no port"),
    (target(url="http://127.0.0.1:99999"), "is no URL"),
    (target(pid=7), "either a command, which is started, or the pid"),
    (target(command=["x", "{prt}"]), "unknown placeholder '{prt}'"),
    (target(url="tcp://127.0.0.1:1/{prt}"), "unknown placeholder '{prt}'"),
    (target(command=["x", "{pid}"]), "unknown placeholder '{pid}'"),
    (target(collect=["x", "{pi}"]), "unknown placeholder '{pi}'"),
    (target(headers={"A": ["b"]}), "expected text for A"),
    (target(settle_whithin="1s"), "unknown key 'settle_whithin'"),
    (written("sockets", target=REDIS), "section 'target' in a scenario of workload 'sockets'"),
    (
        written("connections", load={"clock": "virtual"}),
        "workload 'connections' has no rounds",
    ),
    (
        written("connections", thresholds={"connect_time": ["value<1s"]}),
        "connect_time in a scenario of workload 'connections'",
    ),
]


@pytest.mark.parametrize(("values", "said"), REFUSED)
def test_what_is_refused(values: dict[str, Any], said: str) -> None:
    """Each mistake is told in words."""
    with pytest.raises(ValidationError) as told:
        Scenario.model_validate(values)

    assert any(said in one.message for one in caught(told.value))


def test_a_million_is_the_most() -> None:
    """The count of real connections is bounded, below that of simulated ones."""
    stages = [*STAGES[:1], {**STAGES[1], "connections": 1_000_001}]
    with pytest.raises(ValidationError) as told:
        Scenario.model_validate(written(load={"stages": stages}))

    assert ["1,000,001 real connections"] == [one.message for one in caught(told.value)]
