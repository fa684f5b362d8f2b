"""Ends a watch as soon as its verdict is settled."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from memopt_cli.analysis import watch_limits
from memopt_cli.analysis.early import FIRST, STEP, EarlyLooks
from memopt_cli.analysis.results import Verdict
from memopt_cli.analysis.watch_findings import judge
from memopt_cli.engine.watch_events import ReadingTaken

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.analysis.results import ThresholdResult
    from memopt_cli.analysis.watch_limits import WatchLimits
    from memopt_cli.analysis.watch_results import WatchFindings
    from memopt_cli.analysis.watching import WatchRecording
    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.engine.watch_events import WatchEvent

_OF_LEAKS = frozenset({"leak", "memory_leak_slope"})


class FailFast:
    """
    Judges what is on disk at fixed shares of the planned time, eighteen times at most.

    It asks for a stop when a leak is settled, or a limit is crossed that nothing can
    bring back: a peak, the longest pause, a count. The final verdict is made anew.
    """

    def __init__(
        self,
        limits: WatchLimits,
        *,
        duration_s: float,
        read: Callable[[], WatchRecording],
        stop: StopRequest,
    ) -> None:
        self._limits = limits
        self._duration_s = duration_s
        self._read = read
        self._stop = stop
        self._due = FIRST
        self._looks: defaultdict[tuple[str, str, str], EarlyLooks] = defaultdict(EarlyLooks)

    def see(self, event: WatchEvent) -> None:
        """Take notice of an event."""
        if not isinstance(event, ReadingTaken):
            return
        share = event.reading.at_s / self._duration_s
        if not self._due <= share < 1:
            return
        while self._due <= share:
            self._due += STEP
        self._look(judge(self._read(), self._limits), event.reading.at_s)

    def _look(self, found: WatchFindings, now_s: float) -> None:
        for result in found.thresholds:
            if result.metric in _OF_LEAKS:
                settled = self._is_settled(result, found, now_s)
            else:
                settled = result.verdict is Verdict.CROSSED and _is_for_good(result)
            if settled:
                who = " ".join([result.variant, *result.cell.values()])
                self._stop.by_threshold(f"{result.metric}: {result.expression} is settled: {who}")

    def _is_settled(self, result: ThresholdResult, found: WatchFindings, now_s: float) -> bool:
        """Return whether growth is a leak beyond its limit, by the looks at its process."""
        pid = result.cell.get("process", "")
        began_s = next((one.began_s for one in found.processes if str(one.pid) == pid), 0.0)
        if began_s >= self._duration_s:
            return False
        share = (now_s - began_s) / (self._duration_s - began_s)
        looks = self._looks[result.metric, result.expression, result.variant + pid]
        return looks.settled(share, z=result.z if result.verdict is Verdict.CROSSED else None)


def _is_for_good(result: ThresholdResult) -> bool:
    """Return whether a crossed limit stays crossed, whatever comes."""
    _, expression = watch_limits.threshold(f"{result.metric}: {result.expression}")
    rises = result.metric == "memory_total" or expression.aggregation in {"max", "count"}
    return rises and expression.operator.startswith("<")
