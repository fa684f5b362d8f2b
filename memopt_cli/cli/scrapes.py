"""Answers HTTP on the loopback interface, beside a run that no client can hold up."""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

from memopt_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeAlias

    Answer: TypeAlias = "Callable[[], tuple[HTTPStatus, str]]"
    """Returns the status and the text of an answer, text of OpenMetrics if it is OK."""

HOST = "127.0.0.1"
PATH = "/metrics"
STALL_S = 5.0
"""A client that neither sends nor takes anything for so long is left."""

MOST_CLIENTS = 16
"""At once; for one more, the one that came first is left."""

END_WITHIN_S = 1.0
_AGAIN_AFTER_S = 0.1
_OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_PLAIN = "text/plain; charset=utf-8"


@contextmanager
def served(port: int, answer: Answer) -> Iterator[str]:
    """
    Serve answers while inside, and yield their address.

    Raises:
        UsageError: The port is none, or cannot be had.
    """
    if not 0 <= port <= 65535:  # noqa: PLR2004 - a port is two bytes
        raise UsageError(
            f"--metrics-port {port} is no port",
            hint="Give one from 1024 to 65535, or 0 for any that is free.",
        )
    try:
        server = _Server(port, answer)
    except OSError as exc:
        raise UsageError(
            f"--metrics-port {port}: {exc.strerror}",
            hint="Give another port, or 0 for any that is free.",
        ) from exc
    server.begin()
    try:
        yield f"http://{HOST}:{server.server_address[1]}{PATH}"
    finally:
        server.end()


class _Server(socketserver.ThreadingTCPServer):
    """Of TCP and not of HTTP: the latter asks the name service who 127.0.0.1 is."""

    allow_reuse_address = True
    request_queue_size = MOST_CLIENTS
    # They are ended below; should one not end, it is not to hold up the command.
    daemon_threads = True

    def __init__(self, port: int, answer: Answer) -> None:
        self.answer = answer
        self._clients: dict[Any, threading.Thread] = {}
        self._has_ended = False
        self._listening = threading.Thread(target=self._listen, name="metrics", daemon=True)
        super().__init__((HOST, port), _Client)

    def begin(self) -> None:
        """Answer from now on, in threads."""
        self._listening.start()

    def end(self) -> None:
        """Leave all clients, and give the port back."""
        self._has_ended = True
        # What wakes a thread that waits for a client or in the midst of one; a server that
        # looks every half second whether it is to end would wake the machine as often.
        self.socket.shutdown(socket.SHUT_RDWR)
        until = time.monotonic() + END_WITHIN_S
        self._listening.join(END_WITHIN_S)
        for client, thread in list(self._clients.items()):
            _leave(client)
            thread.join(max(0.0, until - time.monotonic()))
        self.server_close()

    def _listen(self) -> None:
        while not self._has_ended:
            self.handle_request()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a client; without a descriptor for it, wait instead of trying all the time."""
        try:
            return super().get_request()
        except OSError:
            if not self._has_ended:
                time.sleep(_AGAIN_AFTER_S)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer one client in a thread of its own."""
        if len(self._clients) >= MOST_CLIENTS:
            _leave(next(iter(list(self._clients))))
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        self._clients[request] = thread
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        """Forget a client that was answered."""
        self._clients.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that has gone; a bug keeps its traceback."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _leave(client: socket.socket) -> None:
    with suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)


class _Client(BaseHTTPRequestHandler):
    """One request of one client; whatever is not GET the library refuses."""

    timeout = STALL_S
    server_version = "memopt"
    sys_version = ""
    server: _Server

    def do_GET(self) -> None:
        """Answer with the metrics, or with where they are."""
        if self.path.partition("?")[0] != PATH:
            self._send(HTTPStatus.NOT_FOUND, _PLAIN, f"The metrics are at {PATH}\n")
            return
        status, text = self.server.answer()
        self._send(status, _OPENMETRICS if status is HTTPStatus.OK else _PLAIN, text)

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode(errors="backslashreplace")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing: the error stream is the run's."""
