"""A slab whose records are looked at, and messages accounted for, in columns of all records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.optimizer.slab import Slab
from memopt_cli.optimizer.views import new_views
from memopt_cli.pool.handles import MAX_SLOTS, SLOT_BITS, SLOT_MASK

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    from memopt_cli.optimizer.views import Views

    Counted: TypeAlias = tuple[
        NDArray[np.uint32], NDArray[np.uint64], NDArray[np.float64], NDArray[np.uint64] | None
    ]
    """Received, received bytes, last seen in seconds, and checksums if these change."""


class ColumnSlab(Slab):
    """A slab with a view of its memory as arrays."""

    __slots__ = ("_views",)

    def __init__(self, *, size: int, limit: int | None, capacity: int | None) -> None:
        self._views: Views | None = None
        super().__init__(size=size, limit=limit, capacity=capacity)

    def handles(self) -> NDArray[np.uint64]:
        """Return the handles of all records in use, by slot."""
        import numpy as np

        with self._lock:
            while True:
                made, idle, turn = self._made, self._idle, self._ended
                keys = self.views().keys[:made].astype(np.uint64)
                # An acquire waits for no lock; so the handles would be of no one moment.
                if self._made == made and self._idle == idle and self._ended == turn:
                    break
        slots = np.flatnonzero(keys & np.uint64(1))
        return keys[slots] << np.uint64(SLOT_BITS) | slots.astype(np.uint64)

    def slots_of(self, handles: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.uint32]]:
        """
        Return slots and keys of *handles*.

        Raises:
            StaleHandle: One was released.
            ForeignHandle: This pool never gave one out.
        """
        import numpy as np

        slots = (handles & np.uint64(SLOT_MASK)).view(np.intp)
        # A slot beyond the capacity is looked up as the last one.
        inside = slots if self._capacity == MAX_SLOTS else np.minimum(slots, self._capacity - 1)
        keys = self.views().keys[inside]
        good = handles >> np.uint64(SLOT_BITS) == keys
        if inside is not slots:
            good &= slots == inside
        if not (np.logical_and.reduce(good) and np.bitwise_and.reduce(keys) & 1):
            good &= (keys & np.uint32(1)).astype(bool)
            raise self.refusal(int(handles[good.argmin()]))
        return slots, keys

    def turn(self) -> int:
        """Return what changes with every release: until then, who has a record keeps it."""
        return self._ended

    def write_counted(self, slots: NDArray[np.intp], counted: Counted, before: int) -> bool:
        """Write what messages changed, if it is still the turn *before*; say whether it is."""
        counts, times = self.views().counts, self.views().times
        all_received, all_bytes = counts["received"], counts["received_bytes"]
        all_checksums, all_seen = counts["checksum"], times["last_seen_s"]
        received, received_bytes, last_seen_s, checksums = counted
        if self._ended == before:
            all_received[slots] = received
            all_bytes[slots] = received_bytes
            all_seen[slots] = last_seen_s
            if checksums is not None:
                all_checksums[slots] = checksums
            return True
        return False

    def views(self) -> Views:
        """Return the memory as arrays, which are made when they are first asked for."""
        if self._views is None:
            self._views = new_views(self.memory, self._stack_memory)
        return self._views
