"""What a run needs of memory: the kernel's part, the server's own, and address space."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from memopt_cli.analysis.fit import Finding, Fit, compared, in_words, least, left, settled
from memopt_cli.profiler.proc_tree import UNLIMITED
from memopt_cli.units import format_duration, format_size

if TYPE_CHECKING:
    from memopt_cli.analysis.fit import Wanted
    from memopt_cli.profiler.limits import Limits, MemoryLimits

KERNEL_BYTES_PER_CONNECTION: Final = 8_300
"""
Slab of both ends on one machine.

Measured on Linux 6.18, x86-64: TCP socket 2,368, inode 832, file 192, dentry 192, security
56 and epoll 208 bytes, 3,848 for an end; 8.1 to 8.3 KB were seen for both.
"""

DRIVER_BYTES_PER_CONNECTION: Final = 56
"""Of a driver on raw epoll, measured at 200,000 connections."""

UNREAD_COSTS_BYTES: Final = 69_600
"""What the kernel was measured to hold for 64 KiB that nobody has read."""

RING_BYTES: Final = 303_104
"""What a watched Python program has in ``/dev/shm``."""

MAPPINGS_PER_THREAD: Final = 2
"""A stack and its guard page, as glibc makes them."""

SLOWEST_READING_S: Final = 0.001

_CONNECTIONS = "connections"


def room(memory: MemoryLimits) -> float | None:
    """Return the bytes that new processes can use: of the machine, or of the control group."""
    return least(memory.available_bytes, left(memory.group.limit, memory.group.used))


def findings(limits: Limits, wanted: Wanted) -> tuple[Finding, ...]:
    """Return whether there is memory enough, for whom it is known."""
    return (
        _memory(limits.memory, wanted),
        _buffers(limits, wanted),
        _threads(limits.memory, wanted),
        _processes(limits, wanted),
        _shared(limits.memory, wanted),
        _reading(limits),
    )


def _memory(memory: MemoryLimits, wanted: Wanted) -> Finding:
    known = wanted.bytes_per_connection
    each = KERNEL_BYTES_PER_CONNECTION + DRIVER_BYTES_PER_CONNECTION + (known or 0)
    agents = wanted.agents * (wanted.bytes_per_agent or 0)
    unknown_agents = bool(wanted.agents) and wanted.bytes_per_agent is None
    has = room(memory)
    allows = None if has is None else max(0, (has - agents) // each)
    fit = compared(allows, wanted.connections)
    if unknown_agents and fit in (Fit.FITS, Fit.TIGHT):
        fit = Fit.NOT_TOLD
    needs = agents + wanted.connections * each
    return settled(
        Finding(
            name="memory",
            what="memory" if known is not None else "memory, kernel + driver",
            told="" if has is None else f"{format_size(has)} free",
            allows=allows,
            asked=wanted.connections,
            unit=_CONNECTIONS,
            fit=fit,
            decides=True,
            note=_share(has, needs, wanted),
            remedy=_memory_remedy(memory, needs, unknown_agents=unknown_agents),
        )
    )


def _share(has: float | None, needs: float, wanted: Wanted) -> str:
    """Return what is left for a server whose memory is not known."""
    if has is None or wanted.bytes_per_connection is not None or not wanted.connections:
        return ""
    share = (has - needs) / wanted.connections
    if share <= 0:
        return ""
    return f"This leaves {format_size(share)} per connection for the server's own memory."


def _memory_remedy(memory: MemoryLimits, needs: float, *, unknown_agents: bool) -> str:
    if unknown_agents:
        return "Say what an agent takes: --bytes-per-agent."
    of_group = left(memory.group.limit, memory.group.used)
    if of_group is not None and of_group == room(memory):
        limit = math.ceil((needs + (memory.group.used or 0)) / 0.9)
        return f"Raise the container's memory limit to {format_size(limit)}, or run fewer."
    return f"{format_size(needs)} are needed: run fewer, or spread them over machines."


def _buffers(limits: Limits, wanted: Wanted) -> Finding:
    """Idle connections hold no page; one with anything unread holds at least one."""
    network = limits.network
    pages = left(network.tcp_max_pages, network.tcp_used_pages)
    unread = None if pages is None else pages * limits.page_bytes // UNREAD_COSTS_BYTES
    fit = compared(unread, wanted.connections, tight_above=1)
    if fit is Fit.DOES_NOT_FIT and pages is not None and wanted.connections <= pages:
        fit = Fit.TIGHT
    most = math.ceil(
        wanted.connections * UNREAD_COSTS_BYTES / limits.page_bytes + (network.tcp_used_pages or 0)
    )
    return settled(
        Finding(
            name="tcp_buffers",
            what="TCP buffers, 64 KiB each",
            told="" if pages is None else f"{format_size(pages * limits.page_bytes)} free",
            allows=unread,
            asked=wanted.connections,
            unit=_CONNECTIONS,
            fit=fit,
            # A container is not told; there, idle connections are all that can be promised.
            decides=pages is not None,
            remedy="Idle connections take none; 64 KiB unread take 69.6 kB. For more at once: "
            f"`sysctl -w net.ipv4.tcp_mem='{most * 2 // 3} {most} {most * 3 // 2}'`.",
        )
    )


def _threads(memory: MemoryLimits, wanted: Wanted) -> Finding:
    allows = None if memory.map_count is None else memory.map_count // MAPPINGS_PER_THREAD
    each = math.ceil(wanted.connections / wanted.server_processes)
    fit = compared(allows, each)
    return settled(
        Finding(
            name="mappings",
            what="threads, one for each",
            told="" if memory.map_count is None else f"{in_words(memory.map_count)} mappings",
            allows=None if allows is None else allows * wanted.server_processes,
            asked=wanted.connections,
            unit=_CONNECTIONS,
            fit=Fit.TIGHT if fit is Fit.DOES_NOT_FIT else fit,
            decides=False,
            remedy="Only for a server with a thread per connection: "
            f"`sysctl -w vm.max_map_count={each * MAPPINGS_PER_THREAD * 10 // 9}`.",
        )
    )


def _processes(limits: Limits, wanted: Wanted) -> Finding:
    here = limits.processes
    group = left(here.group.limit, here.group.used)
    allows = least(group, left(here.threads_max, here.threads_used))
    # memopt itself is one, and each Python process that is watched has a thread of its own.
    asked = 2 * (wanted.server_processes + wanted.driver_processes) + 1
    return settled(
        Finding(
            name="processes",
            what="processes and threads",
            told="" if allows is None else f"{in_words(allows)} more",
            allows=allows,
            asked=asked,
            unit="processes",
            fit=compared(allows, asked),
            decides=True,
            remedy="Raise the container's pids limit, or `sysctl -w kernel.threads-max=100000`.",
        )
    )


def _shared(memory: MemoryLimits, wanted: Wanted) -> Finding:
    free = memory.shared_free_bytes
    allows = None if free is None else free // RING_BYTES
    asked = wanted.server_processes + wanted.driver_processes
    return settled(
        Finding(
            name="shared_memory",
            what="shared memory, watched",
            told="" if free is None else f"{format_size(free)} free",
            allows=allows,
            asked=asked,
            unit="processes",
            fit=compared(allows, asked),
            # Without it, what is recorded goes to the folder for temporary files.
            decides=False,
            remedy="`mount -o remount,size=64m /dev/shm` (docker: --shm-size 64m)",
        )
    )


def _reading(limits: Limits) -> Finding:
    cost_s = limits.reading.exact_s
    slow = cost_s is not None and cost_s > SLOWEST_READING_S
    return settled(
        Finding(
            name="reading",
            what="exact memory reading",
            told="" if cost_s is None else f"{format_duration(cost_s)} a reading",
            allows=None if cost_s is None else UNLIMITED,
            asked=1,
            unit="processes",
            fit=Fit.NOT_TOLD if cost_s is None else Fit.TIGHT if slow else Fit.FITS,
            decides=True,
            remedy="The machine is busy, or /proc is slow: sampling will cost more than usual.",
        ),
        untold="memopt reads /proc/PID/smaps_rollup: Linux 4.14 or later, as the same user.",
    )


def shortages(
    memory: MemoryLimits, *, needs_bytes: float, spare_bytes: float, address_space_bytes: float
) -> tuple[str, ...]:
    """
    Return a sentence for each limit that a process will surely meet, with its remedy.

    Args:
        memory: What the machine tells.
        needs_bytes: What the process will hold, at the least.
        spare_bytes: What must be left on the machine.
        address_space_bytes: What the process will reserve, written or not.
    """
    told = []
    has = room(memory)
    if has is not None and needs_bytes > has - spare_bytes:
        told.append(
            f"it will need {format_size(needs_bytes)} or more, and {format_size(has)} are free: "
            f"run fewer, --scale {_scale(needs_bytes, has - spare_bytes)}%"
        )
    most = memory.address_space_bytes
    if most is not None and address_space_bytes > most:
        told.append(
            f"it will reserve {format_size(address_space_bytes)} of address space, and "
            f"{format_size(most)} are allowed: `ulimit -v unlimited`"
        )
    uncommitted = left(memory.commit_limit_bytes, memory.committed_bytes)
    if (
        memory.overcommit == _NEVER
        and uncommitted is not None
        and address_space_bytes > uncommitted
    ):
        told.append(
            f"it will reserve {format_size(address_space_bytes)}, and the system promises no more "
            f"than {format_size(uncommitted)}: `sysctl -w vm.overcommit_memory=0`"
        )
    return tuple(told)


_NEVER = 2


def _scale(needs: float, has: float) -> int:
    """Return the percentage that leaves a tenth free."""
    return max(1, math.floor(90 * max(has, 0) / needs))
