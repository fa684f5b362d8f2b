"""Which agent is where: handles that end, and the row or the sleep of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from memopt_cli.errors import AgentError, ForeignHandle, PoolExhausted, StaleHandle
from memopt_cli.pool.handles import (
    GENERATION_MASK,
    LAST_GENERATION,
    MAX_SLOTS,
    SLOT_BITS,
    SLOT_MASK,
    TAG_SHIFT,
    next_tag,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from memopt_cli.optimizer.agents.model import Ints

ASLEEP: Final = -1
_FREE: Final = -2
"""Free slots are linked: -2 - n is followed by slot n - 1, and -2 is the end."""

_FIRST_SLOTS: Final = 64


class Slots:
    """
    A generation and a row per agent: 8 bytes, kept also while the agent sleeps.

    A handle holds slot, generation and population; it ends with its agent.
    """

    __slots__ = ("_free", "_generations", "_made", "_tag", "rows")

    def __init__(self) -> None:
        import numpy as np

        self._tag = next_tag() << TAG_SHIFT
        self._generations: NDArray[Any] = np.zeros(_FIRST_SLOTS, dtype=np.uint32)
        self.rows: NDArray[Any] = np.zeros(_FIRST_SLOTS, dtype=np.int32)
        self._made, self._free = 0, _FREE

    @property
    def size_bytes(self) -> int:
        """What the tables occupy."""
        return self._generations.nbytes + self.rows.nbytes

    def take(self, count: int) -> Ints:
        """
        Return *count* slots that are nobody's, now in use.

        Raises:
            PoolExhausted: There is no number left; nothing is taken.
        """
        import numpy as np

        slots = np.empty(count, dtype=np.intp)
        reused = 0
        while reused < count and self._free != _FREE:
            slot = _FREE - self._free - 1
            slots[reused] = slot
            self._free = int(self.rows[slot])
            reused += 1
        fresh = self._made + count - reused
        if fresh > MAX_SLOTS:
            for slot in slots[:reused]:
                self._link(int(slot))
            raise PoolExhausted(
                f"{count:,} more agents than {self._made:,}; {MAX_SLOTS:,} is the most",
                hint="Make another population.",
            )
        self._make_room(fresh)
        slots[reused:] = np.arange(self._made, fresh)
        self._made = fresh
        self._generations[slots] += np.uint32(1)
        return slots

    def end(self, slot: int) -> None:
        """Make a slot nobody's: its handle is stale from now on."""
        generation = int(self._generations[slot]) + 1
        self._generations[slot] = generation
        # A slot whose generations are used up is left out for ever.
        self.rows[slot] = _FREE
        if generation < LAST_GENERATION:
            self._link(slot)

    def handles(self, slots: Ints) -> NDArray[Any]:
        """Return the handles of slots in use."""
        import numpy as np

        generations = self._generations[slots].astype(np.int64) << SLOT_BITS
        return generations | slots | self._tag

    def slot(self, handle: int) -> int:
        """
        Return the slot of a handle.

        Raises:
            ForeignHandle: Another population, or nobody, gave it out.
            StaleHandle: Its agent was removed.
        """
        if type(handle) is int:
            slot = handle & SLOT_MASK
            generation = handle >> SLOT_BITS & GENERATION_MASK
            ours = handle >> TAG_SHIFT << TAG_SHIFT == self._tag and slot < self._made
            if ours and generation & 1 and self._generations[slot] == generation:
                return slot
        # Whatever is wrong with it, the batch says so.
        return int(self.slots((handle,))[0])

    def slots(self, handles: Iterable[int] | NDArray[Any]) -> Ints:
        """
        Return the slots of handles.

        Raises:
            ForeignHandle: Another population, or nobody, gave one of them out.
            StaleHandle: The agent of one of them was removed.
        """
        import numpy as np

        array = np.asarray(handles if isinstance(handles, np.ndarray) else list(handles))
        if array.size and array.dtype.kind not in "iu":
            raise ForeignHandle(f"a handle of {array.dtype}", hint="Handles are integers.")
        array = array.astype(np.int64)
        slots = array & SLOT_MASK
        generations = array >> SLOT_BITS & GENERATION_MASK
        foreign = (array >> TAG_SHIFT << TAG_SHIFT != self._tag) | (slots >= self._made)
        if foreign.any():
            raise ForeignHandle(
                f"handle {array[foreign][0]:#x} was not given out by this population",
                hint="Use it with the population that added the agent.",
            )
        stale = (generations & 1 == 0) | (self._generations[slots] != generations)
        if stale.any():
            raise StaleHandle(
                f"the agent of handle {array[stale][0]:#x} was removed",
                hint="Forget the handle when the agent is removed.",
            )
        return slots

    def _link(self, slot: int) -> None:
        self.rows[slot] = self._free
        self._free = _FREE - slot - 1

    def _make_room(self, count: int) -> None:
        """Make the tables a quarter larger than needed, so that growing costs little on average."""
        import numpy as np

        if count <= len(self.rows):
            return
        size = min(max(count, len(self.rows) + (len(self.rows) >> 2)), MAX_SLOTS)
        for name in ("_generations", "rows"):
            old = getattr(self, name)
            new = np.zeros(size, dtype=old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)


def check_pairs(slots: Ints | None, awake: int, observations: int) -> None:
    """
    Do nothing if there is one observation for each of different agents.

    Args:
        slots: Whose they are; of all who are awake if None.
        awake: How many those are.
        observations: How many there are.

    Raises:
        AgentError: There are more or fewer, or an agent is named twice.
    """
    import numpy as np

    named = awake if slots is None else len(slots)
    different = named if slots is None else len(np.unique(slots))
    if not named == different == observations:
        raise AgentError(
            f"{observations} observations for {named} agents, {different} different",
            hint="Name each agent once, and give one observation each.",
        )
