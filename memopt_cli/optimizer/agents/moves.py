"""How a factor's states follow each other: as sources to gather from, or as matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from memopt_cli.optimizer.agents.model import dense_transition, successors_of

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from memopt_cli.optimizer.agents.model import Floats, Ints


class Moves(Protocol):
    """What one factor does under each action."""

    @property
    def size_bytes(self) -> int:
        """What the arrays occupy."""

    def after(self, beliefs: Floats, actions: Ints) -> Floats:
        """Return the beliefs [agent, state] after the action of each agent."""

    def after_all(self, beliefs: Floats, out: Floats) -> None:
        """
        Write what follows each action to *out*, [state * actions + action, agent].

        Args:
            beliefs: [state, agent], and one more row that is all zeros.
            out: Overwritten.
        """


class CertainMoves:
    """
    Each action leads from a state to one state: a gather, 400 times smaller than a matrix.

    The belief in a state is the sum over the states that lead to it; mostly one, so the
    first is taken for all, and the few others are added one rank after the other.
    """

    __slots__ = ("_first", "_more", "_successors")

    def __init__(self, successors: Ints) -> None:
        import numpy as np

        states, actions = successors.shape
        # Copied also where the transposed array is contiguous as it is.
        self._successors = np.array(successors.T, order="C")
        now, action = np.divmod(np.arange(states * actions), actions)
        target = successors.ravel() * actions + action
        order = np.argsort(target, kind="stable")
        target, source = target[order], now[order]
        sizes = np.bincount(target, minlength=states * actions)
        rank = np.arange(len(target)) - (np.cumsum(sizes) - sizes)[target]
        # Where nothing leads to, the row of zeros is gathered.
        self._first = np.full(states * actions, states, dtype=np.intp)
        self._first[target[rank == 0]] = source[rank == 0]
        self._more = [
            (target[rank == nth], source[rank == nth]) for nth in range(1, int(sizes.max()))
        ]

    @property
    def size_bytes(self) -> int:
        """What the arrays occupy."""
        more = sum(target.nbytes + source.nbytes for target, source in self._more)
        return int(self._successors.nbytes + self._first.nbytes + more)

    def after(self, beliefs: Floats, actions: Ints) -> Floats:
        """Return the beliefs [agent, state] after the action of each agent."""
        import numpy as np

        count, states = beliefs.shape
        places = self._successors[actions]
        places += np.arange(0, count * states, states)[:, None]
        summed: Floats = np.bincount(
            places.ravel(), beliefs.ravel(), minlength=count * states
        ).astype(np.float64, copy=False)
        return summed.reshape(count, states)

    def after_all(self, beliefs: Floats, out: Floats) -> None:
        """Write what follows each action to *out*, [state * actions + action, agent]."""
        import numpy as np

        np.take(beliefs, self._first, axis=0, out=out, mode="clip")
        for target, source in self._more:
            out[target] += beliefs[source]


class UncertainMoves:
    """Each action has a matrix."""

    __slots__ = ("_matrices",)

    def __init__(self, transition: NDArray[Any]) -> None:
        import numpy as np

        self._matrices: Floats = np.array(
            dense_transition(transition).transpose(0, 2, 1), order="C"
        )

    @property
    def size_bytes(self) -> int:
        """What the array occupies."""
        return self._matrices.nbytes

    def after(self, beliefs: Floats, actions: Ints) -> Floats:
        """Return the beliefs [agent, state] after the action of each agent."""
        import numpy as np

        result = np.empty_like(beliefs)
        for action in np.unique(actions):
            chosen = actions == action
            result[chosen] = beliefs[chosen] @ self._matrices[:, action].T
        return result

    def after_all(self, beliefs: Floats, out: Floats) -> None:
        """Write what follows each action to *out*, [state * actions + action, agent]."""
        import numpy as np

        states = self._matrices.shape[2]
        np.matmul(self._matrices.reshape(-1, states), beliefs[:-1], out=out)


def moves_of(transition: NDArray[Any]) -> Moves:
    """Return the smallest form of a factor's transitions."""
    successors = successors_of(transition)
    return UncertainMoves(transition) if successors is None else CertainMoves(successors)
