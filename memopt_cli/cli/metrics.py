"""``--metrics-port``: what is measured, as OpenMetrics over HTTP, while it is measured."""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from memopt_cli.analysis.watch_limits import WatchLimits
    from memopt_cli.cli.gauges import Gauges, RunGauges, WatchGauges
    from memopt_cli.cli.looks import Looks
    from memopt_cli.report.summary import Summary
    from memopt_cli.scenario.loading import Plan


@contextmanager
def served(port: int | None) -> Iterator[Metrics]:
    """
    Yield what is told of runs; it is served on *port* while inside, and nowhere if that is `None`.

    Raises:
        UsageError: The port is none, or cannot be had.
    """
    if port is None:
        yield Metrics()
        return
    from memopt_cli.cli import scrapes

    metrics = Metrics()
    with scrapes.served(port, metrics.answer) as metrics.address:
        yield metrics


class Metrics:
    """Tells of the run or the watch that goes on, and of the last one until the next begins."""

    def __init__(self) -> None:
        self.address = ""
        """Where it is served; empty if it is not."""

        self._is_told = False
        self._current: tuple[Gauges, Looks] | None = None

    @contextmanager
    def of_run(self, plan: Plan, folder: Path) -> Iterator[RunGauges]:
        """Tell of a run while inside; what is yielded has to see its events."""
        from memopt_cli.cli import looks
        from memopt_cli.cli.gauges import RunGauges

        followed = RunGauges(plan)
        with self._following(followed, lambda: looks.at_run(folder, plan.scenario)):
            yield followed

    @contextmanager
    def of_watch(self, limits: WatchLimits, folder: Path) -> Iterator[WatchGauges]:
        """Tell of a watch while inside; what is yielded has to see its events."""
        from memopt_cli.cli import looks
        from memopt_cli.cli.gauges import WatchGauges

        followed = WatchGauges()
        with self._following(followed, lambda: looks.at_watch(folder, limits)):
            yield followed

    @contextmanager
    def _following(self, gauges: Gauges, look: Callable[[], Summary]) -> Iterator[None]:
        if not self.address:
            yield
            return
        from memopt_cli.cli import display
        from memopt_cli.cli.looks import Looks
        from memopt_cli.engine.clock import SystemClock

        looks = Looks(look, SystemClock())
        self._current = gauges, looks
        if not self._is_told:
            # Also with --quiet: a port that was chosen by the system is told nowhere else.
            display.say(f"Metrics: {self.address}")
            self._is_told = True
        try:
            yield
        finally:
            # Before the writer closes: while somebody reads, the log stays beside the run.
            looks.end()

    def answer(self) -> tuple[HTTPStatus, str]:
        """Return the status and the text that a scrape is answered with; any thread may ask."""
        from memopt_cli.cli.looks import Unknown
        from memopt_cli.report.openmetrics import openmetrics

        if self._current is None:
            return HTTPStatus.OK, openmetrics(())
        gauges, looks = self._current
        found = looks.latest() if gauges.has_begun else None
        if isinstance(found, Unknown):
            told = f"What was measured cannot be judged: {found.reason}\n"
            return HTTPStatus.SERVICE_UNAVAILABLE, told
        return HTTPStatus.OK, openmetrics([] if found is None else [found], gauges.now())
