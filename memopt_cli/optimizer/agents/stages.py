"""The stages of an agent's life, and what is remembered of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from memopt_cli.errors import AgentError


class LifeStage(StrEnum):
    """Where an agent is in its life."""

    ACTIVE = "active"
    IDLE = "idle"
    HIBERNATED = "hibernated"
    TERMINATED = "terminated"


class Deed(StrEnum):
    """What has happened to an agent, or to all."""

    REGISTERED = "registered"
    REFUSED = "refused"
    HIBERNATED = "hibernated"
    WOKEN = "woken"
    RECYCLED = "recycled"
    TERMINATED = "terminated"
    RELIEVED = "relieved"
    LIMITED = "limited"


@dataclass(frozen=True, slots=True)
class LifeRules:
    """
    How many agents there may be, and when they sleep.

    Raises:
        AgentError: The rules contradict each other.
    """

    limit: int
    """Most agents, awake or asleep."""

    idle_s: float = 60.0
    """Unused for as long, an agent is idle."""

    hibernate_s: float = 300.0
    """Unused for as long, it is put to sleep at the next tick."""

    fewest_awake: int = 1
    """The limit on those awake is never lowered below this."""

    budget_bytes: int | None = None
    """Memory above which fewer may be awake; None for no such limit."""

    def __post_init__(self) -> None:
        if not 1 <= self.fewest_awake <= self.limit or not 0 <= self.idle_s <= self.hibernate_s:
            raise AgentError(
                f"{self.fewest_awake} to {self.limit} agents, idle after {self.idle_s} s, "
                f"asleep after {self.hibernate_s} s",
                hint="Allow at least one agent, and let none sleep before it is idle.",
            )


@dataclass(frozen=True, slots=True)
class LifeEvent:
    """One thing that has happened."""

    time_s: float
    """By the lifecycle's clock."""

    deed: Deed
    handle: int | None
    """Whose; None where it is nobody's."""

    freed_bytes: int
    """Of a relief: what was measured to be given back."""

    awake_limit: int
    """From then on."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What putting agents to sleep has done."""

    hibernated: int
    """How many were awake before and sleep now."""

    freed_bytes: int
    """Difference of the memory before and after; 0 where it did not fall."""

    awake_limit: int
    """Most agents that may be awake now."""
