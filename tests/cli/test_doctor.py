"""`memopt doctor` as a person and a CI job see it."""

from __future__ import annotations

import json
import resource
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import jsonschema
import pytest

from memopt_cli.analysis import capacity
from memopt_cli.analysis.fit import Fit, Wanted
from memopt_cli.cli.doctor import doctor
from memopt_cli.profiler import limits
from memopt_cli.report import doctor as report
from tests import recorded
from tests.cli.conftest import COMMAND, Memopt

if TYPE_CHECKING:
    from pathlib import Path

EMPTY: dict[str, None] = dict.fromkeys(recorded.MACHINE)


def _text(root: Path, wanted: Wanted, changes: dict[str, str] | dict[str, None]) -> str:
    told = limits.read(recorded.tree(root, {**changes}))
    findings = capacity.assess(told, wanted)
    return report.to_text(
        findings,
        verdict=capacity.verdict(findings),
        wanted=wanted,
        instead=capacity.arrangement(told, wanted),
    )


def _limited(memopt: Memopt, descriptors: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a shell with fewer descriptors would."""
    return subprocess.run(
        ["/bin/sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *COMMAND, *arguments],
        cwd=memopt.folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_fits_exits_0(memopt: Memopt) -> None:
    """Ten connections fit anywhere, and nothing is written."""
    done = memopt("doctor", "--connections", "10")

    assert (0, "") == (done.returncode, done.stderr)
    assert "10 connections: fits" in done.stdout
    assert [] == list(memopt.folder.iterdir())


def test_what_does_not_fit_exits_99_and_says_what_would(memopt: Memopt) -> None:
    """With fewer descriptors the same run fails, and the command that is told succeeds."""
    done = _limited(memopt, 256, "doctor", "--connections", "1000")
    told = done.stdout.splitlines()[-1].strip()

    assert 99 == done.returncode
    assert told.startswith("memopt doctor --connections 1000 --servers 5 --drivers 5")
    assert 0 == _limited(memopt, 256, *told.split()[1:]).returncode


def test_what_cannot_be_told_exits_4(memopt: Memopt) -> None:
    """Agents of which nobody said what they take."""
    done = memopt("doctor", "--connections", "10", "--agents", "3")

    assert 4 == done.returncode
    assert "cannot be told, for want of: memory" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bytes-per-connection", "16"], "'16' has no unit: write 16B, 16KiB or similar"),
        (["--bytes-per-agent=-1KiB"], "--bytes-per-agent -1KiB is below zero"),
        (["--connections", "0"], "0 is not in the range"),
    ],
)
def test_usage(memopt: Memopt, arguments: list[str], message: str) -> None:
    """What is no size and no number is refused."""
    done = memopt("doctor", *arguments)

    assert 2 == done.returncode
    assert message in done.stderr


@pytest.mark.parametrize("connections", [10, 100_000_000])
def test_json(memopt: Memopt, connections: int) -> None:
    """Programs get the same verdict, as the schema has it."""
    done = memopt("doctor", "--json", "--connections", str(connections))
    found = json.loads(done.stdout)
    jsonschema.validate(found, report.SCHEMA)

    assert found["exit_code"] == done.returncode
    assert found["verdict"] == ("does not fit" if connections > 10 else found["verdict"])
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == found["limits"]["descriptors"]["soft"]


def test_json_of_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    """Missing is null, and no limit is a word."""
    told = limits.read(recorded.tree(tmp_path, EMPTY))
    findings = capacity.assess(told, Wanted(10))
    text = report.to_json(
        findings,
        verdict=capacity.verdict(findings),
        exit_code=4,
        wanted=Wanted(10),
        instead=None,
        limits=told,
        environment={},
    )
    found = json.loads(text)
    jsonschema.validate(found, report.SCHEMA)

    assert {None} == {one["allows"] for one in found["findings"]}
    assert Fit.NOT_TOLD.value == found["verdict"]


HUGE = {
    "proc/sys/fs/file-nr": "640 0 9223372036854775807\n",
    "proc/self/limits": "Max open files            1048576   1048576   files\n",
    "proc/sys/fs/epoll/max_user_watches": "219660440\n",
    "proc/meminfo": "MemAvailable:   1056964608 kB\n",
    "proc/sys/net/ipv4/tcp_mem": "12329466\t16439290\t24658932\n",
    "proc/sys/vm/max_map_count": "1048576\n",
    "proc/sys/kernel/threads-max": "8243650\n",
}
"""A machine of 1 TB."""


@pytest.mark.parametrize("connections", [10, 100_000, 100_000_000])
@pytest.mark.parametrize("changes", [{}, HUGE, EMPTY])
def test_it_is_readable_at_80_columns(
    tmp_path: Path, connections: int, changes: dict[str, str] | dict[str, None]
) -> None:
    """On small, large and silent machines no line is longer, commands apart."""
    wanted = Wanted(connections, bytes_per_connection=2.0**14)
    lines = _text(tmp_path, wanted, changes).splitlines()
    table = lines[: lines.index("")]

    assert [] == [line for line in table if len(line) > 80]


def test_the_whole_text(tmp_path: Path) -> None:
    """The table of a machine on which 2,000 connections need a higher limit."""
    rollup = limits.ReadingCost(0.00002, 0.0002)
    told = limits.read(recorded.tree(tmp_path))
    told = replace(told, reading=rollup)
    findings = [
        one
        for one in capacity.assess(told, Wanted(2000))
        if one.name in ("descriptors_server", "ports", "memory", "loopback_sources", "reading")
    ]
    text = report.to_text(
        findings, verdict=Fit.DOES_NOT_FIT, wanted=Wanted(2000), instead=Wanted(2000, sources=2)
    )
    assert (
        text
        == """\
verdict       limit                    this machine                     allows
does not fit  descriptors, server      1,020 each                        1,020
              `ulimit -n 2045` in the shell that starts it.
fits          ports, 1 source          28,232 each                      28,232
fits          loopback addresses       16,777,214 usable  16,777,214 addresses
fits          memory, kernel + driver  19.1 GiB free                 2,450,933
              This leaves 9.76 MiB per connection for the server's own memory.
fits          exact memory reading     200 us a reading               no limit

2,000 connections: does not fit: descriptors, server.
Spread over more processes and addresses it fits:
  memopt doctor --connections 2000 --sources 2
"""
    )


def test_the_command_says_every_flag() -> None:
    """What is told to be run is what was meant, and its flags are the command's."""
    wanted = Wanted(10, 2, 3, 4, 16384.0, 5, 8192.0)
    words = report.command(wanted).split()

    assert " ".join(words[2:]) == (
        "--connections 10 --servers 2 --drivers 3 --sources 4 "
        "--bytes-per-connection 16384B --agents 5 --bytes-per-agent 8192B"
    )
    flags = {word.removeprefix("--").replace("-", "_") for word in words[2::2]}
    assert flags <= doctor.__annotations__.keys()
