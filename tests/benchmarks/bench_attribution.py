"""
What watching costs a program from the inside, and that windows beside numpy are safe.

CPU time of whole processes in alternating pairs: an asyncio echo and a numpy
program without and with the agent, then with windows at the allowed duty. Then
what the import costs, how often an idle program is woken, what the readings cost
at 100,000 live objects, and runs of many windows beside numpy threads.
"""

from __future__ import annotations

import compileall
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from memopt_cli.analysis.attribution import DUTY
from memopt_cli.profiler.agent import AgentReader
from memopt_cli.profiler.injection import INJECTED, Session
from memopt_cli.units import format_duration, format_size
from tests.benchmarks.pairs import ratio

if TYPE_CHECKING:
    from collections.abc import Callable

PAIRS = int(os.environ.get("PAIRS", "10"))
RUNS_BESIDE_NUMPY = 20

ECHO = """
import asyncio
async def serve(reader, writer):
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for _ in range(ROUNDS):
        writer.write(b'x' * 100)
        await writer.drain()
        await reader.read(4096)
    writer.close()
asyncio.run(main())
"""
NUMPY = """
import numpy
values = numpy.random.default_rng(1).random(20_000)
for _ in range(ROUNDS):
    (numpy.sort(values + 1) * 2)[:100].sum()
"""
CHURN = """
live = {i: [i, {'a': i}] for i in range(100_000)}
for i in range(ROUNDS):
    live[i % 100_000] = [i, {'a': str(i)}]
"""
IDLE = "import time; time.sleep(10)"
THREADS = """
import threading, time
import numpy as np
end = time.monotonic() + 4
def work(seed):
    values = np.random.default_rng(seed).random(20_000)[::2]
    while time.monotonic() < end:
        np.sort(values); (values + 1).sum(); values.astype('f4'); [object() for _ in range(50)]
threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
for each in threads: each.start()
for each in threads: each.join()
"""
ENDS = "\nprint(open('/proc/self/smaps_rollup').read())"


def cpu_s(script: str, *, watched: bool, act: Callable[[AgentReader], None] | None = None) -> float:
    """Return the CPU seconds of one process; *act* is done again and again while it runs."""
    with Session() as session:
        environment = session.environment(os.environ) if watched else dict(os.environ)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = subprocess.Popen(
            [sys.executable, "-c", script], env=environment, stdout=subprocess.DEVNULL
        )
        if act is not None:
            _act_until_the_end(session, process, act)
        if process.wait():
            raise RuntimeError(f"the program ended with {process.returncode}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _act_until_the_end(
    session: Session, process: subprocess.Popen[bytes], act: Callable[[AgentReader], None]
) -> None:
    agent = None
    while process.poll() is None and agent is None:
        found = session.agent_of(process.pid)
        agent = found if isinstance(found, AgentReader) else None
    if agent is None:
        return
    with closing(agent):
        while process.poll() is None:
            try:
                act(agent)
            except Exception as exc:
                if process.poll() is None and "gone" not in str(exc):
                    raise


def windows_at_duty(agent: AgentReader) -> None:
    """Trace a window, then wait as long as the duty demands, and count objects meanwhile."""
    window = agent.window(0.05, types=["list"])
    time.sleep(window.traced_s / DUTY)


def many_windows(agent: AgentReader) -> None:
    """Trace one short window after the other."""
    agent.window(0.02)


def anonymous_bytes(*, watched: bool) -> int:
    """Return anonymous memory at the end of a program that does nothing, median of nine."""
    found = []
    with Session() as session:
        environment = session.environment(os.environ) if watched else dict(os.environ)
        for _ in range(9):
            text = subprocess.run(
                [sys.executable, "-c", ENDS], env=environment, capture_output=True, check=True
            ).stdout.decode()
            found.append(int(text.partition("\nAnonymous:")[2].split()[0]) * 1024)
    return int(statistics.median(found))


def start_s(*, watched: bool) -> float:
    """Return the CPU time of a program that does nothing."""
    return cpu_s("pass", watched=watched)


