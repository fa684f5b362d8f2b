"""One agent of a population, as an object."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.optimizer.agents.model import Floats
    from memopt_cli.optimizer.agents.population import Population


class Agent:
    """
    A population and a handle, 48 bytes; the agent itself is a row of the population.

    Any use of an agent that sleeps wakes it. Every method raises `StaleHandle` once the agent
    was removed.
    """

    __slots__ = ("handle", "population")

    def __init__(self, population: Population, handle: int) -> None:
        self.population, self.handle = population, handle

    @property
    def beliefs(self) -> tuple[Floats, ...]:
        """Copies of the beliefs per factor; `believe` changes them."""
        return self.population.beliefs(self.handle)

    @property
    def history(self) -> list[int]:
        """The codes of the latest actions, or of all if the population keeps them."""
        return self.population.history(self.handle)

    @property
    def is_asleep(self) -> bool:
        """Whether the agent is in the file."""
        return self.population.is_asleep(self.handle)

    def believe(self, factor: int, belief: Floats) -> None:
        """
        Replace what is believed of one factor.

        Raises:
            AgentError: It is no distribution over the factor's states; nothing has changed.
        """
        self.population.believe(self.handle, factor, belief)

    def step(self, observation: Sequence[int]) -> int:
        """
        See one outcome per modality and return the code of the action taken.

        Raises:
            AgentError: An outcome does not exist; the agent has seen nothing.
        """
        return int(self.population.step([list(observation)], (self.handle,))[0])

    def hibernate(self) -> None:
        """Go to sleep."""
        self.population.hibernate(self.handle)

    def wake(self) -> None:
        """Be awake."""
        self.population.wake(self.handle)

    def remove(self) -> None:
        """End; the handle is stale from now on."""
        self.population.remove(self.handle)
