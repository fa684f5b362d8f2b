"""
Whether `memopt watch` is right: slow leaks among live objects, and programs that have none.

The leaking program keeps one record of 712 bytes per 1,000 operations; its twin keeps
the last 100 of them. Connections are replaced all the while in both. Right is: a leak,
with bytes per operation within 10 % of the truth, that line first, and its holder; and
of the twin no leak. Inconclusive is no error, nor is a leak of which no line was found
by the end; anything else is.

A native leak is 1,000 bytes of malloc's, asked for by ctypes, every 0.9 s: 200 KB in three
minutes. Right is: a leak, and no line of Python's. A fragmented program lets go of two
blocks and asks for one of the same size together, which fits into neither hole: right is
fragmentation, and no leak.

    RUNS=20 DURATION=180s python -m tests.benchmarks.bench_watch_leak
    KINDS=native,fragmented RUNS=5 python -m tests.benchmarks.bench_watch_leak

KEEP_IN names a folder in which the watches are kept, AT_ONCE how many run side by side.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUNS = int(os.environ.get("RUNS", "3"))
DURATION = os.environ.get("DURATION", "180s")
AT_ONCE = int(os.environ.get("AT_ONCE", "2"))
TRUE_BYTES = 712 / 1000
WITHIN = 0.1
KEEPS = "service.kept.append(bytes(679))"
PROGRAM = f"""
import random, sys, time
LEAKS, SEED = sys.argv[1] == "leak", int(sys.argv[2])
class Connection:
    def __init__(self, number):
        self.number, self.buffer, self.meta = number, [number], {{"peer": number}}
class Service:
    def __init__(self):
        self.connections = {{i: Connection(i) for i in range(100_000)}}
        self.kept = []
        self.handled = 0
service = Service()
chance = random.Random(SEED)
next_s = time.monotonic()
while True:
    for _ in range(2_500):
        service.handled += 1
        request = [service.handled, {{"path": str(service.handled)}}]
        if not service.handled % 10:
            number = chance.randrange(100_000)
            service.connections[number] = Connection(number)
        if not service.handled % 1000:
            {KEEPS}
            if not LEAKS:
                del service.kept[:-100]
    next_s += 0.05
    time.sleep(max(0, next_s - time.monotonic()))
"""
NATIVE = """
import ctypes, sys, time
malloc = ctypes.CDLL(None).malloc
malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
live = {i: [i] for i in range(10_000)}
while True:
    ctypes.memset(malloc(1_000), 1, 1_000)
    for i in range(1_000):
        live[i] = [i]
    time.sleep(0.9)
"""
FRAGMENTED = """
import time
HOLE, HEADS = 60 * 1024, 33 + 8
small = [(b'x' * (HOLE - HEADS), bytes(1_000)) for _ in range(1_000)]
pins = [pin for _, pin in small]
blocks = [block for block, _ in small]
del small
large = []
while True:
    if len(blocks) > 2:
        del blocks[:2]
        large.append(b'x' * (2 * HOLE - HEADS))
    time.sleep(0.5)
"""
PROGRAMS = {"leak": PROGRAM, "clean": PROGRAM, "native": NATIVE, "fragmented": FRAGMENTED}
KINDS = os.environ.get("KINDS", "leak,clean").split(",")
LINE = 1 + next(number for number, line in enumerate(PROGRAM.split("\n")) if KEEPS in line)
HOLDER = "__main__.service.kept"


@dataclass(frozen=True, slots=True)
class Run:
    """What one watch has found."""

    kind: str
    verdict: str
    per_operation: float | None
    """Bytes, of the first suspect."""

    line_is_right: bool
    holder_is_right: bool
    names_a_line: bool
    origin: str

    @property
    def is_wrong(self) -> bool:
        """Whether something was said that is not so."""
        if self.verdict == "inconclusive":
            return False
        match self.kind:
            case "clean" | "fragmented":
                return self.verdict == "leak"
            case "native":
                return self.verdict != "leak" or self.names_a_line or self.origin == "python"
            case _:
                told = self.per_operation is not None
                return self.verdict != "leak" or (told and not self.is_complete)

    @property
    def is_complete(self) -> bool:
        """Whether all was found that there is to be found."""
        match self.kind:
            case "clean":
                return self.verdict == "no_leak"
            case "fragmented":
                return self.origin == "fragmentation"
            case "native":
                return self.origin == "native"
        size = self.per_operation
        near = size is not None and abs(size / TRUE_BYTES - 1) <= WITHIN
        return near and self.line_is_right and self.holder_is_right


def watched(kind: str, seed: int) -> Run:
    """Watch one program."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = os.environ.get("KEEP_IN", temporary) + f"/{kind}-{seed}"
        Path(folder).mkdir(parents=True)
        script = Path(folder, "app.py")
        script.write_text(PROGRAMS[kind], encoding="utf-8")
        options = ["--quiet", "--duration", DURATION]
        if PROGRAMS[kind] is PROGRAM:
            options += ["--operations", "__main__.service.handled"]
        command = [sys.executable, str(script), kind, str(seed)]
        subprocess.run(
            [
                sys.executable,
                "-m",
                "memopt_cli",
                "watch",
                *options,
                "--out",
                f"{folder}/seen",
                "--",
                *command,
            ],
            capture_output=True,
            check=False,
        )
        found = json.loads(Path(folder, "seen/run.json").read_text(encoding="utf-8"))
    process = found["processes"][0]
    return _run(kind, process, str(script))


def _run(kind: str, process: dict[str, Any], script: str) -> Run:
    first = (process["suspects"] or [{}])[0]
    size = first.get("bytes_per_operation")
    return Run(
        kind=kind,
        verdict=process["growth"]["verdict"],
        per_operation=None if size is None else size["value"],
        line_is_right=(first.get("file"), first.get("line")) == (script, LINE),
        holder_is_right=first.get("holder") == HOLDER,
        names_a_line=any(suspect["file"] for suspect in process["suspects"]),
        origin=process["growth"]["origin"]["origin"],
    )


def main() -> None:
    """Print each run as it ends, then how many were right."""
    work = [(kind, seed) for seed in range(RUNS) for kind in KINDS]
    runs = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for run in pool.map(lambda each: watched(*each), work):
            runs.append(run)
            size = "-" if run.per_operation is None else f"{run.per_operation:.3f} B per operation"
            said = "right line and holder" if run.line_is_right and run.holder_is_right else "-"
            print(f"{run.kind}: {run.verdict}, {size}, {said}, origin {run.origin}", flush=True)
    for kind in KINDS:
        own = [run for run in runs if run.kind == kind]
        wrong = sum(run.is_wrong for run in own)
        right = sum(run.is_complete and not run.is_wrong for run in own)
        unsure = sum(run.verdict == "inconclusive" and not run.is_complete for run in own)
        partly = len(own) - right - wrong - unsure
        print(f"{kind}: {right} right, {partly} in part, {unsure} inconclusive, {wrong} wrong")


if __name__ == "__main__":
    main()
