"""
A server whose connections take exactly so many bytes: PORT, c or python, BYTES, and keep or free.

All else is there before the first connection: one loop, one list, no object per connection.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import sys
from array import array
from contextlib import suppress

from memopt_cli.workloads.population import payload_bytes

MOST_CONNECTIONS = 20_000
SMALL_BYTES = 512
MALLOC_HEADER_BYTES = 8


class FromMalloc:
    """Blocks of malloc by descriptor."""

    def __init__(self, size_bytes: int) -> None:
        self._libc = ctypes.CDLL(None)
        self._libc.malloc.restype = ctypes.c_void_p
        self._libc.malloc.argtypes = [ctypes.c_size_t]
        self._libc.free.argtypes = [ctypes.c_void_p]
        self._size = size_bytes - MALLOC_HEADER_BYTES
        # An integer in a list would be an object of 32 bytes.
        self._addresses = array("Q", bytes(16 * MOST_CONNECTIONS))

    def take(self, fd: int) -> None:
        """Take a block and write to all of it."""
        address = self._libc.malloc(self._size)
        ctypes.memset(address, 1, self._size)
        self._addresses[fd] = address

    def give_back(self, fd: int) -> None:
        """Give the block back."""
        self._libc.free(self._addresses[fd])

    def keep(self, fd: int) -> None:
        """Forget where the block is, which is all that it takes to keep it."""


class FromPython:
    """
    Objects by descriptor.

    CPython serves up to 512 bytes from pools of 16 KiB that begin with a header. A pool has
    room for 31 blocks of 512, which are 528 bytes each, and for 32 of 496, which are 512.
    """

    def __init__(self, size_bytes: int) -> None:
        block_bytes = 496 if size_bytes == SMALL_BYTES else size_bytes
        self._length = payload_bytes(block_bytes) or 0
        self._held: list[bytes | None] = [None] * (2 * MOST_CONNECTIONS)
        self._kept: list[bytes | None] = [None] * (10 * MOST_CONNECTIONS)
        self._kept_count = 0

    def take(self, fd: int) -> None:
        """Make the object."""
        self._held[fd] = b"x" * self._length

    def give_back(self, fd: int) -> None:
        """Let the object go."""
        self._held[fd] = None

    def keep(self, fd: int) -> None:
        """Put the object where it stays."""
        self._kept[self._kept_count] = self._held[fd]
        self._kept_count += 1


class ExactServer:
    """Echoes what it is sent."""

    def __init__(self, port: int, level: str, size_bytes: int, *, keep: bool) -> None:
        memory = FromMalloc(size_bytes) if level == "c" else FromPython(size_bytes)
        self._take = memory.take
        self._leave = memory.keep if keep else memory.give_back
        self._epoll = select.epoll()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self._listener.setblocking(False)
        self._epoll.register(self._listener, select.EPOLLIN)

    def serve(self) -> None:
        """Serve until the process is ended."""
        listening = self._listener.fileno()
        while True:
            for fd, _ in self._epoll.poll(-1, 64):
                if fd == listening:
                    self._accept()
                else:
                    self._echo(fd)

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            end, _ = self._listener.accept()
            end.setblocking(False)
            fd = end.detach()
            self._epoll.register(fd, select.EPOLLIN)
            self._take(fd)

    def _echo(self, fd: int) -> None:
        try:
            received = os.read(fd, 4096)
        except OSError:
            received = b""
        if received:
            os.write(fd, received)
            return
        os.close(fd)
        self._leave(fd)


if __name__ == "__main__":
    ExactServer(
        int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), keep=sys.argv[4:] == ["keep"]
    ).serve()
