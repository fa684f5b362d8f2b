"""Takes agents in until the memory of their process is full, and never more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from memopt_cli.analysis.density import Density
from memopt_cli.errors import SubjectOutOfMemory
from memopt_cli.units import format_count, format_size
from memopt_cli.workloads.agents.sizes import agent_bytes, largest_agent_bytes, owns_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from memopt_cli.workloads.settings import AgentsSettings
    from memopt_cli.workloads.transcript import Tick

    Slots = NDArray[np.uint32]

FIRST: Final = 16
"""Most that are taken in at once before anything is known: their models come with them."""

PARTS: Final = 8
"""Of the way to the limit, each a plateau: a slope needs several, far from each other."""

MOST: Final = 4096
"""Agents taken in at once: a subject that steps one after the other answers in time."""


SLACK_BYTES: Final = 1024**2
"""Left free for what a step holds while it is done."""


class Memory(Protocol):
    """What is read of the subject, and of the machine around it."""

    def anonymous_bytes(self) -> int:
        """Return what the subject holds now, exactly."""

    def available_bytes(self) -> int:
        """Return what there is for it besides, the machine's reserve left out."""


class Room:
    """How many more agents may come: never more than half of those who should fit."""

    def __init__(self, memory: Memory, limit_bytes: int, settings: AgentsSettings) -> None:
        self._memory, self._limit_bytes, self._settings = memory, limit_bytes, settings
        self._first: tuple[int, int] | None = None
        self._most = self._peak_bytes = self._empty_bytes = 0
        self.there = 0
        """Agents that are there, as the subject tells."""

        self.stopped = False
        """Whether somebody found no room: from then on nobody comes in."""

        self._asked = 0
        self._fewer: dict[str, int] = {}
        self._repeated: Mapping[str, Any] = {"asked": 0, "fewer": {}}

    @property
    def taken_in(self) -> dict[str, Any]:
        """
        How often somebody waited, and how many came in where not all could: plain values.

        A room that repeats them fills another process with the same agents.
        """
        return {"asked": self._asked, "fewer": dict(self._fewer)}

    def repeat(self, taken_in: Mapping[str, Any]) -> None:
        """Take in first who was taken in before, whatever is held."""
        self._repeated = taken_in

    def more(self, waiting: int) -> int:
        """
        Return how many of those *waiting* may come in; 0 if nobody may.

        Raises:
            SubjectOutOfMemory: The machine has less than the limit allows.
        """
        if self.stopped:
            return 0
        found = self._more(waiting)
        if self._asked < self._repeated["asked"]:
            found = self._repeated["fewer"].get(str(self._asked), waiting)
            self.stopped = not found
        if found < waiting:
            self._fewer[str(self._asked)] = found
        self._asked += 1
        return found

    def _more(self, waiting: int) -> int:
        left = self._limit_bytes - self.look()
        each = self._each_bytes(self._limit_bytes - left)
        if left < self._next_bytes(each):
            self.stopped = True
            return 0
        if left > (available := self._memory.available_bytes()):
            raise SubjectOutOfMemory(
                f"{format_count(self.there)} agents may take {format_size(left)} more, and the "
                f"machine has {format_size(max(0, available))}",
                hint="Lower agents.until, or free memory.",
            )
        part = (self._limit_bytes - self._empty_bytes) / each / PARTS
        if self._first is None:
            part = min(part, FIRST)
        # Half of what is left, so that an agent may take twice of what those before it did.
        return max(1, int(min(waiting, left / each / 2, part, MOST)))

    def look(self) -> int:
        """Return what is held now, and remember the most of it."""
        held = self._memory.anonymous_bytes()
        self._peak_bytes = max(self._peak_bytes, held)
        self._most = max(self._most, self.there)
        return held

    def _next_bytes(self, each: float) -> float:
        """Return what has to be left for one more, which may hold all twice while it is made."""
        return SLACK_BYTES + max(each, 2 * largest_agent_bytes(self._settings))

    def _each_bytes(self, held: int) -> float:
        """
        Return what an agent takes, computed or measured, whichever is more.

        Of the first ones with all that came with them, of the others without.
        """
        computed = max(1.0, agent_bytes(self._settings))
        if not self.there:
            self._empty_bytes = held
            return computed
        if self._first is None:
            self._first = self.there, held
        units, before = self._first if self.there > self._first[0] else (0, self._empty_bytes)
        return max(computed, (held - before) / (self.there - units))

    def found(self) -> Density:
        """Return what came of it."""
        return Density(
            limit_bytes=self._limit_bytes,
            agents=self._most,
            stopped=self.stopped,
            peak_bytes=self._peak_bytes,
            computed_bytes=agent_bytes(self._settings),
            owns_all=owns_all(self._settings),
        )


def limited(ticks: Iterable[Tick], room: Room | None) -> Iterator[Tick]:
    """
    Yield the ticks of a load, those with arrivals in parts, and without who finds no room.

    Each part ends at a plateau. Who found no room neither speaks nor leaves. What is yielded
    must be done, and told to *room*, before the next is asked for.
    """
    absent: set[int] = set()
    before_s = 0.0
    for tick in ticks:
        if room is None:
            yield tick
            continue
        yield from _parts(_without(tick, absent), room, absent, before_s)
        room.look()
        before_s = tick.ends_s


def _parts(tick: Tick, room: Room, absent: set[int], before_s: float) -> Iterator[Tick]:
    waiting, all_of_them = _slots(tick.arrivals), len(tick.arrivals) // 4
    while len(waiting) and (more := room.more(len(waiting))) < len(waiting):
        if not more:
            absent.update(waiting.tolist())
            tick, waiting = _without(tick, absent), waiting[:0]
            break
        now, waiting = waiting[:more], waiting[more:]
        speak = np.isin(_slots(tick.message_slots), now)
        share = 1 - len(waiting) / all_of_them
        yield replace(
            _spoken(tick, speak),
            arrivals=now.tobytes(),
            departures=b"",
            ends_s=before_s + share * (tick.ends_s - before_s),
            units=room.there + more,
            is_plateau=True,
            ends_stage=False,
        )
        tick = _spoken(tick, ~speak)
    yield replace(tick, arrivals=waiting.tobytes(), units=tick.units - len(absent))


def _without(tick: Tick, absent: set[int]) -> Tick:
    """Return a tick in which who is absent neither speaks nor leaves; who leaves is forgotten."""
    if not absent:
        return tick
    names = np.fromiter(absent, np.uint32, len(absent))
    leaving = _slots(tick.departures)
    gone = np.isin(leaving, names)
    absent.difference_update(leaving[gone].tolist())
    heard = ~np.isin(_slots(tick.message_slots), names)
    return replace(_spoken(tick, heard), departures=leaving[~gone].tobytes())


def _spoken(tick: Tick, chosen: NDArray[np.bool_]) -> Tick:
    """Return a tick with some of its messages."""
    codes = np.frombuffer(tick.message_codes, np.uint8)
    return replace(
        tick,
        message_slots=_slots(tick.message_slots)[chosen].tobytes(),
        message_codes=codes[chosen].tobytes(),
    )


def _slots(block: bytes) -> Slots:
    return np.frombuffer(block, np.uint32)
