"""However a stream of bytes is cut into pieces, the same messages come out of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.errors import WrongReply
from memopt_cli.profiler.histogram import Histogram
from memopt_cli.workloads import wire
from memopt_cli.workloads.sockets.protocols import http_messages, jsonrpc
from memopt_cli.workloads.sockets.protocols.choosing import BUNDLED, protocol
from memopt_cli.workloads.sockets.protocols.shape import Call, Expecting, Turn
from memopt_cli.workloads.sockets.protocols.ws_frames import Opcode, frame, masked
from memopt_cli.workloads.sockets.server import messages

if TYPE_CHECKING:
    from memopt_cli.workloads.sockets.protocols.shape import Protocol

TOOLS = b'{"jsonrpc": "2.0", "id": 1, "result": {"tools": []}}'
EVENTS = b"event: message\r\ndata: " + TOOLS + b"\r\n\r\n"

REPLIES = {
    "tcp": b"memopt\n",
    "redis": b"+PONG\r\n",
    "http": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: \r\n\r\na\n\n"
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;a=b\r\n\r\n\r\r\n1\r\nx\r\n0\r\nTrailer: y\r\n\r\n",
    "ws": b"\x81\x06memopt" + b"\x89\x01?" + b"\x01\x03mem\x8a\x00\x80\x03opt",
    "jsonrpc+tcp": b'{"method": "other"}\n' + TOOLS + b"\n",
    "mcp+http": b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % len(EVENTS) + EVENTS + b"\r\n0\r\n\r\n",
}
"""Replies to requests, some more than one."""

DONE = {"http": 2, "ws": 2}


def turns(spoken: Protocol, pieces: list[bytes]) -> list[Turn]:
    """Return what a connection that waits for replies makes of its pieces."""
    call = Call(Expecting.REPLY, 0, 0, "session")
    found, received = [], b""
    for piece in pieces:
        received += piece
        while received and (turn := spoken.receive(received, call)).taken:
            found.append(turn)
            received = received[turn.taken :]
    assert b"" == received
    return found


@pytest.mark.parametrize("name", BUNDLED)
@given(data=st.data())
def test_any_pieces_give_the_same_turns(name: str, data: st.DataObject) -> None:
    """Of three replies in a row, cut anywhere, each is understood once and whole."""
    spoken = protocol(name, "here:1", {})
    stream = 3 * REPLIES[name]
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12).map(sorted))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    found = turns(spoken, pieces)
    assert turns(spoken, [stream]) == found
    assert 3 * DONE.get(name, 1) == sum(turn.done for turn in found)


@pytest.mark.parametrize("name", BUNDLED)
@given(
    noise=st.binary(max_size=200),
    call=st.builds(
        Call, st.sampled_from(Expecting), st.just(0), st.just(0), st.none() | st.just("x")
    ),
)
def test_noise_is_refused_or_waited_for(name: str, noise: bytes, call: Call) -> None:
    """Whatever a server sends, nothing else is raised, and no more is taken than there is."""
    spoken = protocol(name, "here:1", {})
    try:
        turn = spoken.receive(noise, call)
    except WrongReply:
        return
    assert 0 <= turn.taken <= len(noise)


@given(payload=st.binary(max_size=300) | st.integers(65_530, 65_540).map(bytes))
def test_frames_of_any_length(payload: bytes) -> None:
    """A client's frame, with its mask taken off, is the server's frame of the same payload."""
    mask = b"\x01\x02\x03\x04"
    sent = masked(Opcode.BINARY, payload, mask)
    assert sent[1] & 0x80
    at = len(sent) - len(payload) - 4
    shown = bytes(byte ^ mask[place % 4] for place, byte in enumerate(sent[at + 4 :]))
    received = bytes([sent[0], sent[1] & 0x7F]) + sent[2:at] + shown
    assert (Opcode.BINARY, True, payload, len(received)) == frame(received + b"more")
    assert frame(received[:-1]) is None or not received


@pytest.mark.parametrize(
    ("received", "said"),
    [
        (b"SSH-2.0", "no response of HTTP/1"),
        (b"HTTP/1.1 OK\r\n\r\n", "no status line"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "ends with the connection"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "no length of a chunk"),
    ],
)
def test_what_is_no_response(received: bytes, said: str) -> None:
    """Bytes that can become no response are refused at once."""
    with pytest.raises(WrongReply, match=said):
        http_messages.response(received)


def test_errors_of_json_rpc_are_refused() -> None:
    """An error is no result, a null one is; another's response is none of ours."""
    with pytest.raises(WrongReply, match="JSON-RPC error: no"):
        jsonrpc.result_of(b'{"id": 1, "error": {"code": 1, "message": "no"}}', 1)
    assert (None,) == jsonrpc.result_of(b'{"id": 1, "result": null}', 1)
    assert jsonrpc.result_of(b'{"id": 2, "result": {}}', 1) is None


def test_the_driver_and_the_server_speak_the_same() -> None:
    """The handshake that the driver sends is the one that the server need not parse."""
    document = json.dumps({"a": [1, {"b": "}"}]}).encode()
    assert (0, document) == messages.handshake(jsonrpc.initialize(document))


@given(blocks=st.lists(st.binary(max_size=50), max_size=3), cut=st.integers(0, 400))
def test_commands_in_pieces(blocks: list[bytes], cut: int) -> None:
    """A message of the pipe is taken when it is whole, and not before."""
    sent = wire.encoded({"do": "x\n"}, *blocks)
    received = bytearray(sent[:cut])
    expected = ({"do": "x\n"}, blocks)
    if cut < len(sent):
        assert wire.taken_from(received) is None
        received += sent[cut:]
    assert (expected, bytearray()) == (wire.taken_from(received), received)


@given(st.lists(st.lists(st.integers(0, 1 << 41), max_size=20), max_size=4))
def test_many_durations_are_counted_like_each(batches: list[list[int]]) -> None:
    """A histogram does not know whether its durations came one by one."""
    single, many = Histogram(), Histogram()
    for batch in batches:
        many.record_many(batch)
        for duration_ns in batch:
            single.record(duration_ns)
    assert single.words == many.words


def test_each_answer_to_a_handshake_is_looked_at() -> None:
    """One equal to a good one is good; an error, a part, and a later reply are what they are."""
    spoken = jsonrpc.JsonRpc("test", handshake_bytes=100)
    opening, asked = Call(Expecting.OPENING, 0, 0, None), Call(Expecting.REPLY, 0, 0, None)
    good = b'{"jsonrpc": "2.0", "id": 0, "result": {}}\n'
    welcome = Turn(len(good), send=jsonrpc.INITIALIZED, done=True)

    assert [welcome, welcome] == [spoken.receive(good, opening) for _ in range(2)]
    assert Turn(0) == spoken.receive(good[:-1], opening)
    assert Turn(len(good)) == spoken.receive(good, asked)
    with pytest.raises(WrongReply, match="no room"):
        spoken.receive(b'{"id": 0, "error": {"message": "no room"}}\n', opening)
