"""The worlds that agents act in: what the model says, drawn from a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memopt_cli.optimizer.agents.model import dense_transition, successors_of

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
        self._moves = [_successors_or_edges(each) for each in model.transitions]
        self._outcomes = [_inverse(each) for each in model.likelihoods]
        self._starts = [prior.cumsum() for prior in model.priors]
        self._sizes, self._actions = model.states, model.actions
        self._randoms = [np.random.default_rng([seed, 7]) for seed in seeds]
        self._at: Ints = np.zeros((len(seeds), len(self._sizes)), dtype=np.intp)
        self.relocate()

    def observe(self) -> Ints:
        """Return one outcome per agent and modality, drawn from where the agents are."""
        joint = np.ravel_multi_index(tuple(self._at.T), self._sizes)
        draws = self._draws()
        seen = np.empty((len(joint), len(self._outcomes)), dtype=np.intp)
        for modality, (outcomes, edges) in enumerate(self._outcomes):
            below = (edges[joint] <= draws[:, modality, None]).sum(axis=1)
            seen[:, modality] = outcomes[joint, np.minimum(below, outcomes.shape[1] - 1)]
        return seen

    def act(self, codes: NDArray[np.integer]) -> None:
        """Do one action per agent, by its code."""
        actions = np.unravel_index(np.asarray(codes, dtype=np.intp), self._actions)
        draws = self._draws()
        for factor, action in enumerate(actions):
            now, moves = self._at[:, factor], self._moves[factor]
            if moves.ndim == 2:  # noqa: PLR2004 - [now, action]
                self._at[:, factor] = moves[now, action]
            else:
                self._at[:, factor] = (moves[:, now, action] <= draws[:, factor]).sum(axis=0)

    def relocate(self) -> None:
        """
        Put every agent somewhere, drawn from the model's priors.

        An agent that begins anew is told; one that is not told is surprised, and a belief
        that cannot be surprised stays wrong for ever.
        """
        draws = self._draws()
        for factor, edges in enumerate(self._starts):
            found = np.searchsorted(edges, draws[:, factor], side="right")
            self._at[:, factor] = np.minimum(found, len(edges) - 1)

    def _draws(self) -> Floats:
        width = max(len(self._sizes), len(self._outcomes))
        return np.array([random.random(width) for random in self._randoms]).reshape(-1, width)


def _successors_or_edges(transition: NDArray[Any]) -> NDArray[Any]:
    """Return next states [now, action], or cumulated probabilities [next, now, action]."""
    known = successors_of(transition)
    return dense_transition(transition).cumsum(axis=0) if known is None else known


def _inverse(likelihood: Floats) -> tuple[Ints, Floats]:
    """Return, per joint state, its possible outcomes and their cumulated probabilities."""
    flat = likelihood.reshape(len(likelihood), -1).T
    width = int((flat > 0).sum(axis=1).max())
    outcomes = np.argsort(flat <= 0, axis=1, kind="stable")[:, :width]
    edges = np.take_along_axis(flat, outcomes, axis=1).cumsum(axis=1)
    # What is not possible is never drawn: its edge equals the last possible one's.
    edges[edges >= edges[:, -1:]] = np.inf
    return outcomes, edges
