"""Drivers open, hold, use and close real connections, and name each way that these fail."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from memopt_cli.errors import MeasurementError, UsageError
from memopt_cli.workloads.sockets.plan import Share
from memopt_cli.workloads.sockets.settings import DriverSettings, Lane
from memopt_cli.workloads.sockets.shards import Shards, resolved
from tests.workloads.sockets.driving import driving, failures
from tests.workloads.sockets.serving import (
    echo,
    hasty,
    listening,
    overflows,
    rude,
    serving,
    silent,
    unused_port,
)

if TYPE_CHECKING:
    from memopt_cli.workloads.sockets.tally import Tally


def test_all_connections_are_made_used_and_closed() -> None:
    """Each of 300 connections of two drivers answers exactly once a round, and all are gone."""
    with serving(echo) as port, driving(port, 300, drivers=2) as shards:
        connected = shards.connect(300).total
        assert (300, 300, 300) == (connected.attempted, connected.open, connected.ready)
        rounds = shards.roundtrip(rounds=2, in_flight=7)
        assert (600, 600) == (rounds.total.sent, rounds.latency.count)
        closed = shards.drop().total
        assert (0, 0, 300, {}) == (closed.open, closed.ready, closed.closed, closed.failures)


def test_a_part_is_closed_and_room_is_made_for_others() -> None:
    """What is closed, in order or by a reset, may be opened again; the rest answers meanwhile."""
    with serving(echo) as port, driving(port, 60) as shards:
        shards.connect(60)
        assert 20 == shards.drop(40, reset=False).total.open
        assert 20 == shards.roundtrip().total.answered
        assert 60 == shards.connect(40).total.open
        with pytest.raises(UsageError, match="61 connections are more than the 60"):
            shards.connect(61)


def test_one_at_a_time_they_are_shared_out_evenly() -> None:
    """Of two drivers with room for three each neither is given a fourth."""
    with serving(echo) as port, driving(port, 6, drivers=2) as shards:
        for count in range(1, 7):
            found = shards.connect(1).total
            assert (count, {}) == (found.ready, found.failures)


def test_connections_come_by_their_schedule() -> None:
    """By a rate of 200/s the fortieth connection is asked for after 195 ms, and not before."""
    with serving(echo) as port, driving(port, 40, drivers=2) as shards:
        found = shards.connect(40, rate_per_s=200)
        assert 40 == found.total.ready
        assert 39 / 200 <= found.total.took_s


def test_nobody_listens() -> None:
    """A refusal is counted for each connection."""
    with driving(unused_port(), 20) as shards:
        found = shards.connect(20)
        assert {"refused": 20} == failures(found)
        assert (20, 0) == (found.total.attempted, found.total.open)
        assert {"refused": "Connection refused"} == found.total.examples


def test_the_driver_leaves_room_in_the_backlog() -> None:
    """Of a server that never accepts, half the queue is filled, and the rest not asked for."""
    with listening(4) as listener, driving(listener.port, 30, answer_within_s=0.5) as shards:
        found = shards.connect(30, within_s=0.5).total
        assert (2, 2, {}) == (found.attempted, found.connected, found.failures)


def test_a_full_backlog_is_no_connection() -> None:
    """Unwatched, the queue takes one more than its length; the others are not connected."""
    with (
        listening(4) as listener,
        driving(listener.port, 30, answer_within_s=0.5, watch_backlog=False) as shards,
    ):
        found = shards.connect(30)
        assert (30, 5) == (found.total.attempted, found.total.open)
        assert {"not connected": 25} == failures(found)


def test_a_full_backlog_shows_as_a_second() -> None:
    """When the queue is emptied later, the packets that were sent again are told from slowness."""
    with (
        listening(4) as listener,
        driving(listener.port, 10, window=10, watch_backlog=False) as shards,
        ThreadPoolExecutor(1) as thread,
    ):
        assert 5 == shards.connect(5).total.ready
        before = overflows()
        found = thread.submit(shards.connect, 5)
        until_s = time.monotonic() + 60
        while overflows() < before + 5 and time.monotonic() < until_s:
            time.sleep(0.01)
        listener.accept(10)
        assert (10, 5) == (found.result().total.ready, found.result().total.slow_connects)
        assert 1.0 <= (found.result().connecting.max_s or 0)


def test_connected_is_not_accepted() -> None:
    """A connection that the server's program never accepted is open, and does not answer."""
    with listening(100) as listener, driving(listener.port, 20, answer_within_s=0.5) as shards:
        assert 20 == shards.connect(20).total.ready
        found = shards.roundtrip().total
        assert (20, 20, 0, 20) == (found.sent, found.not_answered, found.answered, found.open)


