r"""
JSON-RPC 2.0 over TCP, one message per line.

Nothing says how JSON-RPC messages are told apart on a stream. Lines are what the Model
Context Protocol decided for its own streams: JSON never needs a raw line break, finding
one is the cheapest framing there is, and a person can speak it by hand.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from memopt_cli.errors import WrongReply
from memopt_cli.workloads.connections.traffic import handshake_documents
from memopt_cli.workloads.sockets.protocols.shape import INCOMPLETE, Call, Expecting, Turn

if TYPE_CHECKING:
    from collections.abc import Mapping

OPENING_ID = 0
"""Of the handshake; the requests after it count on from 1."""

INITIALIZED = b'{"jsonrpc": "2.0", "method": "notifications/initialized"}\n'

_LONGEST_LINE_BYTES = 1 << 26


def initialize(document: bytes) -> bytes:
    """Return the request that a handshake begins with; *document* is JSON text on one line."""
    return (
        b'{"jsonrpc": "2.0", "id": %d, "method": "initialize", "params": ' % OPENING_ID
        + document
        + b"}\n"
    )


def line(received: bytes) -> bytes | None:
    """
    Return the line that *received* begins with, its end included, or `None`.

    Raises:
        WrongReply: So much came without an end that none is to be expected.
    """
    end = received.find(b"\n") + 1
    if not end and len(received) > _LONGEST_LINE_BYTES:
        raise WrongReply(f"{len(received):,} bytes without the end of a line")
    return received[:end] if end else None


def result_of(text: bytes, request_id: int) -> Any:
    """
    Return the result that a response holds, or `None` if it is no response to this request.

    Raises:
        WrongReply: It is no JSON-RPC, or says that the request failed.
    """
    try:
        message = json.loads(text)
    except ValueError:
        raise WrongReply(f"{text[:60]!r} is no JSON") from None
    if not isinstance(message, dict):
        raise WrongReply(f"{text[:60]!r} is no JSON-RPC object")
    if "method" in message or message.get("id", request_id) != request_id:
        return None
    if "error" in message:
        error = message["error"]
        said = error.get("message") if isinstance(error, dict) else error
        raise WrongReply(f"JSON-RPC error: {said!s:.200}")
    if "result" not in message:
        raise WrongReply(f"{text[:60]!r} has neither result nor error")
    # A result may be null.
    return (message["result"],)


class JsonRpc:
    """Requests of one method, on connections that may begin with a handshake as MCP has it."""

    repeats = False

    def __init__(
        self,
        authority: str,  # noqa: ARG002 - as protocols are asked
        *,
        handshake_bytes: int = 0,
        distinct_handshakes: int = 1,
        seed: int = 1,
        method: str = "tools/call",
        params: Mapping[str, object] | None = None,
        message_bytes: int = 16,
    ) -> None:
        """
        Args:
            authority: Where the connections go.
            handshake_bytes: Size of the capability document in ``initialize``; 0 for no
                handshake.
            distinct_handshakes: How many documents differ; connections take turns with them.
            seed: Of the documents.
            method: What each request calls.
            params: With which parameters; `None` calls the tool ``echo`` of the bundled
                server with a text that differs with each connection and request.
            message_bytes: About the length of that text.
        """
        self.opens = handshake_bytes > 0
        self._handshakes = [
            initialize(document)
            for document in handshake_documents(handshake_bytes, distinct_handshakes, seed)
        ]
        self._method = json.dumps(method)
        self._params = None if params is None else json.dumps(params)
        self._filling = "x" * max(0, message_bytes - 16)
        self.welcome: tuple[bytes, bytes] | None = None
        """A good answer to the handshake, and what is said then; see `Protocol`."""

    def opening(self, number: int) -> bytes:
        """Return ``initialize`` with the document whose turn it is."""
        return self._handshakes[number % len(self._handshakes)]

    def request(self, number: int, sequence: int, note: object) -> bytes:  # noqa: ARG002 - as protocols are asked
        """Return one request, whose id is unique on its connection."""
        params = self._params or (
            '{"name": "echo", "arguments": '
            f'{{"text": "{number:08x}{sequence:08x}{self._filling}"}}}}'
        )
        return (
            f'{{"jsonrpc": "2.0", "id": {sequence + 1}, "method": {self._method}, '
            f'"params": {params}}}\n'
        ).encode()

    def receive(self, received: bytes, call: Call) -> Turn:
        """Take one line; notifications and requests of the server are read and ignored."""
        text = line(received)
        if text is None:
            return INCOMPLETE
        if call.expecting is Expecting.NOTHING:
            return Turn(len(text))
        opening = call.expecting is Expecting.OPENING
        done = result_of(text, OPENING_ID if opening else call.sequence + 1) is not None
        if opening and done:
            self.welcome = text, INITIALIZED
        return Turn(len(text), send=INITIALIZED if opening and done else b"", done=done)
