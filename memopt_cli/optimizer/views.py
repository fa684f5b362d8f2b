"""The memory of a slab as numpy arrays, and batches of handles as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from memopt_cli.errors import ForeignHandle
from memopt_cli.optimizer.records import (
    CHECKSUM,
    CONTROL,
    DOUBLES,
    KEY,
    LAST_SEEN,
    METADATA,
    NUMBER,
    OPENED_AT,
    RECEIVED,
    RECEIVED_BYTES,
    RECORD_BYTES,
    WORDS,
)

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterable
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    Handles: TypeAlias = Iterable[int] | NDArray[np.uint64]

COUNTS: Final = {
    "number": NUMBER,
    "received": RECEIVED,
    "received_bytes": RECEIVED_BYTES,
    "checksum": CHECKSUM,
}
"""The fields that are counts, and their words."""

TIMES: Final = {"opened_at_s": OPENED_AT, "last_seen_s": LAST_SEEN}


class Views(NamedTuple):
    """The memory of a slab as arrays, whose first index is the slot."""

    rows: NDArray[np.void]
    """Whole records: writing one of these is five times as fast as writing its words."""

    keys: NDArray[np.uint32]
    controls: NDArray[np.uint32]
    references: NDArray[np.uint32]

    counts: dict[str, NDArray[np.uint32]]
    """By the names of the fields."""

    times: dict[str, NDArray[np.float64]]
    """By the names of the fields."""

    stack: NDArray[np.uint32]
    """Slots that are idle, the latest last; to be read only, as `BulkSlab` says."""


def new_views(memory: mmap.mmap, stack_memory: mmap.mmap) -> Views:
    """Return views of both, which stay valid as long as these."""
    import numpy as np

    words = np.frombuffer(memory, np.uint32).reshape(-1, WORDS)
    doubles = np.frombuffer(memory, np.float64).reshape(-1, DOUBLES)
    stack = np.frombuffer(stack_memory, np.uint32)
    stack.flags.writeable = False
    return Views(
        rows=np.frombuffer(memory, f"V{RECORD_BYTES}"),
        keys=words[:, KEY],
        controls=words[:, CONTROL],
        references=words[:, METADATA],
        counts={name: words[:, word] for name, word in COUNTS.items()},
        times={name: doubles[:, double] for name, double in TIMES.items()},
        stack=stack,
    )


def handle_array(handles: Handles) -> NDArray[np.uint64]:
    """
    Return *handles* as an array of unsigned integers.

    Raises:
        ForeignHandle: One of them is no integer of 64 bits.
    """
    import numpy as np

    try:
        found = handles if isinstance(handles, np.ndarray) else np.array(list(handles))
    except (TypeError, ValueError) as exc:
        raise ForeignHandle(f"these are not handles of any pool: {exc}") from None
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise ForeignHandle(
            f"an array of {found.ndim} dimensions of {found.dtype} holds no handles",
            hint="Give the handles that were acquired, as a list or an array of uint64.",
        )
    return found.astype(np.uint64, copy=False)


def repeated(slots: NDArray[np.intp]) -> NDArray[np.intp]:
    """
    Return the places of slots that are there again later, which takes less than sorting them.

    Each place is written into a small table by the lowest bits of its slot, and the latest one
    stays there. Only those that find another's place are compared: with the slot of that one,
    and with each other.
    """
    import numpy as np

    mask = (1 << (8 * len(slots)).bit_length()) - 1
    short, places = slots & mask, np.arange(len(slots))
    latest = np.empty(mask + 1, np.intp)
    # Of equal indices the last one wins.
    latest[short] = places
    rivals = latest[short]
    beaten = (rivals != places).nonzero()[0]
    again = slots[beaten] == slots[rivals[beaten]]
    order = slots[beaten].argsort(kind="stable")
    ordered = slots[beaten[order]]
    again[order[:-1]] |= ordered[1:] == ordered[:-1]
    found: NDArray[np.intp] = beaten[again]
    return found
