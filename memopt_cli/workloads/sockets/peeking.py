"""What a socket tells of itself beyond its bytes, for those kept as plain descriptors."""

from __future__ import annotations

import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_TCP_INFO_BYTES = 104
_TOTAL_RETRANS = slice(100, 104)
"""Of Linux's `struct tcp_info`: packets that were sent again."""

_NO_LINGER = bytes(8)


def error_of(fd: int) -> int:
    """Return the number of the error that a connection ended with, 0 if with none."""
    with _socket(fd) as end:
        return end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def retransmitted(fd: int) -> bool:
    """Say whether any packet of a connection was sent more than once."""
    with _socket(fd) as end:
        info = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    return int.from_bytes(info[_TOTAL_RETRANS], sys.byteorder) > 0


def end_in_order(fd: int) -> None:
    """Have the coming close say goodbye, instead of resetting."""
    with _socket(fd) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)


@contextmanager
def _socket(fd: int) -> Iterator[socket.socket]:
    """Lend a socket object for a descriptor that stays open."""
    # All three given, so that nothing is asked of the kernel; the family makes no difference here.
    end = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=fd)
    try:
        yield end
    finally:
        end.detach()
