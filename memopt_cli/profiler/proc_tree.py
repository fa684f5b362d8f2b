"""Numbers in the files that the kernel shows, below a root that a test may bring."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNLIMITED: Final = math.inf
"""What is told to have no limit; what is not told is `None`."""

_WITHOUT_LIMIT = {"unlimited", "max"}
_NO_LIMIT_FROM = 2**62
"""The kernel writes the largest number it has, or the last page below it, for no limit."""


class ProcTree:
    """
    Reads ``/proc`` and ``/sys`` below a root; what cannot be read is `None`, never zero.

    Nothing is written, and nothing needs root.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def text(self, path: str) -> str | None:
        """Return a file's text."""
        try:
            return (self.root / path).read_text(encoding="ascii", errors="replace")
        except OSError:
            return None

    def lines(self, path: str) -> Iterator[str]:
        """Yield the lines of a file that may be long; raises `OSError` at the first one."""
        with (self.root / path).open(encoding="ascii", errors="replace") as file:
            yield from file

    def numbers(self, path: str, count: int) -> tuple[float | None, ...]:
        """Return the first *count* numbers of a file."""
        words = (self.text(path) or "").split()
        found = [number(word) for word in words[:count]]
        return (*found, *[None] * (count - len(found)))

    def number(self, path: str) -> float | None:
        """Return the first number of a file."""
        return self.numbers(path, 1)[0]

    def after(self, path: str, *labels: str) -> float | None:
        """
        Return the number that follows all *labels*, in this order, on one line.

        ``after("proc/net/sockstat", "TCP:", "tw")`` reads ``TCP: inuse 3 orphan 0 tw 5``.
        """
        for line in (self.text(path) or "").splitlines():
            words = line.split()
            at = 0
            for label in labels:
                if label not in words[at:]:
                    break
                at = words.index(label, at) + 1
            else:
                return number(words[at]) if at < len(words) else None
        return None

    def resource(self, name: str) -> tuple[float | None, float | None]:
        """Return the soft and the hard limit of ``/proc/self/limits`` that has this name."""
        for line in (self.text("proc/self/limits") or "").splitlines():
            if line.startswith(name):
                soft, hard = (*line[len(name) :].split(), "", "")[:2]
                return number(soft), number(hard)
        return None, None


def number(word: str) -> float | None:
    """
    Return the number that *word* is.

    >>> number("4096"), number("max"), number("9223372036854771712"), number("?")
    (4096, inf, inf, None)
    """
    if word in _WITHOUT_LIMIT:
        return UNLIMITED
    if not (word.isascii() and word.isdigit()):
        return None
    return UNLIMITED if int(word) >= _NO_LIMIT_FROM else int(word)
