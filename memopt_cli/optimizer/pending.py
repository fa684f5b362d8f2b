"""The requests of a connection that wait for their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from memopt_cli.errors import StateError
from memopt_cli.optimizer.counters import StateCounters
from memopt_cli.optimizer.fields import (
    RequestId,
    check_field,
    check_request_id,
    pending_already,
)
from memopt_cli.optimizer.records import (
    CONTROL,
    ELSEWHERE,
    INLINE_PENDING,
    METADATA,
    PENDING,
    PENDING_ELSEWHERE,
    PENDING_MASK,
    PENDING_SHIFT,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


class StatePending(StateCounters):
    """Ids of pending requests, up to three small ones in the record."""

    __slots__ = ()

    @property
    def pending(self) -> tuple[RequestId, ...]:
        """Ids of requests that were not answered, oldest first."""
        at, words = self._checked(), self._words
        control = words[at + CONTROL]
        if control & PENDING_ELSEWHERE:
            return self._pool.pending_at(at)
        count = (control & PENDING_MASK) >> PENDING_SHIFT
        return tuple(words[at + PENDING : at + PENDING + count])

    @pending.setter
    def pending(self, ids: Iterable[RequestId]) -> None:
        checked = check_field("pending", ids)
        self._write_pending(cast("tuple[RequestId, ...]", checked))

    def add_pending(self, request_id: RequestId) -> None:
        """
        Note a request that waits for its answer.

        Raises:
            WrongFieldType: The id is neither an int nor a str.
            StateError: The id is pending already.
        """
        words, at = self._words, self._checked()
        control = words[at + CONTROL]
        # The usual case, without a tuple: another small number, and room in the record.
        if type(request_id) is int and 0 <= request_id <= ELSEWHERE:
            end = at + PENDING + ((control & PENDING_MASK) >> PENDING_SHIFT)
            if end < at + METADATA and not control & PENDING_ELSEWHERE:
                if request_id in words[at + PENDING : end]:
                    raise pending_already(request_id)
                words[end] = request_id
                words[at + CONTROL] = control + (1 << PENDING_SHIFT)
                return
        check_request_id("pending", request_id)
        pending = self.pending
        if request_id in pending:
            raise pending_already(request_id)
        self._write_pending((*pending, request_id))

    def complete(self, request_id: RequestId) -> None:
        """
        Forget a request that was answered.

        Raises:
            WrongFieldType: The id is neither an int nor a str.
            StateError: No such request is pending.
        """
        check_request_id("pending", request_id)
        pending = self.pending
        if request_id not in pending:
            raise StateError(f"request {request_id!r} is not pending")
        at = pending.index(request_id)
        self._write_pending(pending[:at] + pending[at + 1 :])

    def _write_pending(self, ids: tuple[RequestId, ...]) -> None:
        words, at, before = self._words, self._at, self._control()
        control = before & ~(PENDING_MASK | PENDING_ELSEWHERE)
        if len(ids) <= INLINE_PENDING and all(
            type(one) is int and 0 <= one <= ELSEWHERE for one in ids
        ):
            for place, one in enumerate(ids, at + PENDING):
                words[place] = one  # type: ignore[assignment] # an int, as checked above
            words[at + CONTROL] = control | len(ids) << PENDING_SHIFT
            if before & PENDING_ELSEWHERE:
                self._pool.forget_pending(at)
        else:
            self._pool.set_pending(at, ids)
            words[at + CONTROL] = control | PENDING_ELSEWHERE
