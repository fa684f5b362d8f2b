"""What can become of a connection that was asked for, or of a request on one."""

from __future__ import annotations

import errno
from enum import StrEnum


class Insecure(Exception):
    """The encrypted channel of a connection could not be made, or broke."""


class Failure(StrEnum):
    """Why a connection is not there, or not there any more."""

    REFUSED = "refused"
    """Nobody listens."""

    UNREACHABLE = "unreachable"
    """No way leads there."""

    NO_DESCRIPTORS = "no descriptors"
    """This driver's limit of open files is reached."""

    NO_PORTS = "no ports"
    """No port is free from this source address to this destination."""

    NOT_CONNECTED = "not connected"
    """No answer to the connection request in time: dropped, or the backlog stayed full."""

    NOT_OPENED = "not opened"
    """Connected, but what the protocol begins with was not answered in time: perhaps the
    server has not accepted it."""

    CLOSED_OPENING = "closed while opening"
    """The server closed, or reset, before the protocol's opening was complete."""

    CLOSED_WAITING = "closed while a reply was due"
    """The server closed instead of answering."""

    CLOSED_IDLE = "closed while idle"
    """The server closed a connection on which nothing was due: its idle time-out, or its limit."""

    RESET_OPENING = "reset while opening"
    """As closed, but by a reset: what was in flight is lost."""

    RESET_WAITING = "reset while a reply was due"
    """As closed, but by a reset."""

    RESET_IDLE = "reset while idle"
    """As closed, but by a reset."""

    WRONG_REPLY = "wrong reply"
    """The server answered what the protocol does not allow, or refused."""

    TLS = "TLS"
    """The encrypted channel could not be made, or broke."""

    OTHER = "other"
    """An error of the system that has no name here; the example says which."""


IDLE_ENDS = {Failure.CLOSED_IDLE, Failure.RESET_IDLE}
"""The server ended a connection on which nothing was due."""

CONNECTING_ERRORS = {
    errno.ECONNREFUSED: Failure.REFUSED,
    errno.ECONNRESET: Failure.RESET_OPENING,
    errno.ENETUNREACH: Failure.UNREACHABLE,
    errno.EHOSTUNREACH: Failure.UNREACHABLE,
    errno.EACCES: Failure.UNREACHABLE,
    errno.EPERM: Failure.UNREACHABLE,
    errno.ETIMEDOUT: Failure.NOT_CONNECTED,
    errno.EADDRNOTAVAIL: Failure.NO_PORTS,
    errno.EMFILE: Failure.NO_DESCRIPTORS,
    errno.ENFILE: Failure.NO_DESCRIPTORS,
    errno.ENOBUFS: Failure.NO_DESCRIPTORS,
}
"""What an error of `socket`, `bind` or `connect` means."""
