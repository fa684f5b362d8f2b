"""What a watch sees in a program: its heap, its lines, and nothing that was not there."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from memopt_cli.analysis.recording import Outcome
from memopt_cli.engine import investigating
from memopt_cli.engine.watch_events import (
    SuspectsFound,
)

if TYPE_CHECKING:
    from tests.engine.watcher import Watcher


LEAK = """
import time
class Service:
    kept, handled = [], 0
service = Service()
while True:
    for _ in range(20):
        service.kept.append(bytes(1000))
        service.handled += 1
    time.sleep(0.01)
"""


def test_a_leak_is_suspected_and_its_line_is_found(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody said that it leaks: the readings do, then censuses and a window name the line."""
    monkeypatch.setattr(investigating, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(investigating, "CENSUS_DUTY", 1.0)

    ended = watcher.run(
        watcher.python(LEAK),
        until=lambda: any(event.suspects for event in watcher.all(SuspectsFound)),
        operations="__main__.service.handled",
    )

    found = watcher.all(SuspectsFound)[-1]
    first = found.suspects[0]
    assert (f"{watcher.folder}/app.py", 9) == (first.file, first.line)
    assert "__main__.Service.kept" == first.holder
    assert first.bytes_per_operation is not None
    # The program's own count, of the moment of each census: to the byte.
    assert 1033 == pytest.approx(first.bytes_per_operation.value, rel=1e-3)
    assert found.looks >= 8
    assert found.traced_s > 0
    assert (Outcome.INTERRUPTED, signal.SIGTERM) == (ended.outcome, ended.signal)
    assert 128 + signal.SIGTERM == ended.exit_status


def test_the_heap_and_the_count_come_with_the_readings(watcher: Watcher) -> None:
    """Blocks, malloc and operations are told together, by a program that was not stopped."""

    def done() -> float:
        told = [each.operations for each in watcher.readings() if each.operations is not None]
        return told[-1] - told[0] if told else 0.0

    watcher.run(
        watcher.python(LEAK), until=lambda: done() > 2_000, operations="__main__.Service.kept"
    )

    told = [each for each in watcher.readings() if each.operations is not None]
    malloc = [each.malloc_in_use_bytes for each in told if each.malloc_in_use_bytes is not None]
    kept_bytes = 1040 * done()
    # Nobody stops the program between its count and its heap: a turn of 20 operations may lie
    # between. The list itself, and what the agent loads to count objects, come on top.
    assert kept_bytes - 20 * 1040 <= malloc[-1] - malloc[0] < kept_bytes + 1_000_000
    assert len(told) == len(malloc)
    assert None not in {each.allocated_blocks for each in told}
    assert all(each.inside_cost_s > 0 for each in told)
    assert watcher.readings()[0].anonymous_bytes is not None


def test_an_idle_program_is_not_investigated_and_does_not_grow(watcher: Watcher) -> None:
    """The agent leaves nothing in it: after its first answers, not a block more."""
    watcher.run(
        watcher.python("import time; time.sleep(60)"),
        until=lambda: sum(each.allocated_blocks is not None for each in watcher.readings()) > 40,
    )

    blocks = [each.allocated_blocks for each in watcher.readings() if each.allocated_blocks]
    assert {blocks[5]} == set(blocks[5:])
    assert [] == watcher.all(SuspectsFound)
