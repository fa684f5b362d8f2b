"""Servers of a few lines that speak the real wire format of HTTP, WebSocket and MCP."""

from __future__ import annotations

import json
import struct
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

from memopt_cli.workloads.sockets.protocols.ws import accept_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator


class Web(BaseHTTPRequestHandler):
    """HTTP/1.1 by the standard library: a greeting at /, chunks at /chunks, else 404."""

    protocol_version = "HTTP/1.1"
    # Head and body in one packet; two would wait for each other's acknowledgement.
    wbufsize = -1

    def log_message(self, *args: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        """Answer one request."""
        if self.path == "/chunks":
            self.reply(200, {"Transfer-Encoding": "chunked"}, b"3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\n")
        elif self.path == "/" and self.headers["Authorization"] in (None, "Bearer good"):
            self.reply(200, {"Content-Length": "2"}, b"ok")
        else:
            self.reply(404, {"Content-Length": "0"}, b"")

    def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Send one response."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Mcp(Web):
    """Streamable HTTP as the specification has it, with sessions; answers are event streams."""

    streams = True

    def do_POST(self) -> None:
        """Answer one message."""
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        sessions: dict[str, list[str]] = self.server.sessions  # type: ignore[attr-defined] # of ours
        if message["method"] == "initialize":
            name = f"session-{len(sessions)}-{message['params']['clientInfo']['name']}"
            sessions[name] = []
            result = {"protocolVersion": message["params"]["protocolVersion"]}
            self.answer(message, result, {"Mcp-Session-Id": name})
            return
        seen = sessions.get(self.headers["Mcp-Session-Id"] or "")
        if seen is None or self.headers["MCP-Protocol-Version"] != "2025-06-18":
            self.reply(404, {"Content-Length": "0"}, b"")
            return
        seen.append(message["method"])
        if "id" in message:
            self.answer(message, {"tools": []}, {})
        else:
            self.reply(202, {"Content-Length": "0"}, b"")

    def answer(self, message: dict[str, Any], result: object, headers: dict[str, str]) -> None:
        """Send a result as JSON, or in a stream after an event that is none."""
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        if not self.streams:
            self.reply(200, {**headers, "Content-Length": str(len(body))}, body)
            return
        stream = b"id: 1\ndata:\n\nevent: message\ndata: " + body + b"\n\n"
        chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(stream), stream)
        kind = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}
        self.reply(200, {**headers, **kind}, chunks)


class PlainMcp(Mcp):
    """The same, with answers as JSON."""

    streams = False


class _Server(ThreadingHTTPServer):
    request_queue_size = 500
    daemon_threads = True

    def __init__(self, kind: type[Web]) -> None:
        self.sessions: dict[str, list[str]] = {}
        super().__init__(("127.0.0.1", 0), kind)

    def handle_error(self, *args: Any) -> None:
        """Say nothing of clients that reset their connection."""


@contextmanager
def web(kind: type[Web]) -> Iterator[_Server]:
    """Serve HTTP in a thread."""
    server = _Server(kind)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def websocket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """
    Echo texts, in two frames with a ping between them, and answer pings; close after "bye".

    Whoever owes a pong when it sends its next text is not answered any more. This is no
    WebSocket server: it knows frames of up to 125 bytes.
    """
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = head.split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_of(key).encode() + b"\r\n\r\n"
    )
    owed = 0
    while True:
        first, second, mask = struct.unpack("!BB4s", await reader.readexactly(6))
        hidden = await reader.readexactly(second & 0x7F)
        text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(hidden))
        if first == 0x89:
            writer.write(_frame(0x8A, text))
        elif first == 0x8A:
            owed -= text == b"?"
        elif owed:
            return
        elif first == 0x81 and text == b"bye":
            writer.write(_frame(0x88, b"\x03\xe8"))
        elif first == 0x81:
            owed += 1
            writer.write(_frame(0x01, text[:3]) + _frame(0x89, b"?") + _frame(0x80, text[3:]))
        elif first == 0x88:
            return
        await writer.drain()


def _frame(first: int, payload: bytes) -> bytes:
    return bytes([first, len(payload)]) + payload
