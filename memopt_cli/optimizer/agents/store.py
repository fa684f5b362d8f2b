"""Models by content: agents whose models are equal share one, whoever made them."""

from __future__ import annotations

from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from memopt_cli.optimizer.agents.model import successors_of
from memopt_cli.optimizer.agents.shared import SharedModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from memopt_cli.optimizer.agents.model import GenerativeModel


class ModelStore:
    """
    Shared models, kept as long as somebody uses them.

    A model is known by a digest of 256 bits over every value, shape and setting, so two that
    differ in one bit are two; by shape alone different models would be merged. Certain
    transitions are one content however they are given. Nothing of the given model is kept:
    what its owner writes to it later changes nobody's.

    References are counted by Python: the last population to go takes its model along.
    """

    __slots__ = ("_lock", "_shared")

    def __init__(self) -> None:
        self._lock = Lock()
        self._shared: WeakValueDictionary[bytes, SharedModel] = WeakValueDictionary()

    def __len__(self) -> int:
        """Return how many different models are in use."""
        return len(self._shared)

    def intern(self, model: GenerativeModel) -> SharedModel:
        """
        Return the shared form of *model*, made if nobody uses one of equal content.

        Raises:
            AgentError: More joint outcomes can happen than fit into memory.
        """
        key = content_key(model)
        with self._lock:
            known = self._shared.get(key)
            if known is None:
                known = self._shared[key] = SharedModel(model, key)
            return known

    @property
    def size_bytes(self) -> int:
        """What the arrays of all models in use occupy."""
        with self._lock:
            return sum(model.size_bytes for model in list(self._shared.values()))


def content_key(model: GenerativeModel) -> bytes:
    """Return a digest of everything that decides how an agent with *model* thinks."""
    digest = blake2b(digest_size=32)
    digest.update(repr((model.precision, model.tie)).encode())
    for array in _arrays(model):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        # A transposed or strided array has the content, not the layout, of a plain one.
        digest.update(memoryview(array.tobytes()) if not array.flags.c_contiguous else array.data)
    return digest.digest()


def _arrays(model: GenerativeModel) -> Iterator[NDArray[Any]]:
    import numpy as np

    for group in (model.likelihoods, model.preferences, model.priors):
        for array in group:
            # Adding zero makes -0.0 and 0.0, which are equal, the same bytes.
            yield np.asarray(array, dtype=np.float64) + 0.0
        yield np.array([len(group)])
    for transition in model.transitions:
        successors = successors_of(transition)
        if successors is not None:
            yield successors.astype(np.int64)
        else:
            yield np.asarray(transition, dtype=np.float64) + 0.0
