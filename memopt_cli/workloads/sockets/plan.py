"""
How many connections are shared out: over processes, source addresses and destinations.

Two limits demand it. A process may have so many open files; and from one address to
another there are so many ports, of which Linux takes the even ones first: with
the usual range of 28,232, `connect` goes from 20 us to 1 ms after 14,116.
"""

from __future__ import annotations

import ipaddress
import resource
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.errors import UsageError
from memopt_cli.units import format_count
from memopt_cli.workloads.sockets.settings import Lane

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RESERVED_DESCRIPTORS = 400
"""Of a driver's limit, left for its pipes, its libraries, and connections that are closing."""

MOST_PER_DRIVER = 19_600
"""Connections of one driver, however many files it may open: one core is then well used."""

MOST_PER_PAIR = 14_000
"""Connections between one source address and one destination, less than the even ports."""

_SOURCES_PER_NETWORK = 250
_NETWORKS = 250

Destination = tuple[str, int]
"""An IP address and a port."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one driver has to do."""

    lanes: tuple[Lane, ...]

    @property
    def capacity(self) -> int:
        """Connections that it can hold."""
        return sum(lane.capacity for lane in self.lanes)


def most_per_driver() -> int:
    """Return how many connections a driver can hold, by the hard limit of open files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return MOST_PER_DRIVER
    return max(1, min(MOST_PER_DRIVER, hard - RESERVED_DESCRIPTORS))


def split(count: int, parts: int) -> list[int]:
    """
    Return *count* in as equal parts as there can be, the larger ones first.

    >>> split(10, 4)
    [3, 3, 2, 2]
    """
    whole, rest = divmod(count, parts)
    return [whole + (part < rest) for part in range(parts)]


def plan(
    count: int,
    destinations: Sequence[Destination],
    *,
    drivers: int | None = None,
    sources: Sequence[str] | None = None,
    per_driver: int | None = None,
) -> tuple[Share, ...]:
    """
    Return what each driver has to hold, so that together they can hold *count* connections.

    Args:
        count: Connections.
        destinations: Where they go, equally many to each.
        drivers: How many processes at least; `None` for as few as can be.
        sources: The addresses to connect from; `None` takes as many of 127.0.0.0/8 as are
            needed where the destination is there too, and else leaves it to the system.
        per_driver: Most connections of one driver; `None` asks this machine's limits.

    Raises:
        UsageError: There are not as many ports between the addresses.
    """
    if count < 1 or not destinations:
        raise UsageError(
            f"{format_count(count)} connections to {len(destinations)} destinations",
            hint="Give one or more of both.",
        )
    least = -(-count // (per_driver or most_per_driver()))
    processes = min(count, max(least, drivers or 1))
    parts = split(count, len(destinations))
    ledgers = [
        _Ledger(destination, part, sources)
        for destination, part in zip(destinations, parts, strict=True)
    ]
    return tuple(Share(tuple(_lanes(size, ledgers))) for size in split(count, processes))


def _lanes(size: int, ledgers: list[_Ledger]) -> Iterator[Lane]:
    """
    Yield the lanes of one driver: to as few destinations as there can be.

    With as many servers as drivers each has one of its own. What arrives comes in larger
    batches then: a hundred thousand handshakes take a sixth less of the processors than
    where each driver speaks to each server.
    """
    for ledger in ledgers:
        part = min(size, ledger.wanted)
        yield from ledger.take(part)
        size -= part


class _Ledger:
    """How many connections are still to go to one destination, and how many ports are left."""

    def __init__(
        self, destination: Destination, wanted: int, sources: Sequence[str] | None
    ) -> None:
        self._host, self._port = destination
        self.wanted = wanted
        self._sources: Iterator[str | None] = iter(
            _sources_for(self._host) if sources is None else sources
        )
        self._source: str | None = None
        self._left = 0

    def take(self, count: int) -> Iterator[Lane]:
        """Yield lanes for *count* connections."""
        self.wanted -= count
        while count:
            if not self._left:
                self._source = self._next()
                self._left = MOST_PER_PAIR
            part = min(count, self._left)
            self._left -= part
            count -= part
            yield Lane(self._source, self._host, self._port, part)

    def _next(self) -> str | None:
        for source in self._sources:
            return source
        raise UsageError(
            f"not enough ports for so many connections to {self._host}:{self._port}",
            hint=f"{MOST_PER_PAIR:,} fit between two addresses; "
            "give more source addresses, or more destinations.",
        )


def _sources_for(host: str) -> Iterator[str | None]:
    """Yield addresses to connect from."""
    address = ipaddress.ip_address(host)
    if address.version == 6 or not address.is_loopback:  # noqa: PLR2004 - IPv6
        yield None
        return
    for number in range(_SOURCES_PER_NETWORK * _NETWORKS):
        yield f"127.0.{number // _SOURCES_PER_NETWORK}.{number % _SOURCES_PER_NETWORK + 1}"
