"""Many connection states at once: a field as an array, and a batch of messages accounted for."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Final

from memopt_cli.errors import StaleHandle, StateError, UnknownField
from memopt_cli.optimizer.fields import FIELDS, unknown_field, wrong_type
from memopt_cli.optimizer.records import ELSEWHERE, PHASE_MASK, WORDS
from memopt_cli.optimizer.state import CompactState
from memopt_cli.optimizer.views import COUNTS, TIMES, repeated

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from memopt_cli.optimizer.columns import Counted
    from memopt_cli.optimizer.elsewhere import StateSlab
    from memopt_cli.optimizer.state_pool import StatePool

FEW: Final = 64
"""So many messages cost less one by one than what the first of a batch costs."""

MOST_ROUNDS: Final = 8
"""So many messages of one connection are accounted for by arrays, those before one by one."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages as arrays of the same length."""

    handles: NDArray[np.uint64]

    sizes_bytes: NDArray[np.uint64]

    at_s: NDArray[np.float64]
    """When each was received, or all of them, without a dimension."""

    checksums: NDArray[np.uint64] | None
    """The checksum after each; None leaves them as they are."""

    @classmethod
    def of(
        cls,
        handles: NDArray[np.uint64],
        sizes_bytes: ArrayLike,
        at_s: ArrayLike,
        checksums: ArrayLike | None,
    ) -> Batch:
        """
        Return the batch of what a caller gave.

        Raises:
            WrongFieldType: These are no numbers, or not as many as there are handles.
        """
        import numpy as np

        count = len(handles)
        try:
            times = np.asarray(at_s)
        except ValueError:
            times = np.empty((), object)
        if times.dtype.kind not in "iuf" or times.shape not in {(), (count,)}:
            raise wrong_type("at_s", f"seconds, one number or {count:,} of them", at_s)
        return cls(
            handles=handles,
            sizes_bytes=_integers("sizes_bytes", sizes_bytes, count),
            at_s=times.astype(np.float64, copy=False),
            checksums=None if checksums is None else _integers("checksums", checksums, count),
        )


def column(pool: StateSlab, name: str, handles: NDArray[np.uint64]) -> NDArray[Any]:
    """
    Return the field *name* of the states of *handles*.

    Counts are int64, or Python ints in an array of objects if one of them does not fit that;
    times are float64, phases uint8.

    Raises:
        UnknownField: No field has this name, or it is no number.
        StaleHandle: A handle was released.
        ForeignHandle: The pool never gave one out.
    """
    slots, _ = pool.slots_of(handles)
    if name in COUNTS:
        found = _counts(pool, slots, name)
    elif name in TIMES:
        found = pool.views().times[name][slots]
    elif name == "phase":
        found = (pool.views().controls[slots] & PHASE_MASK).astype("u1")
    elif name in FIELDS:
        raise UnknownField(f"the field {name!r} is no number", hint="Read it state by state.")
    else:
        raise unknown_field(name)
    # Once more, afterwards: then they were the handles' all the time.
    pool.slots_of(handles)
    return found


def note_received(pool: StatePool, batch: Batch) -> None:
    """
    Account for all messages of *batch*, or for none; the caller has the pool's lock.

    Raises:
        StaleHandle: A handle was released; nothing has changed.
        ForeignHandle: The pool never gave one out; nothing has changed.
    """
    if len(batch.handles):
        before = pool.turn()
        slots, keys = pool.slots_of(batch.handles)
        _Messages(pool, batch, slots, keys).account(before)


