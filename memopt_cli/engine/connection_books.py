"""The books on a variant's real connections: what the drivers counted, as far as it is its own."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from memopt_cli.analysis.connections import ConnectionsRecording
from memopt_cli.profiler.histogram import Histogram, merged
from memopt_cli.workloads.sockets.tally import Tally

if TYPE_CHECKING:
    from memopt_cli.analysis.connections import Look
    from memopt_cli.engine.neighbours import Others
    from memopt_cli.store.resuming import Begun
    from memopt_cli.workloads.sockets.tally import Report


class Books:
    """Counts since the warm-up, which the drivers' own begin before."""

    def __init__(self, drivers: int) -> None:
        self.found = ConnectionsRecording(drivers=drivers)
        self.busy_s = 0.0
        """For so long requests were under way."""

        self._before = Tally()
        self._latency: dict[int, list[Histogram]] = defaultdict(list)
        self._connecting_before = False
        self._failures_before: dict[str, int] = {}

    def go_on(self, begun: Begun, busy_s: float) -> None:
        """Go on with what was counted before the connections were lost."""
        if begun.connections is not None:
            self.found = replace(begun.connections, drivers=self.found.drivers)
        # The drivers' histogram would hold those that replaced the lost ones too.
        self._connecting_before = self.found.connect_p50_s is not None
        self.busy_s = busy_s
        for stage, histogram in begun.latency.items():
            self._latency[stage].append(histogram)

    @property
    def answered(self) -> int:
        """Requests with a reply."""
        return self.found.answered

    def begin(self, report: Report, *, servers: int) -> None:
        """Leave out what the drivers counted until now."""
        total, found = report.total, self.found
        self._before = replace(
            total,
            slow_connects=total.slow_connects - found.slow_connects,
            attempted=total.attempted - found.attempted,
            closed=total.closed - found.closed,
            answered=total.answered - found.answered,
            not_answered=total.not_answered - found.not_answered,
        )
        self._failures_before = dict(found.failures)
        self.found = replace(found, servers=servers)

    def note(self, report: Report) -> None:
        """Take in what the drivers count since their start."""
        total, before = report.total, self._before
        failures = Counter(self._failures_before)
        failures.update(total.failures)
        failures.subtract(before.failures)
        self.found = replace(
            self.found,
            slow_connects=total.slow_connects - before.slow_connects,
            attempted=total.attempted - before.attempted,
            closed=total.closed - before.closed,
            answered=total.answered - before.answered,
            not_answered=total.not_answered - before.not_answered,
            failures={name: count for name, count in failures.items() if count > 0},
        )

    def note_connecting(self, report: Report, count: int, others: Others, *, first: bool) -> None:
        """Take in that *count* connections were asked for; *first* in the first growth."""
        self.note(report)
        times = report.connecting
        if not self._connecting_before:
            self.found = replace(
                self.found,
                connect_p50_s=times.quantile_s(0.5),
                connect_p99_s=times.quantile_s(0.99),
                connect_max_s=times.max_s,
            )
        if first:
            self.found = replace(
                self.found,
                connect_s=self.found.connect_s + report.total.took_s,
                connected=self.found.connected + count,
                connect_others_s=_sum(self.found.connect_others_s, others.used_s),
                connect_available_s=self.found.connect_available_s + others.available_s,
            )

    def note_answers(self, report: Report, stage: int) -> int:
        """Take in the replies of one command; return how many there were."""
        before = self.answered
        self.note(report)
        self.busy_s += report.total.took_s
        self._latency[stage].append(report.latency)
        return self.answered - before

    def note_limit(self, report: Report) -> None:
        """Take in that a load by schedule was the drivers' limit and not the server's."""
        if report.limited_by is not None:
            self.found = replace(self.found, limited_by=report.limited_by)

    def note_look(self, look: Look) -> None:
        """Take in one plateau."""
        self.found = self.found.with_look(look)

    def latency(self, stage: int) -> Histogram:
        """Return how long the replies of a stage took."""
        return merged(self._latency[stage])


def _sum(one: float | None, other: float | None) -> float | None:
    """Return the sum; unknown if one of them is."""
    return None if one is None or other is None else one + other
