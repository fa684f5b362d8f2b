"""Where an arriving message is put while it is worked on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.pool.buffers import BufferPool

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def through_own_buffer(arriving: memoryview, buffer: bytearray) -> bytes:
    """
    Return the message, read piece by piece through the connection's own buffer.

    This is what reading a stream into a fixed buffer does: each piece is copied
    into the buffer, out of it, and the pieces are joined. With an empty buffer
    the message is copied once.
    """
    step = len(buffer)
    if not step:
        return bytes(arriving)
    pieces = []
    for start in range(0, len(arriving), step):
        piece = arriving[start : start + step]
        buffer[: len(piece)] = piece
        pieces.append(bytes(memoryview(buffer)[: len(piece)]))
    return b"".join(pieces)


class BorrowedBuffers:
    """Buffers from a pool, borrowed for the time of one message."""

    def __init__(self) -> None:
        self._pool = BufferPool()

    def hold(self, arriving: memoryview) -> AbstractContextManager[memoryview]:
        """Copy the message into a borrowed buffer, as `recv_into` would, and lend it."""
        return _Loan(self._pool, arriving)


class _Loan:
    """A borrowed buffer; a class rather than a generator, which would cost twice the time."""

    __slots__ = ("_arriving", "_buffer", "_pool")

    def __init__(self, pool: BufferPool, arriving: memoryview) -> None:
        self._pool = pool
        self._arriving = arriving

    def __enter__(self) -> memoryview:
        self._buffer = self._pool.acquire(len(self._arriving))
        self._buffer.view[:] = self._arriving
        return self._buffer.view

    def __exit__(self, *error: object) -> None:
        self._pool.release(self._buffer)
