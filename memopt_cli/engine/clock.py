"""The time that the engine goes by, passed in so that tests can own it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds that only go forward."""

    def now(self) -> float:
        """Return the time in seconds, from any origin."""

    def sleep(self, duration_s: float) -> None:
        """Wait."""


class SystemClock:
    """CLOCK_MONOTONIC."""

    def now(self) -> float:
        """Return the time in seconds since the machine was started."""
        return time.monotonic()

    def sleep(self, duration_s: float) -> None:
        """Wait."""
        time.sleep(duration_s)
