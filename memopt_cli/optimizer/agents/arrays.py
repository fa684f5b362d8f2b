"""Arrays by content: whoever has an equal one has the same one, and nobody can write to it."""

from __future__ import annotations

from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from memopt_cli.errors import AgentError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ArrayStore:
    """
    Read-only arrays, kept as long as somebody uses them.

    An array is known by a digest of 256 bits over type, shape, layout and every byte, so two
    of one shape that differ in one value are two. The layout belongs to it because the order
    of a sum follows it: computed on the shared array a result is the same to the last bit.

    The bytes are those of a `bytes` object, which cannot be made writeable again as an array
    of numpy's own can by its owner. Whoever writes gets numpy's `ValueError`, and changes
    nobody's.
    """

    __slots__ = ("_known", "_lock")

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: WeakValueDictionary[bytes, NDArray[Any]] = WeakValueDictionary()

    def __len__(self) -> int:
        """Return how many different arrays are in use."""
        return len(self._known)

    @property
    def size_bytes(self) -> int:
        """What all arrays in use occupy, each counted once."""
        with self._lock:
            return sum(array.nbytes for array in list(self._known.values()))

    def holds(self, array: NDArray[Any]) -> bool:
        """Say whether this very array is one of the store's."""
        with self._lock:
            return any(array is known for known in list(self._known.values()))

    def intern(self, array: NDArray[Any]) -> NDArray[Any]:
        """
        Return the shared array of equal content and layout, made if there is none.

        Raises:
            AgentError: The array refers to Python objects.
        """
        import numpy as np

        if array.dtype.hasobject:
            raise AgentError(
                f"an array of {array.dtype} refers to Python objects",
                hint="Share only arrays whose values are bytes, such as numbers.",
            )
        # The longest stride first: so laid out, the axes are in the order of memory.
        axes = np.argsort([-abs(stride) for stride in array.strides], kind="stable")
        ordered = np.ascontiguousarray(array.transpose(axes))
        head = f"{array.dtype.str}{ordered.shape}{axes.tolist()}".encode()
        digest = blake2b(head, digest_size=32)
        digest.update(ordered.reshape(-1).view(np.uint8).data)
        with self._lock:
            known = self._known.get(digest.digest())
            if known is None:
                flat = np.frombuffer(ordered.tobytes(), array.dtype)
                known = flat.reshape(ordered.shape).transpose(np.argsort(axes))
                self._known[digest.digest()] = known
            return known
