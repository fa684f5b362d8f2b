"""A model as all its agents share it: what depends on the model only, computed once."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from memopt_cli.optimizer.agents.moves import moves_of
from memopt_cli.optimizer.agents.outcomes import JointOutcomes, utility

if TYPE_CHECKING:
    from memopt_cli.optimizer.agents.model import GenerativeModel

BLOCK_BYTES: Final = 256 * 1024
"""Of each of three scratch arrays; together they stay in a core's second-level cache."""


class SharedModel:
    """
    What inference needs of a model, without the model's own arrays.

    Compiled once: joint outcomes that can happen, transitions as gathers, expected log
    preference and ambiguity per joint state.
    """

    __slots__ = (
        "__weakref__",
        "actions",
        "ambiguity",
        "block_rows",
        "joint_states",
        "key",
        "moves",
        "outcomes",
        "policies",
        "precision",
        "priors",
        "states",
        "tie",
        "utility",
        "width",
    )

    def __init__(self, model: GenerativeModel, key: bytes = b"") -> None:
        """
        Args:
            model: Read, not kept.
            key: What the model's content is known by.

        Raises:
            AgentError: More joint outcomes can happen than fit into memory.
        """
        import numpy as np

        self.key = key
        self.states, self.actions = model.states, model.actions
        self.joint_states = math.prod(self.states)
        self.policies = math.prod(self.actions)
        self.width = sum(self.states)
        self.precision, self.tie = model.precision, model.tie
        self.priors = np.concatenate(model.priors)
        self.priors.flags.writeable = False
        self.moves = [moves_of(each) for each in model.transitions]
        self.outcomes = JointOutcomes(model)
        self.utility = utility(model)
        self.ambiguity = self.outcomes.ambiguity(self.joint_states)
        rows = max(self.joint_states, self.outcomes.count) * self.policies
        self.block_rows = min(max(BLOCK_BYTES // (rows * 8), 4), 256)

    @property
    def size_bytes(self) -> int:
        """What the arrays occupy, once for all agents."""
        own = self.priors.nbytes + self.utility.nbytes + self.ambiguity.nbytes
        return own + self.outcomes.size_bytes + sum(each.size_bytes for each in self.moves)

    def factor_slices(self) -> list[slice]:
        """Return where each factor's belief stands in an agent's row."""
        edges = [sum(self.states[:number]) for number in range(len(self.states) + 1)]
        return [slice(low, high) for low, high in pairwise(edges)]
