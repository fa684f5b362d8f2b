"""Frames of the WebSocket protocol (RFC 6455, section 5)."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from memopt_cli.errors import WrongReply

_FINAL = 0x80
_RESERVED = 0x70
_MASKED = 0x80
_LENGTH_16 = 126
_LENGTH_64 = 127


class Opcode(IntEnum):
    """What a frame carries."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Frame(NamedTuple):
    """One frame from a server."""

    opcode: Opcode
    final: bool
    payload: bytes
    taken: int
    """Bytes of what was received that the frame is."""


def masked(opcode: Opcode, payload: bytes, mask: bytes) -> bytes:
    r"""
    Return a client's frame with all of *payload*.

    >>> masked(Opcode.TEXT, b"Hello", bytes.fromhex("37fa213d")).hex()
    '818537fa213d7f9f4d5158'
    """
    length = len(payload)
    if length < _LENGTH_16:
        head = struct.pack("!BB", _FINAL | opcode, _MASKED | length)
    elif length < 1 << 16:
        head = struct.pack("!BBH", _FINAL | opcode, _MASKED | _LENGTH_16, length)
    else:
        head = struct.pack("!BBQ", _FINAL | opcode, _MASKED | _LENGTH_64, length)
    # One exclusive-or of two long integers, instead of one per byte.
    key = (mask * (length // 4 + 1))[:length]
    hidden = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return head + mask + hidden.to_bytes(length, "big")


def frame(received: bytes) -> Frame | None:
    r"""
    Return the frame that *received* begins with, or `None` if it is not whole.

    >>> frame(b"\x81\x05Hello and more")
    Frame(opcode=<Opcode.TEXT: 1>, final=True, payload=b'Hello', taken=7)

    Raises:
        WrongReply: The frame is masked, which a server's must not be, or of no known kind.
    """
    if len(received) < 2:  # noqa: PLR2004 - the shortest head
        return None
    first, second = received[0], received[1]
    if first & _RESERVED or second & _MASKED:
        raise WrongReply(f"{received[:2]!r} begins no frame of a server without extensions")
    try:
        opcode = Opcode(first & 0x0F)
    except ValueError:
        raise WrongReply(f"a frame of the unknown kind {first & 0x0F}") from None
    at, length = 2, second
    if length >= _LENGTH_16:
        size = 2 if length == _LENGTH_16 else 8
        at += size
        if len(received) < at:
            return None
        length = int.from_bytes(received[2:at], "big")
    taken = at + length
    if len(received) < taken:
        return None
    return Frame(opcode, bool(first & _FINAL), received[at:taken], taken)
