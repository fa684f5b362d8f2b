"""
The Model Context Protocol over its streamable HTTP transport.

Each connection is a client of its own: it POSTs ``initialize``, keeps the
``Mcp-Session-Id`` it is given, POSTs ``notifications/initialized``, and asks
``tools/list`` with each message. Answers may be JSON or a stream of events, which
the server ends with the answer. No stream of the server's own (GET) is opened. A session is
deleted only by a client that closes in order: one that was switched off does no such thing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from memopt_cli.errors import WrongReply
from memopt_cli.workloads.sockets.protocols import http_messages
from memopt_cli.workloads.sockets.protocols.jsonrpc import result_of
from memopt_cli.workloads.sockets.protocols.shape import INCOMPLETE, Call, Expecting, Turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from memopt_cli.workloads.sockets.protocols.http_messages import Response

_OK = 200
_TAKEN_NOTE_OF = {200, 202, 204}
_OPENING_ID = 0


class McpHttp:
    """``initialize`` once, then one request of a method after the other."""

    opens = True
    repeats = False

    def __init__(
        self,
        authority: str,
        *,
        path: str = "/mcp",
        headers: Mapping[str, str] | None = None,
        version: str = "2025-06-18",
        method: str = "tools/list",
        params: Mapping[str, object] | None = None,
    ) -> None:
        """
        Args:
            authority: The Host of each request.
            path: The server's one endpoint.
            headers: More headers, as ``Authorization``.
            version: The revision of the specification that is offered and then spoken.
            method: What each message asks for.
            params: With which parameters.
        """
        self._path = path
        self._version = version
        self._headers = {
            "Host": authority,
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            **(headers or {}),
        }
        self._method = method
        self._params = dict(params or {})

    def opening(self, number: int) -> bytes:
        """Return the POST of ``initialize``."""
        params = {
            "protocolVersion": self._version,
            "capabilities": {},
            "clientInfo": {"name": f"memopt-{number}", "version": "1"},
        }
        return self._post({"id": _OPENING_ID, "method": "initialize", "params": params}, None)

    def request(self, number: int, sequence: int, note: object) -> bytes:  # noqa: ARG002 - as protocols are asked
        """Return the POST of one request."""
        asked = {"id": sequence + 1, "method": self._method, "params": self._params}
        return self._post(asked, str(note or ""))

    def closing(self, number: int, note: object) -> bytes:  # noqa: ARG002 - as protocols are asked
        """Return the DELETE of the connection's session; nothing if it has none."""
        if not note:
            return b""
        headers = {"MCP-Protocol-Version": self._version, "Mcp-Session-Id": str(note)}
        return http_messages.request("DELETE", self._path, {**self._headers, **headers})

    def receive(self, received: bytes, call: Call) -> Turn:
        """Take one response."""
        found = http_messages.response(received)
        if found is None:
            return INCOMPLETE
        if call.expecting is Expecting.REPLY:
            _check(found, call.sequence + 1)
            return Turn(found.taken, done=True)
        if call.expecting is Expecting.NOTHING:
            raise WrongReply(f"HTTP status {found.status}, unasked")
        if call.note is not None:
            if found.status not in _TAKEN_NOTE_OF:
                raise WrongReply(f"HTTP status {found.status} to notifications/initialized")
            return Turn(found.taken, done=True)
        _check(found, _OPENING_ID)
        # A server without sessions names none; that the handshake got so far is noted all the same.
        session = found.headers.get("mcp-session-id", "")
        return Turn(found.taken, self._post(_INITIALIZED, session), note=session)

    def _post(self, message: Mapping[str, object], session: str | None) -> bytes:
        """Return a POST; *session* is `None` before the handshake, and empty if there is none."""
        headers = dict(self._headers)
        if session is not None:
            headers["MCP-Protocol-Version"] = self._version
        if session:
            headers["Mcp-Session-Id"] = session
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        return http_messages.request("POST", self._path, headers, body)


_INITIALIZED: dict[str, object] = {"method": "notifications/initialized"}


def _check(found: Response, request_id: int) -> None:
    """Refuse a response that holds no result of the request."""
    if found.status != _OK:
        raise WrongReply(f"HTTP status {found.status}: {found.body[:160].decode(errors='replace')}")
    streamed = found.headers.get("content-type", "").lower().startswith("text/event-stream")
    messages = events(found.body) if streamed else [found.body]
    if not any(result_of(message, request_id) is not None for message in messages):
        raise WrongReply(f"the response holds no result of request {request_id}")


def events(body: bytes) -> Iterator[bytes]:
    r"""
    Yield the data of each event of a stream (HTML standard, server-sent events).

    >>> list(events(b'event: message\r\ndata: {"a":\r\ndata: 1}\r\n\r\n: ping\n\ndata: 2\n\n'))
    [b'{"a":\n1}', b'2']
    """
    gathered: list[bytes] = []
    for each in body.splitlines():
        if not each:
            # An event without data only gives the client an id to come back with.
            if any(gathered):
                yield b"\n".join(gathered)
            gathered = []
            continue
        name, _, value = each.partition(b":")
        if name == b"data":
            gathered.append(value.removeprefix(b" "))
