"""
Agents between the naive one and rows of a population: each step of the ladder alone.

============  ==================================================================
own           `NaiveAgent`: copies of all arrays, in pymdp's layout
contiguous    the same, transitions laid out as they are read
shared        the same arrays once for all agents of a model
derived       what follows from the model computed once, transitions as gathers
============  ==================================================================

Every one keeps its latest beliefs in a list and its actions in a list, as the naive one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from memopt_cli.optimizer.agents.perception import NO_ACTION, perceive
from memopt_cli.optimizer.agents.planning import Workspace, choose
from memopt_cli.workloads.agents.naive import NaiveAgent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.optimizer.agents.model import Floats, GenerativeModel
    from memopt_cli.optimizer.agents.shared import SharedModel


class ContiguousAgent(NaiveAgent):
    """A naive agent whose transitions are [action, next, now], so that each is one block."""

    def __init__(self, model: GenerativeModel) -> None:
        super().__init__(model)
        self._by_action = [np.ascontiguousarray(each.transpose(2, 0, 1)) for each in self.B]
        # What others see of them has the usual axes; there is one copy.
        self.B = [each.transpose(1, 2, 0) for each in self._by_action]

    def _expected(self, policy: tuple[int, ...]) -> list[Floats]:
        return [
            transition[action] @ belief
            for transition, action, belief in zip(
                self._by_action, policy, self.beliefs, strict=True
            )
        ]


class SharingAgent(ContiguousAgent):
    """One that uses the arrays of the first agent of its model."""

    def __init__(self, first: ContiguousAgent) -> None:
        # Not the base's: it would copy what is to be shared.
        vars(self).update(vars(first))
        self.belief_history, self.action_history = [], []
        self.beliefs, self._latest = self.D, None


class DerivedAgent:
    """One that has a belief of its own, and all else of its model in common."""

    __slots__ = ("_belief", "_code", "_model", "_workspace", "action_history", "belief_history")

    def __init__(self, model: SharedModel, workspace: Workspace) -> None:
        """
        Args:
            model: Shared by all agents of the model.
            workspace: Scratch of the thread that steps the agent.
        """
        self._model, self._workspace = model, workspace
        self.belief_history: list[list[Floats]] = []
        self.action_history: list[int] = []
        self.restart()

    @property
    def beliefs(self) -> list[Floats]:
        """The latest per factor; before the first step, the priors."""
        return [self._belief[0, where] for where in self._model.factor_slices()]

    def restart(self) -> None:
        """Begin anew, with the priors as beliefs; what was done stays known."""
        self._belief: Floats = self._model.priors[None].copy()
        self._code = NO_ACTION

    def did(self, code: int) -> None:
        """Be told that something else was done than was chosen last."""
        self._code = self.action_history[-1] = code

    def step(self, observation: Sequence[int]) -> int:
        """See one outcome per modality and return the code of the action taken."""
        model, belief = self._model, self._belief.copy()
        rows = model.outcomes.rows(np.asarray([observation]))
        perceive(model, belief, np.array([self._code]), rows, self._workspace.likelihood[:1])
        self._belief = belief
        self.belief_history.append(self.beliefs)
        self._code = int(choose(model, self._workspace.values(belief))[0][0])
        self.action_history.append(self._code)
        return self._code
