"""Connections are shared out so that no limit of descriptors or ports is met."""

from __future__ import annotations

import resource
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memopt_cli.errors import UsageError
from memopt_cli.workloads.sockets.plan import MOST_PER_PAIR, most_per_driver, plan
from memopt_cli.workloads.sockets.settings import Lane

_PORTS = [("127.0.0.1", port) for port in range(7000, 7020)]


def test_a_hundred_thousand() -> None:
    """Six drivers for 19,600 descriptors each; two sources for six ports of 14,000 each."""
    shares = plan(100_000, _PORTS[:6], per_driver=19_600)
    assert [16_667] * 4 + [16_666] * 2 == [share.capacity for share in shares]
    assert {"127.0.0.1", "127.0.0.2"} == {lane.source for share in shares for lane in share.lanes}


def test_each_driver_has_a_server_of_its_own() -> None:
    """With as many of both; with more drivers than servers, two share one at most."""
    shares = plan(60_000, _PORTS[:6], drivers=6)
    assert [{port} for _, port in _PORTS[:6]] == [
        {lane.port for lane in share.lanes} for share in shares
    ]
    shares = plan(60_000, _PORTS[:4], drivers=6)
    assert 2 == max(len({lane.port for lane in share.lanes}) for share in shares)


def test_one_port_takes_many_sources() -> None:
    """To a single port, 30,000 connections come from three addresses."""
    (share,) = plan(30_000, _PORTS[:1], per_driver=40_000)
    host, port = _PORTS[0]
    assert (
        Lane("127.0.0.1", host, port, 14_000),
        Lane("127.0.0.2", host, port, 14_000),
        Lane("127.0.0.3", host, port, 2_000),
    ) == share.lanes


@pytest.mark.parametrize(
    ("hard", "most"),
    [(1000, 600), (20_000, 19_600), (10**6, 19_600), (resource.RLIM_INFINITY, 19_600), (300, 1)],
)
def test_a_driver_has_as_many_as_it_may_open(
    monkeypatch: pytest.MonkeyPatch, hard: int, most: int
) -> None:
    """Less what it needs for itself; and no more than one core is well used by."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, hard))

    assert most == most_per_driver()


@example(count=2, ports=1, drivers=9, per_driver=500)
@given(
    count=st.integers(1, 300_000),
    ports=st.integers(1, 20),
    drivers=st.integers(1, 9),
    per_driver=st.integers(500, 20_000),
)
def test_every_plan_keeps_the_limits(count: int, ports: int, drivers: int, per_driver: int) -> None:
    """All are placed, no driver has too many, no pair of addresses, and destinations are even."""
    shares = plan(count, _PORTS[:ports], drivers=drivers, per_driver=per_driver)
    assert count == sum(share.capacity for share in shares)
    assert len(shares) >= min(drivers, count)
    assert all(1 <= share.capacity <= per_driver for share in shares)
    pairs: Counter[tuple[str | None, int]] = Counter()
    destinations: Counter[int] = Counter({port: 0 for _, port in _PORTS[:ports]})
    for share in shares:
        for lane in share.lanes:
            pairs[lane.source, lane.port] += lane.capacity
            destinations[lane.port] += lane.capacity
    assert max(pairs.values()) <= MOST_PER_PAIR
    assert max(destinations.values()) - min(destinations.values()) <= len(shares)


def test_elsewhere_the_system_chooses_the_source() -> None:
    """To another machine there is one source, and so many ports."""
    (share,) = plan(100, [("192.0.2.1", 80)])
    assert (Lane(None, "192.0.2.1", 80, 100),) == share.lanes
    with pytest.raises(UsageError, match="not enough ports"):
        plan(14_001, [("192.0.2.1", 80)])
    with pytest.raises(UsageError, match="not enough ports"):
        plan(28_001, _PORTS[:1], sources=["127.0.0.1", "127.0.0.9"])


@pytest.mark.parametrize(("count", "ports"), [(0, 1), (1, 0)])
def test_nothing_is_no_plan(count: int, ports: int) -> None:
    """Neither no connection nor no destination can be shared out."""
    with pytest.raises(UsageError, match=f"{count} connections to {ports} destinations"):
        plan(count, _PORTS[:ports])
