"""
What watching costs a program from the inside, and that windows beside numpy are safe.

CPU time of whole processes in alternating pairs: an asyncio echo, a numpy program
and a churn of objects, without and with the agent, and under tracemalloc. What the
agent costs at start, in memory and to an idle program, what the readings cost, and
runs of tracing on and off beside numpy threads, in two ways.
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
from functools import partial
from pathlib import Path

from memopt_cli.analysis.attribution import DUTY
from memopt_cli.profiler.agent import AgentReader
from memopt_cli.profiler.injection import INJECTED, Session
from memopt_cli.units import format_duration, format_size
from tests.benchmarks.pairs import ratio

PAIRS = int(os.environ.get("PAIRS", "10"))
RUNS_BESIDE_NUMPY = int(os.environ.get("RUNS", "20"))

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
TRACED = "import tracemalloc; tracemalloc.start(1)\n"
IDLE = "import time; time.sleep(10)"
THREADS = """
import threading, time, sys
import numpy as np
end = time.monotonic() + 4
def work(seed):
    values = np.random.default_rng(seed).random((200, 200))
    swapped, single = values.astype('>f8'), values.astype('f4')
    while time.monotonic() < end:
        np.sort(values, axis=0); np.add(swapped, single); np.sort(swapped, axis=0)
        values.take([1, 2, 3], axis=1); (values @ values).sum(); np.unique(single)
        np.argsort(values, axis=0); np.median(swapped, axis=0); values.T.copy()
        swapped.astype('f8')
def toggle():
    BEGIN_AND_END
    while True:
        begin(); time.sleep(0.001); stop(); time.sleep(0.0005)
threading.Thread(target=toggle, daemon=True).start()
threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
for each in threads: each.start()
for each in threads: each.join()
"""
TOGGLES = {
    "as the standard library does": "from tracemalloc import start as begin, stop",
    "as a window does": "tracing = sys.modules['memopt_agent']._loaded('memopt_tracing')\n"
    "    begin, stop = tracing.begin, tracing.end",
}
ENDS = "\nprint(open('/proc/self/smaps_rollup').read())"


def cpu_s(script: str, *, watched: bool) -> float:
    """Return the CPU seconds of one process."""
    with Session() as session:
        environment = session.environment(os.environ) if watched else dict(os.environ)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if process.wait():
            raise RuntimeError(f"the program ended with {process.returncode}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


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
    """Print CPU ratios with the agent, and of tracing, of which the duty allows a share."""
    programs = {
        "asyncio echo": ECHO.replace("ROUNDS", "15_000"),
        "numpy": NUMPY.replace("ROUNDS", "3_000"),
        "100,000 live objects, churn": CHURN.replace("ROUNDS", "2_000_000"),
    }
    for name, script in programs.items():
        alone = partial(cpu_s, script, watched=False)
        print(
            f"{name}, agent: CPU {ratio(partial(cpu_s, script, watched=True), alone, pairs=PAIRS)}"
        )
        traced = ratio(
            partial(cpu_s, TRACED + script, watched=False), alone, pairs=max(3, PAIRS // 4)
        )
        share = 1 + DUTY * (traced.value - 1)
        print(f"{name}, traced: CPU {traced}; at {DUTY:.1%} of the time {share:.3f}", flush=True)


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
    """Print how many programs with numpy threads survive tracing on and off, up to their end."""
    with Session() as session:
        for name, toggle in TOGGLES.items():
            command = [sys.executable, "-c", THREADS.replace("BEGIN_AND_END", toggle)]
            ends = [
                subprocess.run(
                    command,
                    env=session.environment(os.environ),
                    check=False,
                    stderr=subprocess.DEVNULL,
                ).returncode
                for _ in range(RUNS_BESIDE_NUMPY)
            ]
            print(f"beside numpy, {name}: {ends.count(0)} of {len(ends)} survived", flush=True)


def main() -> None:
    """Print all figures."""
    install()
    readings()
    beside_numpy()
    overhead()


if __name__ == "__main__":
    main()
