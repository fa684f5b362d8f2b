"""A server whose closed connections are garbage until it is told to collect (SIGUSR1): PORT."""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from contextlib import suppress

PAYLOAD_BYTES = 4000


class Connection:
    """One connection, which refers to itself: only the collector frees it."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.payload = bytes(PAYLOAD_BYTES)
        self.itself = self


def main() -> None:
    """Serve until the process is ended."""
    gc.disable()
    signal.signal(signal.SIGUSR1, lambda *_: gc.collect())
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    connections: dict[int, Connection] = {}
    while True:
        for fd, _ in epoll.poll():
            if fd == listener.fileno():
                end, _ = listener.accept()
                connections[end.fileno()] = Connection(end)
                epoll.register(end, select.EPOLLIN)
                continue
            received = b""
            with suppress(ConnectionError):
                received = os.read(fd, 1 << 16)
            if received:
                os.write(fd, received)
            else:
                connections.pop(fd).end.close()


if __name__ == "__main__":
    main()
