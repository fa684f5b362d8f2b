"""
A pool of byte buffers in size classes, meant as targets of `recv_into`.

Worth it from 16 KiB upwards, where fresh memory costs more than the pool does, and only when
the bytes are received in place: a payload that is copied into the buffer gains nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.errors import ForeignHandle, PoolError
from memopt_cli.pool.objects import ObjectPool
from memopt_cli.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memopt_cli.pool.stats import PoolInfo, PoolStats

KIB = 1024
DEFAULT_SIZE_BYTES = 64 * KIB
DEFAULT_CLASSES_BYTES = (4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, 1024 * KIB)


@dataclass(frozen=True, slots=True)
class Buffer:
    """A buffer in use. Its view is invalid after the release; `len(view)` is what was asked."""

    handle: int
    """The handle of the size class's pool."""

    capacity_bytes: int
    """The size class, or the exact size of an oversize buffer."""

    view: memoryview
    """The bytes asked for, writable."""


class BufferPool:
    """
    Buffers of a few sizes, each size an `ObjectPool` of bytearrays.

    A request above the largest class gets a buffer of its own, which is let go on release and
    displaces nothing. Every method may be called from any thread; a buffer belongs to one.

    **What the last user wrote stays readable** unless *zero* is set: clearing 64 KiB costs
    more than the rest of an acquire, and a receive overwrites what it reports. With *zero* a
    buffer is cleared on release, over its whole capacity.

    A part of the view that its user still holds at release (``part = view[:n]``) stays valid:
    that buffer is not handed out again, and counts as discarded.
    """

    __slots__ = ("_classes_bytes", "_default_size_bytes", "_oversize", "_pools")

    def __init__(
        self,
        *,
        default_size: int = DEFAULT_SIZE_BYTES,
        classes: tuple[int, ...] = DEFAULT_CLASSES_BYTES,
        max_per_class: int | None = 128,
        size: int = 0,
        zero: bool = False,
    ) -> None:
        """
        Args:
            default_size: Bytes of a buffer when no size is asked for.
            classes: Capacities in bytes.
            max_per_class: Most idle buffers kept in each class; None is no bound.
            size: Buffers made at once in the class of the default size.
            zero: Clear each buffer on release.

        Raises:
            PoolError: The numbers contradict each other.
        """
        ordered = tuple(sorted(set(classes)))
        if not ordered or ordered[0] < 1:
            raise PoolError(f"size classes are {classes}", hint="Give capacities of 1 B or more.")
        if not 1 <= default_size <= ordered[-1]:
            raise PoolError(
                f"default size {default_size:,} B is in no class",
                hint=f"Give 1 B to {format_size(ordered[-1])}, or add a larger class.",
            )
        self._classes_bytes = ordered
        self._default_size_bytes = default_size
        default_class = ordered[bisect_left(ordered, default_size)]
        self._pools = {
            capacity: _class_pool(
                capacity, max_per_class, size if capacity == default_class else 0, zero=zero
            )
            for capacity in ordered
        }
        self._oversize = ObjectPool(bytearray, _require_unviewed, max_size=0)

    def acquire(self, size: int | None = None) -> Buffer:
        """
        Return a buffer with a view of exactly *size* bytes, the default size if None.

        Raises:
            PoolError: The size is below 1 B.
        """
        size_bytes = self._default_size_bytes if size is None else size
        if size_bytes < 1:
            raise PoolError(f"a buffer of {size_bytes:,} B", hint="Ask for 1 B or more.")
        if size_bytes > self._classes_bytes[-1]:
            return self._acquire_oversize(size_bytes)
        capacity = self._classes_bytes[bisect_left(self._classes_bytes, size_bytes)]
        pool = self._pools[capacity]
        handle = pool.acquire()
        return Buffer(handle, capacity, memoryview(pool[handle])[:size_bytes])

    def release(self, buffer: Buffer) -> None:
        """
        Invalidate the buffer's view and make its memory available.

        Raises:
            StaleHandle: The buffer was released before; nothing has changed.
            ForeignHandle: This pool never gave it out; nothing has changed.
        """
        if not isinstance(buffer, Buffer):
            raise ForeignHandle(f"an object of type {type(buffer).__name__} is no buffer")
        pool = self._pools.get(buffer.capacity_bytes, self._oversize)
        # Refused here, before the view of somebody else's buffer is touched.
        pool[buffer.handle]
        # If somebody still views a part of it, the pool discards it, and that is enough.
        with suppress(BufferError):
            buffer.view.release()
        with suppress(BufferError):
            pool.release(buffer.handle)

    @contextmanager
    def lease(self, size: int | None = None) -> Iterator[memoryview]:
        """Yield a view of exactly *size* bytes for the length of a `with`; invalid after it."""
        buffer = self.acquire(size)
        try:
            yield buffer.view
        finally:
            self.release(buffer)

    def stats(self) -> PoolStats:
        """Return the counters of all classes together, oversize buffers included."""
        return sum((pool.stats() for pool in self._pools.values()), self._oversize.stats())

    def info(self) -> dict[int, PoolInfo]:
        """Return configuration and counters of each class, by its capacity in bytes."""
        return {capacity: pool.info() for capacity, pool in self._pools.items()}

    def oversize_stats(self) -> PoolStats:
        """Return the counters of the requests above the largest class."""
        return self._oversize.stats()

    def _acquire_oversize(self, size_bytes: int) -> Buffer:
        """Return a buffer that belongs to no class."""
        memory = bytearray(size_bytes)
        handle = self._oversize.adopt(memory)
        return Buffer(handle, size_bytes, memoryview(memory))


def _class_pool(
    capacity: int, max_size: int | None, size: int, *, zero: bool
) -> ObjectPool[bytearray]:
    """Return the pool of one size class."""
    reset = _clear if zero else _require_unviewed
    return ObjectPool(lambda: bytearray(capacity), reset, size=size, max_size=max_size)


def _clear(memory: bytearray) -> None:
    """Overwrite *memory* with zeros, or raise `BufferError` if somebody views it."""
    _require_unviewed(memory)
    memory[:] = bytes(len(memory))


def _require_unviewed(memory: bytearray) -> None:
    """
    Raise `BufferError` if a view of *memory* is alive.

    A bytearray refuses to change its length while it is viewed. Taking the last byte off and
    putting it back stays within the memory it has, so it costs no allocation.
    """
    memory.append(memory.pop())
