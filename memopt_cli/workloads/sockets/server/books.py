"""What a server has counted, and a digest of what its connections remember."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memopt_cli.workloads.connections.observing import Remembered

_BITS = 128

BACKLOG = 65_535
"""Of the listening sockets; the kernel makes it `net.core.somaxconn` if that is less."""


class Books:
    """Counts, and the digest of the connections that have ended."""

    def __init__(self) -> None:
        self.accepted = 0
        self.requests = 0
        """Answered, refusals included."""

        self._ended = 0

    def end(self, remembered: Remembered) -> None:
        """Take in what a connection remembered when it ended."""
        self._ended = _sum(self._ended, remembered)

    def digest(self, alive: Iterator[Remembered]) -> str:
        """
        Return a digest of all connections, the ended ones and the living.

        A sum, so that neither the order of the connections matters nor which of several
        processes had which; `digests_summed` is that of all of them.
        """
        total = self._ended
        for each in alive:
            total = _sum(total, each)
        return f"{total:032x}"


def digests_summed(digests: list[str]) -> str:
    """Return the digest of several processes."""
    return f"{sum(int(each, 16) for each in digests) % (1 << _BITS):032x}"


def _sum(total: int, remembered: Remembered) -> int:
    found = hashlib.blake2b(remembered.to_bytes(), digest_size=_BITS // 8).digest()
    return (total + int.from_bytes(found, "big")) % (1 << _BITS)


class Server(Protocol):
    """One variant, in one process."""

    books: Books

    @property
    def connections(self) -> int:
        """Connections now."""

    def alive(self) -> Iterator[Remembered]:
        """Yield what each connection remembers now."""

    def serve(self, commands: int) -> None:
        """Serve until its `Control`, to be called when *commands* can be read, says to end."""
