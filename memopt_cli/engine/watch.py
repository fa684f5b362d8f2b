"""Watches a run while it goes on, for what may end it before its time."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from memopt_cli.analysis import steady
from memopt_cli.analysis.early import EarlyLooks
from memopt_cli.analysis.findings import judge
from memopt_cli.analysis.results import Verdict
from memopt_cli.analysis.threshold_growth import OF_LEAKS
from memopt_cli.engine import events

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memopt_cli.analysis.recording import Recording, StageSpan
    from memopt_cli.analysis.results import ThresholdResult
    from memopt_cli.engine.clock import Clock
    from memopt_cli.engine.events import Event
    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.scenario.model import Scenario, Threshold

SHARE_OF_TIME = 0.05
"""Judging reads what was kept so far; it may take this share of the run's time."""


class ThresholdWatch:
    """
    Judges the thresholds with ``abort_on_fail`` on what is on disk, about every second.

    It asks for a stop when one is crossed; the final verdict is made anew at the
    end. ``delay_abort_eval`` counts in scenario time from the variant's start. What is
    crossed by a leak stops a run only when the leak is settled (`analysis.early`): judged
    every second as at the end, healthy runs would be stopped too.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        read: Callable[[], Recording],
        clock: Clock,
        stop: StopRequest,
        fail_fast: bool = False,
    ) -> None:
        """
        Args:
            scenario: What is run.
            read: Returns what was recorded so far, of the latest variant at least.
            clock: Real time.
            stop: Is asked to end the run.
            fail_fast: Whether a leak may stop the run, whatever is to abort it.
        """
        self._scenario = scenario
        self._aborting = tuple(one for one in scenario.thresholds if one.abort_on_fail)
        self._leaks = tuple(one for one in scenario.thresholds if one.metric in OF_LEAKS)
        self._fail_fast = fail_fast
        self._read = read
        self._clock = clock
        self._stop = stop
        self._at_s = 0.0
        self._current: tuple[str, dict[str, str]] = ("", {})
        self._stages: list[StageSpan] = []
        self._looks: defaultdict[tuple[str, str, str | None], EarlyLooks]
        self._looks = defaultdict(EarlyLooks)
        self._not_before = clock.now()

    def see(self, event: Event) -> None:
        """Take notice of an event."""
        match event:
            case events.VariantStarted():
                self._at_s = 0.0
                self._current = (event.name, dict(event.cell))
                self._stages = []
                self._looks.clear()
            case events.StageStarted():
                self._stages.append(event.stage)
            case events.SampleTaken():
                self._at_s = event.sample.at_s
                if self._fail_fast:
                    self._judge()
            case events.DurationsRecorded() if self._aborting or self._fail_fast:
                self._judge()
            case _:
                return

    def _judge(self) -> None:
        began = self._clock.now()
        due = tuple(one for one in self._aborting if one.delay_abort_eval_s <= self._at_s)
        if began < self._not_before or not (due or self._fail_fast):
            return
        looked_at = self._with_leaks(due)
        judged = judge(self._read(), self._scenario.model_copy(update={"thresholds": looked_at}))
        for result in judged.thresholds:
            # Of a variant that has ended, nothing can be aborted any more.
            if (result.variant, dict(result.cell)) != self._current:
                continue
            if self._stops(result, due):
                self._stop.by_threshold(
                    f"{result.metric}: {result.expression} was crossed by {result.variant}"
                )
        took = self._clock.now() - began
        self._not_before = began + took / SHARE_OF_TIME

    def _with_leaks(self, due: Sequence[Threshold]) -> tuple[Threshold, ...]:
        """Return what is judged: with growth, by all that the scenario says of it."""
        rest = self._leaks if self._fail_fast else ()
        return (*due, *(one for one in rest if one not in due))

    def _stops(self, result: ThresholdResult, due: Sequence[Threshold]) -> bool:
        asked = {one.metric for one in due}
        crossed = result.verdict is Verdict.CROSSED
        if result.metric not in OF_LEAKS:
            return crossed and result.metric in asked
        if not self._fail_fast and result.metric not in asked:
            return False
        looks = self._looks[result.metric, result.expression, result.stage]
        share = self._share(result.stage)
        if share >= 1:
            return crossed
        return looks.settled(share, z=result.z if crossed else None)

    def _share(self, name: str | None) -> float:
        """Return how much of a stage, or of the steady one, has passed."""
        named = [number for number, one in enumerate(self._stages) if one.name == name]
        number = named[0] if named else steady.steady_stage(self._stages)
        if number is None:
            return 0.0
        stage = self._stages[number]
        return (self._at_s - stage.starts_s) / (stage.ends_s - stage.starts_s)
