"""What a driver does with its connections until it is done: the shape, holding and closing."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from memopt_cli.workloads.sockets.peeking import end_in_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from memopt_cli.workloads.sockets.crowd import Crowd

NS_PER_S = 1_000_000_000
WHILE_NS = 100_000_000
"""How long to wait when only an event can bring anything new."""

_BATCH = 128


class Activity:
    """Something that takes its time; what happens meanwhile is told to it."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd

    def over(self, now_ns: int) -> bool:
        """Say whether all is done."""
        raise NotImplementedError

    def step(self, now_ns: int) -> int:  # noqa: ARG002 - as activities are told
        """Do what is due; return in how many nanoseconds there is more to do."""
        return WHILE_NS

    def handle(self, events: Sequence[tuple[int, int]]) -> None:
        """Do what events demand."""
        self.crowd.handle(events)

    def opened(self, fd: int, now_ns: int) -> None:
        """Take in that a connection is ready."""

    def answered(self, fd: int, now_ns: int) -> None:
        """Take in that a reply is there."""

    def recovered(self, fd: int, now_ns: int) -> None:
        """Take in that a reply is there that was overdue."""

    def overdue(self, fd: int) -> None:
        """Take in that a reply was not there in time."""

    def lost(self, fd: int, state: int) -> None:
        """Take in that a connection, which was in *state*, is gone."""

    def end(self, now_ns: int) -> None:
        """Take in that no more is to be done, whether all is done or not."""


class Holding(Activity):
    """Watches the connections until a time."""

    def __init__(self, crowd: Crowd, until_ns: int) -> None:
        super().__init__(crowd)
        self._until_ns = until_ns

    def over(self, now_ns: int) -> bool:
        """Say whether the time has come."""
        return now_ns >= self._until_ns

    def step(self, now_ns: int) -> int:
        """Return how long it still is."""
        return max(1, self._until_ns - now_ns)


class Closing(Activity):
    """
    Closes connections, those with the lowest descriptors first.

    By a reset, unless told otherwise: it leaves no TIME_WAIT on either side. In order, whoever
    closes first keeps the port for a minute, and that is this side.
    """

    def __init__(self, crowd: Crowd, count: int | None, times_ns: Iterator[int], *, reset: bool):
        super().__init__(crowd)
        self._times_ns = times_ns
        self._next_ns = next(times_ns)
        self._reset = reset
        self._left = (fd for fd, state in enumerate(bytes(crowd.state)) if state)
        self._count = len(crowd.state) if count is None else count

    def over(self, now_ns: int) -> bool:  # noqa: ARG002 - as activities are told
        """Say whether as many are closed."""
        return self._count <= 0

    def step(self, now_ns: int) -> int:
        """Close those whose time has come."""
        for _ in range(_BATCH):
            if self._count <= 0:
                break
            if self._next_ns > now_ns:
                return self._next_ns - now_ns
            self._next_ns = next(self._times_ns)
            self._close_one()
        return 0

    def _close_one(self) -> None:
        self._count -= 1
        fd = next(self._left, None)
        if fd is None:
            self._count = 0
        elif self.crowd.state[fd]:
            if not self._reset:
                self.crowd.say_goodbye(fd)
            if self.crowd.state[fd]:
                if not self._reset:
                    end_in_order(fd)
                self.crowd.leave(fd)


def even(start_ns: int, rate_per_s: float | None, *, index: int, drivers: int) -> Iterator[int]:
    """
    Yield the times of this driver's share of a steady rate, in turn with the other drivers.

    Without a rate each is the start: as soon as it can be done.
    """
    gap_ns = 0.0 if rate_per_s is None else NS_PER_S / rate_per_s
    number = index
    while True:
        yield start_ns + int(number * gap_ns)
        number += drivers


def poisson(start_ns: int, rate_per_s: float, *, index: int, drivers: int) -> Iterator[int]:
    """Yield times of a Poisson process; those of all drivers together have the rate."""
    draw = random.Random(f"arrivals {index}")
    at_ns = float(start_ns)
    while True:
        at_ns += draw.expovariate(rate_per_s / drivers) * NS_PER_S
        yield int(at_ns)
