"""The protocol of Redis and its kin (RESP): a PING, or any command with a one-line reply."""

from __future__ import annotations

from memopt_cli.errors import WrongReply
from memopt_cli.workloads.sockets.protocols.shape import INCOMPLETE, Call, Expecting, Turn

_LONGEST_LINE_BYTES = 1 << 16


def command(*words: str) -> bytes:
    r"""
    Return a command as RESP has it: an array of bulk strings.

    >>> command("PING")
    b'*1\r\n$4\r\nPING\r\n'
    """
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        text = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(text), text))
    return b"".join(parts)


class Redis:
    """PING on connections that may have to AUTH first."""

    repeats = True

    def __init__(self, authority: str, *, user: str = "", password: str = "") -> None:  # noqa: ARG002 - as protocols are asked
        """
        Args:
            authority: Where the connections go.
            user: For AUTH, since Redis 6; empty for the default user.
            password: For AUTH; empty for none.
        """
        self.opens = bool(password)
        self._auth = command("AUTH", *filter(None, (user, password)))
        self._ping = command("PING")

    def opening(self, number: int) -> bytes:  # noqa: ARG002 - as protocols are asked
        """Return AUTH."""
        return self._auth

    def request(self, number: int, sequence: int, note: object) -> bytes:  # noqa: ARG002 - as protocols are asked
        """Return PING."""
        return self._ping

    def receive(self, received: bytes, call: Call) -> Turn:
        """Take one status line."""
        end = received.find(b"\r\n")
        if end < 0:
            if len(received) > _LONGEST_LINE_BYTES:
                raise WrongReply(f"{received[:40]!r}... is no line of RESP")
            return INCOMPLETE
        line = received[:end]
        good = b"+OK" if call.expecting is Expecting.OPENING else b"+PONG"
        if line != good:
            # Redis refuses with an error line and closes: "-DENIED", "-ERR max number of clients".
            raise WrongReply(line[:200].decode(errors="replace"))
        return Turn(end + 2, done=True)
