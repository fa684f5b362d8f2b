"""
What a driver can do, beside programs that do nothing else: requests per second of a core.

nginx answers two bytes on connections that are kept open; each program has one thread and one
request on the way per connection, and keeps its latency histogram. Requests are per CPU second
of the program that sends them, in alternating pairs; so what other programs do on this machine
matters little. What is not installed is said to be not measured; locust is in the extra
``compare-drivers``, and its fast client is what is compared. A program's start counts as its own:
locust takes two seconds of a processor for it, so it is given longer to make up for that.

Thousands of requests per CPU second in one run, two cores that others used too (AMD EPYC, Linux
6.18, nginx 1.22.1, wrk 4.1.0, locust 2.47.0; six pairs, the interval is that of the ratio):

=========== ==== ==== ==================== ====== ====================
connections ours wrk  ours over wrk        locust ours over locust
=========== ==== ==== ==================== ====== ====================
64           121  127 0.94 (0.87 to 1.03)     7.6 15.8 (14.5 to 17.3)
1,000        102   80 1.30 (1.20 to 1.40)     5.8 18.4 (17.3 to 19.5)
=========== ==== ==== ==================== ====== ====================
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from memopt_cli.workloads.sockets.plan import plan
from memopt_cli.workloads.sockets.settings import DriverSettings
from memopt_cli.workloads.sockets.shards import Shards
from tests.benchmarks.goals import Goal, print_goals
from tests.benchmarks.pairs import Ratio, ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS = (64, 1_000)
PAIRS = 6
SECONDS = 4
STARTS_WITHIN_S = 10.0
SECONDS_OF = {"locust": 20}
LEAST = {"wrk": 0.9, "locust": 20.0}
"""Of our replies per CPU second, over another program's: the first of them that is installed."""

CONFIGURATION = """
daemon off; worker_processes 1; pid {0}/pid; error_log {0}/errors; worker_rlimit_nofile 20000;
events {{ worker_connections 19000; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s;
  client_body_temp_path {0}/a; proxy_temp_path {0}/b; fastcgi_temp_path {0}/c;
  uwsgi_temp_path {0}/d; scgi_temp_path {0}/e;
  server {{ listen 127.0.0.1:{1} backlog=4096; location / {{ return 200 "ok"; }} }}
}}
"""

LOCUST = """
from locust import FastHttpUser, constant, task
class User(FastHttpUser):
    wait_time = constant(0)
    @task
    def get(self):
        self.client.get("/")
"""

COMMANDS = {
    "wrk": "wrk --latency -t1 -c{count} -d{seconds} http://127.0.0.1:{port}/",
    "h2load": "h2load --h1 -t1 -c{count} -D{seconds} http://127.0.0.1:{port}/",
    "locust": "locust -f {folder}/locustfile.py --headless -u {count} -r {count} -t {seconds}s "
    "-H http://127.0.0.1:{port} --only-summary",
}
REQUESTS = {
    "wrk": re.compile(r"(\d+) requests in"),
    "h2load": re.compile(r"(\d+) succeeded"),
    "locust": re.compile(r"Aggregated\s+(\d+)"),
}
"""What the others are told, and how they say how many replies there were."""


class Server:
    """An nginx with one worker, and a folder for its files."""

    def __init__(self, folder: str, port: int) -> None:
        self.folder, self.port = folder, port

    def ours(self, shards: Shards) -> float:
        """Return a driver's replies per CPU second; its connections are there already."""
        before = shards.stats().total.answered
        found = shards.load(SECONDS).total
        assert not found.failures, found.examples
        return (found.answered - before) / found.cpu_s

    def theirs(self, name: str, count: int) -> float:
        """Return another program's replies per CPU second, all of its life."""
        command = COMMANDS[name].format(
            count=count,
            seconds=SECONDS_OF.get(name, SECONDS),
            port=self.port,
            folder=self.folder,
        )
        with subprocess.Popen(
            command.split(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            said = process.stdout.read()
            _, process.returncode, used = os.wait4(process.pid, 0)
        replies = REQUESTS[name].search(said)
        assert replies is not None, said
        return int(replies[1]) / (used.ru_utime + used.ru_stime)


@contextmanager
def nginx() -> Iterator[Server]:
    """Serve two bytes with nginx."""
    with tempfile.TemporaryDirectory() as folder:
        port = 18_000 + os.getpid() % 1000
        Path(folder, "locustfile.py").write_text(LOCUST, encoding="utf-8")
        configuration = Path(folder, "nginx.conf")
        configuration.write_text(CONFIGURATION.format(folder, port), encoding="utf-8")
        with subprocess.Popen(["nginx", "-p", folder, "-c", str(configuration)]) as process:
            try:
                _wait_until_it_listens(port)
                yield Server(folder, port)
            finally:
                process.terminate()


def _wait_until_it_listens(port: int) -> None:
    """Raise `TimeoutError` if nobody does in time."""
    until_s = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until_s:
        with socket.socket() as end:
            if end.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nginx does not listen on port {port}")


def compared(server: Server, name: str, count: int) -> Ratio:
    """Return our replies per CPU second over those of another program."""
    settings = DriverSettings("http", {}, f"127.0.0.1:{server.port}", ())
    (share,) = plan(count, [("127.0.0.1", server.port)])
    ours, theirs = [], []

    def first() -> float:
        ours.append(server.ours(shards))
        return ours[-1]

    def second() -> float:
        theirs.append(server.theirs(name, count))
        return theirs[-1]

    with Shards(settings, [share]) as shards:
        assert count == shards.connect(count).total.ready
        shards.roundtrip()
        found = ratio(first, second, pairs=PAIRS)
    middle = len(ours) // 2
    print(
        f"  {count:>5,} connections: ours {sorted(ours)[middle]:>9,.0f}, "
        f"{name} {sorted(theirs)[middle]:>9,.0f} per CPU second; ours over {name} {found}"
    )
    return found


def main() -> None:
    """Print our replies per CPU second beside those of each program that there is."""
    if shutil.which("nginx") is None:
        print("nginx is not installed: nothing is measured")
        return
    goals = []
    judged = next((name for name in LEAST if shutil.which(name) is not None), "wrk")
    with nginx() as server:
        for name in sys.argv[1:] or list(COMMANDS):
            print(f"{name}:")
            there = shutil.which(name) is not None
            for count in CONNECTIONS:
                found = compared(server, name, count) if there else None
                if name == judged:
                    # A goal is a figure that shall not be above a limit.
                    worst = None if found is None else 1 / found.value
                    label = f"{name} over ours, {count:,} connections"
                    goals.append(Goal(label, worst, 1 / LEAST[name], ""))
            if not there:
                print("  not installed")
    print_goals(goals)


if __name__ == "__main__":
    main()
