"""
What is lost of a soak whose controller is killed, and whether it ends as one that was not.

Each run is killed with SIGKILL at moments drawn at random, up to three times, the rebuild of
its population included, and resumed to its end. It is compared with the same scenario that
ran through: samples, digests, transcripts, verdicts, exit code.

    RUNS=20 SEED=1 python -m tests.benchmarks.bench_resume

RUNS and SEED are what they are unless set.
"""

from __future__ import annotations

import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from memopt_cli.analysis.findings import judge
from memopt_cli.scenario import loading
from memopt_cli.store import layout, reader
from tests.benchmarks.goals import Goal, head, print_goals, row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.recording import Recording

RUNS = int(os.environ.get("RUNS", "20"))
SEED = int(os.environ.get("SEED", "1"))
_FIRST, _WIDTH = 10, 13

_SCENARIO = """\
version: 1
name: {name}
workload: {workload}
{section}
variants: [{variants}]
load:
  clock: {clock}
  arrival_rate: 20/s
  message_rate: {rate}/s
  stages:
    - {{name: baseline, duration: 1s, {units}: 0}}
    - {{name: ramp-up, duration: 5s, {units}: {count}, plateaus: 5}}
    - {{name: steady, duration: {steady}, {units}: {count}}}
    - {{name: ramp-down, duration: 2s, {units}: 0}}
    - {{name: drain, duration: 2s, {units}: 0}}
sampling: {{interval: {interval}}}
thresholds: {{memory_leak_slope: ["value<1MB/h"], pool_reuse_ratio: ["value>50%"]}}
"""
_POOLED = "pool: {size: 50, max_size: 400}, compact: on"
_CONNECTIONS = {
    "workload": "connections",
    "section": "connections: {message_mix: {13B: 75%, 1KiB: 25%}}",
    "units": "connections",
    "count": 200,
    "clock": "virtual",
    "rate": 4,
    "steady": "120s",
    "interval": "1s",
}
SCENARIOS = {
    # Two variants: with luck, a kill strikes when the first is over. Of a steady minute that
    # was cut in two, pages alone no longer show that it grows by less than the limit (3 of 23
    # were inconclusive); of five minutes they do (0 of 16).
    "clean": _CONNECTIONS
    | {"variants": f"{{name: plain}}, {{name: pooled, {_POOLED}}}", "steady": "5m"},
    "leak": _CONNECTIONS | {"variants": f"{{name: leaky, {_POOLED}, leak: 256B}}"},
    "on-wall": _CONNECTIONS
    | {
        "variants": f"{{name: leaky, {_POOLED}, leak: 4KiB}}",
        "clock": "wall",
        "rate": 10,
        "steady": "15s",
        "interval": "250ms",
    },
}


@dataclass(slots=True)
class Life:
    """One run that was killed and resumed until it had ended."""

    kind: str
    kills: int = 0
    lost: int = 0
    """Samples that could be read before a kill and are not there, or are others, at the end."""

    rebuilt_s: list[float] = field(default_factory=list)
    """Of each part after the first."""

    lived_s: list[float] = field(default_factory=list)
    """Real time that the load before each of them had taken."""

    differences: list[str] = field(default_factory=list)


def main() -> None:
    """Print what each run lost, and in what it differs from one that ran through."""
    drawn = random.Random(SEED)
    with tempfile.TemporaryDirectory(prefix="memopt-") as folder:
        whole = {kind: _whole(Path(folder), kind) for kind in SCENARIOS}
        print(head(["kills", "lost", "rebuilt [s]", "of [s]"], first=10, width=13))
        lives = []
        for number in range(RUNS):
            kind = list(SCENARIOS)[number % len(SCENARIOS)]
            life = _life(Path(folder), kind, number, drawn, *whole[kind])
            lives.append(life)
            print(_line(life), *life.differences, flush=True)
    _print_goals(lives)


def _line(life: Life) -> str:
    cells = [
        str(life.kills),
        str(life.lost),
        f"{sum(life.rebuilt_s):.2f}",
        f"{sum(life.lived_s):.2f}",
    ]
    return row(life.kind, cells, first=_FIRST, width=_WIDTH)


def _print_goals(lives: Sequence[Life]) -> None:
    shares = [
        rebuilt / lived
        for life in lives
        for rebuilt, lived in zip(life.rebuilt_s, life.lived_s, strict=True)
        if lived
    ]
    if shares:
        print(f"\nRebuilding took {statistics.median(shares):.0%} of the time lived (median)")
    print_goals(
        [
            Goal("runs that differ from one that ran through", _count(lives), 0, "runs"),
            Goal("samples lost that were written", sum(one.lost for one in lives), 0, "samples"),
        ]
    )


