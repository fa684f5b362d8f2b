"""Requests and replies: once around, without a pause, or by a schedule."""

from __future__ import annotations

import os
from array import array
from time import perf_counter_ns
from typing import TYPE_CHECKING

from memopt_cli.workloads.sockets.activities import WHILE_NS, Activity
from memopt_cli.workloads.sockets.crowd import READ_BYTES
from memopt_cli.workloads.sockets.table import AWAITING, READY, REPLIED
from memopt_cli.workloads.sockets.tally import LATE_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from memopt_cli.workloads.sockets.crowd import Crowd

_BATCH = 256
_LATE_NS = int(LATE_S * 1e9)


class Ring:
    """Connections that wait for their turn, first in first out, four bytes each."""

    def __init__(self, members: Iterable[int], capacity: int) -> None:
        given = array("I", members)
        self._head, self._length = 0, len(given)
        self._places = array("I", bytes(4 * max(capacity, len(given), 1)))
        self._places[: len(given)] = given

    def __len__(self) -> int:
        """Return how many wait."""
        return self._length

    def push(self, fd: int) -> None:
        """Let one wait; there is room for as many as there are descriptors."""
        places = self._places
        places[(self._head + self._length) % len(places)] = fd
        self._length += 1

    def pop(self) -> int:
        """Return whose turn it is."""
        fd = self._places[self._head]
        self._head = (self._head + 1) % len(self._places)
        self._length -= 1
        return fd


class _Asking(Activity):
    """What all have in common: how many replies are due."""

    def __init__(self, crowd: Crowd, until_ns: int) -> None:
        super().__init__(crowd)
        self._until_ns = until_ns
        self._due = 0

    def answered(self, fd: int, now_ns: int) -> None:  # noqa: ARG002 - as activities are told
        """Take in that a reply is there."""
        self._due -= 1

    def overdue(self, fd: int) -> None:  # noqa: ARG002 - as activities are told
        """Count on one reply less."""
        self._due -= 1

    def lost(self, fd: int, state: int) -> None:  # noqa: ARG002 - as activities are told
        """Count on one reply less, if one was due."""
        self._due -= state == AWAITING

    def end(self, now_ns: int) -> None:
        """Count what was not answered, where the time was over before."""
        if self._due > 0:
            self.crowd.expire(now_ns)


class Rounds(_Asking):
    """
    A request on every ready connection, so many at a time, and that *rounds* times.

    A round begins when the last has ended, so that each connection is asked equally often.
    """

    def __init__(self, crowd: Crowd, *, rounds: int, in_flight: int, until_ns: int) -> None:
        super().__init__(crowd, until_ns)
        self._ready = crowd.ready()
        self._place = 0
        self._rounds = rounds if self._ready else 0
        self._in_flight = in_flight
        self._silent = 0

    def over(self, now_ns: int) -> bool:
        """Say whether all are answered or lost, or the time is over."""
        return (not self._rounds and self._due <= 0) or now_ns >= self._until_ns

    def answered(self, fd: int, now_ns: int) -> None:
        """Take in that a reply is there."""
        super().answered(fd, now_ns)
        self._silent = 0

    def overdue(self, fd: int) -> None:
        """Ask no more when as many as are asked at a time have no reply, and none has come."""
        super().overdue(fd)
        self._silent += 1
        if self._silent >= self._in_flight:
            self._rounds = 0

    def step(self, now_ns: int) -> int:  # noqa: ARG002 - as activities are told
        """Ask as many as may be asked at a time."""
        while self._rounds and self._due < self._in_flight:
            if self._place == len(self._ready):
                if self._due > 0:
                    return WHILE_NS
                self._place = 0
                self._rounds -= 1
                continue
            fd = self._ready[self._place]
            self._place += 1
            if self.crowd.state[fd] == READY:
                self._due += 1
                self.crowd.ask(fd, perf_counter_ns())
        return WHILE_NS if self._rounds else 0


