"""The part of a connection's record that is numbers, and what a message does to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.optimizer.fields import Phase, check_integer, wrong_type
from memopt_cli.optimizer.records import (
    CHECKSUM,
    CONTROL,
    ELSEWHERE,
    LAST_SEEN,
    NUMBER,
    OPENED_AT,
    PHASE_MASK,
    RECEIVED,
    RECEIVED_BYTES,
)
from memopt_cli.optimizer.scalars import count_property, time_property

if TYPE_CHECKING:
    from memopt_cli.errors import PoolError
    from memopt_cli.optimizer.state_pool import StatePool

PHASES = tuple(Phase)
_NO_PHASE = ~PHASE_MASK


class StateCounters:
    """Numbers, times and phase of one connection, read and written where they lie."""

    __slots__ = ("_at", "_key", "_pool", "_words")

    def __init__(self, pool: StatePool, words: memoryview[int], key: int, at: int) -> None:
        """Made by the pool only."""
        self._pool = pool
        self._words = words
        self._key = key
        self._at = at

    number = count_property("number", NUMBER, "The connection's number, as its server counts.")
    opened_at_s = time_property("opened_at_s", OPENED_AT, "Time of arrival.")
    last_seen_s = time_property("last_seen_s", LAST_SEEN, "Time of the latest message.")
    received = count_property("received", RECEIVED, "Messages received.")
    received_bytes = count_property("received_bytes", RECEIVED_BYTES, "Bytes received.")
    checksum = count_property("checksum", CHECKSUM, "Of everything received, as the owner has it.")

    def __repr__(self) -> str:
        if self._words[self._at] != self._key:
            return f"<{type(self).__name__} released>"
        return f"<{type(self).__name__} {self.number} {self.phase.name}>"

    @property
    def handle(self) -> int:
        """The handle that the state was acquired by."""
        return self._pool.handle_at(self._at, self._key)

    @property
    def phase(self) -> Phase:
        """Where the connection is between its first and its last byte."""
        words, at = self._words, self._at
        if words[at] != self._key:
            raise self._stale()
        return PHASES[words[at + CONTROL] & PHASE_MASK]

    @phase.setter
    def phase(self, phase: Phase) -> None:
        words, at = self._words, self._at
        if words[at] != self._key:
            raise self._stale()
        if not isinstance(phase, Phase):
            raise wrong_type("phase", "a Phase", phase)
        words[at + CONTROL] = words[at + CONTROL] & _NO_PHASE | phase

    def note_received(self, size_bytes: int, at_s: float, checksum: int) -> None:
        """
        Account for one message: one more received, its bytes, its time, the new checksum.

        Raises:
            WrongFieldType: A value is not of its field's type; nothing is set.
        """
        words, at = self._words, self._at
        if words[at] != self._key:
            raise self._stale()
        try:
            received = words[at + RECEIVED] + 1
            received_bytes = words[at + RECEIVED_BYTES] + size_bytes
            # All at once: together they are 32 bits only if each is, and ints only if each is.
            if received < ELSEWHERE and 0 <= received_bytes | size_bytes | checksum < ELSEWHERE:
                self._pool.times[(at >> 1) + LAST_SEEN] = at_s
                words[at + RECEIVED] = received
                words[at + RECEIVED_BYTES] = received_bytes
                words[at + CHECKSUM] = checksum
                return
        except (TypeError, ValueError):
            pass
        self._note_with_care(size_bytes, at_s, checksum)

    def _note_with_care(self, size_bytes: int, at_s: float, checksum: int) -> None:
        """Account for a message whose counts may not fit, or are none."""
        size_bytes = check_integer("size_bytes", size_bytes)
        checksum = check_integer("checksum", checksum)
        self.last_seen_s = at_s
        self.checksum = checksum
        self.received_bytes += size_bytes
        self.received += 1

    def _checked(self) -> int:
        """Return where the record begins, if it is still this connection's."""
        if self._words[self._at] != self._key:
            raise self._stale()
        return self._at

    def _control(self) -> int:
        return self._words[self._checked() + CONTROL]

    def _stale(self) -> PoolError:
        return self._pool.refusal(self._pool.handle_at(self._at, self._key))
