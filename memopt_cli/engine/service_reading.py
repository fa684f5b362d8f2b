"""Reads the server of real connections: waits until it is at rest, and takes samples of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from memopt_cli.analysis.recording import Sample
from memopt_cli.engine.group import GroupReader
from memopt_cli.engine.settling import Settled, State, settle

if TYPE_CHECKING:
    from memopt_cli.engine.clock import Clock
    from memopt_cli.engine.service import Service
    from memopt_cli.engine.stopping import StopRequest


class ServiceReader:
    """All processes of a service, read as one; a context manager that gives back descriptors."""

    def __init__(
        self, service: Service, clock: Clock, stop: StopRequest, settle_within_s: float
    ) -> None:
        self._service = service
        self._clock, self._stop = clock, stop
        self._settle_within_s = settle_within_s
        self._began_s = self._sampled_s = clock.now()
        self._cpu_before_s = 0.0
        self._start: State | None = None
        self._group = GroupReader(service.members)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._group.close()

    @property
    def processes(self) -> int:
        """How many there were at the last reading."""
        return self._group.processes

    @property
    def at_s(self) -> float:
        """Scenario time, now: since the reader was made, without that between two parts."""
        return self._clock.now() - self._began_s

    @property
    def sampled_at_s(self) -> float:
        """Scenario time at which the last sample was taken."""
        return self._sampled_s - self._began_s

    @property
    def since_sample_s(self) -> float:
        """How long ago that was."""
        return self._clock.now() - self._sampled_s

    @property
    def accepted(self) -> int | None:
        """By how many descriptors there are more than at the start; `None` before it."""
        return None if self._start is None else self._group.read().fds - self._start.fds

    def cpu_s(self) -> float:
        """Return the processor time of all processes, in all parts."""
        return self._cpu_before_s + self._group.read().cpu_s

    def begin(self) -> None:
        """Take the server, once it is at rest, as it is without connections."""
        self.settle()
        self._start = self._state()

    def go_on(self, at_s: float, cpu_s: float) -> None:
        """Go on with the time, and the processor time, that there were before a part."""
        now_s = self._sampled_s = self._clock.now()
        self._began_s = now_s - at_s
        self._cpu_before_s = cpu_s - self._group.read().cpu_s

    def settle(self) -> Settled:
        """
        Wait until it is at rest, after a collection where it was said how to ask for one.

        Raises:
            TargetError: It has ended, or does not collect.
            UsageError: The collection cannot be asked for in this way.
            Stopped: A stop was asked for.
        """
        self._service.collect()

        def check() -> None:
            self._stop.check()
            self._service.members()

        return settle(
            self._state,
            start_bytes=0 if self._start is None else self._start.anonymous_bytes,
            within_s=self._settle_within_s,
            clock=self._clock,
            check=check,
        )

    def sample(
        self, *, stage: int, units: int, operations: int, busy_s: float, plateau: bool
    ) -> Sample:
        """Return a sample of all processes; at a plateau an exact one."""
        began_s = self._sampled_s = self._clock.now()
        cheap = self._group.read()
        exact = self._group.footprint() if plateau else None
        heap = self._service.heap() if plateau else None
        return Sample(
            at_s=began_s - self._began_s,
            wall_s=began_s - self._began_s,
            stage=stage,
            units=units,
            operations=operations,
            rss_bytes=cheap.rss_bytes,
            resident_anonymous_bytes=cheap.anonymous_bytes,
            cpu_s=self._cpu_before_s + cheap.cpu_s,
            busy_s=busy_s,
            gc_pauses=0,
            gc_pause_s=0.0,
            gc_pause_max_s=0.0,
            cost_s=self._clock.now() - began_s,
            is_plateau=plateau,
            anonymous_bytes=None if exact is None else exact.anonymous_bytes,
            uss_bytes=None if exact is None else exact.uss_bytes,
            pss_bytes=None if exact is None else exact.pss_bytes,
            heap_in_use_bytes=None if heap is None else heap.in_use_bytes,
            heap_free_bytes=None if heap is None else heap.free_bytes,
            allocated_blocks=None if heap is None else heap.blocks,
            threads=cheap.threads,
            fds=cheap.fds,
        )

    def _state(self) -> State:
        return State(self._group.footprint().anonymous_bytes, self._group.read().fds)
