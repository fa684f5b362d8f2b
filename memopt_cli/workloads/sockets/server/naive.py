"""
The server as asyncio services are written: streams, dictionaries, parsed documents.

Each connection has its own buffer to put lines together in, its own copy of what its
client said in the handshake, and counters in a dictionary; see
`memopt_cli.workloads.connections.naive` for why this is not made worse than usual.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from zlib import crc32

from memopt_cli.workloads.connections.observing import (
    KEYS,
    PENDING,
    Remembered,
    fingerprint,
    stored_value,
)
from memopt_cli.workloads.sockets.server import messages
from memopt_cli.workloads.sockets.server.books import BACKLOG, Books

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from memopt_cli.workloads.sockets.server.messages import Request

Record = dict[str, Any]
_READ_BYTES = 1 << 16


class NaiveServer:
    """Connections as nested dictionaries, each served by a task."""

    def __init__(
        self, listener: socket.socket, obey: Callable[[], bool], *, receive_buffer_bytes: int
    ) -> None:
        """
        Args:
            listener: Where connections come in.
            obey: Called when there is a command; says whether to go on.
            receive_buffer_bytes: What each connection puts its lines together in, to begin with.
        """
        self.books = Books()
        self._listener = listener
        self._obey = obey
        self._buffer_bytes = receive_buffer_bytes
        self._records: dict[int, Record] = {}

    @property
    def connections(self) -> int:
        """Connections now."""
        return len(self._records)

    def alive(self) -> Iterator[Remembered]:
        """Yield what each connection remembers now."""
        return map(_remembered, self._records.values())

    def serve(self, commands: int) -> None:
        """Serve until told to end."""
        asyncio.run(self._serve(commands))

    async def _serve(self, commands: int) -> None:
        ended = asyncio.Event()

        def obey() -> None:
            if not self._obey():
                ended.set()

        asyncio.get_running_loop().add_reader(commands, obey)
        server = await asyncio.start_server(self._talk, sock=self._listener, backlog=BACKLOG)
        await ended.wait()
        server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.books.accepted
        self.books.accepted += 1
        record = self._records[number] = self._record(number)
        try:
            while received := await reader.read(_READ_BYTES):
                for line in _lines(record, received):
                    answer = self._answer(record, line)
                    if answer is not None:
                        writer.write(answer)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self.books.end(_remembered(record))
            del self._records[number]
            writer.close()

    def _record(self, number: int) -> Record:
        now = time.time()
        return {
            "id": f"connection-{number}",
            "phase": "connecting",
            "opened_at": now,
            "last_seen": now,
            "capabilities": {},
            "metadata": {},
            "pending": [],
            "stats": {"received": 0, "received_bytes": 0, "checksum": 0},
            "receive_buffer": bytearray(self._buffer_bytes),
            "buffered": 0,
        }

    def _answer(self, record: Record, line: bytes) -> bytes | None:
        self.books.requests += 1
        try:
            asked = messages.request(line)
            result = _result(record, asked)
        except messages.Refused as refused:
            return refused.answer
        return None if asked.id is None else messages.answer(asked.id, result)


def _lines(record: Record, received: bytes) -> Iterator[bytes]:
    """Put what was received into the connection's buffer, and yield the lines that are whole."""
    buffer: bytearray = record["receive_buffer"]
    filled = record["buffered"]
    end = filled + len(received)
    if end > len(buffer):
        buffer.extend(bytes(end - len(buffer)))
    buffer[filled:end] = received
    start = 0
    while (stop := buffer.find(b"\n", start, end) + 1) > 0:
        yield bytes(buffer[start:stop])
        start = stop
    buffer[: end - start] = buffer[start:end]
    record["buffered"] = end - start


def _result(record: Record, asked: Request) -> bytes:
    """Do what is asked; raises `Refused`."""
    record["last_seen"] = time.time()
    if asked.method == "tools/call":
        wanted = messages.echo(asked)
        _account(record, wanted)
        return messages.echoed(wanted.text)
    if asked.method == "initialize":
        record["capabilities"] = asked.params
    elif asked.method == "notifications/initialized":
        record["phase"] = "ready"
        return messages.RESULTS["ping"]
    result = messages.RESULTS.get(asked.method)
    if result is None:
        raise messages.unknown(asked)
    return result


def _account(record: Record, wanted: messages.Echo) -> None:
    stats = record["stats"]
    text = wanted.text.encode()
    checksum = crc32(text, stats["checksum"])
    pending = record["pending"]
    pending.append(stats["received"])
    if len(pending) > PENDING:
        del pending[0]
    if wanted.write:
        record["metadata"][KEYS[stats["received"] % len(KEYS)]] = stored_value(checksum)
    stats["received"] += 1
    stats["received_bytes"] += len(text)
    stats["checksum"] = checksum


def _remembered(record: Record) -> Remembered:
    stats = record["stats"]
    # Times and the server's own numbers differ with each run, whatever the variant.
    return Remembered(
        number=0,
        phase=record["phase"],
        opened_at_s=0.0,
        last_seen_s=0.0,
        received=stats["received"],
        received_bytes=stats["received_bytes"],
        checksum=stats["checksum"],
        metadata=record["metadata"],
        pending=tuple(record["pending"]),
        retained=(),
        capabilities=fingerprint(record["capabilities"]),
    )
