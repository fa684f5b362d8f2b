"""
How full the queues of connections are that a server on this machine has yet to accept.

A driver that connects faster than the server accepts fills them; the kernel then drops
what comes, and the sender tries again after 1 s, 3 s, 7 s. That would be measured as the
server's latency, and it is a choice of the driver's. Asked by sock_diag (7).
"""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import suppress
from typing import NamedTuple, Self

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_DUMP = 0x301
_DONE = 3
_ERROR = 2
_LISTENING = 1 << 10
_HEADER = struct.Struct("=IHHII")
_QUERY = struct.Struct("=BBBBI48s")
_PORT = struct.Struct("!H")
_QUEUES = struct.Struct("=II")
_SOCKET_ID_BYTES = 48
_PORT_AT = _HEADER.size + 4
_QUEUES_AT = _HEADER.size + 4 + _SOCKET_ID_BYTES + 4
_READ_BYTES = 1 << 16


class Queue(NamedTuple):
    """One listening socket."""

    port: int
    waiting: int
    """Connections that the server has not accepted."""

    backlog: int
    """Most that may wait."""


class AcceptQueues:
    """Looks at the listening sockets of this network namespace; a context manager."""

    def __init__(self) -> None:
        """Raises `OSError` where the kernel does not offer it."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the descriptor."""
        self._socket.close()

    def read(self) -> list[Queue]:
        """
        Return every listening socket, of all programs.

        Raises:
            OSError: The kernel refuses.
        """
        return [*self._listening(socket.AF_INET), *self._listening(socket.AF_INET6)]

    def _listening(self, family: int) -> list[Queue]:
        query = _QUERY.pack(family, socket.IPPROTO_TCP, 0, 0, _LISTENING, b"")
        length = _HEADER.size + len(query)
        header = _HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, family, 0)
        self._socket.send(header + query)
        return self._answers()

    def _answers(self) -> list[Queue]:
        found: list[Queue] = []
        while True:
            answer = self._socket.recv(_READ_BYTES)
            at = 0
            while at < len(answer):
                length, kind, *_ = _HEADER.unpack_from(answer, at)
                if kind == _DONE:
                    return found
                if kind == _ERROR:
                    raise OSError(errno.EIO, "the kernel does not tell the accept queues")
                (port,) = _PORT.unpack_from(answer, at + _PORT_AT)
                found.append(Queue(port, *_QUEUES.unpack_from(answer, at + _QUEUES_AT)))
                at += length + 3 & ~3


class Room:
    """How many more connections a server's queues should be given at once."""

    def __init__(self, ports: set[int], drivers: int) -> None:
        self._ports = ports
        self._drivers = drivers
        self._queues: AcceptQueues | None = None
        if ports:
            with suppress(OSError):
                self._queues = AcceptQueues()

    def left(self) -> int | None:
        """
        Return how many connections keep the fullest queue under half, shared by all drivers.

        `None` if the queues cannot be seen, as those of another network namespace.
        """
        if self._queues is None:
            return None
        try:
            ours = [queue for queue in self._queues.read() if queue.port in self._ports]
        except OSError:
            self.close()
            return None
        if not ours:
            return None
        room = min(queue.backlog // 2 - queue.waiting for queue in ours)
        # With a backlog of 1 there is no half: then one at a time, and only while nobody waits.
        least = 0 if any(queue.waiting for queue in ours) else 1
        return max(least, room * len(ours) // self._drivers)

    def close(self) -> None:
        """Give back the descriptor."""
        if self._queues is not None:
            self._queues.close()
            self._queues = None
