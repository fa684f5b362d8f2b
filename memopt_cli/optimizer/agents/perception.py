"""
Perception of many agents at once: exact for one factor, fixed-point iteration for several.

One factor: q(s) is proportional to (A[o, s] + 1e-16) * (B[a] q + 1e-16)(s), the softmax of the
sum of logarithms without either (Da Costa et al. 2020, eq. 9; the constants are pymdp's).
Several: mean-field variational inference as pymdp's `run_vanilla_fpi` (Heins et al. 2022), each
agent stopping by itself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from memopt_cli.optimizer.agents.model import SMALLEST

if TYPE_CHECKING:
    from memopt_cli.optimizer.agents.model import Floats, Ints
    from memopt_cli.optimizer.agents.shared import SharedModel

ROUNDS: Final = 10
FREE_ENERGY_TOLERANCE: Final = 0.001
NO_ACTION: Final = -1
"""The action code of an agent that has done nothing yet."""


def perceive(
    model: SharedModel, beliefs: Floats, codes: Ints, rows: Ints, likelihood: Floats
) -> None:
    """
    Replace *beliefs* by the posteriors after one observation each.

    Args:
        model: What the agents believe in.
        beliefs: [agent, state], the factors side by side; overwritten.
        codes: The latest action code of each agent, or `NO_ACTION`.
        rows: What was seen, as `JointOutcomes.rows` gives it.
        likelihood: Scratch, [agent, joint state]; overwritten.
    """
    priors = _expected(model, beliefs, codes)
    model.outcomes.likelihood(rows, likelihood)
    likelihood += SMALLEST
    if len(priors) > 1:
        posteriors = fixed_point(model.states, likelihood, priors)
        for where, posterior in zip(model.factor_slices(), posteriors, strict=True):
            beliefs[:, where] = posterior
        return
    import numpy as np

    prior = priors[0]
    prior += SMALLEST
    np.multiply(prior, likelihood, out=beliefs)
    beliefs /= beliefs.sum(axis=1)[:, None]


def _expected(model: SharedModel, beliefs: Floats, codes: Ints) -> list[Floats]:
    """Return each factor's belief after the latest action; the prior before the first."""
    import numpy as np

    new = codes == NO_ACTION
    actions = np.unravel_index(np.where(new, 0, codes), model.actions)
    expected = []
    for where, moves, action in zip(model.factor_slices(), model.moves, actions, strict=True):
        # A slice of the columns is not contiguous, and gathers read what is.
        after = moves.after(np.ascontiguousarray(beliefs[:, where]), action)
        if new.any():
            after[new] = model.priors[where]
        expected.append(after)
    return expected


def fixed_point(states: tuple[int, ...], likelihood: Floats, priors: list[Floats]) -> list[Floats]:
    """Return the mean-field posteriors; *likelihood* is overwritten with its logarithm."""
    import numpy as np

    count = len(likelihood)
    np.log(likelihood, out=likelihood)
    log_priors = [np.log(prior + SMALLEST) for prior in priors]
    beliefs = [np.full((count, size), 1 / size) for size in states]
    live = np.arange(count)
    before = _complexity(beliefs, log_priors)
    for _ in range(ROUNDS):
        some, logarithm = [belief[live] for belief in beliefs], likelihood[live]
        log_prior = [each[live] for each in log_priors]
        _round(states, some, logarithm, log_prior)
        for belief, found in zip(beliefs, some, strict=True):
            belief[live] = found
        accuracy = np.einsum("ns,ns->n", logarithm, joint(some))
        after = _complexity(some, log_prior) - accuracy
        moving = abs(before - after) >= FREE_ENERGY_TOLERANCE
        live, before = live[moving], after[moving]
        if not len(live):
            break
    return beliefs


def _round(
    states: tuple[int, ...], beliefs: list[Floats], logarithm: Floats, log_priors: list[Floats]
) -> None:
    """Do one round for every factor in turn, in place."""
    weighted = (logarithm * joint(beliefs)).reshape(-1, *states)
    axes = range(1, len(states) + 1)
    for factor, log_prior in enumerate(log_priors):
        others = tuple(axis for axis in axes if axis != factor + 1)
        evidence = weighted.sum(axis=others) / beliefs[factor]
        beliefs[factor] = softmax(evidence + log_prior)


def _complexity(beliefs: list[Floats], log_priors: list[Floats]) -> Floats:
    """Return the divergence of each agent's beliefs from its priors, summed over factors."""
    import numpy as np

    total = np.zeros(len(beliefs[0]))
    for belief, log_prior in zip(beliefs, log_priors, strict=True):
        total += np.einsum("ns,ns->n", belief, np.log(belief + SMALLEST) - log_prior)
    return total


def joint(beliefs: list[Floats]) -> Floats:
    """Return the joint distribution of independent factors, [agent, joint state]."""
    found = beliefs[0]
    for belief in beliefs[1:]:
        size = math.prod((found.shape[1], belief.shape[1]))
        found = (found[:, :, None] * belief[:, None, :]).reshape(-1, size)
    return found


def softmax(values: Floats) -> Floats:
    """Return the softmax over the last axis."""
    import numpy as np

    exponential: Floats = np.exp(values - values.max(axis=-1, keepdims=True))
    exponential /= exponential.sum(axis=-1, keepdims=True)
    return exponential
