"""What a driver has counted and timed, and what several have together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from memopt_cli.profiler.histogram import Histogram, merged

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from memopt_cli.workloads.sockets.failures import Failure

BUSY_SHARE = 0.9
"""Above this share of its time at work a driver is taken for the bottleneck."""

LATE_S = 0.01
"""A send is late when it is this much later than intended, with a connection free for it."""

LATE_SHARE = 0.01
"""Above this share of late sends the schedule was not kept."""


@dataclass(slots=True)
class Tally:
    """
    Counts since the driver's start, but for the times, which are of one command.

    A connection is *open* from when TCP says so; it is *ready* once its protocol has opened.
    """

    attempted: int = 0
    """Connections asked for."""

    connected: int = 0
    """Of those, made by TCP; the server's program may not know of them yet."""

    opened: int = 0
    """Of those, ready to use: the protocol's opening was answered, where it has one."""

    closed: int = 0
    """Closed on purpose."""

    open: int = 0
    """Connected now."""

    ready: int = 0
    """Of those, in use or ready to be used now."""

    sent: int = 0
    """Requests."""

    answered: int = 0
    """Requests with a good reply, the late ones included."""

    not_answered: int = 0
    """Requests without a reply in time, on connections that stayed open."""

    late_replies: int = 0
    """Of those, answered after all."""

    not_sent: int = 0
    """Requests whose time came, and for which no connection was free until the end."""

    late_sends: int = 0
    """Requests sent `LATE_S` or more after the time intended, with a connection free for them."""

    timed_sends: int = 0
    """Requests whose lateness is the driver's: a connection was free for them."""

    slow_connects: int = 0
    """Connections whose first packet had to be sent again, after 1 s, 3 s and so on."""

    took_s: float = 0.0
    """Of the last command, from its start to its end."""

    busy_s: float = 0.0
    """Of it, not waiting for anything to happen."""

    cpu_s: float = 0.0
    """Of it, on a processor."""

    failures: Counter[str] = field(default_factory=Counter)
    """Connections lost or never made, by why."""

    closing_ages: Counter[str] = field(default_factory=Counter)
    """For how many seconds, to a tenth, connections were idle that the server closed."""

    examples: dict[str, str] = field(default_factory=dict)
    """What was found the first time, by why."""

    def fail(self, failure: Failure, example: str) -> None:
        """Count a connection that is lost or was never made."""
        self.failures[failure.value] += 1
        self.examples.setdefault(failure.value, example)

    def to_message(self) -> dict[str, Any]:
        """Return the counts as JSON has them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def from_message(cls, values: dict[str, Any]) -> Tally:
        """Return the counts that `to_message` wrote."""
        counted = {name: Counter(values[name]) for name in ("failures", "closing_ages")}
        return cls(**{**values, **counted})


@dataclass(frozen=True, slots=True)
class Report:
    """What the drivers say when a command is done."""

    tallies: tuple[Tally, ...]
    """Of each driver."""

    connecting: Histogram
    """From when a connection was meant to be asked for until it was ready; all since the start."""

    latency: Histogram
    """From when a request was meant to be sent until its reply was whole; of the last load."""

    lateness: Histogram
    """By how much requests were sent after the time intended; of the last load by a schedule."""

    @property
    def total(self) -> Tally:
        """The counts of all drivers; of the times the longest."""
        total = Tally()
        for tally in self.tallies:
            for each in fields(Tally):
                ours, theirs = getattr(total, each.name), getattr(tally, each.name)
                if each.name == "examples":
                    total.examples = {**theirs, **ours}
                else:
                    longest = each.name.endswith("_s")
                    setattr(total, each.name, max(ours, theirs) if longest else ours + theirs)
        return total

    @property
    def busiest_share(self) -> float:
        """The largest share of its time that a driver was at work, waiting for a core included."""
        shares = [tally.busy_s / tally.took_s for tally in self.tallies if tally.took_s]
        return max(shares, default=0.0)

    @property
    def limited_by(self) -> str | None:
        """Why the figures may be the drivers' own and not the server's; `None` if they are not."""
        if self.busiest_share > BUSY_SHARE:
            return f"a driver was at work {self.busiest_share:.0%} of the time"
        total = self.total
        if total.late_sends > LATE_SHARE * total.timed_sends:
            return f"{total.late_sends:,} of {total.timed_sends:,} requests were sent late"
        return None


def joined(reports: Iterable[tuple[Tally, Sequence[Histogram]]]) -> Report:
    """Return one report of what each driver counted and its three histograms."""
    tallies, histograms = zip(*reports, strict=True)
    return Report(tallies, *(merged(each) for each in zip(*histograms, strict=True)))
