"""Opens connections: as fast as the server accepts them, or by a schedule."""

from __future__ import annotations

import errno
import os
import socket
import struct
from time import perf_counter_ns
from typing import TYPE_CHECKING, NamedTuple

from memopt_cli.workloads.sockets.accept_queue import Room
from memopt_cli.workloads.sockets.activities import NS_PER_S, WHILE_NS, Activity
from memopt_cli.workloads.sockets.crowd import READ_BYTES
from memopt_cli.workloads.sockets.failures import CONNECTING_ERRORS, Failure
from memopt_cli.workloads.sockets.table import OPENING, READY, REPLIED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from memopt_cli.workloads.sockets.crowd import Crowd
    from memopt_cli.workloads.sockets.settings import DriverSettings, Lane

_BIND_ADDRESS_NO_PORT = 24
"""`IP_BIND_ADDRESS_NO_PORT` of Linux: the port is chosen when it is known where to."""

_BY_ITSELF = ("127.0.0.1", "127.0.0.1")
"""From this address the system connects to that one without being told."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_KIND = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
_BATCH = 256
_LOOK_AGAIN_NS = 500_000
_GUESS = 256
"""Connections before the next look, where the server's queue cannot be seen."""


class Connecting(Activity):
    """Asks for *count* connections, each at its time, and waits until they are ready or lost."""

    def __init__(
        self,
        crowd: Crowd,
        settings: DriverSettings,
        count: int,
        times_ns: Iterator[int],
        *,
        scheduled: bool,
        until_ns: int,
    ) -> None:
        """
        Args:
            crowd: Where they join.
            settings: Between which addresses, and how many at a time.
            count: How many.
            times_ns: When each is meant to be asked for.
            scheduled: Whether each counts from that time; otherwise from when it is asked for.
            until_ns: When to give up.
        """
        super().__init__(crowd)
        self._scheduled = scheduled
        self._settings = settings
        self._left = count
        self._times_ns = times_ns
        self._next_ns = next(times_ns)
        self._until_ns = until_ns
        self._on_the_way = 0
        self._lanes = _Lanes(settings.lanes, crowd.held, settings.index)
        self._ways = [_way(lane) for lane in settings.lanes]
        ports = {lane.port for lane in settings.lanes} if settings.watch_backlog else set()
        self._room = Room(ports, settings.drivers)
        self._allowed = 0
        self._starved_ns = 0
        self._lost_together = 0

    def over(self, now_ns: int) -> bool:
        """Say whether each is ready or lost, or the time is over."""
        return (not self._left and not self._on_the_way) or now_ns >= self._until_ns

    def step(self, now_ns: int) -> int:
        """Ask for some of those whose time has come."""
        for _ in range(_BATCH):
            if not self._left or self._on_the_way >= self._settings.window:
                return WHILE_NS
            if self._next_ns > now_ns:
                return self._next_ns - now_ns
            if not self._allowed and not self._look():
                self._starve(now_ns)
                return _LOOK_AGAIN_NS
            self._starved_ns = 0
            self._allowed -= 1
            self._left -= 1
            self._ask(self._next_ns if self._scheduled else perf_counter_ns())
            self._next_ns = next(self._times_ns)
        return 0

    def handle(self, events: Sequence[tuple[int, int]]) -> None:
        """Do what events demand: the usual one, a welcome equal to a good one, in fewer steps."""
        crowd = self.crowd
        welcome = crowd.welcome
        if welcome is None:
            crowd.handle(events)
            return
        state, since_ns, partial = crowd.state, crowd.since_ns, crowd.partial
        answer, words = welcome
        read, clock, count = os.read, perf_counter_ns, crowd.openings_ns.append
        opened = 0
        for fd, mask in events:
            if mask != REPLIED or state[fd] != OPENING:
                crowd.attend(fd, mask)
                continue
            try:
                received = read(fd, READ_BYTES)
            except OSError as exc:
                crowd.broken(fd, exc)
                continue
            if received != answer or partial:
                crowd.received(fd, received) if received else crowd.attend(fd, mask)
                continue
            state[fd] = READY
            opened += 1
            count(clock() - since_ns[fd])
            crowd.send(fd, words)
        if opened:
            crowd.tally.opened += opened
            crowd.tally.ready += opened
            self._on_the_way -= opened
            self._lost_together = 0

    def opened(self, fd: int, now_ns: int) -> None:  # noqa: ARG002 - as activities are told
        """Take in that one is ready."""
        self._on_the_way -= 1
        self._lost_together = 0

    def lost(self, fd: int, state: int) -> None:  # noqa: ARG002 - as activities are told
        """Take in that one is gone, perhaps before it was ready."""
        if state < READY:
            self._on_the_way -= 1
            self._lost_together += 1
            if self._lost_together >= self._settings.window:
                # As many as are on the way at a time, and none got through: nor will others.
                self._left = 0

    def end(self, now_ns: int) -> None:
        """Give up those still on the way."""
        if self._on_the_way:
            self.crowd.expire(now_ns)
        self._room.close()

    def _starve(self, now_ns: int) -> None:
        """Give up the rest when the server has accepted nobody for as long as it may take."""
        if not self._starved_ns:
            self._starved_ns = now_ns
        elif now_ns - self._starved_ns > self._settings.answer_within_s * NS_PER_S:
            self._left = 0

    def _look(self) -> bool:
        """See how many more connections the server's queues should be given."""
        left = self._room.left()
        self._allowed = _GUESS if left is None else min(left, _GUESS)
        return self._allowed > 0

    def _ask(self, intended_ns: int) -> None:
        tally = self.crowd.tally
        number = self._settings.index + tally.attempted * self._settings.drivers
        tally.attempted += 1
        place = self._lanes.next()
        if place is None:
            tally.fail(Failure.NO_PORTS, "every pair of addresses is full")
            return
        words = self.crowd.first_words(number)
        try:
            fd = _begun(self._ways[place], speaks_first=bool(words))
        except OSError as exc:
            self._fail(exc)
            return
        self._on_the_way += 1
        self.crowd.join(fd, number, place, intended_ns)
        if words:
            self.crowd.greet(fd, words)

    def _fail(self, exc: OSError) -> None:
        failure = CONNECTING_ERRORS.get(exc.errno or 0, Failure.OTHER)
        self.crowd.tally.fail(failure, exc.strerror or str(exc))
        if failure is Failure.NO_DESCRIPTORS:
            # None of the others would fare better.
            self.crowd.tally.attempted += self._left
            self.crowd.tally.failures[failure.value] += self._left
            self._left = 0


