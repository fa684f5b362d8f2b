"""
A discrete generative model: what an agent believes about its world, as arrays.

The notation of the papers in words: A is `likelihoods`, B `transitions`, C `preferences` and
D `priors` (Da Costa, Parr, Sajid, Veselic, Neacsu and Friston, "Active inference on discrete
state-spaces: a synthesis", J. Math. Psychol. 99, 2020; Heins et al., "pymdp: A Python library
for active inference in discrete state spaces", J. Open Source Softw. 7(73), 2022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from memopt_cli.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"
Ints: TypeAlias = "NDArray[np.intp]"

SMALLEST: Final = 1e-16
"""Added to a probability before its logarithm, as pymdp does."""

NEGLIGIBLE: Final = math.exp(-16)
"""Predicted states at or below this are left out of the information gain, as pymdp does."""

PRECISION: Final = 16.0
"""Inverse temperature of the policies' softmax; pymdp's default."""

TIE: Final = 1e-6
"""
Actions this close in probability are equal, and the lowest of them is taken.

Above what rounding and the tiers of `memopt_cli.optimizer.agents.tiers` change, which
is up to 1e-11 and 7e-7 where seen: exactly equal actions are common, and must stay equal.
"""

SUM_TOLERANCE: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class GenerativeModel:
    """
    Likelihoods, transitions, preferences and priors over one or several hidden factors.

    Policies are one action deep, one for each combination of the factors' actions; the
    number of a policy is its *action code*, counted with the last factor fastest.

    Raises:
        AgentError: Shapes disagree, a value is NaN, infinite or negative where it is a
            probability, or a distribution does not sum to 1 within 1e-9.
    """

    likelihoods: tuple[Floats, ...]
    """Per modality, P(outcome | states): outcomes first, then one axis per factor."""

    transitions: tuple[NDArray[Any], ...]
    """
    Per factor, either P(next | now, action) as an array [next, now, action], or, where every
    transition is certain, the next state as an integer array [now, action].
    """

    preferences: tuple[Floats, ...]
    """Per modality, log preferences over outcomes, up to a constant."""

    priors: tuple[Floats, ...]
    """Per factor, the belief before the first observation."""

    precision: float = PRECISION
    tie: float = TIE

    def __post_init__(self) -> None:
        _check(self)

    @property
    def states(self) -> tuple[int, ...]:
        """How many states each factor has."""
        return tuple(len(prior) for prior in self.priors)

    @property
    def outcomes(self) -> tuple[int, ...]:
        """How many outcomes each modality has."""
        return tuple(len(likelihood) for likelihood in self.likelihoods)

    @property
    def actions(self) -> tuple[int, ...]:
        """How many actions each factor has; 1 where nothing can be done."""
        return tuple(each.shape[-1] for each in self.transitions)

    @property
    def size_bytes(self) -> int:
        """What the arrays occupy as they are."""
        groups = (self.likelihoods, self.transitions, self.preferences, self.priors)
        return sum(array.nbytes for group in groups for array in group)


def successors_of(transition: NDArray[Any]) -> Ints | None:
    """Return where each action leads from each state, or None where that is not certain."""
    import numpy as np

    if transition.ndim == 2:  # noqa: PLR2004 - [now, action]
        return np.ascontiguousarray(transition, dtype=np.intp)
    if np.count_nonzero(transition) != transition.shape[1] * transition.shape[2]:
        return None
    found = np.ascontiguousarray(transition.argmax(axis=0), dtype=np.intp)
    # As many entries as columns may still be two in one column and none in the next.
    chosen = np.take_along_axis(transition, found[None], axis=0)
    return found if bool((chosen == 1.0).all()) else None


def dense_transition(transition: NDArray[Any]) -> Floats:
    """Return [next, now, action] probabilities, made anew if only successors are given."""
    import numpy as np

    if transition.ndim != 2:  # noqa: PLR2004 - [now, action]
        return np.asarray(transition, dtype=np.float64)
    states, actions = transition.shape
    dense = np.zeros((states, states, actions))
    now, action = np.indices(transition.shape)
    dense[transition, now, action] = 1.0
    return dense


def _check(model: GenerativeModel) -> None:
    if not model.priors or not model.likelihoods:
        raise AgentError("a model without states or outcomes", hint="Give at least one of each.")
    if len(model.transitions) != len(model.priors):
        raise _disagreement("transitions", len(model.transitions), "factors", len(model.priors))
    if len(model.preferences) != len(model.likelihoods):
        raise _disagreement(
            "preferences", len(model.preferences), "modalities", len(model.likelihoods)
        )
    for number, prior in enumerate(model.priors):
        _check_probabilities(prior, f"prior {number}", (len(prior),))
        _check_transition(model.transitions[number], number, len(prior))
    for number, likelihood in enumerate(model.likelihoods):
        _check_probabilities(likelihood, f"likelihood {number}", (len(likelihood), *model.states))
        _check_shape(model.preferences[number], f"preference {number}", (len(likelihood),))
        _check_finite(model.preferences[number], f"preference {number}")
    if not (model.precision > 0 and math.isfinite(model.precision) and 0 <= model.tie < 1):
        raise AgentError(
            f"precision {model.precision} and tie {model.tie}",
            hint="Give a finite precision above 0 and a tie of at least 0 and below 1.",
        )


def _check_transition(transition: NDArray[Any], number: int, states: int) -> None:
    name = f"transition {number}"
    if transition.ndim != 2:  # noqa: PLR2004 - [now, action]
        _check_probabilities(transition, name, (states, states, transition.shape[-1]))
        return
    _check_shape(transition, name, (states, transition.shape[-1]))
    if transition.dtype.kind not in "iu":
        raise AgentError(
            f"{name} holds {transition.dtype} where the next states are expected",
            hint="Give integers [now, action], or probabilities [next, now, action].",
        )
    if transition.size and (transition.min() < 0 or transition.max() >= states):
        raise AgentError(
            f"{name} leads to states {transition.min()} to {transition.max()}, of {states}",
            hint=f"Number next states from 0 to {states - 1}.",
        )


def _check_probabilities(array: NDArray[Any], name: str, shape: Sequence[int]) -> None:
    _check_shape(array, name, tuple(shape))
    _check_finite(array, name)
    sums = array.sum(axis=0)
    if array.min() < 0 or abs(sums - 1).max() > SUM_TOLERANCE:
        raise AgentError(
            f"{name} is no distribution: least {array.min()}, sums {sums.min()} to {sums.max()}",
            hint="Normalise it over its first axis.",
        )


def _check_shape(array: NDArray[Any], name: str, shape: tuple[int, ...]) -> None:
    if array.shape != shape or not array.size:
        raise AgentError(
            f"{name} has shape {array.shape}, not {shape}",
            hint="Outcomes or next states come first, then one axis per factor.",
        )


def _check_finite(array: NDArray[Any], name: str) -> None:
    import numpy as np

    if not np.isfinite(array).all():
        raise AgentError(f"{name} holds NaN or infinity", hint="Look where it was computed.")


def _disagreement(what: str, found: int, of: str, expected: int) -> AgentError:
    return AgentError(f"{found} {what} for {expected} {of}", hint=f"Give one per {of[:-1]}.")
