"""
What a subject is told to be, as plain values that travel as JSON.

A subject does not read scenarios: the scenario's parser would be part of its
memory.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memopt_cli.scenario.model import Scenario, Variant


@dataclass(frozen=True, slots=True)
class ConnectionsSettings:
    """A population of connection states."""

    capabilities_size_bytes: int
    distinct_capabilities: int
    message_sizes_bytes: tuple[int, ...]
    distinct_messages: int
    """Of each size; 0 where no two are alike."""

    retained_messages: int
    receive_buffer_bytes: int
    pool_size: int | None
    """Records made beforehand; `None` for no pool."""

    pool_max_size: int | None
    compact: bool
    compression: bool
    shared_payloads: bool
    leak_bytes: int
    seed: int


@dataclass(frozen=True, slots=True)
class SyntheticSettings:
    """A population of units of known size."""

    bytes_per_unit: int
    leak_bytes: int
    """Forgotten by each message."""

    leak_per_operation_bytes: int
    """Forgotten by each arrival, message and departure."""

    imports: tuple[str, ...]
    capacity: int


@dataclass(frozen=True, slots=True)
class AgentsSettings:
    """A population of agents."""

    models: tuple[str, ...]
    shares: tuple[float, ...]
    """Of each model, which sum to 1."""

    distinct_models: int
    learners: float
    history: int
    kept_beliefs: int
    layout: str
    tier: str
    hibernate_s: float | None
    threads: int
    fault: str
    leak_bytes: int
    """Forgotten by each step."""

    leak_per_cycle_bytes: int
    """Forgotten as each agent ends."""

    capacity: int
    seed: int


@dataclass(frozen=True, slots=True)
class SubjectSettings:
    """Everything a subject process is told at its start."""

    population: ConnectionsSettings | AgentsSettings | SyntheticSettings
    gc: str
    """Profile of `memopt_cli.optimizer.gc_tuning.GcTuning`."""

    def to_json(self) -> str:
        """Return the settings as one line."""
        kind = next(name for name, one in _KINDS.items() if isinstance(self.population, one))
        return json.dumps({"kind": kind, **dataclasses.asdict(self)})

    @classmethod
    def from_json(cls, line: str) -> SubjectSettings:
        """Return the settings that `to_json` wrote."""
        values = json.loads(line)
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values["population"].items()
        }
        return cls(_KINDS[values["kind"]](**fields), values["gc"])


_KINDS: dict[str, type[Any]] = {
    "connections": ConnectionsSettings,
    "agents": AgentsSettings,
    "synthetic": SyntheticSettings,
}


def settings_for(scenario: Scenario, variant: Variant, *, capacity: int) -> SubjectSettings:
    """Return what the subject of one variant is told; *capacity* is the largest population."""
    if scenario.workload == "synthetic":
        section = scenario.synthetic
        return SubjectSettings(
            SyntheticSettings(
                bytes_per_unit=int(section.bytes_per_unit),
                leak_bytes=int(variant.leak_bytes),
                leak_per_operation_bytes=int(section.leak_per_operation_bytes),
                imports=section.imports,
                capacity=capacity,
            ),
            variant.gc,
        )
    if scenario.workload == "agents":
        return SubjectSettings(_agents(scenario, variant, capacity), variant.gc)
    connections = scenario.connections
    pool, compact = variant.pool, variant.compact
    return SubjectSettings(
        ConnectionsSettings(
            capabilities_size_bytes=int(connections.capabilities_size_bytes),
            distinct_capabilities=connections.distinct_capabilities,
            message_sizes_bytes=tuple(int(size) for size, _ in connections.message_mix),
            distinct_messages=connections.distinct_messages,
            retained_messages=connections.retained_messages,
            receive_buffer_bytes=int(connections.receive_buffer_bytes),
            pool_size=None if pool is None else pool.size,
            pool_max_size=None if pool is None else pool.max_size,
            compact=compact is not None,
            compression=compact is not None and compact.compression,
            shared_payloads=compact is not None and compact.shared_payloads,
            leak_bytes=int(variant.leak_bytes),
            seed=scenario.seed,
        ),
        variant.gc,
    )


def _agents(scenario: Scenario, variant: Variant, capacity: int) -> AgentsSettings:
    section, options = scenario.agents, variant.agents
    return AgentsSettings(
        models=tuple(name for name, _ in section.mix),
        shares=tuple(share for _, share in section.mix),
        distinct_models=section.distinct_models,
        learners=section.learners,
        history=section.history,
        kept_beliefs=section.kept_beliefs,
        layout="own" if options is None else options.layout,
        tier="f64" if options is None else options.tier,
        hibernate_s=None if options is None else options.hibernate_s,
        threads=1 if options is None else options.threads,
        fault="none" if options is None else options.fault,
        leak_bytes=int(variant.leak_bytes),
        leak_per_cycle_bytes=int(section.leak_per_cycle_bytes),
        capacity=capacity,
        seed=scenario.seed,
    )
