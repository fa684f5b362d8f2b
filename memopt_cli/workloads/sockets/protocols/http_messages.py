"""HTTP/1.1 as bytes: requests out, responses in (RFC 9112)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.errors import UsageError, WrongReply

if TYPE_CHECKING:
    from collections.abc import Mapping

SWITCHING_PROTOCOLS = 101
"""The one status below 200 that is an answer."""

_LONGEST_HEAD_BYTES = 1 << 16
_FIRST_WITH_CONTENT = 200
_NO_CONTENT = {SWITCHING_PROTOCOLS, 204, 304}


@dataclass(frozen=True, slots=True)
class Response:
    """One response, whole."""

    status: int
    headers: dict[str, str]
    """By name in lower case; of several with one name the last."""

    body: bytes
    taken: int
    """Bytes of what was received that the response is."""


def request(method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> bytes:
    r"""
    Return one request; a body brings its Content-Length with it.

    >>> request("GET", "/", {"Host": "here"})
    b'GET / HTTP/1.1\r\nHost: here\r\n\r\n'

    Raises:
        UsageError: A part holds a line break, which would make it two.
    """
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    for line in lines:
        if "\r" in line or "\n" in line:
            raise UsageError(f"{line!r} holds a line break", hint="A header is one line.")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def response(received: bytes) -> Response | None:
    """
    Return the response that *received* begins with, or `None` if it is not whole.

    Interim responses (1xx) before it are taken with it, but for 101, which is an answer.

    Raises:
        WrongReply: This is no HTTP/1, or its body ends only with the connection, on which
            nothing more can be asked then.
    """
    start = 0
    while True:
        end = received.find(b"\r\n\r\n", start)
        if end < 0:
            _check_beginning(received[start:])
            return None
        status, headers = _head(received[start:end])
        end += 4
        if status == SWITCHING_PROTOCOLS or status >= _FIRST_WITH_CONTENT:
            break
        start = end
    if status in _NO_CONTENT:
        return Response(status, headers, b"", end)
    if "chunked" in headers.get("transfer-encoding", "").lower():
        found = _chunks(received, end)
        return None if found is None else Response(status, headers, *found)
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        raise WrongReply(
            f"the response (status {status}) has no length: its body ends with the connection"
        )
    taken = end + int(length)
    return Response(status, headers, received[end:taken], taken) if len(received) >= taken else None


def _check_beginning(received: bytes) -> None:
    """Refuse what can become no response, rather than wait for its end."""
    wanted = b"HTTP/1."
    if received[: len(wanted)] != wanted[: len(received)] or len(received) > _LONGEST_HEAD_BYTES:
        raise WrongReply(f"{received[:40]!r} is no response of HTTP/1")


def _head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status = rest[:3]
    if not (version.startswith("HTTP/1.") and status.isascii() and status.isdigit()):
        raise WrongReply(f"{first[:60]!r} is no status line of HTTP/1")
    pairs = (line.partition(":") for line in lines)
    return int(status), {name.strip().lower(): value.strip() for name, _, value in pairs}


def _chunks(received: bytes, at: int) -> tuple[bytes, int] | None:
    """Return the body that begins at *at* in chunks, and where it ends."""
    pieces: list[bytes] = []
    while True:
        end = received.find(b"\r\n", at)
        if end < 0:
            return None
        digits = received[at:end].partition(b";")[0].strip()
        try:
            size = int(digits, 16)
        except ValueError:
            raise WrongReply(f"{digits[:20]!r} is no length of a chunk") from None
        at = end + 2
        if not size:
            return _after_trailers(received, at, pieces)
        if len(received) < at + size + 2:
            return None
        pieces.append(received[at : at + size])
        at += size + 2


def _after_trailers(received: bytes, at: int, pieces: list[bytes]) -> tuple[bytes, int] | None:
    while True:
        end = received.find(b"\r\n", at)
        if end < 0:
            return None
        if end == at:
            return b"".join(pieces), end + 2
        at = end + 2
