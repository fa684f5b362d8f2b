"""
One process of the server.

Started as ``python -m memopt_cli.workloads.sockets.server COMMANDS REPLIES PARENT``. First it is
told its settings, and answers with its port; then ``digest`` is answered with what was counted,
and ``heap`` with its memory. It ends when the other end of the pipe is closed, or its controller
is gone.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys

from memopt_cli.profiler.heap import HeapReader
from memopt_cli.workloads import wire
from memopt_cli.workloads.lifeline import allow_most_files, die_with
from memopt_cli.workloads.sockets.server.books import BACKLOG, Server

_READ_BYTES = 1 << 16
_REHEARSALS = 40
"""After so many the free blocks that a reading takes and gives back are always the same ones."""


class Control:
    """The pipe that a server process is told what to do by."""

    def __init__(self, commands: int, replies: int) -> None:
        self._commands, self._replies = commands, replies
        self._received = bytearray()
        self._heap = HeapReader()
        self.server: Server | None = None

    def first(self) -> wire.Message | None:
        """Wait for a message; `None` if nobody is there any more."""
        while (found := wire.taken_from(self._received)) is None:
            if not self._read():
                return None
        return found[0]

    def obey(self) -> bool:
        """Answer what was asked; say whether to go on."""
        if not self._read():
            return False
        while (found := wire.taken_from(self._received)) is not None:
            if found[0]["do"] == "heap":
                self.tell(_heap(self._heap))
            elif self.server is not None:
                self.tell(_report(self.server))
        return True

    def rehearse(self) -> None:
        """Read the heap as often as it takes for that to cost nothing new."""
        for _ in range(_REHEARSALS):
            wire.encoded(_heap(self._heap))

    def tell(self, message: wire.Message) -> None:
        """Send a message."""
        os.write(self._replies, wire.encoded(message))

    def _read(self) -> bool:
        some = os.read(self._commands, _READ_BYTES)
        self._received += some
        return bool(some)


def _report(server: Server) -> wire.Message:
    return {
        "digest": server.books.digest(server.alive()),
        "connections": server.connections,
        "accepted": server.books.accepted,
        "requests": server.books.requests,
    }


def _heap(reader: HeapReader) -> wire.Message:
    heap = reader.read()
    return {"in_use": heap.in_use_bytes, "free": heap.free_bytes, "blocks": heap.blocks}


def _listener(told: wire.Message) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if told["reuse_port"]:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.setblocking(False)
    listener.bind((told["host"], told["port"]))
    listener.listen(BACKLOG)
    # For what it accepts: the answer to a request takes the acknowledgement of it along.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
    return listener


def _server(told: wire.Message, listener: socket.socket, control: Control) -> Server:
    # Only what this variant needs: the other's modules would be part of its memory.
    if told["variant"] == "naive":
        from memopt_cli.workloads.sockets.server.naive import NaiveServer

        buffer_bytes = told["receive_buffer_bytes"]
        return NaiveServer(listener, control.obey, receive_buffer_bytes=buffer_bytes)
    from memopt_cli.workloads.sockets.server.optimized import OptimizedServer

    return OptimizedServer(listener, control.obey)


def main(arguments: list[str]) -> None:
    """Run the server that the command line and the first message describe."""
    commands, replies, parent = map(int, arguments)
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    allow_most_files()
    control = Control(commands, replies)
    told = control.first()
    if told is None:
        return
    try:
        listener = _listener(told)
    except OSError as exc:
        error = f"cannot listen on {told['host']}:{told['port']}: {exc.strerror}"
        control.tell({"error": error, "hint": "Choose another port, or 0 for a free one."})
        return
    control.server = _server(told, listener, control)
    gc.collect()
    control.rehearse()
    control.tell({"port": listener.getsockname()[1]})
    control.server.serve(commands)


if __name__ == "__main__":
    main(sys.argv[1:])
