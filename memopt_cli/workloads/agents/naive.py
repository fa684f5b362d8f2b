"""
The baseline: a discrete active-inference agent as it is ordinarily written with numpy.

Each agent owns deep copies of its arrays, in float64 and in pymdp's layout, a list of all
its beliefs and a list of its actions. pymdp itself shares arrays that are passed by
reference, so "naive" here means what a program has that builds or loads a model per agent.
Nothing is slowed down on purpose: the mathematics is vectorised, and faster than pymdp's.

The formulas, with q a belief, A likelihoods, B transitions, C preferences, D priors:

* **Perception**, one factor: q(s) = softmax(ln A[o, s] + ln (B[a] q)(s)), the exact minimum of
  the variational free energy (Da Costa et al. 2020, eq. 9). Several factors: mean-field
  fixed-point iteration, at most 10 rounds or until the free energy moves by less than
  0.001 (Heins et al. 2022, `run_vanilla_fpi`).
* **Planning**: -G(u) = q(o|u) . ln softmax(C)                      expected utility
  + H[q(o|u)] - E_q(s|u) H[A[:, s]]                            information gain about states
  (Friston et al., "Active inference: a process theory", Neural Comput. 29(1), 2017, eq. 2.4;
  Da Costa et al. 2020, eq. 21); outcomes are the joint ones of all modalities, as in pymdp.
* **Action**: q(u) = softmax(precision * -G), marginal per factor; the lowest action whose
  probability is within `tie` of the highest. Plain argmax would let the last bit of a
  rounding error choose between exactly equal actions.
* **Learning**: Dirichlet counts, a += o x q(s) and b += q(s') x q(s) where A and B are not
  zero; A and B are their means (Friston et al. 2017, eq. 2.8; Heins et al. 2022).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents.model import NEGLIGIBLE, SMALLEST, dense_transition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.optimizer.agents.model import Floats, GenerativeModel

ROUNDS: Final = 10
FREE_ENERGY_TOLERANCE: Final = 0.001
STATES_AT_ONCE: Final = 64
"""Bounds the temporary array over joint outcomes and states."""


class NaiveAgent:
    """One agent that owns everything it uses."""

    def __init__(
        self,
        model: GenerativeModel,
        *,
        learns: bool = False,
        counts: float = 1.0,
        rate: float = 1.0,
    ) -> None:
        """
        Args:
            model: Copied, not kept.
            learns: Whether A and B follow what is seen.
            counts: Dirichlet counts that a probability of 1 begins with.
            rate: How much one observation counts.
        """
        self.A = [np.array(each) for each in model.likelihoods]
        self.B = [dense_transition(each).copy() for each in model.transitions]
        self.C = [np.array(each) for each in model.preferences]
        self.D = [np.array(each) for each in model.priors]
        self.precision, self.tie = model.precision, model.tie
        self.policies = list(np.ndindex(model.actions))
        self.learns, self.rate = learns, rate
        self.a = [counts * each for each in self.A] if learns else []
        self.b = [counts * each for each in self.B] if learns else []
        self.belief_history: list[list[Floats]] = []
        self.action_history: list[int] = []
        self.beliefs: list[Floats] = self.D
        """The latest per factor; before the first step, the priors."""
        self._latest: int | None = None
        self.policy_posterior: Floats = np.full(len(self.policies), 1 / len(self.policies))

    def restart(self) -> None:
        """Begin anew, with the priors as beliefs; what was learned and done stays known."""
        self.beliefs, self._latest = self.D, None

    def did(self, code: int) -> None:
        """Be told that something else was done than was chosen last."""
        self._latest = self.action_history[-1] = code

    def step(self, observation: Sequence[int]) -> int:
        """
        See one outcome per modality and return the code of the action taken.

        Raises:
            AgentError: There are more or fewer outcomes than modalities, or no such outcome.
        """
        self._check(observation)
        before = self.beliefs
        self.beliefs = self.infer_states(observation)
        self.belief_history.append(self.beliefs)
        if self.learns:
            self._learn(observation, before)
        self.policy_posterior = self.infer_policies()
        self._latest = self._select()
        self.action_history.append(self._latest)
        return self._latest

    def infer_states(self, observation: Sequence[int]) -> list[Floats]:
        """Return the posterior per factor."""
        priors = self.D if self._latest is None else self._expected(self.policies[self._latest])
        likelihood = np.ones([len(prior) for prior in priors])
        for array, outcome in zip(self.A, observation, strict=True):
            likelihood = likelihood * array[outcome]
        logarithm = np.log(likelihood + SMALLEST)
        log_priors = [np.log(prior + SMALLEST) for prior in priors]
        if len(priors) == 1:
            return [_softmax(logarithm + log_priors[0])]
        return _fixed_point(logarithm, log_priors)

    def infer_policies(self) -> Floats:
        """Return the posterior over policies, by action code."""
        log_preferences = [np.log(_softmax(each) + SMALLEST) for each in self.C]
        values = np.array([self._value(policy, log_preferences) for policy in self.policies])
        return _softmax(self.precision * values)

    def _value(self, policy: tuple[int, ...], log_preferences: list[Floats]) -> float:
        """Return the negative expected free energy of a policy."""
        states = _outer(self._expected(policy)).ravel()
        likelihoods = [each.reshape(len(each), -1) for each in self.A]
        value = 0.0
        for likelihood, log_preference in zip(likelihoods, log_preferences, strict=True):
            value += float((likelihood @ states) @ log_preference)
        return value + _information_gain(likelihoods, states)

    def _expected(self, policy: tuple[int, ...]) -> list[Floats]:
        """Return the belief per factor after the actions of *policy*."""
        return [
            transition[:, :, action] @ belief
            for transition, action, belief in zip(self.B, policy, self.beliefs, strict=True)
        ]

    def _select(self) -> int:
        shape = [transition.shape[2] for transition in self.B]
        posterior = self.policy_posterior.reshape(shape)
        chosen = []
        for factor in range(len(shape)):
            others = tuple(axis for axis in range(len(shape)) if axis != factor)
            marginal = posterior.sum(axis=others)
            chosen.append(int(np.argmax(marginal >= marginal.max() - self.tie)))
        return int(np.ravel_multi_index(chosen, shape))

    def _learn(self, observation: Sequence[int], before: list[Floats]) -> None:
        joint = _outer(self.beliefs)
        for number, outcome in enumerate(observation):
            self.a[number][outcome] += self.rate * joint * (self.A[number][outcome] > 0)
            self.A[number] = self.a[number] / self.a[number].sum(axis=0)
        if self._latest is None:
            return
        for factor, action in enumerate(self.policies[self._latest]):
            seen = np.outer(self.beliefs[factor], before[factor])
            possible = self.B[factor][:, :, action] > 0
            self.b[factor][:, :, action] += self.rate * seen * possible
            self.B[factor] = self.b[factor] / self.b[factor].sum(axis=0)

    def _check(self, observation: Sequence[int]) -> None:
        sizes = [len(each) for each in self.A]
        fits = len(observation) == len(sizes) and all(
            0 <= outcome < size for outcome, size in zip(observation, sizes, strict=True)
        )
        if not fits:
            raise AgentError(
                f"observation {tuple(observation)} of modalities with {sizes} outcomes",
                hint="Give one outcome per modality, counted from 0.",
            )


def _fixed_point(logarithm: Floats, log_priors: list[Floats]) -> list[Floats]:
    """Return the mean-field posterior (pymdp 0.0.7, `run_vanilla_fpi`)."""
    beliefs = [np.full(len(each), 1 / len(each)) for each in log_priors]
    axes = range(len(beliefs))
    before = _complexity(beliefs, log_priors)
    for _ in range(ROUNDS):
        weighted = logarithm * _outer(beliefs)
        for factor in axes:
            others = tuple(axis for axis in axes if axis != factor)
            evidence = weighted.sum(axis=others) / beliefs[factor]
            beliefs[factor] = _softmax(evidence + log_priors[factor])
        accuracy = float((logarithm * _outer(beliefs)).sum())
        after = _complexity(beliefs, log_priors) - accuracy
        if abs(before - after) < FREE_ENERGY_TOLERANCE:
            break
        before = after
    return beliefs


def _complexity(beliefs: list[Floats], log_priors: list[Floats]) -> float:
    """Return the divergence of beliefs from priors, summed over factors."""
    return sum(
        float(belief @ (np.log(belief + SMALLEST) - log_prior))
        for belief, log_prior in zip(beliefs, log_priors, strict=True)
    )


def _information_gain(likelihoods: list[Floats], states: Floats) -> float:
    """
    Return how much the next outcomes are expected to tell about the states.

    The constants in the logarithms, and leaving out negligible states, are pymdp's
    (`spm_MDP_G`, after SPM's `spm_G_epistemic`).
    """
    kept = np.flatnonzero(states > NEGLIGIBLE)
    predicted: Floats = np.zeros(int(np.prod([len(each) for each in likelihoods])))
    ambiguity = 0.0
    for start in range(0, len(kept), STATES_AT_ONCE):
        some = kept[start : start + STATES_AT_ONCE]
        joint = likelihoods[0][:, some]
        for likelihood in likelihoods[1:]:
            joint = (joint[:, None] * likelihood[None, :, some]).reshape(-1, len(some))
        ambiguity += float((joint * np.log(joint + NEGLIGIBLE)).sum(axis=0) @ states[some])
        predicted += joint @ states[some]
    return ambiguity - float(predicted @ np.log(predicted + SMALLEST))


def _outer(beliefs: Sequence[Floats]) -> Floats:
    """Return the joint distribution of independent factors, an axis each."""
    joint = beliefs[0]
    for belief in beliefs[1:]:
        joint = joint[..., None] * belief
    return joint


def _softmax(values: Floats) -> Floats:
    exponential = np.exp(values - values.max())
    normalised: Floats = exponential / exponential.sum()
    return normalised
