"""Each protocol opens, asks and understands on real connections, and names what is wrong."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from memopt_cli.errors import UsageError
from memopt_cli.workloads.sockets.protocols.http import Http
from memopt_cli.workloads.sockets.protocols.ws import WebSocket
from memopt_cli.workloads.sockets.settings import TlsSettings
from tests.workloads.sockets.driving import driving, failures
from tests.workloads.sockets.fakes import Mcp, PlainMcp, Web, web, websocket
from tests.workloads.sockets.serving import echo, redis, serving

CERTIFICATE = str(Path(__file__).with_name("localhost.pem"))


def used(port: int, protocol: str, count: int = 20, **changes: Any) -> dict[str, int]:
    """Open connections, use each three times, and once more by a schedule; return the failures."""
    with driving(port, count, protocol, **changes) as shards:
        shards.connect(count)
        shards.roundtrip(rounds=3)
        found = shards.load(0.2, rate_per_s=200)
        if not found.total.failures:
            assert (3 * count + 40, count) == (found.total.answered, found.total.ready)
            again = shards.load(0.1).total
            assert again.answered == again.sent > found.total.answered
        return failures(found)


def test_redis() -> None:
    """PING is answered by PONG."""
    with serving(redis) as port:
        assert {} == used(port, "redis")


def test_redis_with_a_password() -> None:
    """AUTH comes first; a wrong one is what the server says it is."""
    with serving(redis) as port:
        assert {} == used(port, "redis", options={"user": "ada", "password": "secret"})
        wrong = {"wrong reply": 20}
        assert wrong == used(port, "redis", options={"user": "ada", "password": "wrong"})


@pytest.mark.parametrize(
    "options", [{}, {"path": "/chunks"}, {"headers": {"Authorization": "Bearer good"}}]
)
def test_http(options: dict[str, Any]) -> None:
    """Responses of a length, in chunks, and those that need a header."""
    with web(Web) as server:
        assert {} == used(server.server_port, "http", options=options)


def test_another_status_is_a_failure() -> None:
    """What is no 200 is named; where it is what is wanted it is none."""
    with web(Web) as server, driving(server.server_port, 5, "http", options={"path": "/x"}) as gone:
        gone.connect(5)
        found = gone.roundtrip()
        assert {"wrong reply": 5} == failures(found)
        assert {"wrong reply": "HTTP status 404"} == found.total.examples
    with web(Web) as server:
        assert {} == used(server.server_port, "http", options={"path": "/x", "status": 404})


@pytest.mark.parametrize("options", [{"message": "a text in two frames"}, {"echo": False}])
def test_websocket(options: dict[str, Any]) -> None:
    """Texts come back in frames with a ping among them; pings get their pong."""
    with serving(websocket) as port:
        assert {} == used(port, "ws", options=options)


def test_a_websocket_that_closes() -> None:
    """The close frame is answered, and the connection then closed while a reply was due."""
    with serving(websocket) as port:
        closed = {"closed while a reply was due": 20}
        assert closed == used(port, "ws", options={"message": "bye"})


def test_no_websocket() -> None:
    """A web server without one refuses the handshake."""
    with web(Web) as server:
        assert {"wrong reply": 20} == used(server.server_port, "ws", options={"path": "/x"})


@pytest.mark.parametrize("kind", [Mcp, PlainMcp])
def test_mcp_over_http(kind: type[Web]) -> None:
    """Each connection has a session, initialised once, and asks for the tools in it."""
    with web(kind) as server, driving(server.server_port, 20, "mcp+http") as shards:
        assert 20 == shards.connect(20).total.ready
        assert 40 == shards.roundtrip(rounds=2).total.answered
        seen = ["notifications/initialized", "tools/list", "tools/list"]
        assert [seen] * 20 == list(server.sessions.values())


def test_a_session_that_is_forgotten() -> None:
    """A server that no longer knows a session says 404, and that is no reply."""
    with web(Mcp) as server, driving(server.server_port, 5, "mcp+http") as shards:
        shards.connect(5)
        server.sessions.clear()
        assert {"HTTP status 404: "} == set(shards.roundtrip().total.examples.values())


@pytest.mark.parametrize(("protocol", "talk"), [("tcp", echo), ("ws", websocket)])
def test_tls(protocol: str, talk: Any) -> None:
    """The same over an encrypted channel whose certificate is checked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with serving(talk, tls=context) as port:
        trusted = TlsSettings("localhost", cafile=CERTIFICATE)
        assert {} == used(port, protocol, tls=trusted)
        assert {} == used(port, protocol, tls=TlsSettings("other", verify=False))
        other = TlsSettings("elsewhere.example", cafile=CERTIFICATE)
        assert {"TLS": 20} == used(port, protocol, tls=other)


def test_no_tls() -> None:
    """A server that speaks in the clear is no encrypted one."""
    with web(Web) as server:
        settings = TlsSettings("localhost", verify=False)
        found = used(server.server_port, "http", tls=settings, answer_within_s=2.0)
        assert {"TLS": 20} == found


def test_a_protocol_of_ones_own(tmp_path: Path) -> None:
    """A class of another module, given by its name, is spoken; this is the example of `shape`."""
    (tmp_path / "mine.py").write_text(
        "from memopt_cli.workloads.sockets.protocols.shape import *\n"
        "from memopt_cli.workloads.sockets.protocols.shape import INCOMPLETE\n"
        "from memopt_cli.errors import WrongReply\n" + example(),
        encoding="utf-8",
    )
    with serving(echo) as port:
        own: dict[str, Any] = {"search_path": (str(tmp_path),), "options": {"text": "mine"}}
        assert {} == used(port, "mine:Echo", **own)


def example() -> str:
    """Return the code that the documentation shows."""
    from memopt_cli.workloads.sockets.protocols import shape

    lines = (shape.__doc__ or "").split("again with each call. ::\n")[1].splitlines()
    return "\n".join(line.removeprefix("    ") for line in lines)


def test_what_would_be_two_headers_is_refused() -> None:
    """A line break in a header would begin another; a ping carries 125 bytes."""
    with pytest.raises(UsageError, match="holds a line break"):
        Http("here", headers={"A": "b\r\nC: d"})
    with pytest.raises(UsageError, match="at most 125 bytes"):
        WebSocket("here", message="x" * 126, echo=False)
