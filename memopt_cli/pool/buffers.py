"""
A pool of byte buffers in size classes, meant as targets of `recv_into`.

Worth it where many buffers are held at a time, from 4 KiB upwards, and always at 1 MiB; one
64 KiB buffer after the other is made faster than it is borrowed. The figures are in
`memopt_cli.pool`. A payload that is copied into the buffer gains nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from memopt_cli.errors import ForeignHandle, PoolError
from memopt_cli.pool.handles import SLOT_MASK
from memopt_cli.pool.leases import BufferLease
from memopt_cli.pool.objects import UNCHANGED, ObjectPool, Unchanged
from memopt_cli.pool.stock import check_bounds
from memopt_cli.units import format_size

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from memopt_cli.pool.stats import PoolInfo, PoolStats

KIB = 1024
DEFAULT_SIZE_BYTES = 64 * KIB
DEFAULT_CLASSES_BYTES = (4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, 1024 * KIB)


class Buffer(NamedTuple):
    """
    A buffer in use. Its view is invalid after the release; `len(view)` is what was asked.

    A tuple, because a frozen dataclass takes four times as long to make.
    """

    handle: int
    """The handle of the size class's pool."""

    capacity_bytes: int
    """The size class, or the exact size of an oversize buffer."""

    view: memoryview
    """The bytes asked for, writable."""

    # Equal to itself only: a view compares by its bytes, and has no hash.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    def __hash__(self) -> int:
        return object.__hash__(self)


class _SizeClass(ObjectPool[bytearray]):
    """The buffers of one capacity."""

    __slots__ = ("_capacity_bytes",)

    # Taking turns among a thousand buffers makes a 64 KiB receive 1.7 times as long.
    _newest_first = True

    def __init__(
        self, capacity_bytes: int, *, zero: bool, size: int = 0, max_size: int | None
    ) -> None:
        self._capacity_bytes = capacity_bytes
        super().__init__(
            partial(bytearray, capacity_bytes),
            _clear if zero else _require_unviewed,
            size=size,
            max_size=max_size,
        )

    def lend(self, size_bytes: int) -> Buffer:
        """Return an idle buffer, or a new one."""
        handle = ObjectPool.acquire(self)
        # In use, so it is there: checking the handle would cost as much as acquiring it.
        view = memoryview(self._objects[handle & SLOT_MASK])  # type: ignore[arg-type] # not None
        capacity_bytes = self._capacity_bytes
        return Buffer(
            handle, capacity_bytes, view if size_bytes == capacity_bytes else view[:size_bytes]
        )

    def lend_new(self, size_bytes: int) -> Buffer:
        """Return a buffer that is made for this request."""
        memory = bytearray(size_bytes)
        return Buffer(self.adopt(memory), size_bytes, memoryview(memory))

    def take_back(self, handle: int, view: memoryview) -> None:
        """Invalidate *view* and make its memory available, or refuse and leave it valid."""
        try:
            slot = handle & SLOT_MASK
            good = self._current[slot] == handle and self._objects[slot] is not None
        except (TypeError, IndexError):
            good = False
        if not good:
            raise self._refusal(handle)
        # If somebody still views a part of it, the pool discards it, and that is enough.
        # Two `suppress` would cost as much as all the rest.
        try:  # noqa: SIM105 - see above
            view.release()
        except BufferError:
            pass
        try:  # noqa: SIM105 - see above
            ObjectPool.release(self, handle)
        except BufferError:
            pass

    def set_zero(self, *, zero: bool) -> None:
        """Clear buffers from now on, or not; drop idle ones that were never cleared."""
        with self._lock:
            self._reset = _clear if zero else _require_unviewed
            while zero and self._idle:
                self._drop(self._idle, self._idle.pop)