def test_an_opening_that_is_never_answered() -> None:
    """With a protocol that begins with a handshake, such a connection never is ready."""
    options = {"handshake_bytes": 200}
    with (
        serving(silent) as port,
        driving(port, 20, "jsonrpc+tcp", options=options, answer_within_s=0.5) as shards,
    ):
        found = shards.connect(20)
        assert {"not opened": 20} == failures(found)
        assert (20, 0, 0) == (found.total.connected, found.total.ready, found.total.open)


def test_resets_while_a_reply_is_due() -> None:
    """A server that resets instead of answering is named."""
    with serving(rude) as port, driving(port, 20) as shards:
        shards.connect(20)
        assert {"reset while a reply was due": 20} == failures(shards.roundtrip())


def test_the_server_closes_what_is_idle() -> None:
    """An idle time-out of the server is seen while nothing is asked for, also between commands."""
    with serving(hasty) as port, driving(port, 20) as shards:
        shards.connect(20)
        assert 20 == shards.roundtrip().total.answered
        until_s = time.monotonic() + 60
        while shards.stats().total.open and time.monotonic() < until_s:
            shards.hold(0.05)
        assert {"closed while idle": 20} == failures(shards.stats())
        assert 20 == sum(shards.stats().total.closing_ages.values())


def test_late_replies_come_after_all() -> None:
    """A reply after its time-out is counted with its whole latency, and the connection used on."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = await reader.read(100)
        await asyncio.sleep(1.5)
        writer.write(received)
        await echo(reader, writer)

    with serving(slow) as port, driving(port, 5, answer_within_s=0.4) as shards:
        shards.connect(5)
        assert (5, 0) == _unanswered(shards.roundtrip().total)
        until_s = time.monotonic() + 60
        while shards.stats().total.late_replies < 5 and time.monotonic() < until_s:
            shards.hold(0.05)
        found = shards.stats()
        assert (5, 5) == (found.total.late_replies, found.latency.count)
        assert 1.5 <= (found.latency.min_s or 0)
        assert 10 == shards.roundtrip().total.answered


def _unanswered(total: Tally) -> tuple[int, int]:
    return total.not_answered, total.answered


def test_large_messages_go_out_and_come_back_in_parts() -> None:
    """Requests and replies of 8 MB, more than any socket buffer takes at once, arrive whole."""
    options = {"payload": "x" * 8_000_000}
    with (
        serving(echo, receive_bytes=1 << 16) as port,
        driving(port, 3, options=options) as shards,
    ):
        shards.connect(3)
        found = shards.roundtrip(rounds=2).total
        assert (6, 3, {}) == (found.answered, found.open, found.failures)


def test_a_driver_without_descriptors_says_so() -> None:
    """At the limit of open files the rest is counted as failed, at once, and nothing dies."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    script = """
        import resource, sys
        resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
        from tests.workloads.sockets.driving import driving
        port = int(sys.argv[1])
        with driving(port, 100, sources=["127.0.0.1"], drivers=1) as shards:
            total = shards.connect(100).total
            print(total.attempted, total.open + total.failures["no descriptors"],
                  total.failures["no descriptors"] > 30, shards.roundtrip().total.answered > 20)
    """
    assert (soft, hard) == resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving(echo) as port:
        found = subprocess.run(
            [
                sys.executable,
                "-c",
                "import memopt_cli.workloads.sockets.plan as plan\n"
                "plan.RESERVED_DESCRIPTORS = -100\n" + textwrap.dedent(script),
                str(port),
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
            cwd=Path(__file__).parents[3],
        )
    assert "100 100 True True" == found.stdout.strip()


def test_no_port_is_left() -> None:
    """A lane that is full gives no connection more, and says why."""
    with serving(echo) as port, driving(port, 10) as shards:
        shards.connect(10)
        found = shards._ask(
            [{"do": "connect", "count": 3, "rate": None, "start_ns": 0, "within_s": 5.0}], 5.0
        )
        assert {"no ports": 3} == failures(found)


def test_many_lanes_of_one_driver() -> None:
    """Three hundred connections, each from an address of its own, as to as many servers."""
    sources = [f"127.0.{number // 250}.{number % 250 + 1}" for number in range(300)]
    with serving(echo) as port:
        lanes = tuple(Lane(source, "127.0.0.1", port, 1) for source in sources)
        with Shards(DriverSettings("tcp", {}, "test", ()), [Share(lanes)]) as shards:
            assert 300 == shards.connect(300).total.ready
            assert 0 == shards.drop().total.open
            assert 300 == shards.connect(300).total.ready


def test_a_driver_dies_with_its_controller(tmp_path: Path) -> None:
    """However the controller ends, its drivers end, and with them the connections."""
    script = """
        import sys, time
        from tests.workloads.sockets.driving import driving
        with driving(int(sys.argv[1]), 10) as shards:
            shards.connect(10)
            print(shards.pids[0], flush=True)
            time.sleep(600)
    """
    log = (tmp_path / "log").open("wb")
    with (
        serving(echo) as port,
        log,
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), str(port)],
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=Path(__file__).parents[3],
        ) as controller,
    ):
        assert controller.stdout is not None
        driver = int(controller.stdout.readline())
        os.kill(controller.pid, signal.SIGKILL)
        until_s = time.monotonic() + 60
        while _alive(driver) and time.monotonic() < until_s:
            time.sleep(0.01)
        assert not _alive(driver)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(") ", 1)[1][0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_dead_driver_is_no_measurement() -> None:
    """When a driver is gone nothing is known of the load."""
    with serving(echo) as port, driving(port, 10) as shards:
        os.kill(shards.pids[0], signal.SIGKILL)
        with pytest.raises(MeasurementError, match="while it was needed"):
            shards.connect(10)


@pytest.mark.parametrize(
    ("protocol", "options", "said"),
    [
        ("jsonrpc", {}, "unknown protocol 'jsonrpc'"),
        ("http", {"pth": "/"}, "the protocol 'http' has no option 'pth'"),
        ("nowhere:Class", {}, "the protocol 'nowhere:Class' cannot be loaded"),
    ],
)
def test_what_a_driver_refuses(protocol: str, options: dict[str, str], said: str) -> None:
    """A mistake in the settings is the user's error, told by the controller; nobody is left."""
    before = psutil.Process().children()
    with (
        pytest.raises(UsageError, match=said),
        driving(unused_port(), 2, protocol, options=options, drivers=2),
    ):
        pass
    assert before == psutil.Process().children()


def test_another_machine_must_be_allowed() -> None:
    """Neither the controller nor the driver loads what is not this machine's."""
    with pytest.raises(UsageError, match=r"192\.0\.2\.1 is not this machine"):
        resolved("192.0.2.1", 80)
    lanes = (Lane(None, "192.0.2.1", 80, 1),)
    with pytest.raises(UsageError, match=r"192\.0\.2\.1 is not this machine"):
        Shards(DriverSettings("tcp", {}, "test", ()), [Share(lanes)])
    assert ("192.0.2.1", 80) == resolved("192.0.2.1", 80, allow_remote=True)
    assert ("127.0.0.1", 80) == resolved("localhost", 80)
