"""The kernel's part of connections is read from its own tables."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from memopt_cli.profiler import kernel

if TYPE_CHECKING:
    from pathlib import Path

SLABS = """\
slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables
TCP                    66    117   2368   13    8 : tunables    0    0    0 : slabdata 9 9 0
filp                  677    693    192   21    1 : tunables    0    0    0 : slabdata 33 33 0
ext4_inode_cache   158701 158718   1128   14    4 : tunables    0    0    0 : slabdata 1 1 0
"""
TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0
   2: 0100007F:D431 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0
   3: 0100007F:0016 0100007F:D432 01 00000000:00000000 00:00000000 00000000     0
   4: 0100007F:1F90 0100007F:D433 06 00000000:00000000 00:00000000 00000000     0
"""
TABLE_OF_6 = """\
  sl  local_address                         remote_address                        st tx_queue
   0: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:D434 01 00000000
"""


def _write(root: Path, name: str, text: str) -> None:
    path = root / "proc" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")


def test_the_named_caches_are_added_up(tmp_path: Path) -> None:
    """Objects of sockets count, those of a file system do not."""
    _write(tmp_path, "slabinfo", SLABS)
    _write(tmp_path, "net/sockstat", "TCP: inuse 7 orphan 0 tw 0 alloc 9 mem 3\n")
    found = kernel.read(tmp_path)

    assert 117 * 2368 + 693 * 192 == found.slab_bytes
    assert 3 * os.sysconf("SC_PAGE_SIZE") == found.buffers_bytes


def test_where_only_root_may_look(tmp_path: Path) -> None:
    """All caches together stand in; what nothing tells is not zero."""
    assert None is kernel.read(tmp_path).slab_bytes
    _write(tmp_path, "meminfo", "MemTotal: 8 kB\nSlab: 2 kB\n")

    assert (2048, None) == (kernel.read(tmp_path).slab_bytes, kernel.read(tmp_path).buffers_bytes)


def test_ends_are_counted_by_port(tmp_path: Path) -> None:
    """Both ends of a connection to a port, and not who listens, waits or goes elsewhere."""
    assert None is kernel.ends_on({8080}, tmp_path)
    _write(tmp_path, "net/tcp", TABLE)

    assert [2, 1, 3, 0] == [
        kernel.ends_on(ports, tmp_path) for ports in ({8080}, {22}, {8080, 22}, {9})
    ]
    _write(tmp_path, "net/tcp6", TABLE_OF_6)
    assert 3 == kernel.ends_on({8080}, tmp_path)


def test_on_this_machine() -> None:
    """A connection of our own is seen with both ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert 0 == kernel.ends_on({port})
        with socket.create_connection(("127.0.0.1", port)):
            assert 2 == kernel.ends_on({port})
