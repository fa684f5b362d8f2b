"""How a run is asked to stop: by a signal, or by a threshold."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from memopt_cli.analysis.recording import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """Raised inside the engine at the first safe point after a stop was asked for."""


class StopRequest:
    """Set at most once; the engine looks at it between and during its waits."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.reason = ""
        self.signal: int | None = None

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

    def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        stop.by_signal(number)

    # One that was ignored from outside, as nohup does, stays ignored.
    numbers = [one for one in _STOPPING if signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
