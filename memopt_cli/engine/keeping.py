"""Keeps events in a run's folder as they pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.engine import events

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from memopt_cli.engine.events import Event
    from memopt_cli.store.writer import RunWriter


def kept(stream: Iterable[Event], writer: RunWriter) -> Iterator[Event]:
    """Yield each event after it was written: what a listener sees is on disk already."""
    keeper = _Keeper(writer)
    for event in stream:
        keeper.keep(event)
        yield event


class _Keeper:
    def __init__(self, writer: RunWriter) -> None:
        self._writer = writer
        self._variant = 0

    def keep(self, event: Event) -> None:
        writer = self._writer
        match event:
            case events.RunStarted() | events.RunEnded():
                self._keep_run(event)
            case events.VariantStarted():
                self._variant = self._begin_variant(event)
            case events.StageStarted():
                writer.begin_stage(self._variant, event.number, event.stage)
            case events.SampleTaken():
                writer.add_sample(self._variant, event.sample, event.checkpoint)
            case events.CheckpointMade():
                writer.add_checkpoint(self._variant, event.checkpoint)
            case events.DurationsRecorded():
                self._keep_durations(event)
            case events.ConnectionsCounted():
                writer.put_connections(self._variant, event.connections)
            case events.VariantEnded():
                self._end_variant(event)

    def _keep_run(self, event: events.RunStarted | events.RunEnded) -> None:
        writer = self._writer
        if isinstance(event, events.RunEnded):
            writer.finish(
                event.outcome, reason=event.reason, signal=event.signal, wall_s=event.wall_s
            )
        elif event.resumed:
            writer.go_on()
        else:
            writer.begin(
                scenario=event.scenario,
                started_at=event.started_at,
                clock=event.clock,
                environment=event.environment,
            )

    def _begin_variant(self, event: events.VariantStarted) -> int:
        """Return the variant's number in the store."""
        if event.kept_as is not None:
            self._writer.resume_variant(event.kept_as)
            return event.kept_as
        return self._writer.begin_variant(
            event.cell,
            event.name,
            unit=event.unit,
            has_pool=event.has_pool,
            preallocated=event.preallocated,
        )

    def _end_variant(self, event: events.VariantEnded) -> None:
        writer = self._writer
        writer.end_variant(
            self._variant,
            event.outcome,
            failure=event.failure,
            digest=event.digest,
            transcript=event.transcript,
            pool=event.pool,
        )
        if event.fidelity is not None:
            writer.put_fidelity(self._variant, event.fidelity)
        if event.density is not None:
            writer.put_density(self._variant, event.density)
        if event.profile is not None:
            writer.put_profile(self._variant, event.profile)

    def _keep_durations(self, event: events.DurationsRecorded) -> None:
        writer = self._writer
        with writer.at_once():
            writer.put_latency(self._variant, event.stage, event.latency)
            for generation, histogram in event.pauses.items():
                writer.put_pauses(self._variant, event.stage, generation, histogram)
            writer.note_recorder(
                self._variant, installed=event.recorder_installed, pauses_lost=event.pauses_lost
            )
            writer.add_checkpoint(self._variant, event.checkpoint)
