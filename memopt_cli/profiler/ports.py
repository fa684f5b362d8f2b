"""The ports and addresses that connections can start from, and which of them are taken."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memopt_cli.profiler.proc_tree import ProcTree


@dataclass(frozen=True, slots=True)
class PortLimits:
    """Where connections can start from."""

    first: float | None
    last: float | None
    reserved: int | None
    """Ports of the range that the kernel does not give out (``ip_local_reserved_ports``)."""

    held: int | None
    """Ports of the range that some socket has, those in TIME_WAIT included."""

    time_wait: float | None
    """Connections in TIME_WAIT, wherever their ports are."""

    tw_reuse: float | None
    """0: never, 1: for any destination, 2: for loopback."""

    fin_timeout_s: float | None
    loopback_sources: int | None
    """Addresses of 127.0.0.0/8 that a client may bind to."""

    @property
    def free(self) -> float | None:
        """Ports that are left for one pair of source address and destination, at the least."""
        if None in (self.first, self.last, self.reserved, self.held):
            return None
        span = (self.last or 0) - (self.first or 0) + 1
        return max(0, span - (self.reserved or 0) - (self.held or 0))


def read(tree: ProcTree) -> PortLimits:
    """Return what the tables of the kernel tell; 2 us for each connection of the machine."""
    first, last = tree.numbers("proc/sys/net/ipv4/ip_local_port_range", 2)
    span = None if first is None or last is None else range(int(first), int(last) + 1)
    return PortLimits(
        first=first,
        last=last,
        reserved=_reserved(tree.text("proc/sys/net/ipv4/ip_local_reserved_ports"), span),
        held=_held(tree, span),
        time_wait=tree.after("proc/net/sockstat", "TCP:", "tw"),
        tw_reuse=tree.number("proc/sys/net/ipv4/tcp_tw_reuse"),
        fin_timeout_s=tree.number("proc/sys/net/ipv4/tcp_fin_timeout"),
        loopback_sources=_loopback_sources(tree.text("proc/net/fib_trie")),
    )


def _reserved(text: str | None, span: range | None) -> int | None:
    """Return how many ports of *span* are in a list like ``8080,9000-9010``."""
    if text is None or span is None:
        return None
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return len(found.intersection(span))


def _held(tree: ProcTree, span: range | None) -> int | None:
    """Return how many ports of *span* are the local one of any socket."""
    if span is None:
        return None
    held: set[int] = set()
    try:
        held.update(_local_ports(tree, "proc/net/tcp"))
    except OSError:
        return None
    # A machine without IPv6 has no such table, and no such sockets.
    with suppress(OSError):
        held.update(_local_ports(tree, "proc/net/tcp6"))
    return len(held.intersection(span))


def _local_ports(tree: ProcTree, path: str) -> Iterator[int]:
    """Yield the local port of each socket in a table, whose first line is its head."""
    for line in islice(tree.lines(path), 1, None):
        yield int(line.split(None, 2)[1].rpartition(":")[2], 16)


def _loopback_sources(text: str | None) -> int | None:
    """
    Return how many addresses of 127.0.0.0/8 are this machine's own.

    By the routing table: a network that is local as a whole can be bound to anywhere in it,
    but for its first and its last address.
    """
    if text is None:
        return None
    own: set[tuple[str, int]] = set()
    address = ""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["|--"]:
            address = words[1]
        elif words[-1:] == ["LOCAL"] and address.startswith("127."):
            own.add((address, int(words[0].lstrip("/"))))
    networks = [2 ** (32 - length) - 2 for _, length in own if length < 31]  # noqa: PLR2004 - longer ones have no broadcast address
    return max(networks) if networks else len(own)
