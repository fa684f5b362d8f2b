"""A belief that is packed while nobody looks at it."""

from __future__ import annotations

from sys import getrefcount
from typing import TYPE_CHECKING, Any

from memopt_cli.optimizer.agents.packing import DROPPED_BELOW, SparseRows, checked_belief

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memopt_cli.optimizer.agents.model import Floats


class LazyBeliefArray:
    """
    A distribution as sparse bytes, and as an array as long as somebody holds it.

    What is written to the array is never lost: while anybody refers to it, it is the truth,
    and the packed form is made anew from it. Packed, states at or below `dropped_below` are
    replaced by their mean, the others rounded to float32.
    """

    __slots__ = ("_alone", "_form", "_owner", "_packed", "_states")

    def __init__(self, belief: Floats, *, dropped_below: float = DROPPED_BELOW) -> None:
        """
        Raises:
            AgentError: It is no distribution: NaN, negative, or all zero.
        """
        self._states = len(belief)
        self._form = SparseRows((self._states,), dropped_below)
        self._owner: NDArray[Any] | None = None
        self._alone = 0
        self._packed = self._form.pack(checked_belief(belief, self._states)[None])

    @property
    def size_bytes(self) -> int:
        """What is held now: the packed form, and the array while it exists."""
        return len(self._packed) + (0 if self._owner is None else self._owner.nbytes)

    @property
    def is_compressed(self) -> bool:
        """Whether packing saves anything against an array of float32."""
        return len(self._packed) < 4 * self._states

    def dense(self) -> Floats:
        """Return the belief as an array; what is written to it is the belief."""
        import numpy as np

        if self._owner is None:
            owner = np.empty(self._states)
            self._form.unpack(self._packed, 1, owner[None])
            # Counted here and not written as a number, which differs between versions.
            self._alone = getrefcount(owner)
            self._owner = owner
        # A view, so that whoever keeps it, or a view of it, refers to the owner.
        return self._owner[:]

    def pack(self) -> bool:
        """
        Give the array up unless somebody refers to it; say whether there is none now.

        Raises:
            AgentError: What was written to it is no distribution; the array is kept.
        """
        owner = self._owner
        # This function's own name for it is one reference, as the one that made it was.
        if owner is None:
            return True
        if getrefcount(owner) > self._alone + 1:
            return False
        self._repack(owner)
        self._owner = None
        return True

    def _repack(self, owner: Floats) -> None:
        """Bring the packed form up to date; one that is, is not rounded a second time."""
        import numpy as np

        known = np.empty((1, self._states))
        self._form.unpack(self._packed, 1, known)
        if not np.array_equal(known[0], owner):
            self._packed = self._form.pack(checked_belief(owner, self._states)[None])
