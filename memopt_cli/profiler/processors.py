"""What the processors of this machine have done since its start, as ``/proc/stat`` tells."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from memopt_cli.profiler.proc_tree import ProcTree

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_USER, _NICE, _SYSTEM, _STEAL = 0, 1, 2, 7
_KINDS = 8
"""User, nice, system, idle, waiting, interrupts, soft interrupts, stolen; guests are in user."""


@dataclass(frozen=True, slots=True)
class ProcessorTimes:
    """Of all processors together."""

    programs_s: float
    """For programs, the kernel on their behalf included, and for other machines of the host."""

    available_s: float
    """All there was, idle time included."""


def read(root: Path = Path("/")) -> ProcessorTimes | None:
    """Return the times until now; `None` where they are not told."""
    words = (ProcTree(root).text("proc/stat") or "").partition("\n")[0].split()
    if len(words) <= _KINDS or words[0] != "cpu":
        return None
    ticks = [int(word) for word in words[1 : _KINDS + 1]]
    programs = sum(ticks[kind] for kind in (_USER, _NICE, _SYSTEM, _STEAL))
    return ProcessorTimes(programs / _TICKS_PER_S, sum(ticks) / _TICKS_PER_S)
