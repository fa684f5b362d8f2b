"""A pool of connection states: packed records in one slab of memory, addressed by handles."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from memopt_cli.optimizer import batches
from memopt_cli.optimizer.capabilities import CapabilityStore
from memopt_cli.optimizer.elsewhere import StateSlab
from memopt_cli.optimizer.records import WORDS
from memopt_cli.optimizer.state import CompactState
from memopt_cli.optimizer.views import handle_array

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from memopt_cli.optimizer.retention import PayloadStore
    from memopt_cli.optimizer.views import Handles


class StatePool(StateSlab):
    """
    Connection states of 56 bytes each, and what some of them have beyond that.

    >>> pool = StatePool()
    >>> handle = pool.acquire()
    >>> state = pool[handle]
    >>> state.metadata["user"] = "ada"
    >>> state.metadata["user"], state.received, pool.stats().in_use
    ('ada', 0, 1)
    >>> pool.release(handle)
    >>> state.received
    Traceback (most recent call last):
    memopt_cli.errors.StaleHandle: ...

    The handle is the connection's identity: keep it where the connection is kept (in the
    selector's data, in an array by descriptor), and no dictionary is needed to find the state.

    Acquiring, releasing and looking up may be done from any thread; see `CompactState` for
    what may be done to one state. A child after a fork has a pool of its own, with the states
    as they were.
    """

    __slots__ = ("capabilities",)

    capabilities: CapabilityStore
    """Where the states' handshake documents are shared."""

    def __init__(
        self,
        *,
        size: int = 0,
        limit: int | None = None,
        capacity: int | None = None,
        capabilities: CapabilityStore | None = None,
        payloads: PayloadStore | None = None,
    ) -> None:
        """
        Args:
            size: Records made ready at once.
            limit: Most records in use; None is the capacity.
            capacity: Most records ever, for which address space is reserved; None is
                16,777,216, which reserve 960 MiB of it and no memory.
            capabilities: Where decoded states share their documents; None is a store of its own.
            payloads: Where retained payloads are shared with others; None shares none.

        Raises:
            PoolError: The numbers contradict each other, or the address space is not there.
        """
        super().__init__(size=size, limit=limit, capacity=capacity, payloads=payloads)
        self.capabilities = CapabilityStore() if capabilities is None else capabilities

    def __getitem__(self, handle: int) -> CompactState:
        """
        Return the state of *handle*.

        Raises:
            StaleHandle: The handle was released.
            ForeignHandle: This pool never gave it out.
        """
        try:
            key, at = handle >> 24, (handle & 0xFF_FFFF) * WORDS
            if self.words[at] == key and key & 1:
                return CompactState(self, self.words, key, at)
        except (TypeError, IndexError):
            pass
        key, at = self.find(handle)
        return CompactState(self, self.words, key, at)

    @contextmanager
    def lease(self) -> Iterator[CompactState]:
        """Acquire a state for the length of a `with`, and release it however that ends."""
        handle = self.acquire()
        try:
            yield self[handle]
        finally:
            self.release(handle)

    def column(self, name: str, handles: Handles | None = None) -> NDArray[Any]:
        """
        Return the field *name* of many states at once; see `memopt_cli.optimizer.batches`.

        Args:
            name: One of the numbers, times, or the phase.
            handles: Whose field; None is of all states in use, in the order of `handles`.

        Raises:
            UnknownField: No field has this name, or it is none of these.
            StaleHandle: A handle was released.
            ForeignHandle: This pool never gave one out.
        """
        with self._lock:
            given = self.handles() if handles is None else handle_array(handles)
            return batches.column(self, name, given)

    def note_received_many(
        self,
        handles: Handles,
        sizes_bytes: ArrayLike,
        at_s: ArrayLike,
        checksums: ArrayLike | None = None,
    ) -> None:
        """
        Account for many messages, as `CompactState.note_received` does for one after the other.

        Args:
            handles: Whose messages; the same may be there many times.
            sizes_bytes: The size of each.
            at_s: When each was received, or all of them.
            checksums: The checksum after each; None leaves them as they are.

        Raises:
            StaleHandle: A handle was released; nothing has changed.
            ForeignHandle: This pool never gave one out; nothing has changed.
            WrongFieldType: These are no numbers, or not as many; nothing has changed.
        """
        batch = batches.Batch.of(handle_array(handles), sizes_bytes, at_s, checksums)
        with self._lock:
            batches.note_received(self, batch)
