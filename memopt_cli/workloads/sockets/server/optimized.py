"""
The server on plain epoll, with what `memopt_cli.optimizer` and `memopt_cli.pool` offer.

A connection that is idle is a descriptor, a handle of eight bytes, and a record of 56. It has a
buffer only while a line of it is not whole, and that is borrowed.
"""

from __future__ import annotations

import os
import select
from array import array
from typing import TYPE_CHECKING, NamedTuple

from memopt_cli.pool.buffers import Buffer, BufferPool
from memopt_cli.workloads.sockets.server.books import Books
from memopt_cli.workloads.sockets.server.compact import CompactStates

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from memopt_cli.workloads.connections.observing import Remembered

_READ_BYTES = 1 << 16
_ACCEPTS = 64
_MOST_EVENTS = 512
_ROWS = 1024
_READ = select.EPOLLIN | select.EPOLLRDHUP
_WRITE = select.EPOLLOUT


class _Unfinished(NamedTuple):
    """A line that is not whole."""

    buffer: Buffer
    length: int


class OptimizedServer:
    """Connections as handles by descriptor."""

    def __init__(self, listener: socket.socket, obey: Callable[[], bool]) -> None:
        """
        Args:
            listener: Where connections come in; it does not block.
            obey: Called when there is a command; says whether to go on.
        """
        self.books = Books()
        self._listener = listener
        self._obey = obey
        self._epoll = select.epoll()
        self._states = CompactStates()
        self._handles = array("Q")
        self._buffers = BufferPool(default_size=_READ_BYTES)
        self._unfinished: dict[int, _Unfinished] = {}
        self._unsent: dict[int, bytes] = {}
        self._connections = 0
        self._accepting = True

    @property
    def connections(self) -> int:
        """Connections now."""
        return self._connections

    def alive(self) -> Iterator[Remembered]:
        """Yield what each connection remembers now."""
        return (self._states.remembered(handle) for handle in self._handles if handle)

    def serve(self, commands: int) -> None:
        """Serve until told to end."""
        listening = self._listener.fileno()
        self._epoll.register(commands, select.EPOLLIN)
        self._epoll.register(listening, select.EPOLLIN)
        while True:
            for fd, mask in self._epoll.poll(-1, _MOST_EVENTS):
                if fd == listening:
                    self._accept()
                elif fd == commands:
                    if not self._obey():
                        return
                else:
                    self._attend(fd, mask)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS):
            try:
                # The public `accept` makes a socket object first, which takes as long again.
                fd, _ = self._listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - faster
            except BlockingIOError:
                return
            except OSError:
                # Without a descriptor the connection waits in the queue, and so do we: trying
                # again and again would only burn the processor.
                self._epoll.unregister(self._listener)
                self._accepting = False
                return
            os.set_blocking(fd, False)
            self._open(fd)

    def _open(self, fd: int) -> None:
        if fd >= len(self._handles):
            self._handles.frombytes(bytes(8 * (fd + 1 - len(self._handles) + _ROWS)))
        self._handles[fd] = self._states.open(self.books.accepted)
        self.books.accepted += 1
        self._connections += 1
        self._epoll.register(fd, _READ)

    def _attend(self, fd: int, mask: int) -> None:
        # One that an earlier event of the same batch has ended.
        if not self._handles[fd]:
            return
        if mask & _WRITE:
            self._resume(fd)
        if mask & ~_WRITE:
            if self._unfinished and fd in self._unfinished:
                self._go_on(fd, *self._unfinished[fd])
            else:
                self._receive(fd)

    def _receive(self, fd: int) -> None:
        """Read what begins with a line; what is not whole is kept in a buffer."""
        try:
            received = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        first = received.find(b"\n") + 1
        if first == len(received) > 0:
            # One whole line and nothing else, as nearly always.
            self.books.requests += 1
            if content := self._states.answer(self._handles[fd], received):
                self._send(fd, content)
            return
        end = received.rfind(b"\n") + 1
        if end < len(received):
            buffer = self._buffers.acquire(_longer(len(received) - end))
            self._keep(fd, buffer, received[end:])
        if end:
            self._answer(fd, received[:end])
        elif not received:
            self._close(fd)

    def _go_on(self, fd: int, buffer: Buffer, length: int) -> None:
        """Read into a buffer behind the line that is not whole."""
        try:
            count = os.readv(fd, [buffer.view[length:]])
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if not count:
            del self._unfinished[fd]
            self._buffers.release(buffer)
            self._close(fd)
            return
        received = bytes(buffer.view[: length + count])
        end = received.rfind(b"\n") + 1
        if end == len(received):
            del self._unfinished[fd]
            self._buffers.release(buffer)
        elif end:
            self._keep(fd, buffer, received[end:])
        elif len(received) < len(buffer.view):
            self._unfinished[fd] = _Unfinished(buffer, len(received))
        else:
            self._buffers.release(buffer)
            self._keep(fd, self._buffers.acquire(_longer(len(received))), received)
        if end:
            self._answer(fd, received[:end])

    def _keep(self, fd: int, buffer: Buffer, part: bytes) -> None:
        """Keep what is no whole line."""
        buffer.view[: len(part)] = part
        self._unfinished[fd] = _Unfinished(buffer, len(part))

    def _answer(self, fd: int, received: bytes) -> None:
        """Answer whole lines."""
        handle, answer = self._handles[fd], self._states.answer
        answers = [answer(handle, line) for line in _lines(received)]
        self.books.requests += len(answers)
        if content := b"".join(answers):
            self._send(fd, content)

    def _send(self, fd: int, content: bytes) -> None:
        """Send all of it, some of it later if the client does not read."""
        if fd in self._unsent:
            self._unsent[fd] += content
        elif left := _unwritten(fd, content):
            self._unsent[fd] = left
            self._epoll.modify(fd, _READ | _WRITE)

    def _resume(self, fd: int) -> None:
        """Send what could not be sent before."""
        left = _unwritten(fd, self._unsent[fd])
        if left:
            self._unsent[fd] = left
        else:
            del self._unsent[fd]
            self._epoll.modify(fd, _READ)

    def _close(self, fd: int) -> None:
        self.books.end(self._states.close(self._handles[fd]))
        self._handles[fd] = 0
        self._connections -= 1
        self._unsent.pop(fd, None)
        os.close(fd)
        if not self._accepting:
            self._accepting = True
            self._epoll.register(self._listener, select.EPOLLIN)


def _longer(length_bytes: int) -> int:
    """Return the size of a buffer in which there is room behind so much."""
    return max(_READ_BYTES, 2 * length_bytes)


def _lines(received: bytes) -> Iterator[bytes]:
    """Yield the lines; `split` takes fifty times as long to find the end of a long one."""
    start = 0
    while stop := received.find(b"\n", start) + 1:
        yield received[start:stop]
        start = stop


def _unwritten(fd: int, content: bytes) -> bytes:
    """Write what the socket takes, and return the rest."""
    try:
        while content:
            content = content[os.write(fd, content) :]
    except BlockingIOError:
        return content
    except OSError:
        # Reading tells the same, and ends the connection.
        return b""
    return b""
