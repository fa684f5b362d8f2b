"""Both variants of the bundled server answer and remember the same."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.errors import UsageError
from memopt_cli.optimizer.fields import Phase
from memopt_cli.workloads.sockets.plan import plan
from memopt_cli.workloads.sockets.protocols.jsonrpc import INITIALIZED
from memopt_cli.workloads.sockets.server.compact import CompactStates
from memopt_cli.workloads.sockets.server.fleet import VARIANTS, Fleet, ServerReport
from memopt_cli.workloads.sockets.server.naive import NaiveServer
from memopt_cli.workloads.sockets.settings import DriverSettings
from memopt_cli.workloads.sockets.shards import Shards

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTIONS = {
    "handshake_bytes": 2000,
    "distinct_handshakes": 3,
    "params": None,
    "message_bytes": 100,
}


def settled(fleet: Fleet, connections: int) -> ServerReport:
    """Return the report once the server has as many connections."""
    until_s = time.monotonic() + 60
    while (found := fleet.report()).connections != connections and time.monotonic() < until_s:
        time.sleep(0.01)
    return found


def driven(variant: str, *, ended: int = 40, **changes: Any) -> ServerReport:
    """Return what a server remembers of 120 connections of two drivers, some of them ended."""
    options = {**OPTIONS, **changes}
    with Fleet(variant, processes=2) as fleet:
        shares = plan(120, fleet.destinations, drivers=2)
        with Shards(DriverSettings("jsonrpc+tcp", options, "test", ()), shares) as shards:
            assert 120 == shards.connect(120).total.ready
            found = shards.roundtrip(rounds=5).total
            assert (600, 120, {}) == (found.answered, found.open, found.failures)
            shards.drop(ended)
            return settled(fleet, 120 - ended)


def test_variants_remember_the_same() -> None:
    """After the same traffic the digests are equal, and another byte makes them differ."""
    naive, optimized = driven("naive"), driven("optimized")
    assert naive == optimized
    # A handshake, its notification and five calls on each.
    assert (80, 120, 840) == (naive.connections, naive.accepted, naive.requests)
    other = driven("optimized", message_bytes=101)
    assert (840, False) == (other.requests, other.digest == naive.digest)


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_has_ended_is_remembered(variant: str) -> None:
    """One connection that is left, or all but one: the digest is of all that there were."""
    few, many = (driven(variant, ended=ended) for ended in (119, 1))

    assert (1, 119) == (few.connections, many.connections)
    assert few.digest == many.digest


def test_one_port_for_all_processes() -> None:
    """With SO_REUSEPORT there is one destination, and the digest is that of all processes."""
    digests = set()
    for reuse_port in (False, True):
        with Fleet("optimized", processes=2, reuse_port=reuse_port) as fleet:
            assert (1 if reuse_port else 2) == len(fleet.destinations)
            shares = plan(60, fleet.destinations)
            with Shards(DriverSettings("jsonrpc+tcp", OPTIONS, "test", ()), shares) as shards:
                shards.connect(60)
                assert 60 == shards.roundtrip().total.answered
                digests.add(settled(fleet, 60).digest)
    assert 1 == len(digests)


class Client:
    """A connection that is spoken to by hand."""

    def __init__(self, fleet: Fleet) -> None:
        self._socket = socket.create_connection(fleet.destinations[0], timeout=60)
        self._lines = self._socket.makefile("rb")

    def tell(self, content: bytes) -> None:
        """Send bytes."""
        self._socket.sendall(content)

    def line(self) -> Any:
        """Return the next answer."""
        return json.loads(self._lines.readline())

    def close(self) -> None:
        """End the connection."""
        self._lines.close()
        self._socket.close()


@pytest.fixture(scope="module", params=VARIANTS)
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Return a server of each variant in turn."""
    with Fleet(str(request.param)) as started:
        yield started


@pytest.fixture
def client(fleet: Fleet) -> Iterator[Client]:
    """Return a connection to it."""
    connected = Client(fleet)
    yield connected
    connected.close()


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"{\n", {"code": -32700, "message": "this is no JSON"}),
        (b"[]\n", {"code": -32600, "message": "this is no request"}),
        (INITIALIZED.rstrip() + b" 1\n", {"code": -32700, "message": "this is no JSON"}),
        (b'{"id": 4, "method": "x"}\n', {"code": -32601, "message": "no method 'x'"}),
        (
            b'{"id": 4, "method": "tools/call", "params": {"name": "e"}}\n',
            {"code": -32602, "message": "the one tool is echo"},
        ),
    ],
)
def test_what_is_refused(client: Client, line: bytes, error: object) -> None:
    """Errors are those of JSON-RPC, and the connection goes on."""
    client.tell(line)
    assert error == client.line()["error"]
    client.tell(b'{"jsonrpc": "2.0", "id": "a", "method": "ping"}\n')
    assert {"jsonrpc": "2.0", "id": "a", "result": {}} == client.line()


