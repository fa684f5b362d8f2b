"""Each limit lets through exactly what it allows, and says what to do about the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from memopt_cli.analysis import capacity
from memopt_cli.analysis.capacity_memory import shortages
from memopt_cli.analysis.fit import Finding, Fit, Wanted
from memopt_cli.exit_codes import ExitCode
from memopt_cli.profiler import limits
from tests import recorded

if TYPE_CHECKING:
    from pathlib import Path

    from memopt_cli.profiler.limits import Limits

GIB = 1024**3
ALLOWED = {
    "descriptors_server": 1024 - 4,
    "descriptors_driver": 1024 - 4,
    "descriptors_system": (2466170 - 640) // 2,
    "epoll_watches": 5491511 // 2,
    "ports": 60999 - 32768 + 1,
    "conntrack": 262144 - 144,
    "memory": 20000000 * 1024 // (8300 + 56),
}
DELAYED = {"backlog": 4097, "mappings": 65530 // 2, "tcp_buffers": 575000 * 4096 // 69600}
"""What is beyond these is slower, or is only refused if something else holds too."""


def _limits(root: Path, **changes: str | None) -> Limits:
    """Return the recorded machine; ``nr_open`` and the like are the names of its files."""
    named = {path.rpartition("/")[2]: path for path in recorded.MACHINE}
    return limits.read(recorded.tree(root, {named[name]: text for name, text in changes.items()}))


def _finding(found: Limits, name: str, wanted: Wanted) -> Finding:
    return next(one for one in capacity.assess(found, wanted) if one.name == name)


@pytest.mark.parametrize(("name", "allowed"), ALLOWED.items())
def test_what_is_allowed_fits_and_one_more_does_not(
    tmp_path: Path, name: str, allowed: int
) -> None:
    """Each limit that decides is known to the connection, and has a remedy beyond it."""
    found = _limits(tmp_path)
    within, beyond = (_finding(found, name, Wanted(allowed + more)) for more in (0, 1))

    assert (allowed, Fit.TIGHT, True) == (within.allows, within.fit, within.decides)
    assert (Fit.DOES_NOT_FIT, True) == (beyond.fit, bool(beyond.remedy))
    half = _finding(found, name, Wanted(allowed // 2))
    assert (Fit.FITS, "") == (half.fit, half.remedy)


@pytest.mark.parametrize(("name", "allowed"), DELAYED.items())
def test_what_only_delays_is_never_more_than_tight(tmp_path: Path, name: str, allowed: int) -> None:
    """A burst, a thread each and unread bytes are of some servers, not of all."""
    found = _limits(tmp_path)
    within = _finding(found, name, Wanted(allowed * 9 // 10))
    beyond = _finding(found, name, Wanted(allowed + 1))

    assert (allowed, Fit.FITS, Fit.TIGHT) == (within.allows, within.fit, beyond.fit)


def test_unread_bytes_in_every_connection(tmp_path: Path) -> None:
    """Who cannot have a single page of buffers each, does not fit."""
    found = _limits(tmp_path)
    fits = [_finding(found, "tcp_buffers", Wanted(n)).fit for n in (575000, 575001)]

    assert [Fit.TIGHT, Fit.DOES_NOT_FIT] == fits


def test_half_open_connections_without_cookies(tmp_path: Path) -> None:
    """Without SYN cookies three quarters of the queue are used."""
    found = _limits(tmp_path, tcp_syncookies="0\n")

    assert 1536 == _finding(found, "half_open", Wanted(1)).allows


@pytest.mark.parametrize(("processes", "fit"), [(6, Fit.FITS), (5, Fit.DOES_NOT_FIT)])
def test_processes_share(tmp_path: Path, processes: int, fit: Fit) -> None:
    """Descriptors are of each process."""
    found = _limits(tmp_path)
    wanted = Wanted(5500, server_processes=processes, driver_processes=processes)
    both = [_finding(found, f"descriptors_{side}", wanted).fit for side in ("server", "driver")]

    assert [fit, fit] == both


@pytest.mark.parametrize(("sources", "fit"), [(4, Fit.FITS), (3, Fit.TIGHT), (1, Fit.DOES_NOT_FIT)])
def test_ports_are_of_each_source(tmp_path: Path, sources: int, fit: Fit) -> None:
    """Beyond half of the ports of a pair connects are slow, which is tight."""
    wanted = Wanted(4 * 14116, sources=sources)

    assert fit is _finding(_limits(tmp_path), "ports", wanted).fit


def test_more_sources_than_addresses(tmp_path: Path) -> None:
    """What there is one address for cannot be spread over two."""
    found = _limits(tmp_path, fib_trie="|-- 127.0.0.1\n /32 host LOCAL\n")
    fits = [_finding(found, "loopback_sources", Wanted(1, sources=n)).fit for n in (1, 2)]

    assert [Fit.FITS, Fit.DOES_NOT_FIT] == fits


def test_a_servers_own_memory_counts(tmp_path: Path) -> None:
    """Bytes per connection and agents come out of the same memory."""
    found = _limits(tmp_path, meminfo=f"MemAvailable: {GIB // 1024} kB\n")
    one_agent = Wanted(1000, bytes_per_connection=2**20 - 8356, agents=1, bytes_per_agent=2**24)

    assert 1024 - 16 == _finding(found, "memory", one_agent).allows


def test_memory_of_agents_that_is_not_known(tmp_path: Path) -> None:
    """Agents of unknown size cannot be told to fit."""
    assert Fit.NOT_TOLD is _finding(_limits(tmp_path), "memory", Wanted(1, agents=1)).fit


def test_the_container_decides(tmp_path: Path) -> None:
    """Where the group has less room than the machine, its limit is the one to raise."""
    found = _limits(tmp_path)
    group = limits.read_memory(
        recorded.tree(
            tmp_path,
            {"sys/fs/cgroup/memory.max": f"{8356 * 10}\n", "sys/fs/cgroup/memory.current": "0\n"},
        )
    )
    memory = [_finding(replace(found, memory=group), "memory", Wanted(n)) for n in (10, 11)]
    assert [Fit.TIGHT, Fit.DOES_NOT_FIT] == [one.fit for one in memory]
    assert "container" in memory[1].remedy


def test_the_shell_may_raise_its_own_limit(tmp_path: Path) -> None:
    """Up to the hard limit the remedy needs no root; above it, processes or root."""
    found = _limits(tmp_path)
    below = _finding(found, "descriptors_server", Wanted(19000)).remedy
    above = _finding(found, "descriptors_server", Wanted(20000)).remedy
    far = _finding(found, "descriptors_server", Wanted(1_100_000)).remedy

    assert "`ulimit -n 19392` in the shell that starts it." == below
    assert (
        "Run 2 server processes on one port (SO_REUSEPORT) with `ulimit -n 20000`; "
        "or as root `ulimit -Hn 20413; ulimit -n 20413` (systemd: LimitNOFILE=20413)."
    ) == above
    assert "`sysctl -w fs.nr_open=1122453`, then `ulimit" in far


def test_what_the_remedy_says_is_enough(tmp_path: Path) -> None:
    """With the limit that the remedy names, the same run fits."""
    raised = {"limits": "Max open files   19392   20000   files\n"}

    assert (
        Fit.FITS is _finding(_limits(tmp_path, **raised), "descriptors_server", Wanted(19000)).fit
    )


@pytest.mark.parametrize(
    "missing", ["limits", "file-nr", "ip_local_port_range", "tcp", "meminfo", "smaps_rollup"]
)
def test_what_decides_and_is_not_told(tmp_path: Path, missing: str) -> None:
    """A run is not said to fit where a limit that decides is unknown."""
    found = _limits(tmp_path, **{missing: None})
    fit = capacity.verdict(capacity.assess(found, Wanted(100)))

    assert (Fit.NOT_TOLD, ExitCode.INCONCLUSIVE) == (fit, capacity.exit_code(fit))


@pytest.mark.parametrize(
    "missing", ["nf_conntrack_max", "somaxconn", "max_map_count", "fib_trie", "tcp_mem"]
)
def test_what_does_not_decide(tmp_path: Path, missing: str) -> None:
    """What only delays, or what most machines do not have, may be unknown."""
    found = _limits(tmp_path, **{missing: None})

    assert Fit.FITS is capacity.verdict(capacity.assess(found, Wanted(100)))


def test_what_does_not_fit_outweighs_what_is_not_told(tmp_path: Path) -> None:
    """A limit that is crossed is certain, whatever else is unknown."""
    found = _limits(tmp_path, meminfo=None)
    fit = capacity.verdict(capacity.assess(found, Wanted(100_000)))

    assert (Fit.DOES_NOT_FIT, ExitCode.THRESHOLDS_CROSSED) == (fit, capacity.exit_code(fit))


def test_the_arrangement_fits_and_with_one_less_it_would_not(tmp_path: Path) -> None:
    """It is the smallest number of each with room to spare."""
    found = limits.read(recorded.tree(tmp_path, {**_descriptors(20000), **_unread()}))
    spread = capacity.arrangement(found, Wanted(100_000))

    assert Wanted(100_000, server_processes=6, driver_processes=6, sources=8) == spread
    fewer = Wanted(100_000, server_processes=5, driver_processes=6, sources=8)
    assert Fit.DOES_NOT_FIT is capacity.verdict(capacity.assess(found, fewer))


def test_no_arrangement_helps_or_is_needed(tmp_path: Path) -> None:
    """More processes do not make memory, and what fits needs none."""
    found = limits.read(recorded.tree(tmp_path, {**_descriptors(20000), **_unread()}))

    assert capacity.arrangement(found, Wanted(100)) is None
    assert capacity.arrangement(found, Wanted(100_000, bytes_per_connection=2.0**30)) is None


def _descriptors(most: int) -> dict[str, str]:
    return {"proc/self/limits": f"Max open files   {most}   {most}   files\n"}


def _unread() -> dict[str, str]:
    return {"proc/sys/net/ipv4/tcp_mem": "2000000 2000000 2000000\n"}


@pytest.mark.parametrize(
    ("needs", "reserves", "expected"),
    [
        (899, 1000, ()),
        (901, 0, ("it will need 901 B or more",)),
        (0, 1001, ("it will reserve 0.98 KiB of address space",)),
    ],
)
def test_shortages(tmp_path: Path, needs: int, reserves: int, expected: tuple[str, ...]) -> None:
    """A process is told to lack memory or address space exactly where it does."""
    memory = limits.read_memory(
        recorded.tree(
            tmp_path,
            {
                "proc/self/limits": "Max address space   1000   1000   bytes\n",
                "sys/fs/cgroup/memory.max": "1000\n",
                "sys/fs/cgroup/memory.current": "0\n",
            },
        )
    )
    told = shortages(memory, needs_bytes=needs, spare_bytes=100, address_space_bytes=reserves)
    assert len(expected) == len(told)
    assert all(one.startswith(start) for one, start in zip(told, expected, strict=True))


@pytest.mark.parametrize(("policy", "count"), [("0\n", 0), ("2\n", 1)])
def test_a_system_that_promises_no_more_than_it_has(
    tmp_path: Path, policy: str, count: int
) -> None:
    """Address space that is never written counts only where overcommit is off."""
    memory = _limits(tmp_path, overcommit_memory=policy).memory
    left_bytes = 12000000 * 1024
    told = [
        shortages(memory, needs_bytes=0, spare_bytes=0, address_space_bytes=left_bytes + more)
        for more in (0, 1)
    ]
    assert [0, count] == [len(one) for one in told]
