"""What a pool lends for the length of a `with`: classes, because generators cost twice as much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from memopt_cli.pool.buffers import BufferPool
    from memopt_cli.pool.objects import ObjectPool

T = TypeVar("T")


class ObjectLease(Generic[T]):
    """An object, released however the `with` ends."""

    __slots__ = ("_handle", "_pool")

    def __init__(self, pool: ObjectPool[T]) -> None:
        self._pool = pool

    def __enter__(self) -> T:
        self._handle = self._pool.acquire()
        return self._pool[self._handle]

    def __exit__(self, *error: object) -> None:
        self._pool.release(self._handle)


class BufferLease:
    """A view of a buffer, invalid after the `with`."""

    __slots__ = ("_buffer", "_pool", "_size_bytes")

    def __init__(self, pool: BufferPool, size_bytes: int | None) -> None:
        self._pool = pool
        self._size_bytes = size_bytes

    def __enter__(self) -> memoryview:
        self._buffer = self._pool.acquire(self._size_bytes)
        return self._buffer.view

    def __exit__(self, *error: object) -> None:
        self._pool.release(self._buffer)
