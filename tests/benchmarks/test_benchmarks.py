"""The benchmarks of the connection state run, and what they show beside times holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

for _library in ("msgpack", "msgspec", "zstandard"):
    pytest.importorskip(_library, reason=f"{_library} is in the extra 'bench', not in 'test'")

from tests.benchmarks import bench_codec, bench_states
from tests.benchmarks.bench_soak import IN_BATCHES, ONE_BY_ONE, Soak
from tests.benchmarks.candidates import CANDIDATES, OURS
from tests.benchmarks.goals import Goal
from tests.benchmarks.state_codecs import CODECS, Msgpack
from tests.benchmarks.state_fields import ACTIVE, IDLE, Fields
from tests.benchmarks.state_memory import Memory
from tests.benchmarks.state_times import Times, Work

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]


def quick(benchmark: str) -> list[str]:
    """Return the lines that a smoke run prints."""
    command = [sys.executable, "-m", f"tests.benchmarks.{benchmark}", "--quick"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.splitlines()


def table(benchmark: str) -> list[str]:
    """Return what a smoke run prints before its goals."""
    lines = quick(benchmark)
    return lines[: next(at for at, line in enumerate(lines) if line.startswith("Goals"))]


def cells(lines: Sequence[str], label: str, first: int, width: int) -> list[str]:
    """Return the cells of the one row that is called *label*."""
    (line,) = (line for line in lines if line[:first].strip() == label and line[first:].strip())
    return [line[at : at + width].strip() for at in range(first, len(line), width)]


def test_each_way_to_keep_a_state_has_a_figure_in_each_row() -> None:
    """An idle state costs at most 72 bytes, and the collector sees it in no way of ours."""
    lines = table("bench_states")
    place = bench_states.FIRST, bench_states.WIDTH
    assert list(CANDIDATES) == cells(lines, "", *place)
    labels = [
        *bench_states.MEMORY_LABELS.values(),
        "acquire",
        "release",
        "message, random connection",
    ]
    for label in labels:
        assert "-" not in cells(lines, label, *place)
        assert len(CANDIDATES) == len(cells(lines, label, *place))
    ours = list(CANDIDATES).index(OURS)
    assert 72 >= float(cells(lines, "idle", *place)[ours].split()[0])
    assert 80 >= float(cells(lines, "active, shared metadata", *place)[ours].split()[0])
    assert 160 >= float(cells(lines, "active, own metadata", *place)[ours].split()[0])
    assert "0.00 (0)" == cells(lines, "in the collector to build 2,000", *place)[ours]


def test_ratios_are_of_the_other_way_over_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the bytes, half the time of a message, and the same collector are said to be so."""

    def memory_of(name: str, kind: str, count: int) -> Memory:  # noqa: ARG001 - as the real one is called
        return Memory(64 if name == OURS else 128, 0.0, 0.0)

    def work_of(name: str, count: int) -> Work:  # noqa: ARG001 - as the real one is called
        message_ns = 800 if name == OURS else 400
        operations = {"acquire": Times(0, 0, 1), "release": Times(0, 0, 2)}
        operations["message"] = Times(0, 0, message_ns)
        return Work(operations, {}, 0, 0, 0, 0, 1, 1, 0, 0)

    monkeypatch.setattr(bench_states, "memory_of", memory_of)
    monkeypatch.setattr(bench_states, "work_of", work_of)
    lines = bench_states.compare("slots", bench_states.QUICK, 3)
    assert [
        "slots / StatePool bytes, idle 2.000 (2.000 to 2.000) StatePool costs less",
        "slots / StatePool acquire and release, loop 1.000 (1.000 to 1.000) no difference shown",
        "slots / StatePool message, loop 0.500 (0.500 to 0.500) StatePool costs MORE",
        "slots / StatePool full collection 1.000 (1.000 to 1.000) no difference shown",
    ] == [" ".join(line.split()) for line in lines]


def test_each_codec_has_a_row_and_an_idle_state_takes_40_bytes() -> None:
    """A row is there for a codec only if it loses nothing, so all are there."""
    lines = table("bench_codec")
    place = bench_codec.FIRST, bench_codec.WIDTH
    rows = {each.name: cells(lines, each.name, *place) for each in CODECS}
    assert dict.fromkeys(rows, 9) == {name: len(row) for name, row in rows.items()}
    assert "40" == rows["memopt"][0]


def test_soak_adds_up() -> None:
    """Both kinds drive the same events, and the pool has counted them."""
    lines = quick("bench_soak")
    drive = [line for line in lines if " events: " in line]
    assert 2 == len(drive)
    assert 1 == len(set(drive))
    assert 2 == sum("are what was driven" in line for line in lines)


@pytest.mark.parametrize("kind", [ONE_BY_ONE, IN_BATCHES])
def test_soak_notices_a_message_that_is_not_counted(kind: str) -> None:
    """One message that the pool has not seen is a fault, by number and by bytes."""
    soak = Soak(kind, 500)
    soak.run(50)
    assert [] == soak.faults()
    soak.driven.messages += 1
    messages = soak.driven.messages
    assert [f"messages: {messages - 1:,} in the pool, {messages:,} driven"] == soak.faults()


def test_soak_notices_a_stale_handle_that_is_taken() -> None:
    """A pool that takes a batch with a handle of somebody who has left fails the soak."""
    soak = Soak(IN_BATCHES, 500)
    soak.run(50)
    assert soak.refuses_stale()
    soak.gone = int(soak.handles[0])
    assert not soak.refuses_stale()


class Forgetful(Msgpack):
    """A codec that does not bring back a count."""

    def content(self, decoded: Any) -> Fields:
        """Forget the bytes received."""
        return super().content([*decoded[:5], 0, *decoded[6:]])


def test_a_codec_that_loses_a_field_has_no_case() -> None:
    """Where the field is zero nothing is lost; where it is not, there is no row."""
    assert bench_codec.case_of(Forgetful(), IDLE, 3, 0) is not None
    assert bench_codec.case_of(Forgetful(), ACTIVE, 3, 0) is None


@pytest.mark.parametrize(
    ("measured", "verdict"), [(0.5, "met"), (0.51, "NOT MET"), (None, "not measured")]
)
def test_a_goal_is_met_only_by_a_figure(measured: float | None, verdict: str) -> None:
    """What was not measured is not met."""
    assert verdict == Goal("acquire", measured, 0.5, "us").verdict
