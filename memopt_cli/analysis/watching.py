"""What was recorded while strangers' processes were watched: plain values, in their order."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memopt_cli.analysis.attribution import Suspect
    from memopt_cli.analysis.readings import Readings
    from memopt_cli.analysis.recording import Outcome
    from memopt_cli.profiler.histogram import Histogram


class Attribute(StrEnum):
    """When the lines and holders of memory are looked for in a program."""

    SUSPECTED = "suspected"
    """While something in it drifts up."""

    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Reading:
    """
    One row of a process's series. `None` means that it was not read this time.

    Memory is in bytes.
    """

    at_s: float
    """Since the watch began."""

    rss_bytes: int
    resident_anonymous_bytes: int
    """The kernel's counter, read every time."""

    cpu_s: float
    """CPU time that the process has used since it began."""

    threads: int
    fds: int
    gc_pauses: int
    """Collections since the reading before, all generations."""

    gc_pause_s: float
    """Their sum."""

    gc_pause_max_s: float
    cost_s: float
    """What this reading cost the watcher."""

    inside_cost_s: float
    """What it cost the program's own threads: CPU time of the agent in it."""

    anonymous_bytes: int | None = None
    """Exact, from smaps_rollup; swapped pages included."""

    uss_bytes: int | None = None
    malloc_in_use_bytes: int | None = None
    """Handed out by malloc: native memory and Python's objects above 512 bytes."""

    malloc_free_bytes: int | None = None
    allocated_blocks: int | None = None
    """Of Python's, of any size."""

    operations: float | None = None
    """What the program had done by then, if somebody counts."""


@dataclass(frozen=True, slots=True)
class ProcessRecording:
    """All that was recorded of one process."""

    pid: int
    parent_pid: int
    command: str
    """Its command line, shortened."""

    began_s: float
    """When it was first seen, since the watch began."""

    ended_s: float | None
    """When it was gone; `None` if it outlived the watch."""

    inside: str
    """Empty if an agent records inside it; otherwise why not."""

    readings: Readings
    pauses: Mapping[int, Histogram]
    """Collection pauses by generation; empty without an agent."""

    pauses_lost: int
    suspects: tuple[Suspect, ...] = ()
    """Lines and holders that were found for what grows in it, the worst first."""

    looks: int = 0
    """How often its objects were counted to find them."""

    traced_s: float = 0.0
    """For so long its allocations were traced."""

    not_traced: str = ""
    """Why allocations could not be traced; empty if they could, or nothing was suspected."""

    beside: ProcessRecording | None = None
    """The same process of the baseline."""


@dataclass(frozen=True, slots=True)
class WatchRecording:
    """All that was recorded of a watch."""

    target: str
    """The command line that was started, or ``process 4711``."""

    started_at: str
    """UTC, ISO 8601."""

    interval_s: float
    outcome: Outcome
    reason: str
    """Why it ended as it did, or empty."""

    signal: int | None
    """The signal that ended the watch, if one did."""

    exit_status: int | None
    """Of the command, as a shell shows it (128 + signal); `None` of a process we did not start."""

    environment: Mapping[str, str | int | float]
    wall_s: float
    processes: tuple[ProcessRecording, ...] = field(default=())
    """In the order in which they were seen; the first is the target itself."""

    processes_left_out: int = 0
    """Seen, and not recorded: there were too many."""

    baseline: WatchRecording | None = None
    """A clean watch that growth is judged beside."""

    baseline_name: str = ""
    """As the user named it."""
