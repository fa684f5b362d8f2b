"""What an agent's step consists of, and what is left of agents that ended, as it was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

PARTS = ("perceive", "update", "plan")
"""Of a step: a belief is formed, it is stored or learned from, an action is chosen."""


@dataclass(frozen=True, slots=True)
class PartCost:
    """One part of a step."""

    name: str
    s_per_step: float
    """Seconds of one agent's step; of agents that are stepped together the share of one."""

    peak_bytes: int
    """The most that it held above what was there as it began, of all that were stepped together."""

    kept_bytes_per_step: float
    """What was there after it and not before; what the next step replaces is given back there."""


@dataclass(frozen=True, slots=True)
class KeptLine:
    """A line whose memory outlives the agents."""

    place: str
    """File and line."""

    bytes_per_agent: float
    """Of each that ended."""


@dataclass(frozen=True, slots=True)
class OperationProfile:
    """How agents of a variant spend a step, and what they leave; measured after the run."""

    agents: int
    """Alive at once, made, used and ended in each round."""

    rounds: int
    steps: int
    """Agent-steps that were timed."""

    parts: tuple[PartCost, ...]
    created_bytes: float
    """By an agent from before it began until it has done its steps; of what agents share, none."""

    retained_bytes: float
    """Of each agent after it ended, as the slope over the rounds."""

    lines: tuple[KeptLine, ...]
    """Which lines keep it; looked for where more than a hundredth is kept."""

    @property
    def given_back(self) -> float | None:
        """Share of what an agent created that was given back when it ended."""
        if self.created_bytes <= 0:
            return None
        return min(1.0, 1.0 - self.retained_bytes / self.created_bytes)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Return the profile that was kept as plain values."""
        parts = tuple(PartCost(**one) for one in values["parts"])
        lines = tuple(KeptLine(**one) for one in values["lines"])
        return cls(**{**values, "parts": parts, "lines": lines})
