"""What sockets need that is no memory: descriptors, ports, queues."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from memopt_cli.analysis.fit import Finding, Fit, compared, in_words, least, left, settled
from memopt_cli.profiler.proc_tree import UNLIMITED
from memopt_cli.units import format_count

if TYPE_CHECKING:
    from memopt_cli.analysis.fit import Wanted
    from memopt_cli.profiler.limits import DescriptorLimits, Limits
    from memopt_cli.profiler.ports import PortLimits

DESCRIPTORS_PLANNED: Final = 0.98
"""Share of a process's descriptors that connections may take: logs, pipes and epoll need some."""

PORTS_BEFORE_SLOW: Final = 0.5
"""
Share of the ports of a pair that connect finds at once.

The kernel looks at every second port first. Measured on loopback with the default range: up
to 14,116 connections a connect takes 20 us, beyond it 1,000 us.
"""

_WIDEST: Final = range(1024, 65_536)
"""Ports that a range can have without those of the system's own services."""

_SERVER, _DRIVER = "server", "driver"
_CONNECTIONS = "connections"


def per_process(limits: DescriptorLimits) -> float | None:
    """Return how many descriptors a process that this shell starts can still open."""
    if limits.soft is None:
        return None
    return left(least(limits.soft, limits.ceiling), limits.open_here)


def descriptors(limits: Limits, wanted: Wanted) -> tuple[Finding, ...]:
    """Return whether both sides, the machine and epoll have descriptors enough."""
    here = limits.descriptors
    return (
        _side(here, _SERVER, wanted.connections, wanted.server_processes),
        _side(here, _DRIVER, wanted.connections, wanted.driver_processes),
        _system(here, wanted),
        _watches(here, wanted),
    )


def _side(here: DescriptorLimits, side: str, connections: int, processes: int) -> Finding:
    each = per_process(here)
    allows = None if each is None else each * processes
    many = side if processes == 1 else f"{format_count(processes)} {side}s"
    return settled(
        Finding(
            name=f"descriptors_{side}",
            what=f"descriptors, {many}",
            told="" if each is None else f"{in_words(each)} each",
            allows=allows,
            asked=connections,
            unit=_CONNECTIONS,
            fit=compared(allows, connections, tight_above=DESCRIPTORS_PLANNED),
            decides=True,
            remedy=_descriptor_remedy(here, side, connections, processes),
        ),
        untold="Look with `ulimit -n` where it will run.",
    )


def _descriptor_remedy(here: DescriptorLimits, side: str, connections: int, processes: int) -> str:
    """Return how to get descriptors: by the shell's own limit, by more processes, or as root."""
    most = least(here.hard, here.ceiling)
    if most is None or here.open_here is None:
        return ""
    needs = math.ceil(connections / processes / DESCRIPTORS_PLANNED) + here.open_here
    if needs <= most:
        return f"`ulimit -n {needs}` in the shell that starts it."
    as_root = f"as root `ulimit -Hn {needs}; ulimit -n {needs}` (systemd: LimitNOFILE={needs})."
    if here.ceiling is not None and needs > here.ceiling:
        as_root = as_root.replace("`", f"`sysctl -w fs.nr_open={needs}`, then `", 1)
    room = math.floor((most - here.open_here) * DESCRIPTORS_PLANNED)
    if room < 1:
        return as_root[0].upper() + as_root[1:]
    sharing = " on one port (SO_REUSEPORT)" if side == _SERVER else ""
    soft = f" with `ulimit -n {most:.0f}`" if here.soft != most else ""
    count = math.ceil(connections / room)
    return f"Run {format_count(count)} {side} processes{sharing}{soft}; or {as_root}"


def _system(here: DescriptorLimits, wanted: Wanted) -> Finding:
    room = left(here.system_max, here.system_used)
    allows = None if room is None else _half(room)
    fit = compared(allows, wanted.connections)
    most = 2 * wanted.connections + round(here.system_used or 0)
    return settled(
        Finding(
            name="descriptors_system",
            what="descriptors, machine",
            told="" if room is None else f"{in_words(room)} free",
            allows=allows,
            asked=wanted.connections,
            unit=_CONNECTIONS,
            fit=fit,
            decides=True,
            remedy=f"`sysctl -w fs.file-max={math.ceil(most / 0.9)}`",
        )
    )


def _watches(here: DescriptorLimits, wanted: Wanted) -> Finding:
    most = here.epoll_watches
    fit = compared(None if most is None else _half(most), wanted.connections)
    needs = math.ceil(2 * wanted.connections / 0.9)
    return settled(
        Finding(
            name="epoll_watches",
            what="epoll, of one user",
            told="" if most is None else f"{in_words(most)}",
            allows=None if most is None else _half(most),
            asked=wanted.connections,
            unit=_CONNECTIONS,
            fit=fit,
            # Older kernels have no such limit, and some servers do not use epoll.
            decides=most is not None,
            remedy=f"`sysctl -w fs.epoll.max_user_watches={needs}`",
        )
    )


