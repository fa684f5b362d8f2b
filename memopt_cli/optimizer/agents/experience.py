"""What an agent did, when, and what it got: thirteen bytes a time, the latest in a ring."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Final

from memopt_cli.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_ACTIONS: Final = 1 << 32
REWARD_ERROR: Final = 2.0**-24
"""Largest error of a reward, relative to it: 6e-8, as of float32."""

LARGEST_REWARD: Final = 3.4e38
_CODES: Final = ((1 << 8, "B"), (1 << 16, "H"), (MOST_ACTIONS, "I"))


@dataclass(frozen=True, slots=True)
class Experience:
    """One action of the past."""

    action: int
    time_s: float
    reward: float


class ExperienceRing:
    """
    The latest actions with their times and rewards, as columns.

    Times are float64: seconds since 1970 in float32 would be 128 apart. Rewards are float32,
    and actions take as many bytes as their number needs. A tuple of the three in a list takes
    120 bytes. Room is taken as it is needed, up to the limit.
    """

    __slots__ = ("_actions", "_limit", "_most", "_next", "_rewards", "_times")

    def __init__(self, actions: int, limit: int) -> None:
        """
        Args:
            actions: How many different ones there are; they are numbered from 0.
            limit: How many are remembered.

        Raises:
            AgentError: There are none, or too many to number, or nothing is remembered.
        """
        if not 1 <= actions <= MOST_ACTIONS or limit < 1:
            raise AgentError(
                f"the latest {limit} of {actions:,} kinds of action",
                hint="Give 1 to 2^32 kinds, and a limit of at least 1.",
            )
        code = next(code for most, code in _CODES if actions <= most)
        self._actions, self._times, self._rewards = array(code), array("d"), array("f")
        self._most, self._limit, self._next = actions, limit, 0

    def __len__(self) -> int:
        return len(self._actions)

    def __iter__(self) -> Iterator[Experience]:
        """Yield what is remembered, the oldest first."""
        for place in (*range(self._next, len(self)), *range(self._next)):
            yield Experience(self._actions[place], self._times[place], self._rewards[place])

    @property
    def size_bytes(self) -> int:
        """What the columns occupy, room that the allocator was asked for included."""
        # Their headers belong to them, as a list's does to it.
        return sum(each.__sizeof__() for each in (self._actions, self._times, self._rewards))

    def append(self, action: int, time_s: float, reward: float) -> None:
        """
        Remember one more; the oldest goes if there is no room.

        Raises:
            AgentError: There is no such action, or the time or the reward is not finite or
                too large for float32; nothing has changed.
        """
        if not 0 <= action < self._most:
            raise AgentError(f"action {action} of {self._most:,}", hint="Count actions from 0.")
        if not isfinite(time_s) or not abs(reward) <= LARGEST_REWARD:
            raise AgentError(
                f"a reward of {reward} at {time_s} s", hint="Give finite numbers below 3.4e38."
            )
        if len(self) < self._limit:
            self._actions.append(action)
            self._times.append(time_s)
            self._rewards.append(reward)
            return
        place = self._next
        self._actions[place], self._times[place] = action, time_s
        self._rewards[place] = reward
        self._next = (place + 1) % self._limit
