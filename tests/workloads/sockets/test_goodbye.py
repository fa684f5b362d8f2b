"""Connections that are closed in order say goodbye as their protocol has it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memopt_cli.workloads.sockets.protocols.mcp_http import McpHttp
from memopt_cli.workloads.sockets.protocols.tcp import Tcp
from memopt_cli.workloads.sockets.protocols.ws import WebSocket
from tests.workloads.sockets.driving import driving
from tests.workloads.sockets.serving import serving

if TYPE_CHECKING:
    import asyncio


class Polite(Tcp):
    """Ends each connection with its number."""

    def closing(self, number: int, note: object) -> bytes:
        """Return the last line."""
        assert note is None
        return b"bye %d\n" % number


@pytest.mark.parametrize("reset", [True, False])
def test_what_is_said_at_the_end(*, reset: bool) -> None:
    """In order, the server reads it on each connection and then the end; a reset has neither."""
    said: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while received := await reader.read(100):
                said.append(received)
                if received == b"memopt\n":
                    writer.write(received)
        except ConnectionError:
            said.append(b"reset")
        else:
            said.append(b"end")

    polite = f"{__name__}:Polite"
    path = (str(Path(__file__).parents[3]),)
    with serving(listen) as port, driving(port, 5, polite, search_path=path) as shards:
        shards.connect(5)
        assert 5 == shards.roundtrip().total.answered
        assert (0, 5) == ((closed := shards.drop(reset=reset).total).open, closed.closed)
        until_s = time.monotonic() + 60
        ends = b"reset" if reset else b"end"
        while said.count(ends) < 5 and time.monotonic() < until_s:
            time.sleep(0.01)
        assert 5 == said.count(ends)
    goodbyes = sorted(each for each in said if each.startswith(b"bye"))
    assert ([] if reset else [b"bye %d\n" % number for number in range(5)]) == goodbyes


def test_a_websocket_is_closed() -> None:
    """The frame is a masked close of status 1000 (RFC 6455, section 5.5.1)."""
    frame = WebSocket("127.0.0.1:1").closing(0, None)

    assert b"\x88\x82" == frame[:2]
    payload = bytes(one ^ other for one, other in zip(frame[6:], frame[2:6], strict=False))
    assert 1000 == int.from_bytes(payload, "big")


def test_a_session_is_deleted() -> None:
    """The DELETE names the session; without one there is nothing to delete."""
    protocol = McpHttp("127.0.0.1:1", headers={"Authorization": "Bearer good"})
    told = protocol.closing(0, "abc").decode().split("\r\n")

    assert "DELETE /mcp HTTP/1.1" == told[0]
    assert {"Mcp-Session-Id: abc", "Authorization: Bearer good"} <= set(told)
    assert b"" == protocol.closing(0, "")
