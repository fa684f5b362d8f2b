"""What a subject will need of memory, at the least, as far as it is known before it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from memopt_cli.analysis.fit import Wanted
from memopt_cli.optimizer.records import RECORD_BYTES
from memopt_cli.pool.handles import MAX_SLOTS
from memopt_cli.workloads import rates
from memopt_cli.workloads.agents.sizes import agent_bytes
from memopt_cli.workloads.settings import AgentsSettings, SyntheticSettings
from memopt_cli.workloads.sockets.plan import MOST_PER_PAIR, most_per_driver

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.scenario.model import Load, Scenario, Variant
    from memopt_cli.workloads.settings import ConnectionsSettings, SubjectSettings

NAIVE_BYTES: Final = 1200
NAIVE_PER_DOCUMENT_BYTE: Final = 6.8
"""
What a naive connection takes besides its buffer, and for each byte of its document.

Measured as the growth of anonymous memory with documents of 187 B to 100 KiB: 2,617 B to
698 kB; these two are below each of the five figures.
"""

_HANDLE_BYTES: Final = 8
_INDEX_BYTES: Final = 4

COMPACT_BYTES: Final = RECORD_BYTES + _HANDLE_BYTES
"""The record, and the handle in the table of connections."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Lower bounds: a subject that has less cannot finish."""

    memory_bytes: float
    address_space_bytes: float
    """Reserved at the start; most of it is never written."""


def needs(settings: SubjectSettings, load: Load, *, units: int) -> Needs:
    """Return what the subject of one variant needs for *units* at once."""
    population = settings.population
    if isinstance(population, SyntheticSettings):
        return Needs(units * population.bytes_per_unit, units * population.bytes_per_unit)
    if isinstance(population, AgentsSettings):
        return Needs(units * agent_bytes(population), units * agent_bytes(population))
    each = _per_connection(population) + _retained(population, load)
    return Needs(units * each, MAX_SLOTS * _reserved(population))


def connections_wanted(scenario: Scenario) -> Wanted:
    """Return what a scenario of real connections takes of the machine, as it will be spread."""
    units = scenario.load.peak_units or 1
    if scenario.workload == "target" and scenario.target is not None:
        # How many processes it has shows when it runs: enough are assumed.
        servers, drivers = max(1, -(-units // most_per_driver())), scenario.target.drivers
        sources = len(scenario.target.sources)
        each = None
    else:
        servers = scenario.sockets.servers or -(-units // most_per_driver())
        drivers, sources = scenario.sockets.drivers, 0
        each = float(max(map(_of_server(scenario), scenario.variants)))
    return Wanted(
        connections=units,
        server_processes=servers,
        driver_processes=max(drivers, -(-units // most_per_driver())),
        # Pairs of addresses count: with a port for each server there are as many fewer sources.
        sources=sources or -(-units // MOST_PER_PAIR),
        bytes_per_connection=each,
    )


def _of_server(scenario: Scenario) -> Callable[[Variant], float]:
    """Return a function that gives what the bundled server takes for a connection at the least."""
    section = scenario.sockets
    naive = (
        NAIVE_BYTES
        + section.receive_buffer_bytes
        + NAIVE_PER_DOCUMENT_BYTE * section.handshake_bytes
    )
    return lambda variant: COMPACT_BYTES if variant.server == "optimized" else naive


def _reserved(population: ConnectionsSettings) -> int:
    """Return the address space that is taken for each slot there could be."""
    if population.compact:
        return COMPACT_BYTES + _INDEX_BYTES
    return 0 if population.pool_size is None else _HANDLE_BYTES


def _per_connection(population: ConnectionsSettings) -> float:
    if population.compact:
        return COMPACT_BYTES
    buffer_bytes = population.receive_buffer_bytes if population.pool_size is None else 0
    document = NAIVE_PER_DOCUMENT_BYTE * population.capabilities_size_bytes
    return NAIVE_BYTES + buffer_bytes + document


def _retained(population: ConnectionsSettings, load: Load) -> float:
    """Return the bytes of kept messages, as the shortest ones, where nobody is replaced."""
    if population.compact or load.arrival_rate_per_s:
        return 0.0
    most = max(
        (
            rates.message_rate_per_s(load, stage) * stage.duration_s
            for stage in load.stages
            if stage.units
        ),
        default=0.0,
    )
    # Half of the mean: the messages of a connection are drawn at random.
    return min(population.retained_messages, most / 2) * min(population.message_sizes_bytes)
