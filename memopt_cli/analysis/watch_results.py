"""What a watch means: figures of each process, and one verdict over all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.analysis.results import LeakVerdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memopt_cli.analysis.alerts import Alert
    from memopt_cli.analysis.attribution import Suspect
    from memopt_cli.analysis.leak import Growth
    from memopt_cli.analysis.leak_signals import Metric, Pattern
    from memopt_cli.analysis.origin import GrowthOrigin
    from memopt_cli.analysis.recording import Outcome
    from memopt_cli.analysis.results import Distribution, Leak, ThresholdResult, Verdict
    from memopt_cli.analysis.watch_limits import WatchLimits
    from memopt_cli.exit_codes import ExitCode


@dataclass(frozen=True, slots=True)
class GrowthFindings:
    """How memory grows, by all metrics together."""

    leak: Leak
    pattern: Pattern
    measured_by: Metric | None
    """The metric whose slope is the figure; a count stands for 64 bytes each."""

    growths: Mapping[Metric, Growth]
    """Of each metric that was judged; times from its own first reading."""

    starts_s: Mapping[Metric, float]
    """When the first reading of each was taken, since the watch began."""

    origin: GrowthOrigin


@dataclass(frozen=True, slots=True)
class WatchCost:
    """What a watch cost, beside what it found."""

    readings: int
    reading_p50_s: float | None
    """Of the watcher's time, as the next two."""

    reading_max_s: float | None
    reading_share: float | None
    """All readings over the time that was watched."""

    inside_p50_s: float | None
    """Of the program's own time for a reading; `None` without an agent, as the next two."""

    inside_total_s: float | None
    inside_share: float | None
    traced_s: float
    traced_share: float | None


@dataclass(frozen=True, slots=True)
class ProcessFindings:
    """What was found of one process."""

    number: int
    """As in the recording."""

    pid: int
    parent_pid: int
    command: str
    began_s: float
    ended_s: float | None
    is_whole: bool
    """Whether it lived for nearly all of the watch; what did not may be listed only."""

    is_judged: bool
    """Whether it was read often enough for a verdict."""

    watched_s: float
    """From its first reading to its last."""

    growth: GrowthFindings
    suspects: tuple[Suspect, ...]
    """Evidence of what grows; only where the verdict is a leak are they its lines."""

    looks: int
    not_traced: str
    inside: str
    gc_pause: Distribution | None
    """`None` without an agent inside, as the next two."""

    gc_pause_by_generation: Mapping[int, Distribution]
    gc_pause_share: float | None
    """Sum of pauses over the time watched."""

    pauses_lost: int
    cpu_share: float | None
    """CPU time over the time watched; above 1 with several busy threads."""

    peak_rss_bytes: int | None
    last_anonymous_bytes: int | None
    fragmentation: float | None
    """Malloc's free bytes over all that it holds, at the last reading that knows."""

    threads: int | None
    """At the last reading, as the next."""

    fds: int | None
    cost: WatchCost

    @property
    def leaks(self) -> bool:
        """Whether its growth is called a leak."""
        return self.growth.leak.verdict is LeakVerdict.LEAK


@dataclass(frozen=True, slots=True)
class RestartFindings:
    """One program in several processes, one after the other."""

    pids: tuple[int, ...]
    """In their order."""

    command: str
    growth: GrowthFindings
    """Within the lives; the level at which each begins is no growth."""

    @property
    def leaks(self) -> bool:
        """Whether its growth is called a leak."""
        return self.growth.leak.verdict is LeakVerdict.LEAK


@dataclass(frozen=True, slots=True)
class TreeFindings:
    """The sum over all processes; what no single one of them shows, a leak of processes."""

    growth: GrowthFindings
    points: tuple[tuple[float, int, int], ...]
    """Time, living processes, and their anonymous bytes; thinned for drawing."""

    processes_first: int
    processes_peak: int
    processes_last: int

    @property
    def leaks(self) -> bool:
        """Whether the sum's growth is called a leak."""
        return self.growth.leak.verdict is LeakVerdict.LEAK


@dataclass(frozen=True, slots=True)
class WatchFindings:
    """A watch, judged."""

    target: str
    started_at: str
    interval_s: float
    outcome: Outcome
    reason: str
    signal: int | None
    exit_status: int | None
    environment: Mapping[str, str | int | float]
    wall_s: float
    processes: tuple[ProcessFindings, ...]
    processes_left_out: int
    tree: TreeFindings | None
    """`None` of a single process."""

    limits: WatchLimits
    thresholds: tuple[ThresholdResult, ...]
    verdict: Verdict
    exit_code: ExitCode
    alerts: tuple[Alert, ...] = ()
    """What was beyond a limit for a while; it fails nothing."""

    restarted: tuple[RestartFindings, ...] = ()
    baseline: str = ""
    """The watch that growth was judged beside, as it was named; empty without one."""
