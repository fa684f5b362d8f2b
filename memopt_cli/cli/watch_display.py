"""What a person sees while a watch goes on: a live table, or a line now and then."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memopt_cli.cli.display import silent
from memopt_cli.engine import watch_events as events
from memopt_cli.units import format_count, format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.table import Table

    from memopt_cli.analysis.attribution import Suspect
    from memopt_cli.analysis.watching import Reading
    from memopt_cli.engine.watch_events import WatchEvent

_BARS = "▁▂▃▄▅▆▇█"
_POINTS = 32
"""Of the line that shows a process's memory since it was first seen."""

_MOST_SHOWN = 12
_SAY_EVERY_S = 60.0
_NARROW = 100


@dataclass(slots=True)
class Shown:
    """What is shown of one process."""

    pid: int
    command: str
    inside: str
    began_s: float
    reading: Reading | None = None
    first: Reading | None = None
    longest_pause_s: float = 0.0
    ended: bool = False
    suspect: Suspect | None = None
    looks: int = 0
    points: list[int] = field(default_factory=list)
    _apart: int = 1
    _skipped: int = 0

    def see(self, reading: Reading) -> None:
        """Take a reading; the line of points keeps every second one whenever it is full."""
        self.first = self.first or reading
        self.reading = reading
        self.longest_pause_s = max(self.longest_pause_s, reading.gc_pause_max_s)
        self._skipped += 1
        if self._skipped >= self._apart:
            self._skipped = 0
            self.points.append(reading.resident_anonymous_bytes)
        if len(self.points) > _POINTS:
            del self.points[1::2]
            self._apart *= 2

    @property
    def size_bytes(self) -> int:
        """The anonymous memory that was read last."""
        return self.reading.resident_anonymous_bytes if self.reading else 0

    @property
    def grown_bytes(self) -> int:
        """Anonymous memory since the first reading."""
        return self.size_bytes - (self.first.resident_anonymous_bytes if self.first else 0)


@contextmanager
def watching(out: Console | None, *, live: bool) -> Iterator[WatchDisplay]:
    """Yield a display on *out*, or a silent one; leaving restores the terminal."""
    shown = silent() if out is None else out
    live = live and shown.is_terminal
    display = WatchDisplay(shown, live=live)
    if not live:
        yield display
        return
    from rich.live import Live

    with Live(
        get_renderable=display.table,
        console=shown,
        refresh_per_second=2,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ):
        yield display


class WatchDisplay:
    """Shows the events of a watch; says in lines what a live table would show."""

    def __init__(self, out: Console, *, live: bool) -> None:
        self._out = out
        self._live = live
        self._processes: dict[int, Shown] = {}
        self._target = ""
        self._duration_s: float | None = None
        self._at_s = self._said_s = 0.0

    def see(self, event: WatchEvent) -> None:
        """Show one event."""
        match event:
            case events.WatchStarted():
                self._target, self._duration_s = event.target, event.duration_s
            case events.ProcessAppeared():
                self._processes[event.number] = Shown(
                    event.pid, event.command, event.inside, event.at_s
                )
            case events.InsideChanged():
                self._processes[event.number].inside = event.inside
            case events.ReadingTaken():
                self._processes[event.number].see(event.reading)
                self._at_s = max(self._at_s, event.reading.at_s)
                self._say_how_it_goes()
            case events.SuspectsFound():
                self._suspected(self._processes[event.number], event)
            case events.ProcessEnded():
                self._processes[event.number].ended = True
            case _:
                return

    def _suspected(self, shown: Shown, event: events.SuspectsFound) -> None:
        before, shown.looks = shown.suspect, event.looks
        shown.suspect = event.suspects[0] if event.suspects else None
        if shown.suspect is not None and before is None and not self._live:
            self._say(f"process {shown.pid} grows: {_place(shown.suspect)}")

    def _say_how_it_goes(self) -> None:
        if self._live or self._at_s < self._said_s + _SAY_EVERY_S:
            return
        self._said_s = self._at_s
        alive = [shown for shown in self._processes.values() if not shown.ended]
        size = sum(shown.size_bytes for shown in alive)
        grown = sum(shown.grown_bytes for shown in alive)
        of = "1 process" if len(alive) == 1 else f"{len(alive)} processes"
        self._say(f"{self._time()}: {format_size(size)} in {of}, {_signed(grown)} since the start")

    def _say(self, text: str) -> None:
        self._out.print(f"memopt: {text}", soft_wrap=True)

    def _time(self) -> str:
        elapsed = format_duration(round(self._at_s))
        if self._duration_s is None:
            return elapsed
        left = max(0.0, self._duration_s - self._at_s)
        return f"{elapsed}, {format_duration(round(left))} left"

    def table(self) -> Table:
        """Return the processes as they are now, the largest first."""
        from memopt_cli.cli.watch_tables import fitted

        alive = [shown for shown in self._processes.values() if not shown.ended]
        alive.sort(key=lambda shown: -shown.size_bytes)
        head = ["pid", "memory", "change", "longest GC"]
        if self._out.width >= _NARROW:
            head.append("since the start".ljust(_POINTS))
        rows = [row for shown in alive[:_MOST_SHOWN] for row in _rows(shown, len(head))]
        table = fitted(self._out, head, rows, "process")
        table.title = f"{self._target}: {self._time()}; Ctrl-C ends with a report"
        table.title_justify = table.caption_justify = "left"
        if (left := len(alive) - _MOST_SHOWN) > 0:
            table.caption = f"and {format_count(left)} more"
        return table


def _rows(shown: Shown, columns: int) -> list[list[str]]:
    """Return the row of a process, and below it what grows in it."""
    from memopt_cli.cli.watch_tables import plain

    pause = "-" if shown.inside else format_duration(shown.longest_pause_s)
    figures = [str(shown.pid), format_size(shown.size_bytes), _signed(shown.grown_bytes), pause]
    if columns > len(figures):
        figures.append(_line(shown.points).ljust(_POINTS))
    rows = [[*figures, plain(shown.command)]]
    if shown.suspect is not None:
        rows.append([*[""] * columns, f"  grows: {_place(shown.suspect)}"])
    return rows


def _place(suspect: Suspect) -> str:
    """Return where it grows and what keeps it, in one phrase."""
    where = f"{suspect.file}:{suspect.line}" if suspect.file else "no line was seen"
    return f"{where}, held by {suspect.holder}" if suspect.holder else where


def _signed(size_bytes: int) -> str:
    return ("+" if size_bytes >= 0 else "-") + format_size(abs(size_bytes))


def _line(points: list[int]) -> str:
    """
    Return a line of bars, the lowest for the least.

    >>> _line([1, 5, 9])
    '▁▄█'
    """
    if not points:
        return ""
    least, most = min(points), max(points)
    if least == most:
        return _BARS[0] * len(points)
    return "".join(_BARS[(point - least) * (len(_BARS) - 1) // (most - least)] for point in points)
