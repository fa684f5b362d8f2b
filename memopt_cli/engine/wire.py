"""
What controller and subject say to each other: one line of JSON, then bytes.

Each message is a JSON object on one line; its key ``bytes`` lists the lengths of
the blocks that follow the line. Both ends are on one machine, so integers are in
its byte order.
"""

from __future__ import annotations

import json
from typing import IO, Any

Message = dict[str, Any]


def send(stream: IO[bytes], message: Message, *blocks: bytes) -> None:
    """Write one message and flush; raises `BrokenPipeError` when the other end is gone."""
    line = json.dumps({**message, "bytes": [len(block) for block in blocks]})
    stream.write(line.encode() + b"\n")
    for block in blocks:
        stream.write(block)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[Message, list[bytes]] | None:
    """Return the next message and its blocks, or `None` when the other end has closed."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    message: Message = json.loads(line)
    return message, [stream.read(length) for length in message["bytes"]]
