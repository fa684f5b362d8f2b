"""What a machine allows is read as it is told, and what is not told is nothing."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import textwrap
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memopt_cli.profiler import limits
from memopt_cli.profiler.control_groups import GroupLimit
from memopt_cli.profiler.limits import (
    DescriptorLimits,
    NetworkLimits,
    ProcessLimits,
    ReadingCost,
)
from memopt_cli.profiler.ports import PortLimits
from memopt_cli.profiler.proc_tree import UNLIMITED
from tests import recorded

if TYPE_CHECKING:
    from collections.abc import Mapping

KIB, GIB = 1024, 1024**3
GROUP_1 = "sys/fs/cgroup/memory"
GROUP_2 = "sys/fs/cgroup"


def _read(root: Path, changes: Mapping[str, str | None] | None = None) -> limits.Limits:
    return limits.read(recorded.tree(root, changes))


def test_a_recorded_machine(tmp_path: Path) -> None:
    """Each number is where the kernel writes it, in bytes and seconds."""
    ticks = count()
    found = limits.read(recorded.tree(tmp_path), now=lambda: float(next(ticks)))

    assert DescriptorLimits(1024, 20000, 4, 1048576, 640, 2466170, 5491511) == found.descriptors
    assert PortLimits(32768, 60999, 0, 0, 5, 2, 60, 2**24 - 2) == found.ports
    assert NetworkLimits(4096, 2048, 1, 383867, 575796, 796, 9, 262144, 144) == found.network
    assert ProcessLimits(GroupLimit(None, None), 730, 192730) == found.processes
    assert ReadingCost(0.01, 0.2) == found.reading
    memory = found.memory
    assert (24684084 * KIB, 20000000 * KIB, 0) == (
        memory.total_bytes,
        memory.available_bytes,
        memory.swap_free_bytes,
    )
    assert (UNLIMITED, 0, 12342040 * KIB, 342040 * KIB, 65530) == (
        memory.address_space_bytes,
        memory.overcommit,
        memory.commit_limit_bytes,
        memory.committed_bytes,
        memory.map_count,
    )


def test_what_is_not_told_is_not_zero(tmp_path: Path) -> None:
    """Of a machine that shows nothing, every number is `None`."""
    found = dataclasses.asdict(limits.read(tmp_path))
    found.pop("page_bytes")
    told = [
        (subject, name)
        for subject, values in found.items()
        for name, value in values.items()
        if value is not None and value != {"limit": None, "used": None}
    ]
    assert [] == told


def test_nonsense_is_not_told(tmp_path: Path) -> None:
    """A file that holds no number tells none, and ends nothing."""
    found = _read(tmp_path, {"proc/sys/net/core/somaxconn": "?\n", "proc/loadavg": "\n"})

    assert (None, None) == (found.network.somaxconn, found.processes.threads_used)


def test_ports_that_are_held(tmp_path: Path) -> None:
    """A port counts once, in both tables and in any state, if it is of the range."""
    table = recorded.tcp((40000, "01"), (40000, "06"), (40001, "06"), (80, "0A"), (61000, "01"))
    found = _read(
        tmp_path, {"proc/net/tcp": table, "proc/net/tcp6": recorded.tcp((40002, "01"))}
    ).ports

    assert (3, 28232 - 3) == (found.held, found.free)


def test_ports_that_are_reserved(tmp_path: Path) -> None:
    """Reserved ports count where they are of the range."""
    reserved = {"proc/sys/net/ipv4/ip_local_reserved_ports": "8080,32767-32769,40000\n"}

    assert 3 == _read(tmp_path, reserved).ports.reserved


@pytest.mark.parametrize(
    ("local", "sources"),
    [
        ("|-- 127.0.0.1\n /32 host LOCAL\n", 1),
        ("|-- 127.0.0.1\n /32 host LOCAL\n|-- 127.0.0.2\n /32 host LOCAL\n", 2),
        ("|-- 127.0.0.0\n /8 host LOCAL\n|-- 127.0.0.1\n /32 host LOCAL\n", 2**24 - 2),
        ("|-- 192.0.2.1\n /32 host LOCAL\n", 0),
    ],
)
def test_loopback_sources(tmp_path: Path, local: str, sources: int) -> None:
    """A network that is local as a whole has all its addresses; else they are counted."""
    assert sources == _read(tmp_path, {"proc/net/fib_trie": local}).ports.loopback_sources


def test_a_group_of_version_2(tmp_path: Path) -> None:
    """The group with the least room counts, without the file pages that would be dropped."""
    found = _read(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a/b\n",
            f"{GROUP_2}/a/b/memory.max": "max\n",
            f"{GROUP_2}/a/b/memory.current": "1000\n",
            f"{GROUP_2}/a/memory.max": f"{2 * GIB}\n",
            f"{GROUP_2}/a/memory.current": f"{GIB}\n",
            f"{GROUP_2}/a/memory.stat": f"anon 5\ninactive_file {GIB // 4}\n",
            f"{GROUP_2}/a/b/pids.max": "64\n",
            f"{GROUP_2}/a/b/pids.current": "3\n",
        },
    )
    assert GroupLimit(2 * GIB, GIB - GIB // 4) == found.memory.group
    assert GroupLimit(64, 3) == found.processes.group


def test_a_group_of_version_1(tmp_path: Path) -> None:
    """Version 1 writes the largest number there is for no limit; a real one is read."""
    line = {"proc/self/cgroup": "4:memory:/x\n1:name=systemd:/\n0::/\n"}
    without = {f"{GROUP_1}/x/memory.limit_in_bytes": "9223372036854771712\n"}
    used = {f"{GROUP_1}/x/memory.usage_in_bytes": "4096\n"}
    real = {f"{GROUP_1}/x/memory.limit_in_bytes": f"{GIB}\n"}

    found = _read(tmp_path / "1", {**line, **without, **used}).memory.group
    assert GroupLimit(UNLIMITED, 4096) == found
    assert GroupLimit(GIB, 4096) == _read(tmp_path / "2", {**line, **real, **used}).memory.group


def test_a_container_whose_path_is_the_hosts(tmp_path: Path) -> None:
    """Where the group's own path is not mounted, the mount is the group."""
    found = _read(
        tmp_path,
        {
            "proc/self/cgroup": "0::/docker/0123\n",
            f"{GROUP_2}/memory.max": f"{GIB}\n",
            f"{GROUP_2}/memory.current": "7\n",
        },
    )
    assert GroupLimit(GIB, 7) == found.memory.group


