"""Which agents there are: kinds of agents in the shares of a scenario, without a draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.workloads.agents.families import model_named

if TYPE_CHECKING:
    from memopt_cli.optimizer.agents.model import GenerativeModel
    from memopt_cli.workloads.settings import AgentsSettings


@dataclass(frozen=True, slots=True)
class Kind:
    """Agents with one model."""

    name: str
    """Of the family and the side, such as ``G20``."""

    seed: int
    """Of where the model's rewards and dangers are."""

    learns: bool

    def model(self) -> GenerativeModel:
        """Return the model, made anew."""
        return model_named(self.name, self.seed)

    def twin(self, seeds: int) -> Kind:
        """Return the kind of the same shape whose model is none of the first *seeds*."""
        return Kind(self.name, self.seed + seeds, self.learns)


def kinds_of(settings: AgentsSettings) -> list[tuple[Kind, float]]:
    """Return each kind of agent and its share of all; those without a share are left out."""
    found = []
    for name, share in zip(settings.models, settings.shares, strict=True):
        for number in range(settings.distinct_models):
            for learns, part in ((False, 1 - settings.learners), (True, settings.learners)):
                kind = Kind(name, settings.seed + number, learns)
                found.append((kind, share * part / settings.distinct_models))
    return [(kind, share) for kind, share in found if share > 0]


class Turns:
    """Deals agents to kinds, so that after each agent every kind is within one of its share."""

    __slots__ = ("_owed", "_shares")

    def __init__(self, shares: list[float]) -> None:
        self._shares = shares
        self._owed = [0.0] * len(shares)

    def next(self) -> int:
        """Return the index of the kind that the next agent is of."""
        owed = self._owed
        for number, share in enumerate(self._shares):
            owed[number] += share
        chosen = max(range(len(owed)), key=owed.__getitem__)
        owed[chosen] -= 1.0
        return chosen
