"""What the server is asked, one JSON-RPC message per line, and what it answers."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

_PARSE_ERROR = -32700
_INVALID_REQUEST = -32600
_METHOD_NOT_FOUND = -32601
_INVALID_PARAMS = -32602

_INITIALIZE = re.compile(
    rb'\{"jsonrpc": ?"2\.0", ?"id": ?(\d{1,9}), ?"method": ?"initialize", ?"params": ?(?=\{)'
)
"""How clients write this request; another order of its members is parsed like any other."""

_INITIALIZED = (
    b'{"jsonrpc": "2.0", "method": "notifications/initialized"}',
    b'{"jsonrpc":"2.0","method":"notifications/initialized"}',
)
"""How clients write the notification that ends a handshake; others are parsed."""

_RESULTS = {
    "initialize": {
        "protocolVersion": "2025-06-18",
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": "memopt", "version": "1"},
    },
    "ping": {},
    "tools/list": {
        "tools": [
            {
                "name": "echo",
                "description": "Returns the text it is given.",
                "inputSchema": {
                    "type": "object",
                    "properties": {"text": {"type": "string"}, "write": {"type": "boolean"}},
                    "required": ["text"],
                },
            }
        ]
    },
}

RESULTS = {method: json.dumps(result).encode() for method, result in _RESULTS.items()}
"""What is always answered the same, by method."""


class Refused(Exception):
    """A request that cannot be answered with a result."""

    def __init__(self, request_id: object, code: int, message: str) -> None:
        super().__init__(message)
        self.answer = (
            json.dumps(
                {
                    "jsonrpc": "2.0",
                    "id": request_id,
                    "error": {"code": code, "message": message},
                }
            ).encode()
            + b"\n"
        )


class Request(NamedTuple):
    """One message."""

    id: int | str | None
    """None of a notification, which is not answered."""

    method: str
    params: Any


NOTIFIED = Request(None, "notifications/initialized", None)


class Echo(NamedTuple):
    """What the tool is called with."""

    text: str
    write: bool
    """Whether the connection is to remember something by it."""


def request(line: bytes) -> Request:
    """
    Return the message that a line is.

    Raises:
        Refused: It is none.
    """
    if line.startswith(_INITIALIZED) and line.rstrip() in _INITIALIZED:
        return NOTIFIED
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise Refused(None, _PARSE_ERROR, "this is no JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("method"), str):
        raise Refused(None, _INVALID_REQUEST, "this is no request")
    return Request(message.get("id"), message["method"], message.get("params"))


def handshake(line: bytes) -> tuple[int, bytes] | None:
    """
    Return the id and the document of an ``initialize``, unparsed, or `None`.

    The document is everything up to the message's last brace; whether that is JSON is for who
    parses it to say.
    """
    found = _INITIALIZE.match(line)
    if found is None:
        return None
    if line.endswith(b"}\n"):
        # One copy in place of three: documents are long.
        return int(found[1]), line[found.end() : -2]
    return int(found[1]), line[found.end() :].rstrip()[:-1]


def echo(asked: Request) -> Echo:
    """
    Return what ``tools/call`` asks for.

    Raises:
        Refused: It is not the tool that there is, or has no text.
    """
    params = asked.params if isinstance(asked.params, dict) else {}
    arguments = params.get("arguments")
    if params.get("name") != "echo" or not isinstance(arguments, dict):
        raise Refused(asked.id, _INVALID_PARAMS, "the one tool is echo")
    text = arguments.get("text")
    if not isinstance(text, str):
        raise Refused(asked.id, _INVALID_PARAMS, "echo needs a text")
    return Echo(text, arguments.get("write") is True)


def unknown(asked: Request) -> Refused:
    """Return the refusal of a method that there is not."""
    return Refused(asked.id, _METHOD_NOT_FOUND, f"no method {asked.method!r}")


def answer(request_id: int | str | None, result: bytes) -> bytes:
    """Return the response with a result that is JSON already."""
    if type(request_id) is int:
        return b'{"jsonrpc": "2.0", "id": %d, "result": %b}\n' % (request_id, result)
    written = json.dumps(request_id).encode()
    return b'{"jsonrpc": "2.0", "id": %b, "result": %b}\n' % (written, result)


def echoed(text: str) -> bytes:
    """Return the result of the tool."""
    return b'{"content": [{"type": "text", "text": ' + json.dumps(text).encode() + b"}]}"