def ports(limits: Limits, wanted: Wanted) -> tuple[Finding, ...]:
    """Return whether there are ports and addresses to connect from."""
    here = limits.ports
    free = here.free
    allows = None if free is None else free * wanted.sources
    fit = compared(allows, wanted.connections, tight_above=PORTS_BEFORE_SLOW)
    many = "1 source" if wanted.sources == 1 else f"{format_count(wanted.sources)} sources"
    pairs = Finding(
        name="ports",
        what=f"ports, {many}",
        told="" if free is None else f"{format_count(free)} each",
        allows=allows,
        asked=wanted.connections,
        unit=_CONNECTIONS,
        fit=fit,
        decides=True,
        note=_waiting(here),
        remedy=_port_remedy(here, wanted, fit),
    )
    return settled(pairs), settled(_sources(here, wanted))


def _port_remedy(here: PortLimits, wanted: Wanted, fit: Fit) -> str:
    wider = f"`sysctl -w net.ipv4.ip_local_port_range='{_WIDEST[0]} {_WIDEST[-1]}'`."
    if not here.free:
        return f"Widen the range: {wider}"
    sources = math.ceil(wanted.connections / (here.free * PORTS_BEFORE_SLOW))
    why = "Beyond half of the ports each connect takes 50 times longer. " * (fit is Fit.TIGHT)
    remedy = (
        f"{why}Connect from {format_count(sources)} addresses (127.0.0.1, 127.0.0.2, ...) with "
        "IP_BIND_ADDRESS_NO_PORT, or serve on more ports"
    )
    enough = wanted.connections <= len(_WIDEST) * wanted.sources * PORTS_BEFORE_SLOW
    return f"{remedy}; or widen the range: {wider}" if enough else f"{remedy}."


def _waiting(here: PortLimits) -> str:
    """Return what to know of TIME_WAIT where it holds more than a tenth of the ports."""
    if here.first is None or here.last is None or not here.time_wait:
        return ""
    if here.time_wait < (here.last - here.first + 1) / 10:
        return ""
    return (
        f"{format_count(here.time_wait)} connections are in TIME_WAIT and hold their ports for "
        "60 s (tcp_fin_timeout does not change that): wait, or close with SO_LINGER(1, 0)."
    )


def _sources(here: PortLimits, wanted: Wanted) -> Finding:
    fit = compared(here.loopback_sources, wanted.sources, tight_above=1)
    return Finding(
        name="loopback_sources",
        what="loopback addresses",
        told="" if here.loopback_sources is None else f"{in_words(here.loopback_sources)} usable",
        allows=here.loopback_sources,
        asked=wanted.sources,
        unit="addresses",
        fit=fit,
        decides=wanted.sources > 1,
        remedy="`ip address add 127.0.0.1/8 dev lo`",
    )


def queues(limits: Limits, wanted: Wanted) -> tuple[Finding, ...]:
    """Return whether a burst waits for accept unharmed, and whether conntrack has room."""
    network = limits.network
    # The kernel refuses when the queue is longer than its bound, not when it is as long.
    allows = None if network.somaxconn is None else network.somaxconn + 1
    together = math.ceil(wanted.connections / wanted.server_processes)
    backlog = Finding(
        name="backlog",
        what="backlog, all at once",
        told="" if allows is None else f"somaxconn {in_words(network.somaxconn or 0)}",
        allows=None if allows is None else allows * wanted.server_processes,
        asked=wanted.connections,
        unit="not accepted yet",
        fit=_soft(compared(allows, together, tight_above=1)),
        decides=False,
        remedy=_BACKLOG.format(bound=min(together, 65535)),
    )
    return settled(backlog), _half_open(limits, wanted), _conntrack(limits, wanted)


_BACKLOG = (
    "What a burst brings beyond it waits 1 to 7 s: connect no faster than the server accepts, or "
    "`sysctl -w net.core.somaxconn={bound}` and the same in its listen()."
)


def _half_open(limits: Limits, wanted: Wanted) -> Finding:
    """With SYN cookies a full queue of half-open connections refuses nobody; without, at 3/4."""
    network = limits.network
    allows = None if network.max_syn_backlog is None else network.max_syn_backlog * 3 // 4
    if network.syncookies:
        allows = UNLIMITED
    return settled(
        Finding(
            name="half_open",
            what="half-open connections",
            told="SYN cookies on" if network.syncookies else "",
            allows=allows,
            asked=wanted.connections,
            unit="not answered yet",
            fit=_soft(compared(allows, wanted.connections, tight_above=1)),
            decides=False,
            remedy="`sysctl -w net.ipv4.tcp_syncookies=1`",
        )
    )


def _conntrack(limits: Limits, wanted: Wanted) -> Finding:
    network = limits.network
    allows = left(network.conntrack_max, network.conntrack_used)
    needs = math.ceil((wanted.connections + (network.conntrack_used or 0)) / 0.9)
    return settled(
        Finding(
            name="conntrack",
            what="connection tracking",
            told="" if allows is None else f"{in_words(allows)} free",
            allows=allows,
            asked=wanted.connections,
            unit=_CONNECTIONS,
            fit=compared(allows, wanted.connections),
            # Most machines do not track; what they do not have cannot be told.
            decides=allows is not None,
            remedy=f"`sysctl -w net.netfilter.nf_conntrack_max={needs}`",
        ),
        untold="It is not loaded, or not shown here.",
    )


def _soft(fit: Fit) -> Fit:
    """Return the verdict of what delays but does not refuse."""
    return Fit.TIGHT if fit is Fit.DOES_NOT_FIT else fit


def _half(number: float) -> float:
    return number if math.isinf(number) else number // 2