class _Lanes:
    """Whose turn it is: each destination's in turn, by its first source that has ports left."""

    def __init__(self, lanes: tuple[Lane, ...], held: list[int], first: int) -> None:
        self._capacities = [lane.capacity for lane in lanes]
        self._held = held
        places: dict[tuple[str, int], list[int]] = {}
        for place, lane in enumerate(lanes):
            places.setdefault((lane.host, lane.port), []).append(place)
        self._destinations = list(places.values())
        self._turn = first

    def next(self) -> int | None:
        """Return the place of a lane with room, or `None`."""
        for _ in self._destinations:
            self._turn += 1
            for place in self._destinations[self._turn % len(self._destinations)]:
                if self._held[place] < self._capacities[place]:
                    return place
        return None


class _Way(NamedTuple):
    """How a connection of one lane is made."""

    family: socket.AddressFamily
    source: tuple[str, int] | None
    """Where to bind it, if the system has to be told."""

    destination: tuple[str, int]


def _way(lane: Lane) -> _Way:
    family = socket.AF_INET6 if ":" in lane.host else socket.AF_INET
    source = None
    if lane.source is not None and (lane.source, lane.host) != _BY_ITSELF:
        source = lane.source, 0
    return _Way(family, source, (lane.host, lane.port))


def _begun(way: _Way, *, speaks_first: bool) -> int:
    """
    Return the descriptor of a connection that is being made; raises `OSError`.

    Where this side speaks first, what it says takes the handshake's last acknowledgement along,
    and its next words that of the answer: two packets less of nine (tcp (7), TCP_QUICKACK).
    """
    # The type below `socket.socket`, which takes half as long to make.
    end = socket.SocketType(way.family, _KIND)
    try:
        # At once, so that even a driver that is killed leaves no TIME_WAIT behind.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if speaks_first:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        if way.source is not None:
            end.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            end.bind(way.source)
        code = end.connect_ex(way.destination)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        return end.detach()
    finally:
        end.close()
