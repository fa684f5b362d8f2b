"""Scenarios against the server whose connections take a known number of bytes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from memopt_cli.engine.clock import SystemClock
from memopt_cli.engine.keeping import kept
from memopt_cli.engine.launcher import LocalLauncher
from memopt_cli.engine.serving import LocalServices
from memopt_cli.engine.simulate import simulate
from memopt_cli.engine.stopping import StopRequest
from memopt_cli.scenario.dumping import dump
from memopt_cli.scenario.loading import Cell, Plan
from memopt_cli.scenario.model import Scenario
from memopt_cli.store import layout, reader
from memopt_cli.store.writer import RunWriter

if TYPE_CHECKING:
    from memopt_cli.analysis.recording import Recording

ROOT = Path(__file__).parents[1]


def connected_to(
    command: list[str], count: int, *, plateaus: int = 6, waves: int = 1, **target: Any
) -> Scenario:
    """Return a scenario that connects to what *command* starts, with so many waves."""
    stages: list[dict[str, Any]] = [
        {"name": "before", "duration": "10ms", "connections": 0},
        {"name": "up", "duration": "10ms", "connections": count, "plateaus": plateaus},
        {"name": "used", "duration": "10ms", "connections": count, "rounds": 1},
        {"name": "closed", "duration": "10ms", "connections": 0},
    ]
    for wave in range(2, waves + 1):
        stages.append({"name": f"wave-{wave}", "duration": "10ms", "connections": count})
        stages.append({"name": f"closed-{wave}", "duration": "10ms", "connections": 0})
    environment = {"PYTHONPATH": str(ROOT)}
    section = {"command": command, "url": "tcp://127.0.0.1:{port}", "environment": environment}
    return Scenario.model_validate(
        {
            "version": 1,
            "name": "exact",
            "workload": "target",
            "target": {**section, **target},
            "load": {"clock": "wall", "stages": stages},
        }
    )


def exact(level: str, size_bytes: int, *, keep: bool = False) -> list[str]:
    """Return the command that starts the server."""
    module = "tests.workloads.sockets.exact"
    return ["{python}", "-m", module, "{port}", level, str(size_bytes), "keep" if keep else "free"]


def recorded(scenario: Scenario, folder: Path, stop: StopRequest | None = None) -> Recording:
    """Run a scenario in *folder* and return what was recorded, however it ended."""
    clock, stop = SystemClock(), stop or StopRequest()
    log = folder / layout.TARGET_LOG
    with RunWriter(folder) as writer:
        stream = simulate(
            Plan(scenario, (Cell({}, scenario),)),
            scenario_yaml=dump(scenario),
            started_at="2026-01-31T12:00:00Z",
            launcher=LocalLauncher(log, clock=clock, stop=stop),
            clock=clock,
            stop=stop,
            services=LocalServices(log, clock=clock, stop=stop),
        )
        for _ in kept(stream, writer):
            pass
    return reader.read(folder)