@dataclass(frozen=True, slots=True)
class _Messages:
    """A batch whose handles were good when that was looked at."""

    pool: StatePool
    batch: Batch
    slots: NDArray[np.intp]
    keys: NDArray[np.uint32]

    def account(self, before: int) -> None:
        """Account for all messages; *before* is the turn in which the handles were good."""
        earlier = repeated(self.slots)
        if len(earlier) > FEW:
            self.in_rounds(earlier)
            return
        # Those that others of their connection follow come first. They are written once more
        # with all others, and overwritten there by those that follow.
        self.one_by_one(earlier)
        counted = self.counted()
        if not (_all_fit(counted) and self.pool.write_counted(self.slots, counted, before)):
            self.together(_without(len(self.slots), earlier))

    def in_rounds(self, earlier: NDArray[np.intp]) -> None:
        """Account for the latest message of each connection after the latest before it."""
        rounds, left = [_without(len(self.slots), earlier)], earlier
        while len(left) > FEW and len(rounds) < MOST_ROUNDS:
            earlier = repeated(self.slots[left])
            rounds.append(left[_without(len(left), earlier)])
            left = left[earlier]
        self.one_by_one(left)
        for places in reversed(rounds):
            self.together(places)

    def together(self, places: NDArray[np.intp]) -> None:
        """Account for messages of connections that all differ, whatever their counts are."""
        import numpy as np

        keys, others = self.pool.views().keys, [places[:0]]
        while True:
            before, part = self.pool.turn(), self.part(places)
            counted = part.counted()
            # A finaliser may have released one of them since it was looked at.
            good = _fit(counted) & (keys[part.slots] == part.keys)
            if not good.all():
                others.append(places[~good])
                places = places[good]
            elif self.pool.write_counted(part.slots, counted, before):
                break
        self.one_by_one(np.concatenate(others))

    def part(self, places: NDArray[np.intp]) -> _Messages:
        """Return some of the messages."""
        at_s, checksums = self.batch.at_s, self.batch.checksums
        batch = Batch(
            self.batch.handles[places],
            self.batch.sizes_bytes[places],
            at_s[places] if at_s.ndim else at_s,
            None if checksums is None else checksums[places],
        )
        return _Messages(self.pool, batch, self.slots[places], self.keys[places])

    def counted(self) -> Counted:
        """Return what each message makes of its record, whether or not that fits there."""
        counts, batch = self.pool.views().counts, self.batch
        received = counts["received"][self.slots]
        received += 1
        received_bytes = counts["received_bytes"][self.slots] + batch.sizes_bytes
        return received, received_bytes, batch.at_s, batch.checksums

    def one_by_one(self, places: NDArray[np.intp]) -> None:
        """Account for messages in their order, of any connections."""
        pool, batch = self.pool, self.batch
        at_s, checksums = batch.at_s, batch.checksums
        for slot, key, size_bytes, seen_s, checksum in zip(
            self.slots[places].tolist(),
            self.keys[places].tolist(),
            batch.sizes_bytes[places].tolist(),
            at_s[places].tolist() if at_s.ndim else repeat(float(at_s)),
            repeat(None) if checksums is None else checksums[places].tolist(),
            strict=False,
        ):
            state = CompactState(pool, pool.words, key, slot * WORDS)
            try:
                if checksum is None:
                    state.last_seen_s = seen_s
                    state.received_bytes += size_bytes
                    state.received += 1
                else:
                    state.note_received(size_bytes, seen_s, checksum)
            except StaleHandle:
                # A finaliser has released it by now.
                continue


def _all_fit(counted: Counted) -> bool:
    """Say whether the counts of one or more messages all fit; rarely, falsely that they do not."""
    import numpy as np

    received, received_bytes, _, checksums = counted
    # Together they are 32 bits only if each is. What was elsewhere has become 0, and one less
    # is again the most that a word can hold.
    either = received_bytes if checksums is None else received_bytes | checksums
    one_less = received - np.uint32(1)
    return bool(
        np.maximum.reduce(either) < ELSEWHERE and np.maximum.reduce(one_less) < ELSEWHERE - 1
    )


def _fit(counted: Counted) -> NDArray[np.bool_]:
    """Say of each message whether the counts fit their words."""
    received, received_bytes, _, checksums = counted
    fit = (received_bytes < ELSEWHERE) & (received < ELSEWHERE) & (received > 0)
    return fit if checksums is None else fit & (checksums < ELSEWHERE)


def _without(count: int, places: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return all places but these."""
    import numpy as np

    left = np.ones(count, bool)
    left[places] = False
    return left.nonzero()[0]


def _integers(name: str, values: ArrayLike, count: int) -> NDArray[np.uint64]:
    import numpy as np

    try:
        found = np.asarray(values)
    except ValueError:
        found = np.empty((), object)
    if found.shape != (count,) or (count and found.dtype.kind not in "iu"):
        raise wrong_type(name, f"{count:,} ints of 64 bits", values)
    if found.dtype.kind == "i" and np.minimum.reduce(found, initial=0) < 0:
        raise StateError(f"{name} are down to {found.min():,}", hint="Give numbers of 0 or more.")
    return found.astype(np.uint64, copy=False)


def _counts(pool: StateSlab, slots: NDArray[np.intp], name: str) -> NDArray[Any]:
    """Return counts, with those that are kept elsewhere in their places."""
    import numpy as np

    found = pool.views().counts[name][slots].astype(np.int64)
    places = (found == ELSEWHERE).nonzero()[0]
    wide = [pool.wide(slot * WORDS, COUNTS[name]) for slot in slots[places].tolist()]
    if any(not -(2**63) <= count < 2**63 for count in wide):
        found = found.astype(object)
    found[places] = wide
    return found