class BufferPool:
    """
    Buffers of a few sizes, each size an `ObjectPool` of bytearrays.

    A request above the largest class gets a buffer of its own, which is let go on release and
    displaces nothing. Every method may be called from any thread; a buffer belongs to one.
    Of a class, the buffer released last is lent first: its bytes are still in the cache.

    **What the last user wrote stays readable** unless *zero* is set: clearing 64 KiB costs
    more than the rest of an acquire, and a receive overwrites what it reports. With *zero* a
    buffer is cleared on release, over its whole capacity.

    A part of the view that its user still holds at release (``part = view[:n]``) stays valid:
    that buffer is not handed out again, and counts as discarded.
    """

    __slots__ = (
        "_classes",
        "_classes_bytes",
        "_default",
        "_default_size_bytes",
        "_max_per_class",
        "_oversize",
        "_size",
        "_zero",
    )

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
        check_bounds(size, max_per_class=max_per_class)
        self._max_per_class, self._size, self._zero = max_per_class, size, zero
        self._default_size_bytes = default_size
        self._classes_bytes = ordered
        self._classes = [
            _SizeClass(capacity, zero=zero, max_size=max_per_class) for capacity in ordered
        ]
        self._default = self._classes[bisect_left(ordered, default_size)]
        self._default.configure(size=size)
        self._oversize = _SizeClass(0, zero=False, max_size=0)

    def acquire(self, size: int | None = None) -> Buffer:
        """
        Return a buffer with a view of exactly *size* bytes, the default size if None.

        Raises:
            PoolError: The size is below 1 B.
        """
        if size is None:
            return self._default.lend(self._default_size_bytes)
        if size < 1:
            raise PoolError(f"a buffer of {size:,} B", hint="Ask for 1 B or more.")
        if size > self._classes_bytes[-1]:
            return self._oversize.lend_new(size)
        return self._classes[bisect_left(self._classes_bytes, size)].lend(size)

    def release(self, buffer: Buffer) -> None:
        """
        Invalidate the buffer's view and make its memory available.

        Raises:
            StaleHandle: The buffer was released before; nothing has changed.
            ForeignHandle: This pool never gave it out; nothing has changed.
        """
        if not isinstance(buffer, Buffer):
            raise ForeignHandle(f"an object of type {type(buffer).__name__} is no buffer")
        handle, capacity_bytes, view = buffer
        if capacity_bytes > self._classes_bytes[-1]:
            self._oversize.take_back(handle, view)
        else:
            place = bisect_left(self._classes_bytes, capacity_bytes)
            self._classes[place].take_back(handle, view)

    def lease(self, size: int | None = None) -> AbstractContextManager[memoryview]:
        """Lend a view of exactly *size* bytes for the length of a `with`; invalid after it."""
        return BufferLease(self, size)

    def configure(
        self,
        *,
        max_per_class: int | Unchanged | None = UNCHANGED,
        size: int | Unchanged = UNCHANGED,
        zero: bool | Unchanged = UNCHANGED,
    ) -> None:
        """
        Change the bounds, and make or drop idle buffers until they hold.

        A new *size* is reached exactly in the class of the default size, unless more than
        that are in use. Setting *zero* lets go of the idle buffers that were used before,
        because nobody has cleared them.

        Raises:
            PoolError: The numbers contradict each other; nothing has changed.
        """
        # A lock that exists already, and that a child after a fork does not wait for.
        with self._default._lock:  # noqa: SLF001 - the class is this module's
            new_max = self._max_per_class if max_per_class is UNCHANGED else max_per_class
            new_size = self._size if size is UNCHANGED else size
            check_bounds(new_size, max_per_class=new_max)
            # First, because making buffers is what may fail.
            self._default.configure(size=size, max_size=new_max)
            for each in self._classes:
                each.configure(max_size=new_max)
            self._max_per_class, self._size = new_max, new_size
            if zero is not UNCHANGED and zero is not self._zero:
                self._set_zero(zero=zero)

    def stats(self) -> PoolStats:
        """Return the counters of all classes together, oversize buffers included."""
        return sum((each.stats() for each in self._classes), self._oversize.stats())

    def info(self) -> dict[int, PoolInfo]:
        """Return configuration and counters of each class, by its capacity in bytes."""
        return {
            capacity: each.info()
            for capacity, each in zip(self._classes_bytes, self._classes, strict=True)
        }

    def oversize_stats(self) -> PoolStats:
        """Return the counters of the requests above the largest class."""
        return self._oversize.stats()

    def _set_zero(self, *, zero: bool) -> None:
        """Clear buffers from now on, or not, and keep as many ready as before."""
        self._zero = zero
        for each in self._classes:
            each.set_zero(zero=zero)
        missing = self._size - self._default.stats().total
        if missing > 0:
            self._default.configure(size=self._size)


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