def _count(lives: Sequence[Life]) -> int:
    return sum(bool(life.differences) for life in lives)


def _whole(folder: Path, kind: str) -> tuple[Recording, int, float]:
    """Return what a run that is left alone records, its exit code and how long its load takes."""
    values = SCENARIOS[kind]
    text = _SCENARIO.format(name=kind, **values)
    (folder / f"{kind}.yaml").write_text(text, encoding="utf-8")
    code = _begun(folder, f"{kind}.yaml", "--out", kind).wait()
    found = reader.read(folder / kind)
    return found, code, found.wall_s


def _life(
    folder: Path,
    kind: str,
    number: int,
    drawn: random.Random,
    whole: Recording,
    code: int,
    takes_s: float,
) -> Life:
    life, run = Life(kind), folder / f"{kind}-{number}"
    seen: list[tuple[object, ...]] = []
    command: tuple[str, ...] = (f"{kind}.yaml", "--out", run.name)
    for _ in range(drawn.randint(1, 3)):
        process = _begun(folder, *command)
        rows = _watched(run, process, drawn.uniform(0, takes_s), begun="--out" not in command)
        ended = process.poll() is not None
        process.kill()
        process.wait()
        if ended:
            # It was over before the moment that was drawn: resuming it tells its verdict.
            command = ("--resume", run.name)
            break
        life.kills += 1
        seen = max(seen, rows, key=len)
        if (run / layout.SAMPLES).exists() and _has_begun(run):
            command = ("--resume", run.name)
        elif run.exists():
            # Killed before there was anything to go on with.
            run.rename(run.with_name(f"{run.name}-{life.kills}"))
    found = _begun(folder, *command).wait()
    kept = _rows(run)
    life.lost = sum(one not in kept for one in map(repr, seen))
    _compare(life, reader.read(run), whole, found, code)
    return life


def _begun(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "memopt_cli", "simulate", "-q", *arguments]
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _watched(
    run: Path, process: subprocess.Popen[bytes], until_s: float, *, begun: bool
) -> list[tuple[object, ...]]:
    """Wait, in a run that is not *begun* from its first sample on; return all samples there are."""
    while not begun and process.poll() is None and not _read(run):
        time.sleep(0.05)
    ends_s = time.monotonic() + until_s
    while time.monotonic() < ends_s and process.poll() is None:
        time.sleep(0.05)
    return _read(run)


def _read(run: Path) -> list[tuple[object, ...]]:
    path = run / layout.SAMPLES
    if not path.exists():
        return []
    base = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        return list(base.execute("SELECT * FROM samples"))
    except sqlite3.OperationalError:
        return []
    finally:
        base.close()


def _rows(run: Path) -> set[str]:
    return set(map(repr, _read(run)))


def _has_begun(run: Path) -> bool:
    base = sqlite3.connect(run / layout.SAMPLES)
    try:
        row_ = base.execute("SELECT 1 FROM run WHERE name = 'outcome'").fetchone()
    except sqlite3.OperationalError:
        return False
    finally:
        base.close()
    return row_ is not None


def _compare(life: Life, found: Recording, whole: Recording, code: int, expected: int) -> None:
    if code != expected:
        life.differences.append(f"exit code {code} instead of {expected}")
    if _verdicts(found) != _verdicts(whole):
        life.differences.append(f"verdicts {_verdicts(found)} instead of {_verdicts(whole)}")
    for one, other in zip(found.variants, whole.variants, strict=True):
        for name in ("digest", "transcript", "pool", "outcome"):
            if getattr(one, name) != getattr(other, name):
                life.differences.append(f"{one.name}: another {name}")
        course = [[(s.at_s, s.units, s.operations) for s in v.samples] for v in (one, other)]
        if course[0] != course[1]:
            life.differences.append(f"{one.name}: other samples")
        for part in one.parts[1:]:
            before = [sample for sample in one.samples if sample.at_s < part.starts_s]
            life.rebuilt_s.append(part.rebuilt_s)
            life.lived_s.append(before[-1].wall_s if before else 0.0)


def _verdicts(recording: Recording) -> list[tuple[str, str | None, str]]:
    judged = judge(recording, loading.load_text(recording.scenario, Path("scenario.yaml")))
    return [(one.metric, one.variant, str(one.verdict)) for one in judged.thresholds]


if __name__ == "__main__":
    main()
