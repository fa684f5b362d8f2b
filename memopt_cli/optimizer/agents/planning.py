"""
Planning of many agents at once: the expected free energy of every action, and the choice.

-G(u) = E ln P(o) + H[q(o|u)] - E_q(s|u) H[A[:, s]]: expected utility, and what the next
outcomes are expected to tell about the states (Friston et al. 2017, eq. 2.4; Da Costa et al.
2020, eq. 21). The first and the last are linear in the belief and need one vector per model;
only the entropy of the predicted joint outcomes is computed for each agent and action.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from memopt_cli.optimizer.agents.model import NEGLIGIBLE, SMALLEST
from memopt_cli.optimizer.agents.perception import softmax

if TYPE_CHECKING:
    from memopt_cli.optimizer.agents.model import Floats, Ints
    from memopt_cli.optimizer.agents.shared import SharedModel


class Workspace:
    """
    Scratch arrays for one block of agents, used again for the next.

    Only of one thread at a time.
    """

    __slots__ = (
        "_each",
        "_left_out",
        "_predicted",
        "_spare",
        "_states",
        "beliefs",
        "likelihood",
        "model",
    )

    def __init__(self, model: SharedModel) -> None:
        import numpy as np

        self.model = model
        rows, joint, columns = model.block_rows, model.joint_states, model.policies
        self._each = [np.zeros((size + 1) * rows) for size in model.states]
        self._states = np.empty(joint * columns * rows)
        self._left_out = np.empty(joint * columns * rows, dtype=bool)
        self._predicted = np.empty(model.outcomes.count * columns * rows)
        self._spare = np.empty(model.outcomes.count * columns * rows)
        self.likelihood = np.empty((rows, joint))
        self.beliefs = np.empty((rows, model.width))

    def values(self, beliefs: Floats) -> Floats:
        """
        Return the negative expected free energy, [agent, policy].

        Args:
            beliefs: [agent, state], the factors side by side; at most a block of agents.
        """
        import numpy as np

        model, count = self.model, len(beliefs)
        columns = model.policies * count
        states = self._predict_states(beliefs)
        values = model.utility @ states
        left_out = self._left_out[: states.size].reshape(states.shape)
        np.less_equal(states, NEGLIGIBLE, out=left_out)
        np.copyto(states, 0.0, where=left_out)
        values += model.ambiguity @ states
        shape = (model.outcomes.count, columns)
        predicted = self._predicted[: math.prod(shape)].reshape(shape)
        spare = self._spare[: math.prod(shape)].reshape(shape)
        model.outcomes.predict(states, predicted, spare)
        np.add(predicted, SMALLEST, out=spare)
        np.log(spare, out=spare)
        values -= np.einsum("rc,rc->c", predicted, spare)
        found: Floats = values.reshape(model.policies, count).T
        return found

    def _predict_states(self, beliefs: Floats) -> Floats:
        """Return the joint states expected after each policy, [joint state, policy * agent]."""
        model, count = self.model, len(beliefs)
        size = model.joint_states * model.policies * count
        out = self._states[:size]
        each = []
        for number, where in enumerate(model.factor_slices()):
            states, actions = model.states[number], model.actions[number]
            now = self._each[number][: (states + 1) * count].reshape(states + 1, count)
            now[:-1] = beliefs[:, where].T
            now[-1] = 0.0
            if len(model.states) == 1:
                model.moves[0].after_all(now, out.reshape(states * actions, count))
                return out.reshape(states, actions * count)
            each.append(_all_moves(model, number, now))
        return _outer(each, out).reshape(model.joint_states, model.policies * count)


def _all_moves(model: SharedModel, number: int, now: Floats) -> Floats:
    """Return one factor's states after each of its actions, [state, action, agent]."""
    import numpy as np

    states, actions = model.states[number], model.actions[number]
    after = np.empty((states * actions, now.shape[1]))
    model.moves[number].after_all(now, after)
    return after.reshape(states, actions, -1)


def _outer(each: list[Floats], out: Floats) -> Floats:
    """Write the product of independent factors to *out*, [states..., actions..., agent]."""
    import numpy as np

    factors, count = len(each), each[0].shape[2]
    aligned = []
    for number, array in enumerate(each):
        shape = [1] * (2 * factors) + [count]
        shape[number], shape[factors + number] = array.shape[0], array.shape[1]
        aligned.append(array.reshape(shape))
    # The axes of all states come before those of all actions.
    whole = [*(array.shape[0] for array in each), *(array.shape[1] for array in each), count]
    product = out.reshape(whole)
    found = aligned[0]
    for array in aligned[1:-1]:
        found = found * array
    np.multiply(found, aligned[-1], out=product)
    return out


def choose(model: SharedModel, values: Floats) -> tuple[Ints, Floats]:
    """
    Return the action code of each agent, and the posterior over policies [agent, policy].

    Of the actions whose probability is within the model's `tie` of the highest the lowest is
    taken, per factor: exactly equal actions are common, and the last bit of a rounding error
    must not choose between them.
    """
    import numpy as np

    posterior = softmax(model.precision * values)
    shaped = posterior.reshape(-1, *model.actions)
    code: Ints = np.zeros(len(values), dtype=np.intp)
    axes = range(1, len(model.actions) + 1)
    for factor, actions in enumerate(model.actions):
        others = tuple(axis for axis in axes if axis != factor + 1)
        marginal = shaped.sum(axis=others)
        highest = marginal.max(axis=1, keepdims=True)
        code *= actions
        code += (marginal >= highest - model.tie).argmax(axis=1)
    return code, posterior
