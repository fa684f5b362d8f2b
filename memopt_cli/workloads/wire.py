"""
What a controller and the processes it starts say to each other: one line of JSON, then bytes.

Each message is one line of JSON: an object, and the lengths of the blocks of bytes
that follow the line. Both ends are on one machine, so integers are in
its byte order.
"""

from __future__ import annotations

import json
from typing import IO, Any

Message = dict[str, Any]


def encoded(message: Message, *blocks: bytes) -> bytes:
    """Return one message as it goes over the pipe."""
    # Not by a copy of the message with one key more: CPython keeps the keys of up to 80
    # such copies, which the subject's memory would show as growth.
    line = json.dumps([message, [len(block) for block in blocks]])
    return b"".join([line.encode(), b"\n", *blocks])


def send(stream: IO[bytes], message: Message, *blocks: bytes) -> None:
    """Write one message and flush; raises `BrokenPipeError` when the other end is gone."""
    stream.write(encoded(message, *blocks))
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[Message, list[bytes]] | None:
    """Return the next message and its blocks, or `None` when the other end has closed."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    message: Message
    message, lengths = json.loads(line)
    return message, [stream.read(length) for length in lengths]


def taken_from(received: bytearray) -> tuple[Message, list[bytes]] | None:
    """
    Remove the first message from what was received, and return it; `None` if it is not whole.

    For a process that waits for much else beside its commands.

    >>> pipe = bytearray(encoded({"do": "close"}, b"12") + b"[")
    >>> taken_from(pipe), taken_from(pipe), pipe
    (({'do': 'close'}, [b'12']), None, bytearray(b'['))
    """
    end = received.find(b"\n") + 1
    if not end:
        return None
    message: Message
    message, lengths = json.loads(received[:end])
    if len(received) < end + sum(lengths):
        return None
    blocks = []
    for length in lengths:
        blocks.append(bytes(received[end : end + length]))
        end += length
    del received[:end]
    return message, blocks
