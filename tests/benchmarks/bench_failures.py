"""
Servers that fail at random moments: does each run end in bounded time, with its reason?

Killed, stopped, refusing, resetting, silent, after a random number of connections and requests.
``--quick`` runs five.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

import psutil

from memopt_cli.analysis.findings import judge
from memopt_cli.exit_codes import ExitCode
from tests.benchmarks.goals import Goal, print_goals
from tests.exactly import connected_to, recorded

RUNS, QUICK = 50, 5
COUNT = 300
WARM_UP = 3 * 32
"""Connections, requests and closes before the first plateau."""

HOWS = ("die", "stop", "refuse", "reset", "hush")
MOST_S = 30.0
EXPECTED = {ExitCode.TARGET_FAILED, ExitCode.INCONCLUSIVE}


def main() -> None:
    """Print each run, and how many did not end as they should."""
    runs = QUICK if "--quick" in sys.argv else RUNS
    draw = random.Random(1)
    wrong = silent = orphans = 0
    longest_s = 0.0
    for number in range(runs):
        how = HOWS[number % len(HOWS)]
        # Refusing shows only in a connection that comes after it.
        after = draw.randrange(1, WARM_UP + (COUNT - 1 if how == "refuse" else 2 * COUNT))
        command = ["{python}", "-m", "tests.workloads.sockets.failing", "{port}", how, str(after)]
        scenario = connected_to(command, COUNT, plateaus=3, answer_within="2s", settle_within="3s")
        with tempfile.TemporaryDirectory() as folder:
            began_s = time.monotonic()
            recording = recorded(scenario, Path(folder) / "run")
            took_s = time.monotonic() - began_s
            code = judge(recording, scenario).exit_code
        left = len(psutil.Process().children(recursive=True))
        print(f"  {how:6} after {after:3}: {code:d} in {took_s:.1f} s: {recording.reason[:90]}")
        wrong += code not in EXPECTED
        silent += not recording.reason
        orphans += left
        longest_s = max(longest_s, took_s)
    print_goals(
        [
            Goal("runs with another exit code than 3 or 4", wrong, 0, f"of {runs}"),
            Goal("runs without a reason", silent, 0, f"of {runs}"),
            Goal("processes left", orphans, 0, ""),
            Goal("longest run", longest_s, MOST_S, "s"),
        ]
    )


if __name__ == "__main__":
    main()
