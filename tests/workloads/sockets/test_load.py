"""Loads keep their schedule, and count from the time that was meant."""

from __future__ import annotations

import array
import asyncio
import time
from itertools import islice
from typing import Any

import pytest

from memopt_cli.profiler.histogram import Histogram
from memopt_cli.workloads.sockets import loading
from memopt_cli.workloads.sockets.activities import even, poisson
from memopt_cli.workloads.sockets.loading import Ring
from memopt_cli.workloads.sockets.table import READY
from memopt_cli.workloads.sockets.tally import Report, Tally, joined
from tests.workloads.sockets.driving import driving
from tests.workloads.sockets.serving import echo, serving


def test_a_steady_rate_is_shared_in_turns() -> None:
    """Two drivers with 10/s together send every 100 ms, one after the other."""
    first = list(islice(even(7, 10.0, index=0, drivers=2), 3))
    second = list(islice(even(7, 10.0, index=1, drivers=2), 3))
    assert [7, 200_000_007, 400_000_007] == first
    assert [100_000_007, 300_000_007, 500_000_007] == second


def test_random_arrivals_have_the_rate() -> None:
    """Of a Poisson process the mean gap and its deviation are the inverse of the rate."""
    times = list(islice(poisson(0, 1000.0, index=0, drivers=2), 20_000))
    gaps = [after - before for before, after in zip([0, *times], times, strict=False)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert 2_000_000 == pytest.approx(mean, rel=0.03)
    assert mean == pytest.approx(deviation, rel=0.03)


def test_all_that_was_meant_is_sent() -> None:
    """In 1 s at 300/s there are 300 requests, however slow the machine, and each is answered."""
    with serving(echo) as port, driving(port, 50, drivers=2) as shards:
        shards.connect(50)
        found = shards.load(1.0, rate_per_s=300)
        assert (300, 300, 0) == (found.total.sent, found.total.answered, found.total.not_sent)
        assert 300 == found.latency.count
        assert found.total.timed_sends == found.lateness.count


class Ready:
    """Three connections that are ready, and what was asked on them and when it was meant to be."""

    def __init__(self) -> None:
        self.state, self.tally, self.lateness = bytearray([READY] * 3), Tally(), Histogram()
        self.asked: list[tuple[int, int]] = []

    def ready(self) -> array.array[int]:
        """Return their descriptors."""
        return array.array("I", range(3))

    def ask(self, fd: int, intended_ns: int) -> None:
        """Take a request."""
        self.asked.append((fd, intended_ns))


def test_a_send_is_late_from_10_ms_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each counts from its own time, and by how much it came after that."""
    crowd: Any = Ready()
    monkeypatch.setattr(loading, "perf_counter_ns", lambda: 10_000_000)
    times = iter([0, 1, 10_000_000, 20_000_000])
    loading.Scheduled(crowd, times, until_ns=20_000_000, patience_ns=0).step(10_000_000)

    assert [(0, 0), (1, 1), (2, 10_000_000)] == crowd.asked
    assert (3, 1, 3) == (crowd.tally.timed_sends, crowd.tally.late_sends, crowd.lateness.count)


def test_a_stalling_server_is_not_omitted() -> None:
    """A server that stands still for 0.5 s makes all that were meant to be sent then wait."""

    async def stalling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"memopt\n")
        await reader.read(100)
        await asyncio.sleep(0.5)
        writer.write(b"memopt\n")
        await echo(reader, writer)

    with serving(stalling) as port, driving(port, 1) as shards:
        shards.connect(1)
        found = shards.load(1.0, rate_per_s=100)
        assert (100, 0) == (found.total.answered, found.total.not_sent)
        # The 50 meant to be sent during the stall waited 0.25 s on average.
        assert 12.0 <= found.latency.total_s
        # They were late by the server's doing, and the first one after it was on time again.
        assert 60 >= found.total.timed_sends


def test_what_finds_no_connection_is_told() -> None:
    """Requests that no connection was ever free for are counted, not forgotten."""

    async def dead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        while await reader.read(100):
            pass

    with serving(dead) as port, driving(port, 2, answer_within_s=0.3) as shards:
        shards.connect(2)
        found = shards.load(0.5, rate_per_s=100).total
        assert (2, 2, 48) == (found.sent, found.not_answered, found.not_sent)


def test_without_a_rate_each_reply_is_followed_by_a_request() -> None:
    """What is sent is answered when the load ends, and each reply is in the histogram."""
    with serving(echo) as port, driving(port, 20, drivers=2) as shards:
        shards.connect(20)
        found = shards.load(0.3)
        assert found.total.sent == found.total.answered == found.latency.count
        assert found.total.sent > 40


def test_a_reply_that_differs_is_looked_at() -> None:
    """Replies in parts are put together, and after many good ones a wrong one is still seen."""

    async def changing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(50):
            received = await reader.readexactly(7)
            cut = 3 if number % 10 == 9 else 7
            writer.write(received[:cut])
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(received[cut:])
        await reader.readexactly(7)
        writer.write(b"memopX\n")
        await reader.read()

    with serving(changing) as port, driving(port, 3) as shards:
        shards.connect(3)
        until_s = time.monotonic() + 60
        while shards.load(0.1).total.ready and time.monotonic() < until_s:
            pass
        found = shards.stats().total
        assert {"wrong reply": 3} == dict(found.failures)
        assert (150, 153) == (found.answered, found.sent)


def test_a_ring_goes_around() -> None:
    """First in, first out, also over the end of its memory."""
    ring = Ring([1, 2], 3)
    ring.push(3)
    assert [1, 2] == [ring.pop(), ring.pop()]
    ring.push(4)
    assert ([3, 4], 0) == ([ring.pop(), ring.pop()], len(ring))


@pytest.mark.parametrize(
    ("busy_s", "late", "said"),
    [
        (0.9, 10, None),
        (0.901, 0, "a driver was at work 90% of the time"),
        (0.1, 11, "11 of 1,000 requests were sent late"),
    ],
)
def test_a_driver_that_is_the_bottleneck_says_so(busy_s: float, late: int, said: str) -> None:
    """By the busiest of the drivers, or by the requests sent late; at the limit it is not."""
    idle = Tally(took_s=1.0)
    found = joined(
        (tally, [Histogram()] * 3)
        for tally in (idle, Tally(took_s=1.0, busy_s=busy_s, timed_sends=1000, late_sends=late))
    )
    assert said == found.limited_by


def test_reports_are_added_up() -> None:
    """Counts are summed, times are the longest, examples the first."""
    one = Tally(sent=2, took_s=1.0, examples={"TLS": "a"})
    two = Tally(sent=3, took_s=3.0, examples={"TLS": "b", "other": "c"})
    one.failures["TLS"] = 1
    two.failures["TLS"] = 2
    total = Report((one, two), Histogram(), Histogram(), Histogram()).total
    assert (5, 3.0, {"TLS": 3}) == (total.sent, total.took_s, dict(total.failures))
    assert {"TLS": "a", "other": "c"} == total.examples
    assert one == Tally.from_message(one.to_message())
