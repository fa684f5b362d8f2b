"""Every key of a scenario can be set in a file, in the environment, and on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from memopt_cli.errors import ScenarioError
from memopt_cli.scenario import loading
from memopt_cli.scenario.dumping import dump
from memopt_cli.scenario.model import SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOAD = "load: {{stages: [{{name: up, duration: 10s, {unit}: 10}}]}}\n"
_HEAD = "version: 1\nname: small\nworkload: {workload}\n"
_WALL = "load: {{clock: wall, stages: [{{name: up, duration: 10s, {unit}: 10}}]}}\n"


def _small(workload: str, unit: str, rest: str = "", load: str = _LOAD) -> str:
    return _HEAD.format(workload=workload) + load.format(unit=unit) + rest


_OPEN = _HEAD.format(workload="connections") + (
    "load: {lifetime: 30s, stages: [{name: up, duration: 10s, arrival_rate: 5/s}]}\n"
)
_JUDGED = "thresholds: {gc_pause: [{threshold: max<1s, abort_on_fail: true}]}\n"
BASES = {
    "connections": _small("connections", "connections", _JUDGED),
    "packed": _small(
        "connections",
        "connections",
        "variants: [{name: a, pool: on, compact: on}]\nconnections: {retained_messages: 1}\n",
    ),
    "open": _OPEN,
    "agents": _small("agents", "agents", "variants: [{name: a, agents: on}]\n"),
    "synthetic": _small("synthetic", "units"),
    "sockets": _small("sockets", "connections", load=_WALL),
}
"""Scenarios in which the keys below have a meaning."""

KEYS: dict[str, dict[str, str]] = {
    "connections": {
        "name": "other",
        "description": "Other.",
        "tags.kind": "other",
        "seed": "2",
        "matrix": "{seed: [1, 2]}",
        "connections.capabilities_size": "2KiB",
        "connections.distinct_capabilities": "3",
        "connections.message_mix": "{13B: 100%}",
        "connections.distinct_messages": "3",
        "connections.writes": "90%",
        "connections.retained_messages": "3",
        "connections.receive_buffer": "8KiB",
        "variants.0.name": "other",
        "variants.0.pool": "on",
        "variants.0.compact": "on",
        "variants.0.gc": "off",
        "variants.0.leak": "64B",
        "load.arrival_rate": "7/s",
        "load.message_rate": "7/s",
        "load.lifetime": "7s",
        "load.clock": "wall",
        "load.stages.0.name": "other",
        "load.stages.0.duration": "7s",
        "load.stages.0.connections": "7",
        "load.stages.0.plateaus": "7",
        "load.stages.0.message_rate": "7/s",
        "sampling.interval": "2s",
        "sampling.heap": "on",
        "leak.tolerate": "1MB/h",
        "leak.severity.medium": "10kB/s",
        "leak.severity.high": "400kB/s",
        "leak.severity.critical": "2MB/s",
        "thresholds.gc_pause.0.threshold": "max<2s",
        "thresholds.gc_pause.0.stage": "up",
        "thresholds.gc_pause.0.window": "5s",
        "thresholds.gc_pause.0.variant": "baseline",
        "thresholds.gc_pause.0.abort_on_fail": "false",
        "thresholds.gc_pause.0.delay_abort_eval": "5s",
    },
    "packed": {
        "variants.a.pool.size": "7",
        "variants.a.pool.max_size": "20000",
        "variants.a.compact.compression": "on",
        "variants.a.compact.shared_payloads": "on",
    },
    "open": {
        "load.pattern": "ramp",
        "load.stages.0.pattern": "ramp",
        "load.stages.0.arrival_rate": "7/s",
    },
    "agents": {
        "agents.mix": "{G10: 100%}",
        "agents.distinct_models": "2",
        "agents.learners": "50%",
        "agents.history": "7",
        "agents.kept_beliefs": "7",
        "agents.active": "50%",
        "agents.first_steps": "7",
        "agents.leak_per_cycle": "64B",
        "agents.probes": "7",
        "agents.profile": "7",
        "agents.until": "90MiB",
        "agents.probe_steps": "7",
        "variants.a.agents": "off",
        "variants.a.agents.layout": "shared",
        "variants.a.agents.tier": "f32",
        "variants.a.agents.hibernate": "7s",
        "variants.a.agents.threads": "2",
    },
    "synthetic": {
        "synthetic.bytes_per_unit": "2KiB",
        "synthetic.leak_per_operation": "64B",
        "synthetic.imports": "[json]",
    },
    "sockets": {
        "load.stages.0.rounds": "2",
        "variants.0.server": "optimized",
        "sockets.drivers": "2",
        "sockets.answer_within": "7s",
        "sockets.settle_within": "7s",
        "sockets.servers": "2",
        "sockets.handshake_size": "7KiB",
        "sockets.distinct_handshakes": "7",
        "sockets.message_size": "7KiB",
        "sockets.receive_buffer": "7KiB",
    },
}


def _loaded(folder: Path, text: str, settings: tuple[str, ...] = (), environment: str = "") -> str:
    file = folder / "s.yaml"
    file.write_text(text, encoding="utf-8")
    return dump(loading.load(file, settings=settings, environment=environment).scenario)


def _cases() -> Iterator[tuple[str, str, str]]:
    for base, keys in KEYS.items():
        for key, value in keys.items():
            yield base, key, value


@pytest.mark.parametrize(("base", "key", "value"), list(_cases()))
def test_a_key_changes_the_scenario_wherever_it_is_set(
    base: str, key: str, value: str, tmp_path: Path
) -> None:
    """The environment and the command line change the same, and what runs differs from before."""
    before = _loaded(tmp_path, BASES[base])
    by_flag = _loaded(tmp_path, BASES[base], (f"{key}={value}",))
    by_environment = _loaded(tmp_path, BASES[base], environment=f"{key}={value}")
    assert before != by_flag
    assert by_flag == by_environment


def test_what_is_dumped_is_read_as_it_was(tmp_path: Path) -> None:
    """All keys of a scenario written into a file are the same scenario: files have every key."""
    for base, key, value in _cases():
        dumped = _loaded(tmp_path, BASES[base], (f"{key}={value}",))
        assert dumped == _loaded(tmp_path, dumped)


def test_no_key_is_forgotten() -> None:
    """A new key has to be added here; those of patterns and targets have tests of their own."""
    tested = {
        tuple(step for step in key.split(".") if not step.isdigit() and step != "a")
        for keys in KEYS.values()
        for key in keys
    }
    words = {"units": {"units", "connections"}}
    missing = [
        (*path, key)
        for path, section in SECTIONS.items()
        if path[:1] != ("target",) and path[-1:] != ("pattern",)
        for key in section.written_keys()
        if not any(
            found[-1] in words.get(key, {key}) and found[:1] in {path[:1], (key,)}
            for found in tested
        )
        if (*path, key) not in _ELSEWHERE
    ]
    assert [] == missing


_ELSEWHERE = {
    ("version",),
    ("workload",),
    ("target",),
    ("load",),
    ("thresholds",),
    ("load", "stages"),
    ("variants",),
    ("connections",),
    ("agents",),
    ("synthetic",),
    ("sockets",),
    ("sampling",),
    ("leak",),
    ("leak", "severity"),
    ("tags",),
    ("variants", "*", "agents", "fault"),
    ("thresholds", "*", "*", "metric"),
}
"""Sections as a whole, what every base has, and a fault that is planted to be found."""


def test_the_command_line_goes_before_the_environment(tmp_path: Path) -> None:
    """A flag is nearer to the user than a variable, a variable nearer than the file."""
    text = BASES["connections"] + "seed: 3\n"
    assert "seed: 4" in _loaded(tmp_path, text, environment="seed=4")
    assert "seed: 5" in _loaded(tmp_path, text, ("seed=5",), "seed=4")


def test_the_environment_holds_several(tmp_path: Path) -> None:
    """Settings are parted by semicolons or lines, as a shell and a CI file write them."""
    several = "seed=4; name=other\nsampling.interval=7s;\n"
    found = _loaded(tmp_path, BASES["connections"], environment=several)
    assert all(part in found for part in ("seed: 4", "name: other", "interval: 7s"))


def test_an_unknown_key_of_the_environment_is_an_error(tmp_path: Path) -> None:
    """It is told where it was written, with the nearest key that there is."""
    with pytest.raises(ScenarioError) as caught:
        _loaded(tmp_path, BASES["connections"], environment="sede=4")
    (problem,) = caught.value.problems
    assert ("MEMOPT_SET sede=4", "Did you mean 'seed'?") == (str(problem.at), problem.hint)