def test_a_handshake_in_another_order_of_members(client: Client) -> None:
    """Whoever writes its JSON differently is understood as well."""
    client.tell(b'{"params": {"a": 1}, "method": "initialize", "id": 1, "jsonrpc": "2.0"}\n')
    assert "memopt" == client.line()["result"]["serverInfo"]["name"]
    client.tell(b'{"jsonrpc":"2.0","id":2,"method":"initialize","params":{"a": 1},"more":2}\n')
    assert (2, "2025-06-18") == ((found := client.line())["id"], found["result"]["protocolVersion"])
    client.tell(b'{"jsonrpc":"2.0","id":3,"method":"initialize","params":{"a": 1}\n')
    assert -32700 == client.line()["error"]["code"]


def test_several_lines_in_one_packet(fleet: Fleet, client: Client) -> None:
    """Each is answered, in their order, and counted."""
    before = fleet.report().requests
    client.tell(b"".join(b'{"jsonrpc":"2.0","id":%d,"method":"ping"}\n' % n for n in range(3)))

    assert [0, 1, 2] == [client.line()["id"] for _ in range(3)]
    assert before + 3 == fleet.report().requests


def test_a_long_line_in_many_parts(client: Client) -> None:
    """A text of 3 MB comes back whole, and the short one after it in the same packet."""
    call = {"name": "echo", "arguments": {"text": "x" * 3_000_000}}
    long = json.dumps({"id": 1, "method": "tools/call", "params": call}).encode()
    client.tell(long + b'\n{"id": 2, "method": "pi')
    assert 3_000_000 == len(client.line()["result"]["content"][0]["text"])
    client.tell(b'ng"}\n')
    assert {"jsonrpc": "2.0", "id": 2, "result": {}} == client.line()


def test_a_client_that_does_not_read(client: Client) -> None:
    """What it does not read waits for it, more than sockets hold, and all comes in order."""
    call = {"name": "echo", "arguments": {"text": "y" * 200_000}}
    messages = [{"id": number, "method": "tools/call", "params": call} for number in range(60)]
    asked = b"".join(json.dumps(message).encode() + b"\n" for message in messages)
    with ThreadPoolExecutor(1) as thread:
        sent = thread.submit(client.tell, asked)
        # One variant takes all of it, the other waits until something is read.
        wait([sent], timeout=0.5)
        assert list(range(60)) == [client.line()["id"] for _ in range(60)]
        sent.result()


def test_a_new_connection_is_written_at_once() -> None:
    """Its number, its times and its phase are those that four assignments would have left."""
    states, before_s = CompactStates(), time.time()
    found = [states._pool[states.open(number)] for number in (0, 7, 2**32 + 5)]
    assert [0, 7, 6] == [state.number for state in found]
    for state in found:
        assert before_s <= state.opened_at_s == state.last_seen_s <= time.time()
        assert (Phase.CONNECTING, 0, 0, None) == (
            state.phase,
            state.received,
            state.checksum,
            state.capabilities,
        )
        assert ({}, ()) == (dict(state.metadata), state.pending)


def test_no_such_variant() -> None:
    """A name that is none is refused before anything starts."""
    with pytest.raises(UsageError, match="unknown variant 'fast'"):
        Fleet("fast")


calls = st.builds(
    lambda text, write: {
        "id": 1,
        "method": "tools/call",
        "params": {"name": "echo", "arguments": {"text": text, "write": write}},
    },
    st.text(max_size=30),
    st.booleans(),
)
others = st.sampled_from(
    [
        {"id": 1, "method": "initialize", "params": {"b": [1, {"c": None}], "a": "\u00e4"}},
        {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"d": 2}},
        {"id": 1, "method": "initialize", "params": 7},
        {"method": "notifications/initialized"},
        {"id": "x", "method": "tools/list"},
        {"id": 1.5, "method": "nothing"},
        {"id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": 1}}},
        {"method": 3},
    ]
)


@given(traffic=st.lists(calls | others, max_size=12))
def test_no_traffic_tells_the_variants_apart(traffic: list[dict[str, Any]]) -> None:
    """Whatever is said, the answers are the same bytes, and so is what is remembered."""
    states = CompactStates()
    naive = NaiveServer(socket.socket(), lambda: True, receive_buffer_bytes=16)
    naive._listener.close()
    record = naive._records[0] = naive._record(0)
    handle = states.open(0)
    for message in traffic:
        line = json.dumps(message).encode()
        assert (naive._answer(record, line) or b"") == states.answer(handle, line)
    (theirs,) = naive.alive()
    assert theirs.to_bytes() == states.remembered(handle).to_bytes()
    assert states.close(handle).received == record["stats"]["received"]
