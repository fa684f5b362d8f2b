"""Small real servers for the drivers to meet, each in a thread of the test."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Iterator

    Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

WITHIN_S = 60.0


@contextmanager
def serving(
    talk: Talk, *, tls: ssl.SSLContext | None = None, receive_bytes: int | None = None
) -> Iterator[int]:
    """
    Serve on a free port of this machine, each connection by *talk*; yield the port.

    With *receive_bytes* the kernel takes about so much before a client has to wait.
    """
    loop = asyncio.new_event_loop()
    # Clients that reset their connections are what the tests are about.
    loop.set_exception_handler(lambda *_: None)
    ready: list[int] = []
    begun = threading.Event()
    stopped = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()

    async def serve() -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        if receive_bytes is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        server = await asyncio.start_server(answer, sock=listener, ssl=tls, backlog=1024)
        ready.append(server.sockets[0].getsockname()[1])
        begun.set()
        await stopped.wait()
        server.close()
        # Also those that begin while others end.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        # What is aborted is closed in the turns after.
        for _ in range(3):
            await asyncio.sleep(0)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert begun.wait(WITHIN_S)
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(WITHIN_S)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class Listener:
    """A listening socket that accepts when it is told to; a context manager."""

    def __init__(self, backlog: int) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.port: int = self._socket.getsockname()[1]
        self._accepted: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for each in (*self._accepted, self._socket):
            each.close()

    def accept(self, count: int) -> None:
        """Wait for so many connections."""
        self._accepted += [self._socket.accept()[0] for _ in range(count)]


def listening(backlog: int) -> Listener:
    """Listen, and do not accept."""
    return Listener(backlog)


def overflows() -> int:
    """Return how often the kernel has dropped a connection because a backlog was full."""
    lines = Path("/proc/net/netstat").read_text(encoding="ascii").splitlines()
    names, values = (line.split() for line in lines[:2])
    return int(values[names.index("ListenOverflows")])


def unused_port() -> int:
    """Return a port on which nobody listens."""
    with Listener(1) as listener:
        return listener.port


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes."""
    while received := await reader.read(1 << 16):
        writer.write(received)
        await writer.drain()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001 - as all are called
    """Read, and never answer."""
    while await reader.read(1 << 16):
        pass


async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reset the connection at the first request."""
    await reader.read(1)
    end = writer.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request, and close after a moment without another."""
    writer.write(await reader.read(1 << 16))
    await writer.drain()
    try:
        await asyncio.wait_for(reader.read(1), 0.2)
    except TimeoutError:
        return


async def redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer PING and AUTH in the wire format of Redis; this is not Redis."""
    while (head := await reader.readline()).startswith(b"*"):
        words = []
        for _ in range(int(head[1:])):
            length = int((await reader.readline())[1:])
            words.append((await reader.readexactly(length + 2))[:-2])
        if words[0] == b"PING":
            writer.write(b"+PONG\r\n")
        elif words == [b"AUTH", b"ada", b"secret"]:
            writer.write(b"+OK\r\n")
        else:
            writer.write(b"-WRONGPASS invalid username-password pair\r\n")
        await writer.drain()
