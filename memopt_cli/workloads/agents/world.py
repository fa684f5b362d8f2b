"""The rules of the worlds that agents act in: what can be seen, and what follows, by the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memopt_cli.optimizer.agents.model import dense_transition, successors_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memopt_cli.optimizer.agents.model import Floats, GenerativeModel, Ints


class Rules:
    """
    What a model says of its world: what can be seen from where, and where actions lead.

    Positions are [world, factor], draws [world, number], from 0 to 1, of which each use takes
    the first ones.
    """

    def __init__(self, model: GenerativeModel) -> None:
        self._moves = [_successors_or_edges(each) for each in model.transitions]
        self._outcomes = [_inverse(each) for each in model.likelihoods]
        self._starts = [prior.cumsum() for prior in model.priors]
        self._sizes, self._actions = model.states, model.actions

    @property
    def factors(self) -> int:
        """How many numbers a position has."""
        return len(self._sizes)

    @property
    def draws(self) -> int:
        """How many draws a use takes at most."""
        return max(len(self._sizes), len(self._outcomes))

    def seen(self, at: Ints, draws: Floats) -> Ints:
        """Return one outcome per world and modality."""
        joint = np.ravel_multi_index(tuple(at.T), self._sizes)
        seen = np.empty((len(joint), len(self._outcomes)), dtype=np.intp)
        for modality, (outcomes, edges) in enumerate(self._outcomes):
            below = (edges[joint] <= draws[:, modality, None]).sum(axis=1)
            seen[:, modality] = outcomes[joint, np.minimum(below, outcomes.shape[1] - 1)]
        return seen

    def after(self, at: Ints, codes: NDArray[np.integer], draws: Floats) -> Ints:
        """Return the positions after one action per world, by its code."""
        actions = np.unravel_index(np.asarray(codes, dtype=np.intp), self._actions)
        after = np.empty_like(at)
        for factor, action in enumerate(actions):
            now, moves = at[:, factor], self._moves[factor]
            if moves.ndim == 2:  # noqa: PLR2004 - [now, action]
                after[:, factor] = moves[now, action]
            else:
                after[:, factor] = (moves[:, now, action] <= draws[:, factor]).sum(axis=0)
        return after

    def start(self, draws: Floats) -> Ints:
        """Return positions drawn from the model's priors."""
        at: Ints = np.empty((len(draws), len(self._starts)), dtype=np.intp)
        for factor, edges in enumerate(self._starts):
            found = np.searchsorted(edges, draws[:, factor], side="right")
            at[:, factor] = np.minimum(found, len(edges) - 1)
        return at


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
