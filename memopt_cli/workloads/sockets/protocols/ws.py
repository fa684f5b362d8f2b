"""WebSocket (RFC 6455) without extensions: a text that is echoed, or a ping and its pong."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from memopt_cli.errors import UsageError, WrongReply
from memopt_cli.workloads.sockets.protocols import http_messages
from memopt_cli.workloads.sockets.protocols.shape import INCOMPLETE, Call, Expecting, Turn
from memopt_cli.workloads.sockets.protocols.ws_frames import Frame, Opcode, frame, masked

if TYPE_CHECKING:
    from collections.abc import Mapping

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MASK = b"memo"
"""
One mask for all frames.

RFC 6455 wants masks that cannot be foretold, because of caches between a browser and a server
that one attacker controls both ends of; a driver of load has neither. Equal frames are what
makes replies comparable without being parsed.
"""

_DATA = {Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION}


def accept_of(key: str) -> str:
    """
    Return what a server answers to a client's key (RFC 6455, section 1.3).

    >>> accept_of("dGhlIHNhbXBsZSBub25jZQ==")
    's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
    """
    digest = hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


class WebSocket:
    """Text frames that come back, or control frames where the server has no echo."""

    opens = True
    repeats = True

    def __init__(
        self,
        authority: str,
        *,
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        message: str = "memopt",
        echo: bool = True,
    ) -> None:
        """
        Args:
            authority: The Host of each handshake.
            path: What is asked for.
            headers: More headers, as ``Authorization`` or ``Sec-WebSocket-Protocol``.
            message: What is sent: as a text, or in a ping of at most 125 bytes.
            echo: Whether the server sends texts back; otherwise pings are sent, which any
                server answers.

        Raises:
            UsageError: The message is too long for a ping.
        """
        self._path = path
        self._headers = {
            "Host": authority,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            **(headers or {}),
        }
        self._message = message.encode()
        if not echo and len(self._message) > 125:  # noqa: PLR2004 - RFC 6455, section 5.5
            raise UsageError("a ping carries at most 125 bytes", hint="Send a shorter message.")
        self._request = masked(Opcode.TEXT if echo else Opcode.PING, self._message, _MASK)
        self._echo = echo

    def opening(self, number: int) -> bytes:
        """Return the handshake of one connection, whose key is its number."""
        headers = {**self._headers, "Sec-WebSocket-Key": _key(number)}
        return http_messages.request("GET", self._path, headers)

    def request(self, number: int, sequence: int, note: object) -> bytes:  # noqa: ARG002 - as protocols are asked
        """Return one frame."""
        return self._request

    def closing(self, number: int, note: object) -> bytes:  # noqa: ARG002 - as protocols are asked
        """Return a close frame: all is well (1000)."""
        return masked(Opcode.CLOSE, (1000).to_bytes(2, "big"), _MASK)

    def receive(self, received: bytes, call: Call) -> Turn:
        """Take the handshake's end, or one message with all its frames."""
        if call.expecting is Expecting.OPENING:
            return self._upgraded(received, call.number)
        found = frame(received)
        if found is None:
            return INCOMPLETE
        if found.opcode in _DATA:
            return self._message_of(received, found, call)
        ours = found.opcode is Opcode.PONG and found.payload == self._message
        due = call.expecting is Expecting.REPLY and not self._echo
        return Turn(found.taken, send=_answer(found), done=ours and due)

    def _message_of(self, received: bytes, found: Frame, call: Call) -> Turn:
        payload, taken, answers = found.payload, found.taken, b""
        while not found.final:
            following = frame(received[taken:])
            if following is None:
                return INCOMPLETE
            taken += following.taken
            if following.opcode in _DATA:
                payload += following.payload
                found = following
            else:
                # Control frames may stand between the frames of a message.
                answers += _answer(following)
        if call.expecting is not Expecting.REPLY or not self._echo:
            return Turn(taken, answers)
        if payload != self._message:
            raise WrongReply(f"{payload[:40]!r} came back for {self._message[:40]!r}")
        return Turn(taken, answers, done=True)

    def _upgraded(self, received: bytes, number: int) -> Turn:
        found = http_messages.response(received)
        if found is None:
            return INCOMPLETE
        if found.status != http_messages.SWITCHING_PROTOCOLS:
            raise WrongReply(f"HTTP status {found.status} to a WebSocket handshake")
        accepted = found.headers.get("sec-websocket-accept")
        if accepted != accept_of(_key(number)):
            raise WrongReply(f"the handshake was accepted with {accepted!r}, another one's key")
        return Turn(found.taken, done=True)


def _key(number: int) -> str:
    return base64.b64encode(b"memopt--%08x" % number).decode()


def _answer(control: Frame) -> bytes:
    """Return what a control frame demands; a server closes when it has its own frame back."""
    if control.opcode is Opcode.PING:
        return masked(Opcode.PONG, control.payload, _MASK)
    if control.opcode is Opcode.CLOSE:
        return masked(Opcode.CLOSE, control.payload, _MASK)
    return b""
