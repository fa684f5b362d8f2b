"""
An echo server that fails after so many connections and messages: PORT, HOW, and AFTER.

die, stop (as SIGSTOP does), refuse (more connections), reset (whoever speaks or comes), hush
(answer nobody any more).
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class FailingServer:
    """Echoes until it is time."""

    def __init__(self, port: int, how: str, after: int) -> None:
        self._how, self._left = how, after
        self._epoll = select.epoll()
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", port))
        self._ends: dict[int, socket.socket] = {}
        self._epoll.register(self._listener, select.EPOLLIN)

    def serve(self) -> None:
        """Serve until the process is ended."""
        while True:
            for fd, _ in self._epoll.poll(-1, 1):
                self._count()
                if self._listener is not None and fd == self._listener.fileno():
                    self._accept(self._listener)
                elif fd in self._ends:
                    self._echo(fd)

    def _count(self) -> None:
        self._left -= 1
        if self._left:
            return
        if self._how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._how == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        if self._how == "refuse" and self._listener is not None:
            self._listener.close()
            self._listener = None

    @property
    def _failing(self) -> bool:
        return self._left <= 0

    def _accept(self, listener: socket.socket) -> None:
        end, _ = listener.accept()
        if self._failing and self._how == "reset":
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            end.close()
            return
        self._ends[end.fileno()] = end
        self._epoll.register(end, select.EPOLLIN)

    def _echo(self, fd: int) -> None:
        end = self._ends[fd]
        try:
            received = end.recv(4096)
        except OSError:
            received = b""
        if self._failing and self._how == "reset":
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            received = b""
        if not received:
            del self._ends[fd]
            end.close()
        elif not (self._failing and self._how == "hush"):
            end.sendall(received)


if __name__ == "__main__":
    FailingServer(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])).serve()
