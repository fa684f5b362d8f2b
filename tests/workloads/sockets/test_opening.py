"""The first words of a connection, and the answer to them: what they cost, and how they fail."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

from memopt_cli.workloads.sockets.protocols import jsonrpc
from memopt_cli.workloads.sockets.server.fleet import Fleet
from tests.workloads.sockets.driving import driving, failures
from tests.workloads.sockets.serving import listening, overflows, serving, unused_port

HANDSHAKE = {"handshake_bytes": 200}
WRONG = (0, 2, STUTTERED := 7)
"""Last digits of the connections that are refused: one in between is not."""

WELCOME = b'{"jsonrpc": "2.0", "id": 0, "result": {}}\n'
TCP_INFO_BYTES = 160
SEGMENTS_IN, DATA_SEGMENTS_IN = 140, 152


def packets_without_data(end: socket.socket) -> int:
    """Return how many came in; the first of a connection is its request, or the answer to that."""
    info = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
    (all_,) = struct.unpack_from("=I", info, SEGMENTS_IN)
    (with_data,) = struct.unpack_from("=I", info, DATA_SEGMENTS_IN)
    return int(all_ - with_data)


def test_first_words_come_with_the_handshakes_last_packet() -> None:
    """A server sees no packet of such a driver that is an acknowledgement and nothing else."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        driving(listener.getsockname()[1], 1, "jsonrpc+tcp", options=HANDSHAKE) as shards,
        ThreadPoolExecutor(1) as thread,
    ):
        listener.settimeout(60)
        connected = thread.submit(shards.connect, 1)
        end, _ = listener.accept()
        with end, end.makefile("rb") as lines:
            end.settimeout(60)
            assert b'"initialize"' in lines.readline()
            assert 1 == packets_without_data(end)
            end.sendall(WELCOME)
            assert jsonrpc.INITIALIZED == lines.readline()
            assert 1 == packets_without_data(end)
            assert 1 == connected.result().total.ready


def test_an_answer_takes_the_acknowledgement_along() -> None:
    """A client of the bundled server sees its request acknowledged by the answer itself."""
    for variant in ("naive", "optimized"):
        with Fleet(variant) as fleet, socket.create_connection(fleet.destinations[0]) as end:
            end.settimeout(60)
            assert 1 == packets_without_data(end)
            end.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
            assert b'"result"' in end.recv(1000)
            assert 1 == packets_without_data(end)


def test_nobody_listens_to_first_words() -> None:
    """A refusal that the first write is told is counted as one."""
    with driving(unused_port(), 20, "jsonrpc+tcp", options=HANDSHAKE) as shards:
        found = shards.connect(20)
        assert {"refused": 20} == failures(found)
        assert (20, 0, 0) == (found.total.attempted, found.total.connected, found.total.open)
        assert {"refused": "Connection refused"} == found.total.examples


def test_a_full_backlog_hears_no_first_words() -> None:
    """Those beyond the queue are not connected yet when they are asked for, nor ever."""
    with (
        listening(4) as listener,
        driving(
            listener.port,
            30,
            "jsonrpc+tcp",
            options=HANDSHAKE,
            answer_within_s=0.5,
            watch_backlog=False,
        ) as shards,
    ):
        found = shards.connect(30)
        assert {"not opened": 5, "not connected": 25} == failures(found)
        assert (30, 5) == (found.total.attempted, found.total.connected)


def test_first_words_that_had_to_wait() -> None:
    """Connections whose first packet was sent again say their first words when they are made."""
    with (
        listening(4) as listener,
        driving(
            listener.port,
            10,
            "jsonrpc+tcp",
            options=HANDSHAKE,
            answer_within_s=20,
            watch_backlog=False,
        ) as shards,
        ThreadPoolExecutor(1) as thread,
    ):
        before = overflows()
        found = thread.submit(shards.connect, 10, within_s=3)
        until_s = time.monotonic() + 60
        while overflows() < before + 5 and time.monotonic() < until_s:
            time.sleep(0.01)
        listener.accept(10)
        assert (10, 5) == (found.result().total.connected, found.result().total.slow_connects)


def test_long_first_words() -> None:
    """A handshake of 8 MB, more than a socket takes at once, goes out in parts and is answered."""
    with (
        Fleet("optimized") as fleet,
        driving(
            fleet.destinations[0][1], 2, "jsonrpc+tcp", options={"handshake_bytes": 8_000_000}
        ) as shards,
    ):
        assert (2, {}) == (shards.connect(2).total.ready, failures(shards.stats()))
        assert 2 == shards.roundtrip().total.answered


def test_each_welcome_is_looked_at() -> None:
    """After good ones, a welcome in parts is put together, and a wrong one is still seen."""
    served = 0

    async def changing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        served += 1
        number = served
        await reader.readline()
        answer = WELCOME
        if number % 10 in WRONG:
            answer = b'{"jsonrpc": "2.0", "id": 0, "error": {"message": "no room"}}\n'
        cut = 9 if number % 10 == 5 else len(answer)
        if number % 10 == STUTTERED:
            answer, cut = b"{" + WELCOME, 1
        writer.write(answer[:cut])
        await writer.drain()
        if answer[cut:]:
            # A packet of its own, once the first part is read.
            await asyncio.sleep(0.02)
            writer.write(answer[cut:])
        assert jsonrpc.INITIALIZED == await reader.readline()
        said.append(number)
        await reader.read()

    said: list[int] = []
    with (
        serving(changing) as port,
        driving(port, 60, "jsonrpc+tcp", options=HANDSHAKE, window=3) as shards,
    ):
        found = shards.connect(60)
        assert (42, 42) == (found.total.ready, found.total.opened)
        assert {"wrong reply": 18} == failures(found)
        assert 42 == found.connecting.count
        until_s = time.monotonic() + 60
        while len(said) < 42 and time.monotonic() < until_s:
            time.sleep(0.01)
        assert [each for each in range(1, 61) if each % 10 not in WRONG] == sorted(said)


def test_a_client_that_goes_at_once() -> None:
    """Who has gone before the server looks is accepted, and is no connection of it any more."""
    with Fleet("optimized") as fleet:
        for _ in range(50):
            socket.create_connection(fleet.destinations[0]).close()
        until_s = time.monotonic() + 60
        while fleet.report().accepted < 50 and time.monotonic() < until_s:
            time.sleep(0.01)
        while fleet.report().connections and time.monotonic() < until_s:
            time.sleep(0.01)
        assert (50, 0) == (fleet.report().accepted, fleet.report().connections)
        with socket.create_connection(fleet.destinations[0]) as end:
            end.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
            assert b'"result"' in end.recv(1000)
