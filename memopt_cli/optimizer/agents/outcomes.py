"""
The joint outcomes of all modalities that can happen at all, and the states they tell of.

The expected free energy needs the distribution over *joint* outcomes, of which a grid of 20
by 20 has 1,200. Of these 441 can happen anywhere, in each state about five: a row here is one
of the 441, with its states. As a matrix they take 1.4 MB and 569 us for the policies of 14
agents, as rows of a few entries 42 KB and 164 us (CPU time, one core, float64).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents.model import NEGLIGIBLE, SMALLEST

if TYPE_CHECKING:
    from memopt_cli.optimizer.agents.model import Floats, GenerativeModel, Ints

MOST_ENTRIES: Final = 50_000_000
"""Of joint outcomes by joint states; 800 MB, above which a model is refused."""

SPARSE_BELOW: Final = 1 / 20
"""
Share of entries that are not zero below which rows are faster than a matrix product.

Rows over matrix, in time: 0.3 at 1/90, 0.8 at 1/24, 1.3 at 1/15, 18 at 1/3.
"""


class JointOutcomes:
    """
    P(joint outcome | joint state), one row per joint outcome that can happen.

    Rows with most entries come first, so that the pass over their second, third and later
    entries is over ever fewer rows; the last row, empty, is that of what cannot happen.
    """

    __slots__ = (
        "_codes",
        "_dense",
        "_entries",
        "_rows",
        "_shape",
        "_states",
        "_weights",
        "count",
    )

    def __init__(self, model: GenerativeModel) -> None:
        """
        Raises:
            AgentError: More joint outcomes can happen than fit into memory.
        """
        import numpy as np

        code, state, weight = _entries(model)
        self._shape = model.outcomes
        self._codes, row, sizes = np.unique(code, return_inverse=True, return_counts=True)
        self.count = len(self._codes)
        order = np.argsort(-sizes, kind="stable")
        self._rows: Ints = np.empty(self.count + 1, dtype=np.intp)
        self._rows[order] = np.arange(self.count)
        self._rows[-1] = self.count
        states = int(np.prod(model.states))
        self._dense: Floats | None = None
        if len(code) > SPARSE_BELOW * self.count * states:
            self._dense = np.zeros((self.count + 1, states))
            self._dense[self._rows[row], state] = weight
            self._entries, self._states, self._weights = [self.count], _no_ints(), _no_floats()
            return
        self._fill(self._rows[row], state, weight, sizes[order])

    def _fill(self, row: Ints, state: Ints, weight: Floats, sizes: Ints) -> None:
        """Lay the entries out: first those that come first in their rows, then the second."""
        import numpy as np

        order = np.argsort(row, kind="stable")
        row, state, weight = row[order], state[order], weight[order]
        firsts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
        rank = np.arange(len(row)) - firsts[row]
        width = int(sizes[0])
        self._states = np.zeros((self.count + 1, width), dtype=np.intp)
        self._weights = np.zeros((self.count + 1, width))
        # What pads a row repeats its first entry, so that writing a row writes nothing wrong.
        self._states[:-1], self._weights[:-1] = state[firsts, None], weight[firsts, None]
        self._states[row, rank], self._weights[row, rank] = state, weight
        self._entries = [int((sizes > nth).sum()) for nth in range(width)]

    @property
    def size_bytes(self) -> int:
        """What the arrays occupy."""
        dense = 0 if self._dense is None else self._dense.nbytes
        arrays = (self._codes, self._rows, self._states, self._weights)
        return dense + sum(array.nbytes for array in arrays)

    def rows(self, observations: Ints) -> Ints:
        """
        Return the row of each observation, one outcome per modality.

        Raises:
            AgentError: An outcome is none of its modality's, or modalities are missing.
        """
        import numpy as np

        sizes = np.array(self._shape)
        wrong_shape = observations.ndim != 2 or observations.shape[1] != len(sizes)  # noqa: PLR2004 - [agent, modality]
        if wrong_shape or observations.dtype.kind not in "iu":
            raise AgentError(
                f"observations of shape {observations.shape} and type {observations.dtype}",
                hint=f"Give integers, {len(sizes)} per agent: one outcome per modality.",
            )
        if observations.size and bool(((observations < 0) | (observations >= sizes)).any()):
            raise AgentError(
                f"an observation outside of {self._shape} outcomes",
                hint="Count the outcomes of each modality from 0.",
            )
        codes = np.ravel_multi_index(tuple(observations.T), self._shape)
        found = np.searchsorted(self._codes, codes)
        found[found == self.count] = 0
        return np.where(self._codes[found] == codes, self._rows[found], self.count)

    def likelihood(self, rows: Ints, out: Floats) -> None:
        """Write P(outcome | state) of each row to *out*, [agent, joint state]."""
        import numpy as np

        if self._dense is not None:
            np.take(self._dense, rows, axis=0, out=out, mode="clip")
            return
        out.fill(0.0)
        out[np.arange(len(rows))[:, None], self._states[rows]] = self._weights[rows]

    def predict(self, states: Floats, out: Floats, spare: Floats) -> None:
        """
        Write the distribution over joint outcomes to *out*, [joint outcome, column].

        Args:
            states: Distributions over joint states, [joint state, column], contiguous.
            out: One row per joint outcome.
            spare: As *out*; overwritten.
        """
        import numpy as np

        if self._dense is not None:
            np.matmul(self._dense[:-1], states, out=out)
            return
        # The indices are valid; "clip" only spares numpy a buffered copy.
        np.take(states, self._states[:-1, 0], axis=0, out=out, mode="clip")
        out *= self._weights[:-1, :1]
        for nth, rows in enumerate(self._entries[1:], start=1):
            part = spare[:rows]
            np.take(states, self._states[:rows, nth], axis=0, out=part, mode="clip")
            part *= self._weights[:rows, nth, None]
            out[:rows] += part

    def ambiguity(self, states: int) -> Floats:
        """Return, per joint state, the sum over outcomes of p ln(p + e^-16)."""
        import numpy as np

        if self._dense is not None:
            known = self._dense[:-1]
            negative: Floats = (known * np.log(known + NEGLIGIBLE)).sum(axis=0)
            return negative
        total = np.zeros(states)
        for nth, rows in enumerate(self._entries):
            weight = self._weights[:rows, nth]
            np.add.at(total, self._states[:rows, nth], weight * np.log(weight + NEGLIGIBLE))
        return total


def utility(model: GenerativeModel) -> Floats:
    """Return, per joint state, the expected log preference over its outcomes."""
    import numpy as np

    total = np.zeros(int(np.prod(model.states)))
    for likelihood, preference in zip(model.likelihoods, model.preferences, strict=True):
        chosen = np.exp(preference - preference.max())
        logarithm = np.log(chosen / chosen.sum() + SMALLEST)
        total += logarithm @ likelihood.reshape(len(likelihood), -1)
    return total


def _entries(model: GenerativeModel) -> tuple[Ints, Ints, Floats]:
    """Return joint outcome, joint state and probability wherever that is not zero."""
    import numpy as np

    states = int(np.prod(model.states))
    code, state, weight = np.zeros(states, dtype=np.intp), np.arange(states), np.ones(states)
    for likelihood in model.likelihoods:
        # By state, so that the outcomes of one state stand side by side.
        where, outcome = np.nonzero(likelihood.reshape(len(likelihood), -1).T)
        each = likelihood.reshape(len(likelihood), -1)[outcome, where]
        sizes = np.bincount(where, minlength=states)
        firsts = np.cumsum(sizes) - sizes
        repeats = sizes[state]
        total = int(repeats.sum())
        if total > MOST_ENTRIES:
            raise AgentError(
                f"{total:,} joint outcomes by states are possible, more than {MOST_ENTRIES:,}",
                hint="Use fewer modalities, or modalities that are certain in most states.",
            )
        within = np.arange(total) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        partner = firsts[np.repeat(state, repeats)] + within
        code = np.repeat(code, repeats) * len(likelihood) + outcome[partner]
        weight = np.repeat(weight, repeats) * each[partner]
        state = np.repeat(state, repeats)
    return code, state, weight


def _no_ints() -> Ints:
    import numpy as np

    return np.zeros((0, 0), dtype=np.intp)


def _no_floats() -> Floats:
    import numpy as np

    return np.zeros((0, 0))
