"""What an agent knows, as named things and relations between them, in columns of numbers."""

from __future__ import annotations

import zlib
from array import array
from typing import TYPE_CHECKING, Final

from memopt_cli.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterator

NONE: Final = 0xFFFF_FFFF
"""In place of a number: there is no next one."""

MOST: Final = NONE
_FIRST_PLACES: Final = 8
_FULL: Final = 2 / 3
"""Share of an index that is in use before it grows; searching stays short below."""


class Names:
    """
    Different texts, numbered as they come: their bytes side by side, and an index by content.

    The index has a place of four bytes for each text and half as many empty ones at least;
    a dict of the same takes 50 bytes for each, and each text 49 before its first letter.
    """

    __slots__ = ("_ends", "_index", "_text")

    def __init__(self) -> None:
        self._text, self._ends = bytearray(), array("I")
        self._index = array("I", [NONE]) * _FIRST_PLACES

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[str]:
        return (self.name(number) for number in range(len(self)))

    @property
    def size_bytes(self) -> int:
        """What texts, their ends and the index occupy."""
        return sum(each.__sizeof__() for each in (self._text, self._ends, self._index))

    def find(self, name: str) -> int | None:
        """Return the number of a text, None if it is not there."""
        number = self._index[self._place(name.encode())]
        return None if number == NONE else number

    def add(self, name: str) -> int:
        """
        Return the number of a text that was not there.

        Raises:
            AgentError: It was, or there is no number left; nothing has changed.
        """
        text = name.encode()
        if self._index[self._place(text)] != NONE:
            raise AgentError(f"there is a {name!r} already", hint="Give each one name.")
        if len(self) >= MOST or len(self._text) + len(text) > MOST:
            raise AgentError(f"{len(self):,} names are all there can be", hint="Use two graphs.")
        if len(self) + 1 > len(self._index) * _FULL:
            self._grow()
        number = len(self)
        self._text += text
        self._ends.append(len(self._text))
        self._index[self._place(text)] = number
        return number

    def name(self, number: int) -> str:
        """Return the text of a number."""
        return self._bytes(number).decode()

    def _bytes(self, number: int) -> bytes:
        start = self._ends[number - 1] if number else 0
        return bytes(self._text[start : self._ends[number]])

    def _place(self, text: bytes) -> int:
        """Return where in the index a text is, or would be."""
        places = len(self._index)
        place = zlib.crc32(text) % places
        while self._index[place] != NONE and self._bytes(self._index[place]) != text:
            place = (place + 1) % places
        return place

    def _grow(self) -> None:
        self._index = array("I", [NONE]) * (len(self._index) * 2)
        for number in range(len(self)):
            self._index[self._place(self._bytes(number))] = number


class KnowledgeGraph:
    """
    Things by name, and relations of some kind from one to another.

    An edge takes 12 bytes: where it leads, of what kind it is, and the next of the same
    thing. Nothing is removed. That nothing is said twice is found by looking at all relations
    of the thing.
    """

    __slots__ = ("_first", "_kinds", "_kinds_of", "_last", "_next", "_targets", "_things")

    def __init__(self) -> None:
        self._things, self._kinds = Names(), Names()
        self._first, self._last = array("I"), array("I")
        self._targets, self._kinds_of, self._next = array("I"), array("I"), array("I")

    def __len__(self) -> int:
        """Return how many things there are."""
        return len(self._things)

    def __iter__(self) -> Iterator[str]:
        """Yield the names of all things, as they were added."""
        return iter(self._things)

    def __contains__(self, name: str) -> bool:
        return self._things.find(name) is not None

    @property
    def edges(self) -> int:
        """How many relations there are."""
        return len(self._targets)

    @property
    def size_bytes(self) -> int:
        """What everything occupies: names, both indices, things and edges."""
        columns = (self._first, self._last, self._targets, self._kinds_of, self._next)
        own = sum(each.__sizeof__() for each in columns)
        return own + self._things.size_bytes + self._kinds.size_bytes

    def add(self, name: str) -> None:
        """
        Add a thing.

        Raises:
            AgentError: There is one of this name; nothing has changed.
        """
        self._things.add(name)
        self._first.append(NONE)
        self._last.append(NONE)

    def relate(self, source: str, kind: str, target: str) -> None:
        """
        Say that one thing has a relation to another.

        Raises:
            AgentError: One of them is not there, or it was said before; nothing has changed.
        """
        start, end = self._number(source), self._number(target)
        known = self._kinds.find(kind)
        if known is not None and any(
            self._targets[edge] == end and self._kinds_of[edge] == known
            for edge in self._edges(start)
        ):
            raise AgentError(
                f"{source!r} {kind!r} {target!r} is known already", hint="Say it once."
            )
        edge = len(self._targets)
        self._kinds_of.append(self._kinds.add(kind) if known is None else known)
        self._targets.append(end)
        self._next.append(NONE)
        if self._first[start] == NONE:
            self._first[start] = edge
        else:
            self._next[self._last[start]] = edge
        self._last[start] = edge

    def relations(self, source: str) -> list[tuple[str, str]]:
        """
        Return kind and target of all relations of a thing, as they were said.

        Raises:
            AgentError: The thing is not there.
        """
        return [
            (self._kinds.name(self._kinds_of[edge]), self._things.name(self._targets[edge]))
            for edge in self._edges(self._number(source))
        ]

    def targets(self, source: str, kind: str) -> list[str]:
        """
        Return to which things a thing has a relation of one kind, as they were said.

        Raises:
            AgentError: The thing is not there.
        """
        edges, number = self._edges(self._number(source)), self._kinds.find(kind)
        return [
            self._things.name(self._targets[edge])
            for edge in edges
            if self._kinds_of[edge] == number
        ]

    def _edges(self, number: int) -> Iterator[int]:
        edge = self._first[number]
        while edge != NONE:
            yield edge
            edge = self._next[edge]

    def _number(self, name: str) -> int:
        number = self._things.find(name)
        if number is None:
            raise AgentError(f"there is no {name!r}", hint="Add a thing before relating it.")
        return number
