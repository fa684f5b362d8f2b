"""Judges a run or a watch while it goes on, so rarely that it takes a twentieth of the time."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memopt_cli.analysis.watch_limits import WatchLimits
    from memopt_cli.engine.clock import Clock
    from memopt_cli.report.summary import Summary
    from memopt_cli.scenario.model import Scenario

FRESH_S = 5.0
"""For so long nothing is judged anew: scrapes come every 15 s or more by custom."""

SHARE_OF_TIME = 0.05
"""Of one core, that looks may take."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing can be told."""

    reason: str
    """Why, in one line."""


class Looks:
    """Looks at what is on disk when it is asked and due; any thread may ask."""

    def __init__(self, look: Callable[[], Summary], clock: Clock) -> None:
        """
        Args:
            look: Reads and judges what was measured so far.
            clock: Real time.
        """
        self._look = look
        self._clock = clock
        self._looking = threading.Lock()
        self._not_before = -math.inf
        self._found: Summary | Unknown | None = None
        self._has_ended = False

    def latest(self) -> Summary | Unknown | None:
        """Return what was found last; `None` if nothing was ever looked at."""
        # Who asks while another looks is told of the look before, if there was one.
        if self._looking.acquire(blocking=self._found is None):
            try:
                began = self._clock.now()
                if not self._has_ended and began >= self._not_before:
                    self._found = self._looked()
                    took_s = self._clock.now() - began
                    self._not_before = began + max(FRESH_S, took_s / SHARE_OF_TIME)
            finally:
                self._looking.release()
        return self._found

    def end(self) -> None:
        """Look no more: wait for the look that goes on, and keep what was found last."""
        with self._looking:
            self._has_ended = True

    def _looked(self) -> Summary | Unknown:
        try:
            return self._look()
        except Exception as exc:  # noqa: BLE001 - what is wrong shows when the run is judged at its end
            return Unknown(" ".join(f"{type(exc).__name__}: {exc}".split()))


def at_run(folder: Path, scenario: Scenario) -> Summary:
    """Read a run that goes on, its samples thinned, and judge it."""
    from memopt_cli.analysis.findings import judge
    from memopt_cli.report import summary
    from memopt_cli.store import reader

    return summary.of_run(judge(reader.overview(folder), scenario))


def at_watch(folder: Path, limits: WatchLimits) -> Summary:
    """Read a watch that goes on, its readings thinned, and judge it."""
    from memopt_cli.analysis.watch_findings import judge
    from memopt_cli.report import summary
    from memopt_cli.store.watch_reader import glance_at_watch

    return summary.of_watch(judge(glance_at_watch(folder), limits))
