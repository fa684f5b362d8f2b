"""
The pieces a state is encoded from: counts, ints of any size, floats, text and bytes.

A count (a length, a number of items) is a varint of at most 10 bytes, 7 bits each, lowest
first. An int is a count of bytes and then these bytes, lowest first, in two's complement:
one byte longer than a varint for common values, but its cost is linear for any size.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING

from memopt_cli.errors import CorruptState

if TYPE_CHECKING:
    from memopt_cli.optimizer.fields import MetadataValue

NONE, FALSE, TRUE, INT, FLOAT, TEXT = range(6)
MAX_COUNT_BYTES = 10
ONE_BYTE = 0x7F
"""The largest count that takes one byte."""

DOUBLE = struct.Struct("<d")

ENCODING_ERRORS = "surrogatepass"
"""JSON may hold half a surrogate pair; it must come back as it was."""


def write_count(out: bytearray, count: int) -> None:
    """Append *count*, which is not negative."""
    while count > ONE_BYTE:
        out.append(count & 0x7F | 0x80)
        count >>= 7
    out.append(count)


def write_int(out: bytearray, number: int) -> None:
    """Append *number*; zero takes one byte."""
    length = (number.bit_length() + 8) // 8 if number else 0
    write_count(out, length)
    out += number.to_bytes(length, "little", signed=True)


def write_bytes(out: bytearray, content: bytes) -> None:
    """Append the length of *content*, and *content*."""
    write_count(out, len(content))
    out += content


def write_text(out: bytearray, text: str) -> None:
    """Append *text* in UTF-8, lone surrogates included."""
    content = text.encode("utf-8", ENCODING_ERRORS)
    length = len(content)
    if length <= ONE_BYTE:
        out.append(length)
    else:
        write_count(out, length)
    out += content


def write_value(out: bytearray, value: MetadataValue) -> None:
    """Append a tag for the type of *value*, and then its content."""
    # The common types first: a chain of patterns costs as much as the rest.
    if type(value) is str:
        out.append(TEXT)
        write_text(out, value)
    elif type(value) is int:
        out.append(INT)
        write_int(out, value)
    elif type(value) is float:
        out.append(FLOAT)
        out += DOUBLE.pack(value)
    elif value is None:
        out.append(NONE)
    else:
        out.append(TRUE if value else FALSE)


class Reader:
    """Reads the pieces one after the other; anything that is not one is `CorruptState`."""

    __slots__ = ("_at", "_content")

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def read_byte(self) -> int:
        """Return the next byte."""
        at = self._at
        try:
            byte = self._content[at]
        except IndexError:
            raise self._too_short(1, at) from None
        self._at = at + 1
        return byte

    def read_count(self) -> int:
        """Return the next count."""
        # Nearly all counts are one byte.
        number = self.read_byte()
        if number <= ONE_BYTE:
            return number
        self._at -= 1
        number = 0
        for shift in range(0, 7 * MAX_COUNT_BYTES, 7):
            byte = self.read_byte()
            number |= (byte & 0x7F) << shift
            if byte <= ONE_BYTE:
                return number
        raise CorruptState(f"a count at byte {self._at:,} of the body does not end")

    def read_int(self) -> int:
        """Return the next int."""
        return int.from_bytes(self._take(self.read_count()), "little", signed=True)

    def read_double(self) -> float:
        """Return the next float."""
        number: float = DOUBLE.unpack(self._take(DOUBLE.size))[0]
        return number

    def read_bytes(self) -> bytes:
        """Return the next byte string."""
        content, start = self._content, self._at + 1
        try:
            length = content[start - 1]
        except IndexError:
            raise self._too_short(1, start - 1) from None
        if length > ONE_BYTE:
            length = self.read_count()
            start = self._at
        self._at = end = start + length
        if end > len(content):
            raise self._too_short(length, start)
        return content[start:end]

    def read_text(self) -> str:
        """Return the next text."""
        return _decoded(self.read_bytes())

    def read_key(self) -> str:
        """Return the next text, one object for all states that have the same short key."""
        content = self.read_bytes()
        return _decoded_key(content) if len(content) <= MAX_SHARED_KEY_BYTES else _decoded(content)

    def read_value(self) -> MetadataValue:
        """Return the next value of any type."""
        tag = self.read_byte()
        if tag == TEXT:
            return self.read_text()
        if tag == INT:
            return self.read_int()
        if tag == FLOAT:
            return self.read_double()
        if tag == NONE:
            return None
        if tag in {TRUE, FALSE}:
            return tag == TRUE
        raise CorruptState(f"unknown type {tag} at byte {self._at:,} of the body")

    def read_rest(self) -> bytes:
        """Return all that was not read."""
        return self._take(len(self._content) - self._at)

    def finish(self) -> None:
        """Refuse bytes that were not read."""
        left = len(self._content) - self._at
        if left:
            raise CorruptState(f"{left:,} bytes are left after the last field")

    def _take(self, length: int) -> bytes:
        start = self._at
        self._at = end = start + length
        if end > len(self._content):
            raise self._too_short(length, start)
        return self._content[start:end]

    def _too_short(self, length: int, start: int) -> CorruptState:
        return CorruptState(f"a field of {length:,} bytes at byte {start:,} passes the end")


MAX_SHARED_KEY_BYTES = 64


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8", ENCODING_ERRORS)
    except UnicodeDecodeError as exc:
        raise CorruptState(f"text of {len(content):,} bytes is not UTF-8") from exc


# Not `sys.intern`: keys come from peers, and 3.12 never frees what was interned.
_decoded_key = lru_cache(maxsize=1024)(_decoded)
