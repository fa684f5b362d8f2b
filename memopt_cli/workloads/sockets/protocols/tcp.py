"""Plain TCP: connect and hold; a round trip is a line that the server sends back."""

from __future__ import annotations

from memopt_cli.errors import WrongReply
from memopt_cli.workloads.sockets.protocols.shape import INCOMPLETE, Call, Expecting, Turn


class Tcp:
    """
    Nothing is said until a round trip is asked for, which only an echo server answers.

    What a server sends of its own accord, as a greeting, is read and ignored.
    """

    opens = False
    repeats = True

    def __init__(self, authority: str, *, payload: str = "memopt\n") -> None:  # noqa: ARG002 - as protocols are asked
        """
        Args:
            authority: Where the connections go, ``host:port``.
            payload: What is sent and shall come back.
        """
        self._payload = payload.encode()

    def opening(self, number: int) -> bytes:  # noqa: ARG002 - as protocols are asked
        """Return nothing."""
        return b""

    def request(self, number: int, sequence: int, note: object) -> bytes:  # noqa: ARG002 - as protocols are asked
        """Return the payload."""
        return self._payload

    def receive(self, received: bytes, call: Call) -> Turn:
        """Take the payload, once it is back whole."""
        if call.expecting is not Expecting.REPLY:
            return Turn(len(received))
        payload = self._payload
        if received.startswith(payload):
            return Turn(len(payload), done=True)
        if payload.startswith(received):
            return INCOMPLETE
        raise WrongReply(f"{received[:40]!r} is not what was sent")