def test_this_machine() -> None:
    """Here, the limits are those that the system calls tell."""
    found = limits.read()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    assert (soft, hard) == (found.descriptors.soft, found.descriptors.hard)
    assert os.sysconf("SC_PHYS_PAGES") * found.page_bytes == found.memory.total_bytes
    assert found.reading.exact_s is not None
    assert found.reading.exact_s > 0


def _told(script: str, *command: str) -> dict[str, float]:
    """Return what a script that runs in a process of its own says, as JSON."""
    done = subprocess.run(
        [*command, sys.executable, "-c", textwrap.dedent(script)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "" == done.stderr
    told: dict[str, float] = json.loads(done.stdout)
    return told


def test_the_descriptors_that_are_predicted_can_be_opened() -> None:
    """In a process with 100 descriptors as many sockets open as predicted, and no more."""
    told = _told("""
        import json, resource, socket
        from memopt_cli.analysis import capacity
        from memopt_cli.analysis.fit import Wanted
        from memopt_cli.profiler import limits
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
        inherited = socket.socketpair()
        findings = capacity.assess(limits.read(), Wanted(1))
        predicted = next(f.allows for f in findings if f.name == "descriptors_driver")
        opened, error = [], None
        while error is None:
            try:
                opened.append(socket.socket())
            except OSError as exc:
                error = exc.errno
        print(json.dumps({"predicted": predicted, "opened": len(opened), "error": error}))
        for one in (*opened, *inherited):
            one.close()
    """)
    assert told["opened"] == told["predicted"]
    assert told["error"] == errno.EMFILE
    assert 80 < told["predicted"] < 99


NAMESPACE = ["unshare", "--map-root-user", "--net"]


def _can_have_a_network() -> bool:
    if shutil.which("unshare") is None:
        return False
    script = "ip link set lo up && echo '40000 40019' > /proc/sys/net/ipv4/ip_local_port_range"
    done = subprocess.run([*NAMESPACE, "sh", "-c", script], check=False, capture_output=True)
    return done.returncode == 0


@pytest.mark.skipif(not _can_have_a_network(), reason="no network namespace of one's own here")
def test_the_ports_that_are_predicted_can_be_used() -> None:
    """In a network with 20 ports, one reserved and one held, 18 connect from each address."""
    told = _told(
        """
        import json, pathlib, socket, subprocess
        from memopt_cli.analysis import capacity
        from memopt_cli.analysis.fit import Wanted
        from memopt_cli.profiler import limits
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        ipv4 = pathlib.Path("/proc/sys/net/ipv4")
        (ipv4 / "ip_local_port_range").write_text("40000 40019")
        (ipv4 / "ip_local_reserved_ports").write_text("40003")
        listener = socket.create_server(("127.0.0.1", 40007), backlog=100)
        def allowed(sources):
            findings = capacity.assess(limits.read(), Wanted(1, sources=sources))
            return next(f.allows for f in findings if f.name == "ports")
        predicted, opened, error = [allowed(1), allowed(2)], [], None
        held = []
        for source in ("127.0.0.1", "127.0.0.2"):
            while True:
                one = socket.socket()
                one.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
                one.bind((source, 0))
                held.append(one)
                try:
                    one.connect(("127.0.0.1", 40007))
                except OSError as exc:
                    error = exc.errno
                    break
                opened.append(one)
            held.append(len(opened))
        totals = [one for one in held if isinstance(one, int)]
        print(json.dumps({"predicted": predicted, "opened": totals, "error": error}))
        for one in (listener, *held):
            if not isinstance(one, int):
                one.close()
        """,
        *NAMESPACE,
    )
    assert {"predicted": [18, 36], "opened": [18, 36], "error": errno.EADDRNOTAVAIL} == told
