"""Trees of /proc and /sys as machines show them, written below a folder of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TCP_HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
_FIB = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.0
           /8 host LOCAL
        |-- 127.0.0.1
           /32 host LOCAL
     |-- 192.0.2.2
        /32 host LOCAL
"""
MACHINE = {
    "proc/self/limits": (
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max open files            1024                 20000                files     \n"
        "Max address space         unlimited            unlimited            bytes     \n"
    ),
    "proc/self/fd/0": "",
    "proc/self/fd/1": "",
    "proc/self/fd/2": "",
    "proc/self/fd/3": "",
    "proc/self/cgroup": "0::/\n",
    "proc/self/statm": "2000 1000 500 1 0 900 0\n",
    "proc/self/smaps_rollup": "00400000-7fff0000 ---p 00000000 00:00 0 [rollup]\nRss: 4000 kB\n",
    "proc/sys/fs/file-nr": "640\t0\t2466170\n",
    "proc/sys/fs/nr_open": "1048576\n",
    "proc/sys/fs/epoll/max_user_watches": "5491511\n",
    "proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
    "proc/sys/net/ipv4/ip_local_reserved_ports": "\n",
    "proc/sys/net/ipv4/tcp_tw_reuse": "2\n",
    "proc/sys/net/ipv4/tcp_fin_timeout": "60\n",
    "proc/sys/net/ipv4/tcp_max_syn_backlog": "2048\n",
    "proc/sys/net/ipv4/tcp_syncookies": "1\n",
    "proc/sys/net/ipv4/tcp_mem": "287898\t383867\t575796\n",
    "proc/sys/net/core/somaxconn": "4096\n",
    "proc/sys/net/netfilter/nf_conntrack_max": "262144\n",
    "proc/sys/net/netfilter/nf_conntrack_count": "144\n",
    "proc/sys/vm/overcommit_memory": "0\n",
    "proc/sys/vm/max_map_count": "65530\n",
    "proc/sys/kernel/threads-max": "192730\n",
    "proc/loadavg": "0.32 0.60 0.66 1/730 4711\n",
    "proc/net/sockstat": "sockets: used 15\nTCP: inuse 3 orphan 0 tw 5 alloc 9 mem 796\n",
    "proc/net/fib_trie": _FIB,
    "proc/net/tcp": _TCP_HEAD,
    "proc/meminfo": (
        "MemTotal:       24684084 kB\nMemFree:        23230608 kB\nMemAvailable:   20000000 kB\n"
        "SwapFree:              0 kB\nCommitLimit:    12342040 kB\nCommitted_AS:     342040 kB\n"
    ),
    "dev/shm/empty": "",
}
"""A machine of 24 GB as it was found, idle, with round numbers where it had none."""


def tree(root: Path, changes: Mapping[str, str | None] | None = None) -> Path:
    """Write the machine with *changes* below *root*; a file that is `None` is not there."""
    for path, text in {**MACHINE, **(changes or {})}.items():
        if text is not None:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="ascii")
    return root


def tcp(*sockets: tuple[int, str]) -> str:
    """Return a table of sockets: the local port and the state of each."""
    rows = (
        f"   {n}: 0100007F:{port:04X} 0100007F:0050 {state} 00000000:00000000 00:00000000 0\n"
        for n, (port, state) in enumerate(sockets)
    )
    return _TCP_HEAD + "".join(rows)
