"""
Real connections: how fast 100,000 are there, what a driver needs for one, and what is left after.

Everything is on this machine, server and drivers on the same cores; what other programs take of
those meanwhile is told, as it makes the connect phase longer. ``--quick`` opens 2,000.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from memopt_cli.engine.neighbours import Neighbours
from memopt_cli.profiler.process import ProcessReader
from memopt_cli.workloads.sockets.plan import plan
from memopt_cli.workloads.sockets.server.fleet import Fleet
from memopt_cli.workloads.sockets.settings import DriverSettings
from memopt_cli.workloads.sockets.shards import Shards
from tests.benchmarks.goals import Goal, print_goals

COUNT = 100_000
QUICK = 2_000
SERVERS = 6
HANDSHAKES_BYTES = (0, 1024, 20_000)
"""None, that of the scenario sockets-100k, and what MCP clients send."""

MOST_PACKETS = 7.5
"""
Of a connection with a handshake, from its request to the server's last acknowledgement: six, and
some more where an acknowledgement could not wait for what is said next; nine where each is sent
at once. Not by the clock, so that other programs make little difference to it.
"""

PLATEAUS = 4
RUNS = 3
DELAYED_S = 0.3
"""After which every acknowledgement is sent: they wait for 200 ms at most."""

MOST_WAITED_S = 30.0


def sockets() -> dict[str, int]:
    """Return what `ss -s` says of TCP, and the pages that socket buffers take."""
    lines = Path("/proc/net/sockstat").read_text(encoding="ascii").splitlines()
    words = next(line for line in lines if line.startswith("TCP:")).split()[1:]
    found = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    summary = subprocess.run(["ss", "-s"], capture_output=True, text=True, check=False).stdout
    established = summary.partition("estab ")[2].partition(",")[0]
    return {**found, "estab": int(established or -1)}


def packets() -> int:
    """Return how many TCP packets this machine has sent, to itself and others."""
    lines = Path("/proc/net/snmp").read_text(encoding="ascii").splitlines()
    names, values = (line.split() for line in lines if line.startswith("Tcp:"))
    return int(values[names.index("OutSegs")])


def cpu_s(pids: list[int]) -> float:
    """Return the processor time of processes."""
    readers = [ProcessReader(pid) for pid in pids]
    try:
        return sum(reader.activity().cpu_s for reader in readers)
    finally:
        for reader in readers:
            reader.close()


def whole_run(count: int, handshake_bytes: int) -> tuple[float, float, int]:
    """
    Open, use once and close so many connections.

    Returns the time it took until all were ready, the packets that each sent and was sent until
    then, and how many are missing.
    """
    settings = DriverSettings(
        "jsonrpc+tcp", {"handshake_bytes": handshake_bytes}, "bench", (), window=1024
    )
    before = sockets()
    with Fleet("optimized", processes=SERVERS) as fleet:
        shares = plan(count, fleet.destinations)
        with Shards(settings, shares) as shards:
            neighbours = Neighbours(cpu_s(fleet.pids))
            sent, began_s = packets(), time.perf_counter()
            report = shards.connect(count)
            connected_s = time.perf_counter() - began_s
            ready, ours_s = report.total, sum(tally.cpu_s for tally in report.tallies)
            others = neighbours.since(cpu_s(fleet.pids), ours_s)
            time.sleep(DELAYED_S)
            each = (packets() - sent) / count
            used = shards.roundtrip()
            there = sockets()
            began_s = time.perf_counter()
            closed = shards.drop().total
            until_s = began_s + MOST_WAITED_S
            while fleet.report().connections and time.perf_counter() < until_s:
                time.sleep(0.05)
            gone_s = time.perf_counter() - began_s
    after = sockets()
    failed = sum(closed.failures.values())
    print(
        f"  connected in {connected_s:.2f} s ({count / connected_s:,.0f}/s), of the processors "
        f"others took {(others.used_s or 0) / others.available_s:.0%}; first packet "
        f"sent again {ready.slow_connects}, {each:.2f} packets each; "
        f"one request on each {used.total.took_s:.2f} s, "
        f"p50 {(used.latency.quantile_s(0.5) or 0) * 1e3:.2f} ms, "
        f"p99 {(used.latency.quantile_s(0.99) or 0) * 1e3:.2f} ms; closed in {gone_s:.2f} s; "
        f"CPU of the drivers {sum(each.cpu_s for each in used.tallies):.2f} s; failures {failed}\n"
        f"  sockets before {before}\n  with all       {there}\n  after          {after}"
    )
    missing = count - min(ready.ready, used.total.answered, there["estab"] // 2)
    return connected_s, each, missing + max(0, after["inuse"] - before["inuse"])


def driver_bytes(count: int) -> tuple[float, int]:
    """Return what a connection costs one driver in memory, and what the driver starts with."""
    step = count // PLATEAUS
    settings = DriverSettings("jsonrpc+tcp", {}, "bench", ())
    with Fleet("optimized", processes=2) as fleet:
        (share,) = plan(step * PLATEAUS, fleet.destinations)
        with Shards(settings, [share]) as shards, ProcessReader(shards.pids[0]) as reader:
            start = reader.footprint().anonymous_bytes
            sizes, bytes_ = [], []
            for number in range(PLATEAUS):
                shards.connect(step)
                shards.roundtrip()
                sizes.append(step * (number + 1))
                bytes_.append(reader.footprint().anonymous_bytes)
            print(f"  anonymous bytes of a driver: {start:,} at the start, then {bytes_}")
            return statistics.linear_regression(sizes, bytes_).slope, start


def main() -> None:
    """Print all of it."""
    quick = "--quick" in sys.argv
    count = QUICK if quick else COUNT
    goals = []
    for handshake_bytes in HANDSHAKES_BYTES:
        print(f"{count:,} connections, a handshake of {handshake_bytes:,} B:")
        runs = [whole_run(count, handshake_bytes) for _ in range(1 if quick else RUNS)]
        name = f"handshake {handshake_bytes:,} B"
        times = [connected_s for connected_s, _, _ in runs]
        goals.append(Goal(f"connect phase, {name}, median", statistics.median(times), 5.0, "s"))
        if handshake_bytes:
            each = max(run[1] for run in runs)
            goals.append(Goal(f"packets per connection, {name}", each, MOST_PACKETS, ""))
        goals.append(Goal(f"missing or left over, {name}", max(run[2] for run in runs), 0, ""))
    print("Memory:")
    per_connection, _ = driver_bytes(count if quick else 16_000)
    goals.append(Goal("driver memory per connection", per_connection, 60.0, "B"))
    print_goals(goals)


if __name__ == "__main__":
    main()
