"""Watches the thresholds that may abort a run while it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.analysis.findings import judge
from memopt_cli.analysis.results import Verdict
from memopt_cli.engine import events

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.analysis.recording import Recording
    from memopt_cli.engine.clock import Clock
    from memopt_cli.engine.events import Event
    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.scenario.model import Scenario

SHARE_OF_TIME = 0.05
"""Judging reads the whole run so far; it may take this share of the run's time."""


class ThresholdWatch:
    """
    Judges the thresholds with ``abort_on_fail`` on what is on disk, about every second.

    It asks for a stop when one is crossed; the final verdict is made anew at the
    end. ``delay_abort_eval`` counts in scenario time from the variant's start.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        read: Callable[[], Recording],
        clock: Clock,
        stop: StopRequest,
    ) -> None:
        self._scenario = scenario
        self._aborting = tuple(one for one in scenario.thresholds if one.abort_on_fail)
        self._read = read
        self._clock = clock
        self._stop = stop
        self._at_s = 0.0
        self._current: tuple[str, dict[str, str]] = ("", {})
        self._not_before = clock.now()

    def see(self, event: Event) -> None:
        """Take notice of an event."""
        match event:
            case events.VariantStarted():
                self._at_s = 0.0
                self._current = (event.name, dict(event.cell))
            case events.SampleTaken():
                self._at_s = event.sample.at_s
            case events.DurationsRecorded() if self._aborting:
                self._judge()
            case _:
                return

    def _judge(self) -> None:
        began = self._clock.now()
        due = tuple(one for one in self._aborting if one.delay_abort_eval_s <= self._at_s)
        if began < self._not_before or not due:
            return
        metrics = {one.metric for one in due}
        judged = judge(self._read(), self._scenario.model_copy(update={"thresholds": due}))
        for result in judged.thresholds:
            if result.verdict is not Verdict.CROSSED or result.metric not in metrics:
                continue
            # Of a variant that has ended, nothing can be aborted any more.
            if (result.variant, dict(result.cell)) == self._current:
                self._stop.by_threshold(
                    f"{result.metric}: {result.expression} was crossed by {result.variant}"
                )
        took = self._clock.now() - began
        self._not_before = began + took / SHARE_OF_TIME
