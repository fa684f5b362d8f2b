"""Populations of every variant, and one transcript that drives them."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.profiler.histogram import Histogram
from memopt_cli.scenario.load import Load
from memopt_cli.workloads.connections.population import Connections, build
from memopt_cli.workloads.settings import ConnectionsSettings
from memopt_cli.workloads.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memopt_cli.workloads.population import InProcess
    from memopt_cli.workloads.transcript import Tick

SETTINGS = ConnectionsSettings(
    capabilities_size_bytes=700,
    distinct_capabilities=3,
    message_sizes_bytes=(13, 900, 9000),
    distinct_messages=0,
    retained_messages=0,
    receive_buffer_bytes=256,
    pool_size=None,
    pool_max_size=None,
    compact=False,
    compression=False,
    shared_payloads=False,
    leak_bytes=0,
    seed=1,
)

VARIANTS: dict[str, dict[str, Any]] = {
    "naive": {},
    "pooled": {"pool_size": 10, "pool_max_size": 30},
    "compact": {"compact": True},
    "optimized": {"pool_size": 10, "pool_max_size": 30, "compact": True, "compression": True},
    "sharing": {"compact": True, "compression": True, "shared_payloads": True},
}

_STAGES = (
    {"name": "up", "duration": "5s", "units": 50},
    {"name": "steady", "duration": "10s", "units": 50},
    {"name": "down", "duration": "3s", "units": 20},
)


@pytest.fixture
def made() -> Callable[..., Connections[Any]]:
    """Return a function that makes a population of connections with changed settings."""

    def make(**changes: Any) -> Connections[Any]:
        population = build(replace(SETTINGS, **changes), latency=Histogram())
        assert isinstance(population, Connections)
        return population

    return make


@pytest.fixture(scope="session")
def ticks() -> Sequence[Tick]:
    """Return a load of 50 connections that take turns, of which 20 stay."""
    load = Load.model_validate({"arrival_rate": "9/s", "message_rate": "1/s", "stages": _STAGES})
    return tuple(Transcript(load, mix=(0.6, 0.3, 0.1), writes=0.4, seed=1))


@pytest.fixture
def driven(ticks: Sequence[Tick]) -> Callable[[InProcess], None]:
    """Return a function that does to a population all that the ticks say."""

    def drive(population: InProcess) -> None:
        for tick in ticks:
            population.grow(array("I", tick.arrivals), tick.ends_s)
            population.drive(array("I", tick.message_slots), tick.message_codes, tick.ends_s)
            population.shrink(array("I", tick.departures), tick.ends_s)

    return drive


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the settings that make each variant in turn."""
    return VARIANTS[str(request.param)]
