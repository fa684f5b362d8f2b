"""What clients send: handshake documents and message payloads, the same for every variant."""

from __future__ import annotations

import json
import random

_TEXT = """
    resource prompt tool sample notify progress cancel result error cursor schema object
    string number integer boolean array required properties description title enum default
    format minimum maximum pattern uri text image audio blob name version protocol
"""
_WORDS = _TEXT.split()


def handshake_documents(size_bytes: int, distinct: int, seed: int) -> tuple[bytes, ...]:
    """
    Return *distinct* capability documents of about *size_bytes* each, as JSON text.

    They are shaped as the initialise request of the Model Context Protocol: a
    client's name and version, its capabilities, and tools with input schemas
    until the size is reached. A document is never shorter than its frame.
    """
    return tuple(_document(size_bytes, number, seed) for number in range(distinct))


def _document(size_bytes: int, number: int, seed: int) -> bytes:
    draw = random.Random(f"{seed}/{number}")
    tools: list[dict[str, object]] = []
    document = {
        "protocolVersion": "2025-06-18",
        "clientInfo": {"name": f"client-{number}", "version": f"1.{number}.0"},
        "capabilities": {"roots": {"listChanged": True}, "sampling": {}, "elicitation": {}},
        "tools": tools,
    }
    length = len(json.dumps(document))
    while length < size_bytes:
        tool = _tool(draw, len(tools))
        longer = length + len(json.dumps(tool)) + (len(", ") if tools else 0)
        if tools and longer - size_bytes > size_bytes - length:
            break
        tools.append(tool)
        length = longer
    return json.dumps(document).encode()


def _tool(draw: random.Random, number: int) -> dict[str, object]:
    return {
        "name": f"{draw.choice(_WORDS)}_{number}",
        "description": " ".join(draw.choices(_WORDS, k=6)),
        "inputSchema": {
            "type": "object",
            "properties": {draw.choice(_WORDS): {"type": "string"}, "limit": {"type": "integer"}},
        },
    }


class Payloads:
    """
    Message payloads, cut from one text of English-like words.

    Which part a message carries depends on the connection and on the message's
    number, so that two messages are rarely equal and compression finds what it
    finds in such text, not a run of zeros. Where only some differ, as when a server
    sends the same resources to many, each is one of that many parts.
    """

    def __init__(self, sizes_bytes: tuple[int, ...], seed: int, *, distinct: int = 0) -> None:
        """
        Args:
            sizes_bytes: The sizes of the mix.
            seed: Of the text.
            distinct: How many messages of each size differ; 0 for as many as there are.
        """
        self.sizes_bytes = sizes_bytes
        self._distinct = distinct
        draw = random.Random(f"{seed}/payloads")
        length = 2 * max(sizes_bytes) + 4096
        words = " ".join(draw.choices(_WORDS, k=length // 5 + 1)).encode()
        self._text = memoryview((words * (length // len(words) + 1))[:length])

    def arriving(self, number: int, received: int, kind: int) -> memoryview:
        """Return message *received* of connection *number*, of the size numbered *kind*."""
        size = self.sizes_bytes[kind]
        place = number * 7919 + received * 104729
        if self._distinct:
            # Far apart, so that also long ones differ from their beginning.
            place = place % self._distinct * 15485863
        offset = place % (len(self._text) - size)
        return self._text[offset : offset + size]
