"""What happens while strangers' processes are watched, in the order in which it happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memopt_cli.analysis.attribution import Suspect
    from memopt_cli.analysis.recording import Outcome
    from memopt_cli.analysis.watching import Reading
    from memopt_cli.profiler.histogram import Histogram


@dataclass(frozen=True, slots=True)
class WatchStarted:
    """The target runs, and nothing was read yet."""

    target: str
    started_at: str
    interval_s: float
    duration_s: float | None
    environment: Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class ProcessAppeared:
    """A process of the target was seen for the first time."""

    number: int
    """Counts from 0; what follows about this process bears it."""

    pid: int
    parent_pid: int
    command: str
    at_s: float
    inside: str
    """Why there is no agent inside yet, or empty."""


@dataclass(frozen=True, slots=True)
class InsideChanged:
    """An agent was found inside a process, or it was found out why there will be none."""

    number: int
    inside: str


@dataclass(frozen=True, slots=True)
class ReadingTaken:
    """A process was read."""

    number: int
    reading: Reading


@dataclass(frozen=True, slots=True)
class PausesRecorded:
    """All collection pauses of a process so far; replaces what was told before."""

    number: int
    pauses: Mapping[int, Histogram]
    lost: int


@dataclass(frozen=True, slots=True)
class SuspectsFound:
    """What is known by now about what grows in a process; replaces what was told before."""

    number: int
    suspects: tuple[Suspect, ...]
    looks: int
    traced_s: float
    not_traced: str


@dataclass(frozen=True, slots=True)
class ProcessEnded:
    """A process of the target is gone."""

    number: int
    at_s: float


@dataclass(frozen=True, slots=True)
class WatchEnded:
    """Nothing follows; yielded however the watch ended."""

    outcome: Outcome
    reason: str
    signal: int | None
    exit_status: int | None
    wall_s: float
    processes_left_out: int


WatchEvent: TypeAlias = (
    WatchStarted
    | ProcessAppeared
    | InsideChanged
    | ReadingTaken
    | PausesRecorded
    | SuspectsFound
    | ProcessEnded
    | WatchEnded
)
