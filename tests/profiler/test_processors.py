"""Processor time of a machine is read from its kernel's table."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from memopt_cli.profiler import processors
from memopt_cli.profiler.processors import ProcessorTimes

if TYPE_CHECKING:
    from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def _written(root: Path, *seconds: int) -> None:
    (root / "proc").mkdir()
    ticks = " ".join(str(each * TICKS_PER_S) for each in seconds)
    (root / "proc/stat").write_text(f"cpu  {ticks}\ncpu0 {ticks}\n", encoding="ascii")


def test_programs_are_told_from_interrupts_and_idle_time(tmp_path: Path) -> None:
    """User, nice, system and stolen time is of programs; guests are in user time already."""
    _written(tmp_path, 10, 1, 5, 100, 7, 2, 3, 4, 6, 0)
    assert ProcessorTimes(20.0, 132.0) == processors.read(tmp_path)


def test_what_is_not_told_is_not_known(tmp_path: Path) -> None:
    """Without the table nothing is said, and nothing is zero."""
    assert processors.read(tmp_path) is None
    _written(tmp_path, 10, 1)
    assert processors.read(tmp_path) is None
