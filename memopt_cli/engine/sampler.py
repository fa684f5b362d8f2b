"""
Reads a subject: cheap figures each time, dear ones rarely, all of them at plateaus.

smaps_rollup walks the subject's page tables; between plateaus it is read only
while it has taken less than two parts in a thousand of the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memopt_cli.analysis.recording import Sample
from memopt_cli.engine.events import DurationsRecorded
from memopt_cli.errors import SubjectDied, SubjectOutOfMemory
from memopt_cli.profiler import environment
from memopt_cli.profiler.histogram import Histogram
from memopt_cli.profiler.process import ProcessReader
from memopt_cli.profiler.recorder import GENERATIONS
from memopt_cli.units import format_count, format_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memopt_cli.analysis.parts import Checkpoint
    from memopt_cli.engine.clock import Clock
    from memopt_cli.engine.launcher import Subject
    from memopt_cli.profiler.recorder import Pause
    from memopt_cli.store.resuming import Begun

EXACT_SHARE = 0.002
"""Share of the run's time that exact readings may take between plateaus."""

SPARE_BYTES = 256 * 1024**2
"""The machine keeps this much: a subject that would take it is stopped before the kernel acts."""

_LOOK_AT_MACHINE_EVERY_S = 0.5


class Sampler:
    """Takes the samples of one variant; close it to give back its descriptors."""

    def __init__(self, subject: Subject, clock: Clock, *, heap: bool = False) -> None:
        """
        Args:
            subject: What is read.
            clock: Real time.
            heap: Whether the heap in use is read in every sample, not at plateaus only.
        """
        self._reads_heap = heap
        self._subject = subject
        self._clock = clock
        self._process = ProcessReader(subject.pid)
        self._began = self._started = clock.now()
        self._exact_s = 0.0
        self._machine_looked_at = self._started
        self._pauses = _no_pauses()
        # What a resumed variant had before: the rest of the subject's own counts are the same.
        self._latency_before: Histogram | None = None
        self._cpu_before_s = self._busy_before_s = 0.0
        self._lost_before = 0
        self._unsampled: list[float] = []
        self.stage: int | None = None
        """Index of the current stage; `None` before the first."""

        self.operations = 0
        self.busy_s = 0.0
        self.pool_created: int | None = None
        self.pool_reused: int | None = None

    def close(self) -> None:
        """Give back the descriptors."""
        self._process.close()

    @property
    def wall_s(self) -> float:
        """Real time since the variant began, without that between its parts."""
        return self._clock.now() - self._started

    @property
    def cpu_s(self) -> float:
        """CPU time that the subject has used, in all parts."""
        return self._cpu_before_s + self._process.activity().cpu_s

    def note(self, done: Mapping[str, Any]) -> None:
        """Take in what the subject says after a tick."""
        self.operations = done["operations"]
        self.busy_s = self._busy_before_s + done["busy_s"]
        self.pool_created, self.pool_reused = done["created"], done["reused"]

    def go_on(self, begun: Begun, checkpoint: Checkpoint, done: Mapping[str, Any]) -> None:
        """
        Go on from a checkpoint: the subject has just done again all that was done before.

        What that took is in no figure: times, pauses and latencies go on from what was kept.
        """
        state = checkpoint.state
        self._subject.forget_durations()
        self._subject.recorder.forget()
        self._began = self._clock.now()
        self._started = self._began - state["wall_s"]
        self._cpu_before_s = state["cpu_s"] - self._process.activity().cpu_s
        self._busy_before_s = state["busy_s"] - done["busy_s"]
        self._lost_before = begun.pauses_lost
        stage = self.stage = state["stage"]
        self._latency_before = begun.latency.get(stage)
        self._pauses = [
            begun.pauses.get((stage, generation), Histogram()) for generation in range(GENERATIONS)
        ]
        self.note(done)

    def start_stage(self, stage: int) -> None:
        """Begin a stage: its pauses are counted on their own."""
        self._count(self._subject.recorder.pauses())
        self._pauses = _no_pauses()
        self._latency_before = None
        self.stage = stage

    def anonymous_bytes(self) -> int:
        """Return what the subject holds now, exactly; raises as `take` does."""
        try:
            return self._process.footprint().anonymous_bytes
        except SubjectDied:
            raise self._subject.death() from None

    def available_bytes(self) -> int:
        """Return what the machine has, above what it is to keep."""
        return environment.available_memory_bytes() - SPARE_BYTES

    def take(self, *, at_s: float, units: int, plateau: bool) -> Sample:
        """
        Return a sample of the subject, which is at rest.

        Raises:
            SubjectDied: It is gone.
            SubjectOutOfMemory: The machine has hardly any memory left.
        """
        try:
            return self._take(at_s=at_s, units=units, plateau=plateau)
        except SubjectDied:
            # The launcher knows of what.
            raise self._subject.death() from None

    def _take(self, *, at_s: float, units: int, plateau: bool) -> Sample:
        began = self._clock.now()
        self._look_at_machine(units, began)
        self._count(self._subject.recorder.pauses())
        pauses_s, self._unsampled = self._unsampled, []
        residency = self._process.residency()
        activity = self._process.activity()
        exact = self._process.footprint() if plateau or self._can_afford(began) else None
        if exact is not None and not plateau:
            self._exact_s += exact.cost_s
        heap = self._subject.heap() if plateau or self._reads_heap else None
        return Sample(
            at_s=at_s,
            wall_s=began - self._started,
            stage=self._current_stage(),
            units=units,
            operations=self.operations,
            rss_bytes=residency.rss_bytes,
            resident_anonymous_bytes=residency.anonymous_bytes,
            cpu_s=self._cpu_before_s + activity.cpu_s,
            busy_s=self.busy_s,
            pool_created=self.pool_created,
            pool_reused=self.pool_reused,
            gc_pauses=len(pauses_s),
            gc_pause_s=sum(pauses_s),
            gc_pause_max_s=max(pauses_s, default=0.0),
            cost_s=self._clock.now() - began,
            is_plateau=plateau,
            anonymous_bytes=None if exact is None else exact.anonymous_bytes,
            uss_bytes=None if exact is None else exact.uss_bytes,
            pss_bytes=None if exact is None else exact.pss_bytes,
            heap_in_use_bytes=None if heap is None else heap["in_use"],
            heap_free_bytes=None if heap is None else heap["free"],
            allocated_blocks=None if heap is None else heap["blocks"],
            threads=activity.threads,
            fds=activity.fds,
        )

    def durations(self, checkpoint: Checkpoint | None = None) -> DurationsRecorded:
        """Return the pauses and latencies of the current stage so far."""
        recorder = self._subject.recorder
        self._count(recorder.pauses())
        latency = recorder.latency()
        if self._latency_before is not None:
            latency.merge(self._latency_before)
        return DurationsRecorded(
            stage=self._current_stage(),
            pauses=dict(enumerate(self._pauses)),
            latency=latency,
            pauses_lost=self._lost_before + recorder.lost,
            recorder_installed=recorder.installed,
            checkpoint=checkpoint,
        )

    def _current_stage(self) -> int:
        if self.stage is None:
            raise AssertionError("nothing is sampled before the first stage")
        return self.stage

    def _count(self, pauses: list[Pause]) -> None:
        """Count pauses for the stage, and for the sample that comes next."""
        for pause in pauses:
            self._pauses[pause.generation].record(pause.duration_ns)
            self._unsampled.append(pause.duration_s)

    def _can_afford(self, now: float) -> bool:
        return self._exact_s <= EXACT_SHARE * (now - self._began)

    def _look_at_machine(self, units: int, now: float) -> None:
        if now - self._machine_looked_at < _LOOK_AT_MACHINE_EVERY_S:
            return
        self._machine_looked_at = now
        available = environment.available_memory_bytes()
        if available < SPARE_BYTES:
            held = self._process.residency().rss_bytes
            raise SubjectOutOfMemory(
                f"memory ran out at {format_count(units)} units: the subject holds "
                f"{format_size(held)}, the machine has {format_size(available)} left",
                hint="Run fewer units: --scale 50%.",
            )


def _no_pauses() -> list[Histogram]:
    return [Histogram() for _ in range(GENERATIONS)]