def overhead() -> None:
    """Print CPU ratios without and with attribution."""
    programs = {
        "asyncio echo": ECHO.replace("ROUNDS", "60_000"),
        "numpy": NUMPY.replace("ROUNDS", "12_000"),
        "100,000 live objects, churn": CHURN.replace("ROUNDS", "12_000_000"),
    }
    for name, script in programs.items():
        for what, act in (("agent", None), (f"windows at {DUTY:.0%}", windows_at_duty)):
            found = ratio(
                lambda script=script, act=act: cpu_s(script, watched=True, act=act),  # type: ignore[misc]
                lambda script=script: cpu_s(script, watched=False),  # type: ignore[misc]
                pairs=PAIRS,
            )
            print(f"{name}, {what}: CPU {found}", flush=True)


def install() -> None:
    """Print what the agent costs at start, in memory, and while the program sleeps."""
    # As an installer does: where nothing may be written, each start would compile anew.
    compileall.compile_dir(INJECTED, quiet=1)
    costs = [(start_s(watched=True), start_s(watched=False)) for _ in range(30)]
    start = statistics.median(a for a, _ in costs) - statistics.median(b for _, b in costs)
    grown = anonymous_bytes(watched=True) - anonymous_bytes(watched=False)
    print(f"at start: {format_duration(start)} CPU, {format_size(grown)} anonymous memory")
    switches = {watched: _switches(watched=watched) for watched in (False, True)}
    print(f"an idle program in 10 s: {switches[True]} switches, {switches[False]} alone")


def _switches(*, watched: bool) -> int:
    with Session() as session:
        environment = session.environment(os.environ) if watched else dict(os.environ)
        process = subprocess.Popen([sys.executable, "-c", IDLE], env=environment)
        counts = []
        for seconds in (1.0, 8.0):
            time.sleep(seconds)
            counts.append(
                sum(
                    int(line.split()[1])
                    for task in Path(f"/proc/{process.pid}/task").iterdir()
                    for line in (task / "status").read_text().splitlines()
                    if line.startswith("voluntary_ctxt_switches")
                )
            )
        process.wait()
    return counts[1] - counts[0]


def readings() -> None:
    """Print what each reading costs a program with 100,000 live objects."""
    script = "live = {i: [i, {'a': [i]}] for i in range(50_000)}\nwhile True: live[0] = [0, {}]"
    with Session() as session, tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-c", script], env=session.environment(os.environ), stderr=log
        )
        time.sleep(1.0)
        agent = session.agent_of(process.pid)
        assert isinstance(agent, AgentReader)
        agent.heap()
        heap = statistics.median(agent.heap().cost_s for _ in range(5))
        print(f"heap: {format_duration(heap)}")
        for deep in (False, True):
            found = [agent.census(deep=deep) for _ in range(5)]
            stop = statistics.median(each.longest_stop_s for each in found)
            cost = statistics.median(each.cost_s for each in found)
            print(
                f"census of {found[0].objects:,} objects{', deep' if deep else ''}: "
                f"{format_duration(cost)}, longest stop {format_duration(stop)}"
            )
        longest = max(agent.census().containers, key=lambda each: each.entries)
        began = time.perf_counter()
        holder = agent.holders(containers=[longest.ident])
        print(f"holder {holder[0].path!r}: {format_duration(time.perf_counter() - began)}")
        agent.close()
        process.kill()
        process.wait()


def beside_numpy() -> None:
    """Print how many programs with numpy threads survive windows without a pause."""
    for number in range(RUNS_BESIDE_NUMPY):
        cpu_s(THREADS, watched=True, act=many_windows)
        print(f"\rbeside numpy threads: {number + 1} of {RUNS_BESIDE_NUMPY} survived", end="")
    print(flush=True)


def main() -> None:
    """Print all figures."""
    install()
    readings()
    beside_numpy()
    overhead()


if __name__ == "__main__":
    main()
