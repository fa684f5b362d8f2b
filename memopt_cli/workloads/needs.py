"""What a subject will need of memory, at the least, as far as it is known before it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from memopt_cli.optimizer.records import RECORD_BYTES
from memopt_cli.pool.handles import MAX_SLOTS
from memopt_cli.workloads import rates
from memopt_cli.workloads.agents.sizes import agent_bytes
from memopt_cli.workloads.settings import AgentsSettings, SyntheticSettings

if TYPE_CHECKING:
    from memopt_cli.scenario.model import Load
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
