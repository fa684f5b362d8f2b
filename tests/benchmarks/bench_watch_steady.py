"""
Whether memopt itself ever shows as a trend: watches of an idle and of a steady program.

Each program is watched, and a twin of it runs unwatched beside it for the same time: an
asyncio server that nobody calls, and one that echoes 50 messages a second. Right is: no
leak; and that the watched ones grow by less than 64 KiB more than their twins do, from
the 20th second, when a program has become warm, to the last reading.

    WATCHES=10 DURATION=600 python -m tests.benchmarks.bench_watch_steady

KEEP_IN names a folder in which the watches are kept.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from memopt_cli.errors import SubjectDied
from memopt_cli.profiler.process import ProcessReader
from memopt_cli.units import format_size

WATCHES = int(os.environ.get("WATCHES", "10"))
DURATION_S = int(os.environ.get("DURATION", "600"))
WARM_AFTER_S = 20.0
READ_EVERY_S = 5.0
GOAL_BYTES = 64 * 1024

PROGRAM = """
import asyncio, os, sys
async def echo(reader, writer):
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(echo, '127.0.0.1', 0)
    port = server.sockets[0].getsockname()[1]
    with open(sys.argv[1] + '~', 'w') as told:
        told.write(f'{os.getpid()} {port}')
    os.replace(sys.argv[1] + '~', sys.argv[1])
    await asyncio.sleep(10 ** 6)
asyncio.run(main())
"""
CALLER = """
import asyncio, sys
async def call(port):
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    try:
        while True:
            writer.write(b'x' * 100)
            await writer.drain()
            if not await reader.read(4096):
                return
            await asyncio.sleep(0.02)
    except ConnectionError:
        return
async def main():
    await asyncio.gather(*(call(int(port)) for port in sys.argv[1:]))
asyncio.run(main())
"""


@dataclass(slots=True)
class Program:
    """One server, watched or not."""

    command: subprocess.Popen[bytes]
    folder: Path
    watched: bool
    pid: int = 0
    port: int = 0
    sizes: list[int] = field(default_factory=list)
    """Anonymous memory in bytes, since the program is warm."""

    @property
    def grown_bytes(self) -> int:
        """From the first reading to the last."""
        return self.sizes[-1] - self.sizes[0]

    @property
    def verdict(self) -> str:
        """What the watch has said."""
        found = json.loads((self.folder / "seen/run.json").read_text(encoding="utf-8"))
        return str(found["processes"][0]["growth"]["verdict"])

    def read(self, readers: dict[int, ProcessReader]) -> None:
        """Keep the size, as long as the program lives."""
        if self.pid not in readers:
            readers[self.pid] = ProcessReader(self.pid)
        try:
            self.sizes.append(readers[self.pid].footprint().anonymous_bytes)
        except SubjectDied:
            return


def begun(folder: Path, *, watched: bool) -> Program:
    """Start one server; the unwatched one is ended by the benchmark."""
    folder.mkdir(parents=True)
    script, told = folder / "server.py", folder / "told"
    script.write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, str(script), str(told)]
    if watched:
        options = ["--quiet", "--duration", f"{DURATION_S}s", "--out", str(folder / "seen")]
        command = [sys.executable, "-m", "memopt_cli", "watch", *options, "--", *command]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    program = Program(process, folder, watched)
    while not told.exists():
        if process.poll() is not None:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        time.sleep(0.1)
    program.pid, program.port = map(int, told.read_text(encoding="utf-8").split())
    return program


def measured(kind: str, folder: Path) -> list[Program]:
    """Run the watched servers and their twins side by side."""
    with ExitStack() as stack:
        programs = []
        for number in range(WATCHES):
            for watched in (True, False):
                at = folder / f"{kind}-{number}-{'watched' if watched else 'alone'}"
                programs.append(begun(at, watched=watched))
                stack.callback(_end, programs[-1].command)
        if kind == "echo":
            ports = [str(program.port) for program in programs]
            stack.callback(_end, subprocess.Popen([sys.executable, "-c", CALLER, *ports]))
        until_s = time.monotonic() + DURATION_S - READ_EVERY_S
        time.sleep(WARM_AFTER_S)
        readers: dict[int, ProcessReader] = {}
        while time.monotonic() < until_s:
            for program in programs:
                program.read(readers)
            time.sleep(READ_EVERY_S)
        for program in programs:
            if program.watched:
                program.command.wait()
        for reader in readers.values():
            reader.close()
    return programs


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def main() -> None:
    """Print for each kind of program what the watches said, and by how much they grew."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(os.environ.get("KEEP_IN", temporary))
        for kind in ("idle", "echo"):
            programs = measured(kind, folder)
            watched = [each for each in programs if each.watched]
            alone = [each.grown_bytes for each in programs if not each.watched]
            verdicts = [each.verdict for each in watched]
            grown = [each.grown_bytes - statistics.median(alone) for each in watched]
            print(
                f"{kind}: {verdicts.count('no_leak')} no leak, "
                f"{verdicts.count('inconclusive')} inconclusive, {verdicts.count('leak')} leak; "
                f"grown by {_sizes(grown)} more than alone ({_sizes(alone)}); "
                f"goal {format_size(GOAL_BYTES)} "
                f"{'met' if max(grown) < GOAL_BYTES else 'missed'}",
                flush=True,
            )


def _sizes(each: list[int] | list[float]) -> str:
    low, middle, high = min(each), statistics.median(each), max(each)
    return f"{format_size(middle)} ({format_size(low)} to {format_size(high)})"


if __name__ == "__main__":
    main()
