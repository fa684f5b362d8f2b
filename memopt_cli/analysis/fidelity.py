"""How agents that save memory think, against agents that do not: counted step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from memopt_cli.analysis.recording import Fidelity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

SAME: Final = 1e-9
"""Beliefs closer than this, of two models whose naive agents are farther apart, are one's."""


class Tally:
    """Adds up what is compared; holds numbers only, however long the trace is."""

    def __init__(self) -> None:
        self._led = self._led_equal = self._free = self._free_equal = 0
        self._posterior = self._divergence = 0.0
        self._missing = self._not_finite = self._impossible = 0
        self._twins = self._merged = 0

    def add_led(self, expected: Floats, found: Floats, equal: NDArray[Any]) -> None:
        """
        Compare a step of agents that are led.

        Args:
            expected: Beliefs of naive agents, [agent, state].
            found: Beliefs of the agents that are judged; of another shape where they are lost.
            equal: Which agents chose what the naive ones chose.
        """
        import numpy as np

        self._led += len(equal)
        self._led_equal += int(equal.sum())
        if found.shape != expected.shape:
            self._missing += len(equal)
            return
        finite = np.isfinite(found).all(axis=1)
        self._not_finite += int((~finite).sum())
        one, other = expected[finite], found[finite]
        if one.size:
            self._posterior = max(self._posterior, float(abs(one - other).max()))
            divergences = _divergences(one, other)
            known = np.isfinite(divergences)
            self._impossible += int((~known).sum())
            self._divergence = max(self._divergence, float(divergences[known].max(initial=0.0)))

    def add_free(self, equal: NDArray[Any]) -> None:
        """Compare a step of agents on their own."""
        self._free += len(equal)
        self._free_equal += int(equal.sum())

    def add_twins(self, expected: tuple[Floats, Floats], found: tuple[Floats, Floats]) -> None:
        """Compare agents of two models of one shape that see the same."""
        one, other = found
        apart = abs(expected[0] - expected[1]).max(axis=1) > 1e3 * SAME
        if one.shape != other.shape or one.shape != expected[0].shape:
            return
        self._twins += int(apart.sum())
        self._merged += int((abs(one - other).max(axis=1)[apart] < SAME).sum())

    def result(self) -> Fidelity:
        """Return what was counted."""
        compared = self._led > self._missing + self._not_finite
        return Fidelity(
            steps=self._led,
            same_actions=self._led_equal,
            free_steps=self._free,
            same_free_actions=self._free_equal,
            posterior=self._posterior if compared else None,
            divergence_nat=self._divergence if compared else None,
            missing=self._missing,
            not_finite=self._not_finite,
            impossible=self._impossible,
            twins=self._twins,
            merged=self._merged,
        )


def _divergences(one: Floats, other: Floats) -> Floats:
    """
    Return KL(one || other) of each row in nats; infinite where something possible is lost.

    Of all factors together, whose joint distributions are products (Kullback and Leibler, 1951).
    """
    import numpy as np

    held = one > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(held, one * np.log(one / other), 0.0)
    found: Floats = terms.sum(axis=1)
    return found


def faults(found: Fidelity) -> list[str]:
    """Return what no saving makes up for, in words."""
    told = []
    if found.missing:
        told.append(f"beliefs were lost in {found.missing:,} of {found.steps:,} steps")
    if found.not_finite:
        told.append(f"beliefs held NaN in {found.not_finite:,} of {found.steps:,} steps")
    if found.impossible:
        what = "what was possible was ruled out for ever"
        told.append(f"{what} in {found.impossible:,} of {found.steps:,} steps")
    if found.merged:
        told.append(f"different models were one in {found.merged:,} of {found.twins:,} steps")
    return told


def observed(found: Fidelity, aggregation: str) -> float | None:
    """Return what a threshold of `fidelity` is about."""
    match aggregation:
        case "posterior":
            return found.posterior
        case "kl":
            return found.divergence_nat
        case "actions":
            return found.same_actions / found.steps if found.steps else None
        case _:
            return found.same_free_actions / found.free_steps if found.free_steps else None
