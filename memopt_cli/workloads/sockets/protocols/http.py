"""HTTP/1.1 on connections that are kept open: one GET after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.errors import WrongReply
from memopt_cli.workloads.sockets.protocols import http_messages
from memopt_cli.workloads.sockets.protocols.shape import INCOMPLETE, Call, Expecting, Turn

if TYPE_CHECKING:
    from collections.abc import Mapping


class Http:
    """The same request again and again."""

    opens = False
    repeats = True

    def __init__(
        self,
        authority: str,
        *,
        path: str = "/",
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
        status: int = 200,
    ) -> None:
        """
        Args:
            authority: The Host of each request, unless *headers* has one.
            path: What is asked for, with its query.
            method: GET, or another.
            headers: More headers, as ``Authorization``.
            body: What is sent with each request.
            status: The only status that is no failure.
        """
        self._status = status
        self._request = http_messages.request(
            method,
            path,
            {"Host": authority, **(headers or {})},
            None if body is None else body.encode(),
        )

    def opening(self, number: int) -> bytes:  # noqa: ARG002 - as protocols are asked
        """Return nothing."""
        return b""

    def request(self, number: int, sequence: int, note: object) -> bytes:  # noqa: ARG002 - as protocols are asked
        """Return the request."""
        return self._request

    def receive(self, received: bytes, call: Call) -> Turn:
        """Take one response."""
        found = http_messages.response(received)
        if found is None:
            return INCOMPLETE
        if call.expecting is not Expecting.REPLY or found.status != self._status:
            # Unasked, it is what a server says before it closes: 408, 429, 503.
            raise WrongReply(f"HTTP status {found.status}")
        return Turn(found.taken, done=True)
