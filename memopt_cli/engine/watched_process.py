"""Reads one process of a target: from outside, and from inside where an agent is."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from memopt_cli.analysis.watching import Reading
from memopt_cli.errors import MeasurementError
from memopt_cli.profiler.agent import AgentReader
from memopt_cli.profiler.histogram import Histogram
from memopt_cli.profiler.process import Footprint, ProcessReader
from memopt_cli.profiler.recorder import GENERATIONS

if TYPE_CHECKING:
    from pathlib import Path

    from memopt_cli.profiler.injection import Session
    from memopt_cli.profiler.tree import Living

EXACT_SHARE = 0.01
"""Of the time, for the exact readings of all processes together."""

HUNG_AFTER_S, HUNG_AFTER_READINGS = 30.0, 3
"""Without an answer: then it is looked whether the agent is still there."""

_LOOK_INSIDE_AFTER_S = 1.0
_LOOK_INSIDE_EVERY_S = 60.0


class WatchedProcess:
    """One program in one process, until it is gone; times are seconds since the watch began."""

    def __init__(self, number: int, process: Living, session: Session, *, at_s: float) -> None:
        self.number = number
        self.process = process
        self._session = session
        self._reader: ProcessReader | None = None
        self._exact_after_s = at_s
        self._look_inside_after_s, self._pause_s = at_s, _LOOK_INSIDE_AFTER_S
        self._asked_s = at_s
        self._worked_s, self._unanswered = 0.0, 0
        self._lost = 0
        self.agent: AgentReader | None = None
        self.inside = ""
        """Why there is no agent inside, or empty."""

        self.pauses: dict[int, Histogram] = {}
        """By generation; empty while there was no agent."""

    @property
    def pauses_lost(self) -> int:
        """Pauses that were overwritten before they were read."""
        return self._lost + (self.agent.lost if self.agent else 0)

    def close(self) -> None:
        """Give back descriptors and maps."""
        self.close_agent()
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def close_agent(self) -> None:
        """Give back the agent's memory, after what it still holds was read."""
        if self.agent is not None:
            self._read_pauses()
            self._lost += self.agent.lost
            self.agent.close()
            self.agent = None

    def drain(self) -> None:
        """Count the pauses since the last reading."""
        self._read_pauses()

    def agent_is_due(self, ring: Path | None, at_s: float) -> bool:
        """Return whether it is to be looked what agent is inside: rarely, where none is."""
        if self.agent is None:
            return ring is not None or at_s >= self._look_inside_after_s
        if ring is not None and ring != self.agent.path:
            return True
        hung = at_s - self._asked_s > HUNG_AFTER_S and self._unanswered >= HUNG_AFTER_READINGS
        return hung and at_s >= self._look_inside_after_s

    def look_inside(self, at_s: float) -> None:
        """
        Look which agent is inside now.

        Raises:
            SubjectDied: It is gone, or has replaced itself: that agent is another program's.
        """
        with suppress(MeasurementError):  # `inside` says why
            self._reader = self._reader or ProcessReader(self.process.pid)
            self._reader.activity()
        self._look_inside_after_s = at_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LOOK_INSIDE_EVERY_S)
        found = self._session.agent_of(self.process.pid)
        self.inside = "" if isinstance(found, AgentReader) else found.reason
        if isinstance(found, AgentReader) and self.agent and found.path == self.agent.path:
            found.close()
            return
        self.close_agent()
        if isinstance(found, AgentReader):
            self.agent, self._asked_s, self._worked_s = found, at_s, 0.0
            self._pause_s = _LOOK_INSIDE_AFTER_S
            self.pauses = self.pauses or {gen: Histogram() for gen in range(GENERATIONS)}

    def ask(self) -> None:
        """Ask the agent for the heap, for the next reading."""
        if self.agent is not None:
            self.agent.ask_heap()

    def read(self, at_s: float, *, processes: int) -> Reading | None:
        """
        Return a reading, or `None` if it could not be read this time.

        The heap, and what the program has done, are of the moment at which the agent
        answered, which is up to a second before.

        Args:
            at_s: Now.
            processes: That share the time for exact readings.

        Raises:
            SubjectDied: It is gone, or has replaced itself (exec): another program has its
                number then, with another memory.
        """
        began = time.perf_counter()
        try:
            return self._read(at_s, began, processes)
        except MeasurementError:
            return None  # `inside` says why

    def _read(self, at_s: float, began: float, processes: int) -> Reading:
        if self._reader is None:
            self._reader = ProcessReader(self.process.pid)
        residency, activity = self._reader.residency(), self._reader.activity()
        exact = self._exact(self._reader, at_s, processes)
        pauses_s = self._read_pauses()
        heap = self.agent.answered_heap() if self.agent else None
        worked_s = self.agent.worked_s if self.agent else 0.0
        inside_cost_s, self._worked_s = worked_s - self._worked_s, worked_s
        self._unanswered += 1
        if heap is not None:
            self._asked_s, self._unanswered = at_s, 0
        return Reading(
            at_s=at_s,
            rss_bytes=residency.rss_bytes,
            resident_anonymous_bytes=residency.anonymous_bytes,
            cpu_s=activity.cpu_s,
            threads=activity.threads,
            fds=activity.fds,
            gc_pauses=len(pauses_s),
            gc_pause_s=math.fsum(pauses_s),
            gc_pause_max_s=max(pauses_s, default=0.0),
            inside_cost_s=inside_cost_s,
            anonymous_bytes=exact.anonymous_bytes if exact else None,
            uss_bytes=exact.uss_bytes if exact else None,
            malloc_in_use_bytes=heap.malloc_in_use_bytes if heap else None,
            malloc_free_bytes=heap.malloc_free_bytes if heap else None,
            allocated_blocks=heap.blocks if heap else None,
            operations=heap.operations if heap else None,
            cost_s=time.perf_counter() - began,
        )

    def _exact(self, reader: ProcessReader, at_s: float, processes: int) -> Footprint | None:
        if at_s < self._exact_after_s:
            return None
        found = reader.footprint()
        self._exact_after_s = at_s + found.cost_s * processes / EXACT_SHARE
        return found

    def _read_pauses(self) -> list[float]:
        """Count the pauses since the last call, and return how long each was, in seconds."""
        found = self.agent.pauses() if self.agent else []
        for pause in found:
            self.pauses[pause.generation].record(pause.duration_ns)
        return [pause.duration_s for pause in found]
