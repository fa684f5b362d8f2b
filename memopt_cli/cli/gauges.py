"""What is known of a run or a watch at this moment, from its events: nothing is read for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from memopt_cli.engine import events, watch_events
from memopt_cli.report.openmetrics import Gauge
from memopt_cli.report.summary import variant_labels

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.analysis.watching import Reading
    from memopt_cli.engine.events import Event
    from memopt_cli.engine.watch_events import WatchEvent
    from memopt_cli.scenario.loading import Plan


class Gauges(Protocol):
    """What follows the events of a run or a watch."""

    @property
    def has_begun(self) -> bool:
        """Whether there is something on disk that can be judged."""

    def now(self) -> list[Gauge]:
        """Return what is known; another thread than that of the events may ask."""


class RunGauges:
    """Follows the events of a run."""

    def __init__(self, plan: Plan, *, wall_clock: Callable[[], float] = time.time) -> None:
        """
        Args:
            plan: What is run.
            wall_clock: Unix time in seconds.
        """
        self._whole = {"scenario": plan.scenario.name}
        self._planned = [
            (dict(cell.label), variant.name, cell.scenario.load.duration_s)
            for cell in plan.cells
            for variant in cell.scenario.variants
        ]
        self._wall_clock = wall_clock
        self._variant: events.VariantStarted | None = None
        # One value, so that whoever asks never sees the half of a change.
        self._sample: tuple[events.VariantStarted, events.SampleTaken, float] | None = None
        self.has_begun = False

    def see(self, event: Event) -> None:
        """Take notice of an event."""
        match event:
            case events.RunStarted():
                self.has_begun = True
            case events.VariantStarted():
                self._variant = event
            case events.SampleTaken() if self._variant is not None:
                self._sample = self._variant, event, self._wall_clock()
            case _:
                return

    def now(self) -> list[Gauge]:
        """Return what is known: before the first sample, that it has not finished."""
        told = [Gauge("memopt_finished", self._whole, 0.0)]
        if (last := self._sample) is None:
            return told
        variant, taken, unix_s = last
        sample = taken.sample
        of_it = {**self._whole, **variant_labels(variant.name, variant.unit, variant.cell)}
        share = self._progress(variant, sample.at_s)
        return [
            *told,
            Gauge("memopt_current_memory_bytes", of_it, sample.resident_anonymous_bytes),
            Gauge("memopt_current_units", of_it, sample.units),
            Gauge("memopt_last_sample_timestamp_seconds", of_it, unix_s),
            Gauge("memopt_progress_ratio", self._whole, share),
        ]

    def _progress(self, variant: events.VariantStarted, at_s: float) -> float:
        """Return the share of the scenario time of all variants that is over."""
        of_each_s = [duration_s for *_, duration_s in self._planned]
        names = [(cell, name) for cell, name, _ in self._planned]
        number = names.index((dict(variant.cell), variant.name))
        over_s = sum(of_each_s[:number]) + min(at_s, of_each_s[number])
        return over_s / sum(of_each_s)


class WatchGauges:
    """Follows the events of a watch."""

    def __init__(self, *, wall_clock: Callable[[], float] = time.time) -> None:
        """
        Args:
            wall_clock: Unix time in seconds.
        """
        self._wall_clock = wall_clock
        self._started: watch_events.WatchStarted | None = None
        self._processes: dict[int, watch_events.ProcessAppeared] = {}
        self._readings: dict[int, tuple[watch_events.ProcessAppeared, Reading, float]] = {}

    @property
    def has_begun(self) -> bool:
        """Whether there is something on disk that can be judged."""
        return self._started is not None

    def see(self, event: WatchEvent) -> None:
        """Take notice of an event; a process that is gone is told of no more."""
        match event:
            case watch_events.WatchStarted():
                self._started = event
            case watch_events.ProcessAppeared():
                self._processes[event.number] = event
            case watch_events.ReadingTaken():
                process = self._processes[event.number]
                self._readings[event.number] = process, event.reading, self._wall_clock()
            case watch_events.ProcessEnded():
                self._processes.pop(event.number, None)
                self._readings.pop(event.number, None)
            case _:
                return

    def now(self) -> list[Gauge]:
        """Return what is known; of a target that is not started yet, nothing."""
        if self._started is None:
            return []
        whole = {"target": self._started.target}
        told = [Gauge("memopt_finished", whole, 0.0)]
        # Copied at once: the thread of the events may change it meanwhile.
        readings = list(self._readings.values())
        for process, reading, unix_s in readings:
            of_it = {**whole, "pid": str(process.pid), "command": process.command}
            size = reading.resident_anonymous_bytes
            told.append(Gauge("memopt_current_memory_bytes", of_it, size))
            told.append(Gauge("memopt_last_sample_timestamp_seconds", of_it, unix_s))
        if readings and self._started.duration_s is not None:
            at_s = max(reading.at_s for _, reading, _ in readings)
            share = min(1.0, at_s / self._started.duration_s)
            told.append(Gauge("memopt_progress_ratio", whole, share))
        return told
