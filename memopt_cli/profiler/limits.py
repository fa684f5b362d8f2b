"""
What this machine allows a process, read without root and without changing anything.

A number is `None` where the system does not tell it, and `UNLIMITED` where it tells that
there is no limit. A container shows its own network's limits, and some of the host's.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memopt_cli.profiler import control_groups, ports
from memopt_cli.profiler.proc_tree import ProcTree, number

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.profiler.control_groups import GroupLimit
    from memopt_cli.profiler.ports import PortLimits

_KIB = 1024
_CHEAP_READS, _EXACT_READS = 100, 5


@dataclass(frozen=True, slots=True)
class DescriptorLimits:
    """How many files and sockets may be open."""

    soft: float | None
    """Of a process that this shell starts; it may raise it up to the hard limit."""

    hard: float | None
    open_here: int | None
    """In this process, which inherits what a fresh one would."""

    ceiling: float | None
    """``fs.nr_open``: above it no limit of a process can be raised, not even by root."""

    system_used: float | None
    system_max: float | None
    epoll_watches: float | None
    """Descriptors of one user that epoll may watch at once."""


@dataclass(frozen=True, slots=True)
class NetworkLimits:
    """What the kernel keeps for connections."""

    somaxconn: float | None
    max_syn_backlog: float | None
    syncookies: float | None
    tcp_pressure_pages: float | None
    tcp_max_pages: float | None
    tcp_used_pages: float | None
    tcp_sockets: float | None
    conntrack_max: float | None
    conntrack_used: float | None


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """Memory, and address space, which is not the same."""

    total_bytes: float | None
    available_bytes: float | None
    """What new processes can use before the machine swaps."""

    swap_free_bytes: float | None
    group: GroupLimit
    """Of the control group, in bytes."""

    address_space_bytes: float | None
    """``ulimit -v``."""

    overcommit: float | None
    """0: by a guess, 1: always, 2: never more than the commit limit."""

    commit_limit_bytes: float | None
    committed_bytes: float | None
    map_count: float | None
    """Mappings that a process may have."""

    shared_free_bytes: float | None
    """Free in ``/dev/shm``, where the agent in a watched Python program records."""


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """How many processes and threads there may be."""

    group: GroupLimit
    threads_used: float | None
    threads_max: float | None
    """Of the machine."""


@dataclass(frozen=True, slots=True)
class ReadingCost:
    """What looking at a process costs; `None` where it cannot be looked at."""

    counters_s: float | None
    """``statm``, of this process."""

    exact_s: float | None
    """``smaps_rollup``, of this process; figures are fitted to it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Everything that can end a run, as the machine tells it now."""

    descriptors: DescriptorLimits
    ports: PortLimits
    network: NetworkLimits
    memory: MemoryLimits
    processes: ProcessLimits
    reading: ReadingCost
    page_bytes: int


def read(root: Path = Path("/"), *, now: Callable[[], float] = time.perf_counter) -> Limits:
    """
    Return the limits that are told below *root*.

    It takes some milliseconds, and 2 us more for each connection that the machine has.
    """
    tree = ProcTree(root)
    return Limits(
        _descriptors(tree),
        ports.read(tree),
        _network(tree),
        read_memory(root),
        ProcessLimits(control_groups.processes(tree), *_threads(tree)),
        ReadingCost(
            _cost(tree, "proc/self/statm", _CHEAP_READS, now),
            _cost(tree, "proc/self/smaps_rollup", _EXACT_READS, now),
        ),
        os.sysconf("SC_PAGE_SIZE"),
    )


def read_memory(root: Path = Path("/")) -> MemoryLimits:
    """Return the limits on memory alone, which takes no longer with many connections."""
    tree = ProcTree(root)
    return MemoryLimits(
        total_bytes=_meminfo(tree, "MemTotal:"),
        available_bytes=_meminfo(tree, "MemAvailable:"),
        swap_free_bytes=_meminfo(tree, "SwapFree:"),
        group=control_groups.memory(tree),
        address_space_bytes=tree.resource("Max address space")[0],
        overcommit=tree.number("proc/sys/vm/overcommit_memory"),
        commit_limit_bytes=_meminfo(tree, "CommitLimit:"),
        committed_bytes=_meminfo(tree, "Committed_AS:"),
        map_count=tree.number("proc/sys/vm/max_map_count"),
        shared_free_bytes=_free_bytes(root / "dev/shm"),
    )


def _descriptors(tree: ProcTree) -> DescriptorLimits:
    soft, hard = tree.resource("Max open files")
    used, _, most = tree.numbers("proc/sys/fs/file-nr", 3)
    return DescriptorLimits(
        soft=soft,
        hard=hard,
        open_here=_open_here(tree.root / "proc/self/fd"),
        ceiling=tree.number("proc/sys/fs/nr_open"),
        system_used=used,
        system_max=most if most is not None else tree.number("proc/sys/fs/file-max"),
        epoll_watches=tree.number("proc/sys/fs/epoll/max_user_watches"),
    )


def _open_here(folder: Path) -> int | None:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are enough
    except OSError:
        return None
    # The listing had a descriptor of its own, which is gone by now.
    return sum(os.path.lexists(folder / name) for name in names)


def _network(tree: ProcTree) -> NetworkLimits:
    _, pressure, most = tree.numbers("proc/sys/net/ipv4/tcp_mem", 3)
    return NetworkLimits(
        somaxconn=tree.number("proc/sys/net/core/somaxconn"),
        max_syn_backlog=tree.number("proc/sys/net/ipv4/tcp_max_syn_backlog"),
        syncookies=tree.number("proc/sys/net/ipv4/tcp_syncookies"),
        tcp_pressure_pages=pressure,
        tcp_max_pages=most,
        tcp_used_pages=tree.after("proc/net/sockstat", "TCP:", "mem"),
        tcp_sockets=tree.after("proc/net/sockstat", "TCP:", "alloc"),
        conntrack_max=tree.number("proc/sys/net/netfilter/nf_conntrack_max"),
        conntrack_used=tree.number("proc/sys/net/netfilter/nf_conntrack_count"),
    )


def _threads(tree: ProcTree) -> tuple[float | None, float | None]:
    """Return the threads that the machine has and may have; loadavg has them as ``1/123``."""
    words = (tree.text("proc/loadavg") or "").split()[3:4]
    used = number(words[0].partition("/")[2]) if words else None
    return used, tree.number("proc/sys/kernel/threads-max")


def _meminfo(tree: ProcTree, label: str) -> float | None:
    found = tree.after("proc/meminfo", label)
    return None if found is None else found * _KIB


def _free_bytes(folder: Path) -> float | None:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def _cost(tree: ProcTree, path: str, reads: int, now: Callable[[], float]) -> float | None:
    """Return the mean time of a reading, in seconds; a file without content is not told."""
    if not tree.text(path):
        return None
    began = now()
    for _ in range(reads):
        tree.text(path)
    return (now() - began) / reads
