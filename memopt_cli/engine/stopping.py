"""How a run is asked to stop: by a signal, or by a threshold."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from memopt_cli.analysis.recording import Outcome
from memopt_cli.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from memopt_cli.engine.clock import Clock


_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """Raised inside the engine at the first safe point after a stop was asked for."""


class StopRequest:
    """Set at most once; the engine looks at it between and during its waits."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.reason = ""
        self.signal: int | None = None
        self._slice: tuple[Clock, float, str] | None = None

    def give_slice(self, duration_s: float, clock: Clock) -> None:
        """Give the run so much time from now; what is not done by then is for the next slice."""
        reason = f"the slice of {format_duration(duration_s)} is over"
        self._slice = clock, clock.now() + duration_s, reason

    @property
    def is_over(self) -> bool:
        """
        Whether the run is to end here, in order: a stop was asked for, or its time is over.

        The engine looks at it after whole ticks only; `check` does not end a slice.
        """
        if self._slice is not None:
            clock, until_s, reason = self._slice
            if clock.now() >= until_s:
                self._set(Outcome.STOPPED, reason)
        return self.outcome is not None

    def by_signal(self, number: int) -> None:
        """Ask for a stop because of a signal; a second one ends memopt at once."""
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        self._set(Outcome.INTERRUPTED, f"stopped by {signal.Signals(number).name}")

    def by_threshold(self, reason: str) -> None:
        """Ask for a stop because a threshold with ``abort_on_fail`` was crossed."""
        self._set(Outcome.ABORTED, reason)

    def check(self) -> None:
        """Raise `Stopped` if a stop was asked for."""
        if self.outcome is not None:
            raise Stopped(self.reason)

    def _set(self, outcome: Outcome, reason: str) -> None:
        if self.outcome is None:
            self.outcome, self.reason = outcome, reason


@contextmanager
def signals_to(stop: StopRequest) -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into stop requests while inside."""

    def on_signal(number: int, _frame: FrameType | None) -> None:
        stop.by_signal(number)

    # One that was ignored from outside, as nohup does, stays ignored.
    numbers = [one for one in _STOPPING if signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
