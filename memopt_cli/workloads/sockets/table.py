"""
The connections of one driver as columns by descriptor, and how they come and go.

An idle connection has no object of its own. What a few have beyond the columns is kept
in dictionaries by descriptor, and only while they have it: bytes that could not be sent
yet, a reply that is not whole, a session's name, a TLS channel.
"""

from __future__ import annotations

import os
import select
from array import array
from time import perf_counter_ns
from typing import TYPE_CHECKING

from memopt_cli.profiler.histogram import Histogram
from memopt_cli.workloads.sockets.failures import IDLE_ENDS, Failure
from memopt_cli.workloads.sockets.tally import Tally

if TYPE_CHECKING:
    from memopt_cli.workloads.sockets.activities import Activity
    from memopt_cli.workloads.sockets.tls import Tls

FREE, CONNECTING, SECURING, OPENING, READY, AWAITING, OVERDUE = range(7)
"""
What a connection is at; those before ready are on the way.

Overdue is one whose reply was not there in time.
"""

_ROWS = 1024
_MOST_EVENTS = 1024
_MILLISECOND_NS = 1_000_000
_NS_PER_S = 1e9

ENDING = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
REPLIED = select.EPOLLIN | select.EPOLLOUT
"""What epoll says of a connection with bytes to read, and nothing else new."""

_INTEREST = REPLIED | select.EPOLLRDHUP | select.EPOLLET
"""
Edges, not levels: one registration serves a connection from first to last, and the
kernel does not look again at each descriptor that it has reported.
"""


class Table:
    """Who is connected, and since when each waits for what."""

    def __init__(self, *, lanes: int, tls: Tls | None) -> None:
        self.epoll = select.epoll()
        self.tally = Tally()
        self.connecting, self.latency, self.lateness = Histogram(), Histogram(), Histogram()
        self.state = bytearray()
        self.lane = array("H")
        self.number, self.sequence, self.since_ns = array("I"), array("I"), array("Q")
        self.held = [0] * lanes
        """Connections of each lane, those on the way included."""

        self.unsent: dict[int, bytes] = {}
        self.partial: dict[int, bytes] = {}
        self.notes: dict[int, object] = {}
        self.waited_ns = 0
        self.called = False
        """Whether something happened on a descriptor that is no connection."""

        self._tls = tls
        self._activity: Activity | None = None

    def work(self, activity: Activity) -> None:
        """Tell *activity*, from now on, what happens."""
        self._activity = activity

    def join(self, fd: int, number: int, lane: int, since_ns: int) -> None:
        """Take in a connection that is being made, and was meant to be asked for at *since_ns*."""
        if fd >= len(self.state):
            self._grow(fd)
        self.state[fd] = CONNECTING
        self.number[fd] = number
        self.lane[fd] = lane
        self.sequence[fd] = 0
        self.since_ns[fd] = since_ns
        self.held[lane] += 1
        self.epoll.register(fd, _INTEREST)

    def wait(self, wait_ns: int) -> list[tuple[int, int]]:
        """Return what has happened, after *wait_ns* at most."""
        began_ns = perf_counter_ns()
        if wait_ns <= 0:
            events = self.epoll.poll(0, _MOST_EVENTS)
        elif wait_ns >= 2 * _MILLISECOND_NS:
            # epoll rounds up to the next millisecond: the rest is waited for in the next call.
            events = self.epoll.poll((wait_ns - _MILLISECOND_NS) / _NS_PER_S, _MOST_EVENTS)
        else:
            select.select((self.epoll,), (), (), wait_ns / _NS_PER_S)
            events = self.epoll.poll(0, _MOST_EVENTS)
        self.waited_ns += perf_counter_ns() - began_ns
        return events

    def leave(self, fd: int) -> None:
        """Close a connection on purpose."""
        self.tally.closed += 1
        self._remove(fd)

    def lose(self, fd: int, failure: Failure, example: str) -> None:
        """Close a connection that has failed, and count why."""
        state = self.state[fd]
        self.tally.fail(failure, example)
        if failure in IDLE_ENDS:
            idle_s = (perf_counter_ns() - self.since_ns[fd]) / _NS_PER_S
            self.tally.closing_ages[f"{idle_s:.1f}"] += 1
        self._remove(fd)
        if self._activity is not None:
            self._activity.lost(fd, state)

    def expire(self, before_ns: int) -> None:
        """Give up openings, and no longer count on replies, that began before *before_ns*."""
        since_ns = self.since_ns
        for fd, state in enumerate(self.state):
            if state in (FREE, READY, OVERDUE) or since_ns[fd] > before_ns:
                continue
            if state == AWAITING:
                self.state[fd] = OVERDUE
                self.tally.not_answered += 1
                if self._activity is not None:
                    self._activity.overdue(fd)
            else:
                kind = Failure.NOT_CONNECTED if state == CONNECTING else Failure.NOT_OPENED
                self.lose(fd, kind, f"connection {self.number[fd]:,}")

    def ready(self) -> array[int]:
        """Return the descriptors on which a request may be sent."""
        state = self.state
        return array("I", (fd for fd in range(len(state)) if state[fd] == READY))

    def close(self) -> None:
        """Close everything."""
        for fd, state in enumerate(self.state):
            if state != FREE:
                os.close(fd)
        self.epoll.close()

    def _grow(self, fd: int) -> None:
        """Make room for *fd*, in steps: columns of their full length would all be touched."""
        rows = fd + 1 - len(self.state) + _ROWS
        self.state.extend(bytes(rows))
        for column in (self.lane, self.number, self.sequence, self.since_ns):
            column.frombytes(bytes(rows * column.itemsize))

    def _remove(self, fd: int) -> None:
        state = self.state[fd]
        self.tally.open -= state > CONNECTING
        self.tally.ready -= state >= READY
        self.held[self.lane[fd]] -= 1
        self.state[fd] = FREE
        for extra in (self.unsent, self.partial, self.notes):
            if extra:
                extra.pop(fd, None)
        if self._tls is not None:
            self._tls.forget(fd)
        os.close(fd)
