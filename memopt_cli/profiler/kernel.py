"""What the kernel keeps for TCP connections, of the whole machine: objects and buffers."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from memopt_cli.profiler.proc_tree import ProcTree

if TYPE_CHECKING:
    from collections.abc import Collection

CACHES: Final = frozenset(
    {
        "TCP",
        "TCPv6",
        "sock_inode_cache",
        "filp",
        "dentry",
        "eventpoll_epi",
        "lsm_inode_cache",
        "lsm_file_cache",
    }
)
"""
Slab caches with an object for each end of a connection.

Of one end, on Linux 6.18: TCP 2,368 B, inode 832, file 192, directory entry 192, security
modules 56, epoll 128 to 208.
"""

_NOT_OPEN = {"06", "0A"}
"""States of the tables: waiting, as who closes first does for a minute, and listening."""

_OBJECTS_AT, _SIZE_AT = 2, 3
_KIB = 1024


@dataclass(frozen=True, slots=True)
class KernelMemory:
    """The kernel's part of all TCP connections of this network namespace, or machine."""

    slab_bytes: int | None
    """
    Objects of the named caches; of all caches where only root may see them apart.

    Files and directories that other programs open are in it too.
    """

    buffers_bytes: int | None


def read(root: Path = Path("/")) -> KernelMemory:
    """Return what the kernel tells now."""
    tree = ProcTree(root)
    pages = tree.after("proc/net/sockstat", "TCP:", "mem")
    return KernelMemory(
        slab_bytes=_slab_bytes(tree),
        buffers_bytes=None if pages is None else int(pages) * os.sysconf("SC_PAGE_SIZE"),
    )


def ends_on(ports: Collection[int], root: Path = Path("/")) -> int | None:
    """
    Return how many ends of connections have one of *ports* at either side.

    Listening sockets are none, nor are ports that only wait (TIME_WAIT). It takes 2 us for each
    socket of the machine.
    """
    tree = ProcTree(root)
    wanted = {f"{port:04X}" for port in ports}
    try:
        found = sum(_is_on(line, wanted) for line in islice(tree.lines("proc/net/tcp"), 1, None))
    except OSError:
        return None
    # A machine without IPv6 has no such table, and no such connections.
    with suppress(OSError):
        found += sum(_is_on(line, wanted) for line in islice(tree.lines("proc/net/tcp6"), 1, None))
    return found


def _is_on(line: str, wanted: Collection[str]) -> bool:
    _, local, remote, state, _ = line.split(None, 4)
    return state not in _NOT_OPEN and (local[-4:] in wanted or remote[-4:] in wanted)


def _slab_bytes(tree: ProcTree) -> int | None:
    text = tree.text("proc/slabinfo")
    if not text:
        whole = tree.after("proc/meminfo", "Slab:")
        return None if whole is None else int(whole) * _KIB
    total = 0
    for line in text.splitlines():
        words = line.split()
        if words and words[0] in CACHES:
            total += int(words[_OBJECTS_AT]) * int(words[_SIZE_AT])
    return total
