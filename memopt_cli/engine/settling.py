"""Waits until a server has come to rest, instead of for a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.engine.clock import Clock

WINDOW_S: Final = 1.0
"""
At rest is what has not moved for so long.

Servers do their housekeeping once a second (redis, uvicorn's date header), or more often.
"""

EVERY_S: Final = 0.1
STILL_BYTES: Final = 8192
STILL_SHARE: Final = 0.0005
"""Of what there is above the start: movement below it is less than the line's own interval."""


@dataclass(frozen=True, slots=True)
class State:
    """What must not move."""

    anonymous_bytes: int
    fds: int


@dataclass(frozen=True, slots=True)
class Settled:
    """How a wait ended."""

    took_s: float
    at_rest: bool


def settle(
    read: Callable[[], State],
    *,
    start_bytes: int,
    within_s: float,
    clock: Clock,
    check: Callable[[], None],
) -> Settled:
    """
    Wait until memory and descriptors have not moved for a second.

    Args:
        read: Returns them now.
        start_bytes: Memory before the first connection.
        within_s: When to give up.
        clock: Real time.
        check: Called all the while; what it raises ends the wait.
    """
    began_s = clock.now()
    states: list[tuple[float, State]] = []
    while True:
        check()
        now_s = clock.now()
        states.append((now_s, read()))
        window = [state for at_s, state in states if at_s >= now_s - WINDOW_S]
        if states[0][0] <= now_s - WINDOW_S and _still(window, start_bytes):
            return Settled(now_s - began_s, at_rest=True)
        if now_s - began_s >= within_s:
            return Settled(now_s - began_s, at_rest=False)
        states = states[-len(window) - 1 :]
        clock.sleep(EVERY_S)


def _still(window: list[State], start_bytes: int) -> bool:
    sizes = [state.anonymous_bytes for state in window]
    allowed = max(STILL_BYTES, STILL_SHARE * abs(sizes[-1] - start_bytes))
    return max(sizes) - min(sizes) <= allowed and len({state.fds for state in window}) == 1
