"""What a subject is told survives the way to it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from memopt_cli.scenario.model import Scenario
from memopt_cli.workloads.settings import SubjectSettings, settings_for

CONNECTIONS = {
    "workload": "connections",
    "connections": {
        "capabilities_size": "2KiB",
        "distinct_capabilities": 5,
        "message_mix": {"13B": "70%", "1KiB": "30%"},
        "distinct_messages": 6,
        "retained_messages": 3,
        "receive_buffer": "8KiB",
    },
    "variants": [
        {"name": "plain"},
        {
            "name": "all",
            "pool": {"size": 7, "max_size": 70},
            "compact": {"compression": "on", "shared_payloads": "on"},
            "gc": "adaptive",
            "leak": "64B",
        },
    ],
    "load": {"connections": 100},
    "seed": 9,
}

SYNTHETIC = {
    "workload": "synthetic",
    "synthetic": {"bytes_per_unit": "2KiB", "leak_per_operation": "32B", "imports": ["json"]},
    "variants": [{"name": "only", "leak": "64B", "gc": "off"}],
    "load": {"units": 100},
}


AGENTS = {
    "workload": "agents",
    "agents": {
        "mix": {"G20": "70%", "xy5": "30%"},
        "distinct_models": 2,
        "learners": "10%",
        "history": 99,
        "kept_beliefs": 5,
        "leak_per_cycle": "800B",
    },
    "variants": [
        {"name": "naive"},
        {
            "name": "all",
            "agents": {"tier": "log16", "hibernate": "90s", "threads": 3, "fault": "nan"},
            "leak": "64B",
            "gc": "frozen",
        },
    ],
    "load": {"agents": 100},
    "seed": 9,
}


def _told(raw: dict[str, Any]) -> list[SubjectSettings]:
    scenario = Scenario.model_validate({"version": 1, "name": "told", **raw})
    return [settings_for(scenario, variant, capacity=123) for variant in scenario.variants]


@pytest.mark.parametrize(
    "raw", [CONNECTIONS, AGENTS, SYNTHETIC], ids=["connections", "agents", "synthetic"]
)
def test_round_trip(raw: dict[str, Any]) -> None:
    """Settings come back from JSON equal, and on one line."""
    for settings in _told(raw):
        line = settings.to_json()
        assert "\n" not in line
        assert SubjectSettings.from_json(line) == settings


def test_connections_are_told_everything() -> None:
    """Each key of the scenario arrives, in bytes and as counts."""
    assert json.loads(_told(CONNECTIONS)[1].to_json()) == {
        "kind": "connections",
        "population": {
            "capabilities_size_bytes": 2048,
            "distinct_capabilities": 5,
            "message_sizes_bytes": [13, 1024],
            "distinct_messages": 6,
            "retained_messages": 3,
            "receive_buffer_bytes": 8192,
            "pool_size": 7,
            "pool_max_size": 70,
            "compact": True,
            "compression": True,
            "shared_payloads": True,
            "leak_bytes": 64,
            "seed": 9,
        },
        "gc": "adaptive",
    }


def test_agents_are_told_everything() -> None:
    """Each key that a subject needs arrives; without options every agent owns everything."""
    naive, told = (json.loads(one.to_json()) for one in _told(AGENTS))

    assert {
        "kind": "agents",
        "population": {
            "models": ["G20", "xy5"],
            "shares": [0.7, 0.3],
            "distinct_models": 2,
            "learners": 0.1,
            "history": 99,
            "kept_beliefs": 5,
            "layout": "batched",
            "tier": "log16",
            "hibernate_s": 90.0,
            "threads": 3,
            "fault": "nan",
            "leak_bytes": 64,
            "leak_per_cycle_bytes": 800,
            "capacity": 123,
            "seed": 9,
        },
        "gc": "frozen",
    } == told
    assert ("own", "f64", None, 1) == tuple(
        naive["population"][key] for key in ("layout", "tier", "hibernate_s", "threads")
    )


def test_synthetic_is_told_everything() -> None:
    """Each key of the scenario arrives; the variant's leak and the section's are two."""
    assert json.loads(_told(SYNTHETIC)[0].to_json()) == {
        "kind": "synthetic",
        "population": {
            "bytes_per_unit": 2048,
            "leak_bytes": 64,
            "leak_per_operation_bytes": 32,
            "imports": ["json"],
            "capacity": 123,
        },
        "gc": "off",
    }
