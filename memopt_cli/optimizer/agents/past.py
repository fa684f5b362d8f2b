"""
What agents have believed and done, as sequences that can be appended to.

They stand where lists stood: `append`, `len`, indices and slices are as of a list, and every
value comes back to the last bit.
"""

from __future__ import annotations

import weakref
from array import array
from collections.abc import Sequence
from math import prod
from operator import index as whole_number
from typing import TYPE_CHECKING, Any

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents.dormitory import Dormitory
from memopt_cli.optimizer.agents.rings import ActionHistory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray


class PastActions(Sequence[Any]):
    """Whole numbers below a base, 2.4 bits each for a base of five."""

    __slots__ = ("_history",)

    def __init__(self, base: int, items: Iterable[int] = ()) -> None:
        """
        Raises:
            AgentError: An item is below 0 or not below *base*.
        """
        self._history = ActionHistory(range(base))
        for item in items:
            self.append(item)

    def __len__(self) -> int:
        return len(self._history)

    def __iter__(self) -> Iterator[int]:
        return iter(self._history.to_list())

    def __getitem__(self, index: Any) -> Any:
        return self._history.to_list()[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (list, PastActions)):
            return NotImplemented
        return list(other) == self._history.to_list()

    __hash__ = None  # type: ignore[assignment] # it changes, as a list does

    @property
    def size_bytes(self) -> int:
        """What the packed numbers occupy."""
        return self._history.size_bytes

    def append(self, item: int) -> None:
        """
        Remember one number more.

        Raises:
            AgentError: It is below 0 or not below the base.
        """
        self._history.append(whole_number(item))


class BeliefFile:
    """
    Records of one size in a file without a name, shared by the pasts of many agents.

    Places that are given back are written again, so it does not grow by who comes and goes.
    """

    __slots__ = ("__weakref__", "_file", "_free", "_made")

    def __init__(self, record_bytes: int, folder: Path | None = None) -> None:
        self._file = Dormitory(record_bytes, folder)
        self._free = array("q")
        self._made = 0

    @property
    def in_use(self) -> int:
        """How many records there are."""
        return self._made - len(self._free)

    def put(self, content: bytes) -> int:
        """
        Write a record and return its place.

        Raises:
            OSError: The disk is full; nothing is taken.
        """
        try:
            place = self._free.pop()
        except IndexError:
            place, self._made = self._made, self._made + 1
        try:
            self._file.put(place, content)
        except OSError:
            self._free.append(place)
            raise
        return place

    def get(self, place: int) -> bytes:
        """
        Return a record.

        Raises:
            CorruptState: It is not what was written.
        """
        return self._file.get(place)

    def give_back(self, places: array[int]) -> None:
        """Let places be written again, and empty their list."""
        self._free.extend(places)
        del places[:]


class PastBeliefs(Sequence[Any]):
    """
    Lists of arrays, always of the same shapes and types, in a file: 8 bytes of memory each.

    Reading an item makes new arrays. An item is what it was when it was appended, also if its
    arrays are written to afterwards. The places in the file are used again when this goes.
    """

    __slots__ = ("__weakref__", "_file", "_forms", "_places")

    def __init__(self, example: Sequence[NDArray[Any]], file: BeliefFile) -> None:
        """
        Args:
            example: An item; all have its shapes and types.
            file: For records of as many bytes as the example has.
        """
        self._forms = _forms(example)
        self._file, self._places = file, array("q")
        weakref.finalize(self, file.give_back, self._places).atexit = False

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self._item(place) for place in self._places[index]]
        return self._item(self._places[index])

    @property
    def size_bytes(self) -> int:
        """What is in memory."""
        return len(self._places) * self._places.itemsize

    def append(self, item: Sequence[NDArray[Any]]) -> None:
        """
        Remember one item more.

        Raises:
            AgentError: Its arrays have other shapes or types.
            OSError: The disk is full; nothing has changed.
        """
        if _forms(item) != self._forms:
            raise AgentError(
                f"arrays of {_forms(item)} in a past of {self._forms}",
                hint="Keep beliefs of other shapes in a past of their own.",
            )
        self._places.append(self._file.put(b"".join(each.tobytes() for each in item)))

    def _item(self, place: int) -> list[NDArray[Any]]:
        import numpy as np

        content, start, found = self._file.get(place), 0, []
        for shape, dtype in self._forms:
            each = np.frombuffer(content, dtype, prod(shape), start).reshape(shape)
            found.append(each.copy())
            start += each.nbytes
        return found


def _forms(item: Sequence[NDArray[Any]]) -> list[tuple[tuple[int, ...], Any]]:
    return [(each.shape, each.dtype) for each in item]