class EachAgain(_Asking):
    """
    On every connection the next request as soon as the last is answered: a closed model.

    The server sets the pace, so latencies say nothing of what a client would see that does not
    wait for others; what this measures is how much the server, or the driver, can do.
    """

    def __init__(self, crowd: Crowd, *, until_ns: int) -> None:
        super().__init__(crowd, until_ns)
        self._unasked = iter(crowd.ready())
        self._begun = self._stopping = False

    def over(self, now_ns: int) -> bool:
        """Say whether the time is over, and what was due then is answered."""
        self._stopping = now_ns >= self._until_ns
        return self._stopping and self._due <= 0

    def step(self, now_ns: int) -> int:  # noqa: ARG002 - as activities are told
        """Begin, some at a time, so that the first replies need not wait for the last request."""
        if self._begun or self._stopping:
            return WHILE_NS
        for _ in range(_BATCH):
            fd = next(self._unasked, None)
            if fd is None:
                self._begun = True
                return WHILE_NS
            if self.crowd.state[fd] == READY:
                self._due += 1
                self.crowd.ask(fd, perf_counter_ns())
        return 0

    def answered(self, fd: int, now_ns: int) -> None:
        """Ask again."""
        if self._stopping:
            super().answered(fd, now_ns)
        else:
            self.crowd.ask(fd, now_ns)

    def recovered(self, fd: int, now_ns: int) -> None:
        """Ask again, for this one too."""
        if not self._stopping:
            self._due += 1
            self.crowd.ask(fd, now_ns)

    def handle(self, events: Sequence[tuple[int, int]]) -> None:
        """
        Do what events demand: the usual one, a reply equal to a good one, without any call.

        A tenth of a microsecond here is two percent of what a driver can do.
        """
        crowd = self.crowd
        if not crowd.reply or self._stopping:
            crowd.handle(events)
            return
        state, since_ns, partial = crowd.state, crowd.since_ns, crowd.partial
        reply, request, size = crowd.reply, crowd.request, len(crowd.request)
        read, write, clock = os.read, os.write, perf_counter_ns
        count = crowd.durations_ns.append
        again = 0
        for fd, mask in events:
            if mask != REPLIED or state[fd] != AWAITING:
                crowd.attend(fd, mask)
                continue
            try:
                received = read(fd, READ_BYTES)
                if received != reply or partial:
                    crowd.received(fd, received) if received else crowd.attend(fd, mask)
                    continue
                now_ns = clock()
                count(now_ns - since_ns[fd])
                since_ns[fd] = now_ns
                again += 1
                written = write(fd, request)
            except OSError as exc:
                crowd.broken(fd, exc)
                continue
            if written != size:
                crowd.unsent[fd] = request[written:]
        crowd.tally.answered += again
        crowd.tally.sent += again


class Scheduled(_Asking):
    """
    Requests at times that do not wait for the server: an open model.

    A request whose time has come while every connection waits for a reply is sent on the first
    that is free, and its latency counts from its time: the wait is the server's doing. When a
    connection was free, a late send is the driver's own, and is counted as that.
    """

    def __init__(
        self, crowd: Crowd, times_ns: Iterator[int], *, until_ns: int, patience_ns: int
    ) -> None:
        """
        Args:
            crowd: On whose connections.
            times_ns: When each is meant to be sent.
            until_ns: When no more are meant to be sent.
            patience_ns: How long after that those may be sent for which no connection was free.
        """
        super().__init__(crowd, until_ns)
        self._give_up_ns = until_ns + patience_ns
        self._ring = Ring(crowd.ready(), len(crowd.state))
        self._times_ns = times_ns
        self._next_ns = next(times_ns)
        self._short = False

    def over(self, now_ns: int) -> bool:
        """Say whether all is sent and answered, or the patience is over."""
        done = self._next_ns >= self._until_ns and self._due <= 0
        none_left = now_ns >= self._until_ns and not self.crowd.tally.ready
        return done or none_left or now_ns >= self._give_up_ns

    def step(self, now_ns: int) -> int:
        """Send what is due, as far as connections are free."""
        for _ in range(_BATCH):
            if self._next_ns >= self._until_ns:
                return WHILE_NS
            if self._next_ns > now_ns:
                self._short = False
                return self._next_ns - now_ns
            if not self._ring:
                self._short = True
                return WHILE_NS
            self._send(self._ring.pop())
        return 0

    def answered(self, fd: int, now_ns: int) -> None:
        """Let the connection wait for its next turn."""
        super().answered(fd, now_ns)
        self._ring.push(fd)

    def recovered(self, fd: int, now_ns: int) -> None:  # noqa: ARG002 - as activities are told
        """Let the connection wait for its next turn."""
        self._ring.push(fd)

    def end(self, now_ns: int) -> None:
        """Count what was not answered, and what could not be sent."""
        super().end(now_ns)
        while self._next_ns < min(now_ns, self._until_ns):
            self.crowd.tally.not_sent += 1
            self._next_ns = next(self._times_ns)

    def _send(self, fd: int) -> None:
        crowd = self.crowd
        if crowd.state[fd] != READY:
            return
        if not self._short:
            late_ns = perf_counter_ns() - self._next_ns
            crowd.lateness.record(late_ns)
            crowd.tally.timed_sends += 1
            crowd.tally.late_sends += late_ns >= _LATE_NS
        self._due += 1
        crowd.ask(fd, self._next_ns)
        self._next_ns = next(self._times_ns)
