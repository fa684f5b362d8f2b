"""What is said on the connections of a driver: bytes out, bytes in, and what they mean."""

from __future__ import annotations

import os
import select
from time import perf_counter_ns
from typing import TYPE_CHECKING

from memopt_cli.errors import WrongReply
from memopt_cli.workloads.sockets.failures import CONNECTING_ERRORS, Failure, Insecure
from memopt_cli.workloads.sockets.peeking import error_of, retransmitted
from memopt_cli.workloads.sockets.protocols.shape import Call, Expecting
from memopt_cli.workloads.sockets.table import (
    AWAITING,
    CONNECTING,
    ENDING,
    FREE,
    OPENING,
    OVERDUE,
    READY,
    SECURING,
    Table,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.workloads.sockets.protocols.shape import Protocol, Turn
    from memopt_cli.workloads.sockets.tls import Tls

READ_BYTES = 1 << 14

_FIRST_RETRANSMISSION_NS = 900_000_000

_ENDED = {
    SECURING: (Failure.CLOSED_OPENING, Failure.RESET_OPENING),
    OPENING: (Failure.CLOSED_OPENING, Failure.RESET_OPENING),
    READY: (Failure.CLOSED_IDLE, Failure.RESET_IDLE),
    AWAITING: (Failure.CLOSED_WAITING, Failure.RESET_WAITING),
    OVERDUE: (Failure.CLOSED_WAITING, Failure.RESET_WAITING),
}

_EXPECTING = {
    OPENING: Expecting.OPENING,
    READY: Expecting.NOTHING,
    AWAITING: Expecting.REPLY,
    OVERDUE: Expecting.REPLY,
}


class Crowd(Table):
    """Connections that speak one protocol."""

    def __init__(self, protocol: Protocol, tls: Tls | None, *, lanes: int) -> None:
        super().__init__(lanes=lanes, tls=tls)
        self.protocol = protocol
        self.request = protocol.request(0, 0, None) if protocol.repeats else b""
        """The one request, where all are the same bytes."""

        self.reply = b""
        """A good reply to it, to compare others with; empty where that is not possible."""

        self.durations_ns: list[int] = []
        self.openings_ns: list[int] = []
        """Since the last `settle`: many are counted faster than one by one."""

    @property
    def welcome(self) -> tuple[bytes, bytes] | None:
        """See `Protocol`; `None` where what is read is not what the protocol sees."""
        return getattr(self.protocol, "welcome", None) if self._tls is None else None

    def first_words(self, number: int) -> bytes:
        """Return what may be said on connection *number* before anything else happens."""
        return self.protocol.opening(number) if self.protocol.opens and self._tls is None else b""

    def greet(self, fd: int, words: bytes) -> None:
        """
        Say the first words at once on a connection that has just been asked for.

        On this machine it is there already when `connect` returns; elsewhere it is not, and
        they are said when it is.
        """
        try:
            left = words[os.write(fd, words) :]
        except BlockingIOError:
            return
        except OSError as exc:
            self._refused(fd, exc.errno or 0)
            return
        self._count_connected()
        self.state[fd] = OPENING
        if left:
            self.unsent[fd] = left

    def handle(self, events: Sequence[tuple[int, int]]) -> None:
        """Do what events demand."""
        for fd, mask in events:
            self.attend(fd, mask)

    def attend(self, fd: int, mask: int) -> None:
        """Do what one event demands."""
        state = self.state[fd] if fd < len(self.state) else FREE
        if state == FREE:
            self.called = True
            return
        if state == CONNECTING:
            if mask & (select.EPOLLERR | select.EPOLLHUP):
                self._refused(fd, error_of(fd))
                return
            self._connected(fd)
        if mask & select.EPOLLOUT and fd in self.unsent:
            self._write(fd, self.unsent.pop(fd))
        if mask & (select.EPOLLIN | ENDING) and self.state[fd] != FREE:
            self._read(fd, ending=bool(mask & ENDING))

    def ask(self, fd: int, intended_ns: int) -> None:
        """Send one request, which was meant to be sent at *intended_ns*."""
        sequence = self.sequence[fd]
        self.since_ns[fd] = intended_ns
        self.state[fd] = AWAITING
        self.tally.sent += 1
        self.send(
            fd,
            self.request or self.protocol.request(self.number[fd], sequence, self.notes.get(fd)),
        )

    def send(self, fd: int, content: bytes) -> None:
        """Send all of *content*, some of it later if the socket is full."""
        if self._tls is not None:
            content = self._tls.wrap(fd, content)
        self._write(fd, content)

    def say_goodbye(self, fd: int) -> None:
        """Send what the protocol ends a connection with, if it has such; no answer is awaited."""
        closing = getattr(self.protocol, "closing", None)
        if closing is not None and self.state[fd] >= READY:
            content = closing(self.number[fd], self.notes.get(fd))
            if content:
                self.send(fd, content)

    def settle(self) -> None:
        """Count the durations of the openings and the replies that came."""
        self.connecting.record_many(self.openings_ns)
        self.openings_ns.clear()
        self.latency.record_many(self.durations_ns)
        self.durations_ns.clear()

    def received(self, fd: int, received: bytes) -> None:
        """Take what was read from a connection, and read on if there may be more."""
        self._received(fd, received)
        if len(received) == READ_BYTES:
            self._read(fd, ending=False)

    def broken(self, fd: int, exc: OSError) -> None:
        """Take in that a connection cannot be written to or read from."""
        if isinstance(exc, BlockingIOError):
            return
        # What the server said before it went is worth reading; then the end follows.
        self._read(fd, ending=True, after=exc)

    def _refused(self, fd: int, code: int) -> None:
        # The server may also have accepted, and have gone again before we looked.
        failure = CONNECTING_ERRORS.get(code, Failure.OTHER if code else Failure.RESET_OPENING)
        self.lose(fd, failure, os.strerror(code) if code else "closed at once")

    def _count_connected(self) -> None:
        self.tally.connected += 1
        self.tally.open += 1

    def _connected(self, fd: int) -> None:
        self._count_connected()
        self._note_retransmission(fd)
        if self._tls is not None:
            self.state[fd] = SECURING
            self._write(fd, self._tls.begin(fd))
        else:
            self._open(fd)

    def _note_retransmission(self, fd: int) -> None:
        """Count a connection whose SYN was lost, which only slow ones can be."""
        if perf_counter_ns() - self.since_ns[fd] > _FIRST_RETRANSMISSION_NS:
            self.tally.slow_connects += retransmitted(fd)

    def _open(self, fd: int) -> None:
        """Begin what the protocol begins with."""
        self.state[fd] = OPENING
        if self.protocol.opens:
            self.send(fd, self.protocol.opening(self.number[fd]))
        else:
            self._opened(fd)

    def _opened(self, fd: int) -> None:
        now_ns = perf_counter_ns()
        self.state[fd] = READY
        self.tally.opened += 1
        self.tally.ready += 1
        self.openings_ns.append(max(0, now_ns - self.since_ns[fd]))
        if self._activity is not None:
            self._activity.opened(fd, now_ns)

    def _answered(self, fd: int) -> None:
        now_ns = perf_counter_ns()
        late = self.state[fd] == OVERDUE
        self.tally.answered += 1
        self.tally.late_replies += late
        self.state[fd] = READY
        self.sequence[fd] += 1
        self.durations_ns.append(max(0, now_ns - self.since_ns[fd]))
        if self._activity is not None:
            (self._activity.recovered if late else self._activity.answered)(fd, now_ns)

    def _write(self, fd: int, content: bytes) -> None:
        if self.unsent and fd in self.unsent:
            self.unsent[fd] += content
            return
        try:
            while content:
                content = content[os.write(fd, content) :]
        except BlockingIOError:
            self.unsent[fd] = content
        except OSError as exc:
            self.broken(fd, exc)

    def _read(self, fd: int, *, ending: bool, after: OSError | None = None) -> None:
        """Read all there is: an edge is not reported twice."""
        while self.state[fd] != FREE:
            try:
                received = os.read(fd, READ_BYTES)
            except BlockingIOError:
                if after is not None:
                    self._lost_by(fd, after)
                return
            except OSError as exc:
                self._lost_by(fd, exc)
                return
            if not received:
                self._ended(fd)
                return
            self._received(fd, received)
            if len(received) < READ_BYTES and not ending:
                return

    def _received(self, fd: int, received: bytes) -> None:
        """Take what came on a connection, and give it up if it is wrong."""
        try:
            if self._tls is not None:
                received = self._decrypted(fd, self._tls, received)
            if received:
                self._understand(fd, received)
        except WrongReply as exc:
            self.lose(fd, Failure.WRONG_REPLY, str(exc))
        except Insecure as exc:
            self.lose(fd, Failure.TLS, str(exc))

    def _decrypted(self, fd: int, tls: Tls, received: bytes) -> bytes:
        found = tls.unwrap(fd, received)
        if found.send:
            self._write(fd, found.send)
        if found.secured and self.state[fd] == SECURING:
            self._open(fd)
        if found.ended and not found.content:
            self._ended(fd)
        return found.content

    def _understand(self, fd: int, received: bytes) -> None:
        """Have the protocol read what came, as far as it is whole."""
        if self.partial:
            received = self.partial.pop(fd, b"") + received
        while received and (state := self.state[fd]) != FREE:
            call = Call(_EXPECTING[state], self.number[fd], self.sequence[fd], self.notes.get(fd))
            turn = self.protocol.receive(received, call)
            if not turn.taken:
                self.partial[fd] = received
                return
            if turn.note is not None:
                self.notes[fd] = turn.note
            if turn.send:
                self.send(fd, turn.send)
            if turn.done:
                self._complete(fd, state, received, turn)
            received = received[turn.taken :]

    def _complete(self, fd: int, state: int, received: bytes, turn: Turn) -> None:
        """Take in that what was expected in *state* is there."""
        if self.state[fd] == OPENING:
            self._opened(fd)
        elif self.state[fd] in (AWAITING, OVERDUE):
            alone = turn.taken == len(received) < READ_BYTES and not turn.send
            if alone and state == AWAITING and self.request and self._tls is None:
                self.reply = received
            self._answered(fd)

    def _ended(self, fd: int) -> None:
        if self.state[fd] != FREE:
            self.lose(fd, _ENDED[self.state[fd]][0], f"connection {self.number[fd]:,}")

    def _lost_by(self, fd: int, exc: OSError) -> None:
        self.lose(fd, _ENDED[self.state[fd]][1], exc.strerror or str(exc))
