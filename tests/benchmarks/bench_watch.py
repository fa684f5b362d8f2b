"""
What being watched costs a program, beside other memory profilers in the same run.

An asyncio echo and a numpy program, each alone and under a tool, in alternating pairs.
CPU time is the program's own process, read by itself at its end: what a tool does in a
process of its own is not in it, what it does after the program has ended neither. Memory
is its anonymous memory at that moment, above that of the program alone.

    python -m tests.benchmarks.bench_watch

Tools that are not installed are left out, and said so; they are in the extra ``compare``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from memopt_cli.units import format_size
from tests.benchmarks.bench_attribution import ECHO, NUMPY
from tests.benchmarks.pairs import ratio

PAIRS = int(os.environ.get("PAIRS", "8"))
SCRIPTS = {
    "asyncio echo": ECHO.replace("ROUNDS", "60_000"),
    "numpy": NUMPY.replace("ROUNDS", "8_000"),
}
ENDS = """
import json, os, re, time
_used = time.process_time()
_text = open('/proc/self/smaps_rollup').read()
_anonymous = int(re.search(r'Anonymous:\\s+(\\d+)', _text)[1]) * 1024
open(os.environ['TOLD'], 'w').write(json.dumps([_used, _anonymous]))
"""


@dataclass(frozen=True, slots=True)
class Tool:
    """A profiler, and how it runs a script."""

    name: str
    module: str
    """What must be installed for it."""

    command: tuple[str, ...]
    """Before the script's path; FOLDER is replaced by a folder of the run's own."""


WATCH = ("-m", "memopt_cli", "watch", "--quiet", "--out", "FOLDER/run", "--attribute")
TOOLS = (
    Tool("memopt watch", "memopt_cli", (*WATCH, "never", "--", sys.executable)),
    Tool("memopt watch, attribution", "memopt_cli", (*WATCH, "always", "--", sys.executable)),
    Tool("mprof", "memory_profiler", ("-m", "mprof", "run", "-o", "FOLDER/m.dat", sys.executable)),
    Tool("tracemalloc", "tracemalloc", ("-X", "tracemalloc")),
    Tool("memray", "memray", ("-m", "memray", "run", "-q", "-f", "-o", "FOLDER/m.bin")),
    Tool("scalene", "scalene", ("-m", "scalene", "run", "-o", "FOLDER/s.json")),
)


class Runs:
    """Runs one script under a tool, and keeps what its programs told at their ends."""

    def __init__(self, script: str, tool: Tool | None) -> None:
        self._script = script + ENDS
        self._command = () if tool is None else tool.command
        self.anonymous_bytes: list[int] = []

    def cpu_s(self) -> float:
        """Return the CPU time of one run of the program."""
        with tempfile.TemporaryDirectory() as folder:
            script, told = Path(folder, "program.py"), Path(folder, "told")
            script.write_text(self._script, encoding="utf-8")
            command = [part.replace("FOLDER", folder) for part in self._command]
            done = subprocess.run(
                [sys.executable, *command, str(script)],
                env={**os.environ, "TOLD": str(told)},
                capture_output=True,
                check=False,
            )
            if not told.exists():
                raise RuntimeError(f"{command} ran nothing: {done.stderr.decode()[-500:]}")
            used_s, anonymous_bytes = json.loads(told.read_text(encoding="utf-8"))
        self.anonymous_bytes.append(anonymous_bytes)
        return float(used_s)


def main() -> None:
    """Print one row per program and tool."""
    print("| program | tool | CPU, over the program alone | memory above it |")
    print("|---|---|---|---|")
    for name, script in SCRIPTS.items():
        for tool in TOOLS:
            print(f"| {name} | {tool.name} | {' | '.join(measured(script, tool))} |", flush=True)


def measured(script: str, tool: Tool) -> tuple[str, str]:
    """Return the ratio of CPU times, and the difference of the medians of memory."""
    if importlib.util.find_spec(tool.module) is None:
        return "not installed", "not measured"
    alone, under = Runs(script, None), Runs(script, tool)
    found = ratio(partial(under.cpu_s), partial(alone.cpu_s), pairs=PAIRS)
    above = statistics.median(under.anonymous_bytes) - statistics.median(alone.anonymous_bytes)
    return str(found), ("-" if above < 0 else "") + format_size(abs(round(above)))


if __name__ == "__main__":
    main()
