"""TLS between the bytes of a socket and those of a protocol, without a socket object."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, NamedTuple

from memopt_cli.workloads.sockets.failures import Insecure

if TYPE_CHECKING:
    from memopt_cli.workloads.sockets.settings import TlsSettings

_READ_BYTES = 1 << 16


class Unwrapped(NamedTuple):
    """What encrypted bytes were."""

    content: bytes
    send: bytes
    """Encrypted, to be sent at once: the next step of the handshake."""

    secured: bool
    """Whether the handshake is complete."""

    ended: bool
    """Whether the server has ended the encrypted stream."""


class _Channel(NamedTuple):
    tls: ssl.SSLObject
    arriving: ssl.MemoryBIO
    leaving: ssl.MemoryBIO


class Tls:
    """
    One channel per connection, by descriptor.

    OpenSSL keeps some 20 to 50 KB for each, which is the driver's own memory.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self._server_name = settings.server_name
        self._context = ssl.create_default_context(cafile=settings.cafile)
        if not settings.verify:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE
        self._channels: dict[int, _Channel] = {}
        self._unsecured: set[int] = set()

    def begin(self, fd: int) -> bytes:
        """Return the first bytes of a new connection's handshake."""
        arriving, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(arriving, leaving, server_hostname=self._server_name)
        self._channels[fd] = _Channel(tls, arriving, leaving)
        self._unsecured.add(fd)
        self._handshake(fd)
        return leaving.read()

    def unwrap(self, fd: int, received: bytes) -> Unwrapped:
        """
        Return what *received* brings.

        Raises:
            Insecure: The handshake failed, or the stream is damaged.
        """
        try:
            return self._unwrapped(fd, received)
        except ssl.SSLError as exc:
            raise Insecure(exc.reason or str(exc)) from exc

    def _unwrapped(self, fd: int, received: bytes) -> Unwrapped:
        tls, arriving, leaving = self._channels[fd]
        arriving.write(received)
        if fd in self._unsecured and not self._handshake(fd):
            return Unwrapped(b"", leaving.read(), secured=False, ended=False)
        pieces = []
        ended = False
        try:
            while piece := tls.read(_READ_BYTES):
                pieces.append(piece)
            ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            ended = True
        return Unwrapped(b"".join(pieces), leaving.read(), secured=True, ended=ended)

    def wrap(self, fd: int, content: bytes) -> bytes:
        """Return *content* encrypted."""
        tls, _, leaving = self._channels[fd]
        tls.write(content)
        return leaving.read()

    def forget(self, fd: int) -> None:
        """Let a connection's channel go."""
        self._channels.pop(fd, None)
        self._unsecured.discard(fd)

    def _handshake(self, fd: int) -> bool:
        try:
            self._channels[fd].tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self._unsecured.discard(fd)
        return True
