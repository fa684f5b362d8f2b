"""
What a scenario says, as frozen values in SI units.

The names in YAML are the aliases; the names in Python carry the unit. Values
are checked while they are read, so a `Scenario` that exists can be run. Build
one from keys and values as YAML has them, with `Scenario.model_validate`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from memopt_cli.scenario import checks
from memopt_cli.scenario.agents import AgentOptions, AgentsSection
from memopt_cli.scenario.conditions import Threshold, flattened
from memopt_cli.scenario.faults import Fault, caught, fault, raised, shown
from memopt_cli.scenario.fields import (
    Interval,
    Kebab,
    Seed,
    Switch,
    Text,
    choice,
    items,
)
from memopt_cli.scenario.leaks import LeakSection, Severities
from memopt_cli.scenario.load import Load, Pattern, Stage
from memopt_cli.scenario.section import Section
from memopt_cli.scenario.sockets import NeedsSection, SocketsSection, TargetSection, TlsSection
from memopt_cli.scenario.workload import (
    CompactOptions,
    ConnectionsSection,
    PoolOptions,
    SyntheticSection,
    Variant,
)

__all__ = [
    "AgentOptions",
    "AgentsSection",
    "CompactOptions",
    "ConnectionsSection",
    "LeakSection",
    "Load",
    "Pattern",
    "PoolOptions",
    "Sampling",
    "Scenario",
    "Section",
    "Stage",
    "SyntheticSection",
    "Threshold",
    "Variant",
]

_S = TypeVar("_S")

VERSION = 1
MAX_VARIANTS = 32


class Sampling(Section):
    """How often the subject is looked at."""

    interval_s: Interval = Field(
        default=1.0, alias="interval", description="Time between two samples, 10ms or more."
    )
    heap: Switch = Field(
        default=False,
        description=(
            "Whether the heap in use is read in every sample, not at plateaus only: finds growth "
            "that pages hide, and costs the subject 0.2 ms or more each time."
        ),
    )


def _version(value: object) -> int:
    """Return the only version of the format there is."""
    if isinstance(value, bool) or value != VERSION or not isinstance(value, int):
        raise fault(
            f"version {shown(value)} of the scenario format is unknown", "Write version: 1."
        )
    return value


def _matrix(value: object) -> dict[str, tuple[Any, ...]]:
    """Return the matrix; its keys are checked when its cells are made."""
    if not isinstance(value, dict):
        remedy = "Write it like {connections: [1000, 10000]}."
        raise fault(f"expected keys and lists, found {shown(value)}", remedy)
    faults = [
        Fault((key,), f"expected a list of values, found {shown(items)}", "Write [1000, 10000].")
        for key, items in value.items()
        if not isinstance(items, list | tuple) or not items
    ]
    if faults:
        raise raised(faults)
    return {key: tuple(items) for key, items in value.items()}


class Scenario(Section):
    """A whole scenario: what to run, in which variants, under which load, judged by what."""

    version: Annotated[Literal[1], BeforeValidator(_version)] = Field(
        description="Version of the scenario format: 1."
    )
    name: Kebab = Field(description="Name of the scenario, in kebab-case.")
    description: Text = Field(default="", description="What the scenario shows, in a sentence.")
    tags: dict[str, Text] = Field(default={}, description="Labels that go with the run.")
    workload: Annotated[
        Literal["connections", "sockets", "target", "agents", "synthetic"],
        BeforeValidator(choice("workload", checks.UNIT_WORDS)),
    ] = Field(
        description=(
            "What a unit is: a connection's state, a connection over TCP to the bundled server, "
            "one to a server of your own, an agent, or memory of a known size."
        )
    )
    connections: ConnectionsSection = Field(
        default=ConnectionsSection(), description="Options of the workload connections."
    )
    agents: AgentsSection = Field(
        default=AgentsSection(), description="Options of the workload agents."
    )
    synthetic: SyntheticSection = Field(
        default=SyntheticSection(), description="Options of the workload synthetic."
    )
    sockets: SocketsSection = Field(
        default=SocketsSection(), description="Options of the workload sockets."
    )
    target: TargetSection | None = Field(
        default=None, description="The server that the workload target connects to."
    )
    variants: Annotated[tuple[Variant, ...], BeforeValidator(items(MAX_VARIANTS))] = Field(
        default=(Variant(name="baseline"),),
        description="Ways of serving the same load, each in a process of its own.",
    )
    load: Load = Field(description="How the population grows, holds and shrinks.")
    sampling: Sampling = Field(default=Sampling(), description="How often memory is read.")
    leak: LeakSection = Field(
        default=LeakSection(), description="What growth does not fail a run, and what is severe."
    )
    seed: Seed = Field(default=1, description="Seed of every random choice of the load.")
    matrix: Annotated[dict[str, tuple[Any, ...]], BeforeValidator(_matrix)] = Field(
        default={}, description="Values to run the file with, one run for each combination."
    )
    thresholds: Annotated[tuple[Threshold, ...], BeforeValidator(flattened)] = Field(
        default=(), description="Conditions by metric; the run fails when one is crossed."
    )

    @model_validator(mode="wrap")
    @classmethod
    def _whole(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Check sections against each other even where one has a key that nobody knows."""
        if not isinstance(value, dict):
            return handler(value)
        faults = checks.as_written(value)
        scenario, found = _attempt(value, handler)
        faults += found
        if scenario is not None:
            faults += checks.between_sections(scenario)
        if faults or scenario is None:
            raise raised(checks.distinct(faults))
        return scenario

    @property
    def unit_word(self) -> str:
        """What the workload calls its units: `connections`, `agents` or `units`."""
        return checks.UNIT_WORDS[self.workload]

    @property
    def ticks(self) -> float:
        """How many samples the run takes per variant."""
        return self.load.duration_s / self.sampling.interval_s


def _attempt(
    value: dict[str, Any], handler: ModelWrapValidatorHandler[_S]
) -> tuple[_S | None, list[Fault]]:
    """Return the scenario as far as it can be read without its unknown keys, and all faults."""
    try:
        return handler(value), []
    except ValidationError as exc:
        found = caught(exc)
    scenario = None
    unknown = [one.path for one in found if one.unknown]
    if unknown:
        try:
            scenario = handler(checks.pruned(value, unknown))
        except ValidationError as exc:
            found += caught(exc)
    return scenario, checks.with_hints(found, value, SECTIONS)


SECTIONS: dict[tuple[str | int, ...], type[Section]] = {
    (): Scenario,
    ("connections",): ConnectionsSection,
    ("agents",): AgentsSection,
    ("synthetic",): SyntheticSection,
    ("sockets",): SocketsSection,
    ("target",): TargetSection,
    ("target", "tls"): TlsSection,
    ("target", "needs"): NeedsSection,
    ("variants", "*"): Variant,
    ("variants", "*", "pool"): PoolOptions,
    ("variants", "*", "compact"): CompactOptions,
    ("variants", "*", "agents"): AgentOptions,
    ("load",): Load,
    ("load", "pattern"): Pattern,
    ("load", "stages", "*"): Stage,
    ("load", "stages", "*", "pattern"): Pattern,
    ("sampling",): Sampling,
    ("leak",): LeakSection,
    ("leak", "severity"): Severities,
    ("thresholds", "*", "*"): Threshold,
}
"""Every section by its path; an asterisk stands for any key or index."""
