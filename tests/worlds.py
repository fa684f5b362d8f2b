"""Worlds of agents that are led by a test or a benchmark, one random stream each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from memopt_cli.workloads.agents.world import Rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from memopt_cli.optimizer.agents.model import Floats, GenerativeModel, Ints


class Worlds:
    """
    One world per agent, all of one model.

    Every world has a random stream of its own, of which each step takes the same number of
    draws, so what one agent does changes nothing for another, and two agents that act alike
    see the same.
    """

    def __init__(self, model: GenerativeModel, seeds: Sequence[int]) -> None:
        self._rules = Rules(model)
        self._randoms = [np.random.default_rng([seed, 7]) for seed in seeds]
        self._at: Ints = np.zeros((len(seeds), self._rules.factors), dtype=np.intp)
        self.relocate()

    def observe(self) -> Ints:
        """Return one outcome per agent and modality, drawn from where the agents are."""
        return self._rules.seen(self._at, self._draws())

    def act(self, codes: NDArray[np.integer]) -> None:
        """Do one action per agent, by its code."""
        self._at = self._rules.after(self._at, codes, self._draws())

    def relocate(self) -> None:
        """
        Put every agent somewhere, drawn from the model's priors.

        An agent that begins anew is told; one that is not told is surprised, and a belief
        that cannot be surprised stays wrong for ever.
        """
        self._at = self._rules.start(self._draws())

    def _draws(self) -> Floats:
        width = self._rules.draws
        return np.array([random.random(width) for random in self._randoms]).reshape(-1, width)
