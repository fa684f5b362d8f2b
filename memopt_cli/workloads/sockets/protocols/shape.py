r"""
The shape of a protocol, which anybody may write one of: ``module:Class``.

A protocol holds nothing per connection. What it must remember of one (a session's
name) it hands back as the *note* of a turn, and is given it again with each call. ::

    class Echo:
        opens = False      # nothing is said before the first request
        repeats = True     # all requests are the same bytes, and so are good replies

        def __init__(self, authority: str, *, text: str = "hello") -> None:
            self._line = text.encode() + b"\n"

        def opening(self, number: int) -> bytes:
            return b""

        def request(self, number: int, sequence: int, note: object) -> bytes:
            return self._line

        def receive(self, received: bytes, call: Call) -> Turn:
            if not received.endswith(b"\n"):
                return INCOMPLETE
            if received != self._line:
                raise WrongReply(f"{received!r} came back")
            return Turn(len(received), done=True)
"""

from __future__ import annotations

import typing
from enum import IntEnum
from typing import NamedTuple


class Expecting(IntEnum):
    """What a connection waits for when bytes arrive on it."""

    OPENING = 1
    """The end of what `Protocol.opening` began."""

    REPLY = 2
    """The reply to `Protocol.request`."""

    NOTHING = 3
    """No answer is due: what arrives is the server's own idea."""


class Call(NamedTuple):
    """On which connection something was received, and what it waits for."""

    expecting: Expecting
    number: int
    """The connection's number, unique in the run."""

    sequence: int
    """The number of the request that waits for its reply, from 0 on each connection."""

    note: object
    """What the last turn with a note left; None at first."""


class Turn(NamedTuple):
    """What received bytes mean, and what to do about them."""

    taken: int
    """Bytes that are dealt with; 0 means that more must come first."""

    send: bytes = b""
    """What to send at once: the next step of an opening, a pong."""

    done: bool = False
    """Whether what was expected is complete with this."""

    note: object = None
    """What to remember of the connection; None changes nothing."""


INCOMPLETE = Turn(0)


class Protocol(typing.Protocol):
    """What is said on each connection; one object of it serves all connections of a driver."""

    opens: bool
    """Whether a connection is of use only after `opening` was answered."""

    repeats: bool
    """
    Whether every request is the same bytes, and a reply equal to a good one is good.

    Replies are then compared with the last one that `receive` understood, without asking again.
    """

    def opening(self, number: int) -> bytes:
        """Return what to send first on connection *number*; not asked unless it `opens`."""

    def request(self, number: int, sequence: int, note: object) -> bytes:
        """Return one request."""

    # A protocol may also have `closing(number, note) -> bytes`: what to send before a connection
    # is closed in order, without waiting for an answer. And `welcome`, a good answer to the
    # opening and what to send then: another answer that is the same bytes is taken for as good,
    # without asking again; `None` until there is one.

    def receive(self, received: bytes, call: Call) -> Turn:
        """
        Return what the received bytes mean, of which there may be too few or too many.

        Raises:
            WrongReply: The server does not speak this protocol, or refuses; the connection
                is given up.
        """
