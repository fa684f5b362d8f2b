"""Keeps the events of a watch in its folder as they pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.engine import watch_events as events

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from memopt_cli.engine.watch_events import WatchEvent
    from memopt_cli.store.watch_writer import WatchWriter


def kept(stream: Iterable[WatchEvent], writer: WatchWriter) -> Iterator[WatchEvent]:
    """Yield each event after it was written: what a listener sees is on disk already."""
    for event in stream:
        _keep(event, writer)
        yield event


def _keep(event: WatchEvent, writer: WatchWriter) -> None:
    match event:
        case events.WatchStarted():
            writer.begin(
                target=event.target,
                started_at=event.started_at,
                interval_s=event.interval_s,
                environment=event.environment,
            )
        case events.ProcessAppeared():
            writer.begin_process(
                event.number,
                pid=event.pid,
                parent_pid=event.parent_pid,
                command=event.command,
                began_s=event.at_s,
                inside=event.inside,
            )
        case events.InsideChanged():
            writer.note_inside(event.number, event.inside)
        case events.ReadingTaken():
            writer.add_reading(event.number, event.reading)
        case events.PausesRecorded():
            writer.put_pauses(event.number, event.pauses, lost=event.lost)
        case events.SuspectsFound():
            writer.put_suspects(
                event.number,
                event.suspects,
                looks=event.looks,
                traced_s=event.traced_s,
                not_traced=event.not_traced,
            )
        case events.ProcessEnded():
            writer.end_process(event.number, event.at_s)
        case events.WatchEnded():
            writer.finish(
                event.outcome,
                reason=event.reason,
                signal=event.signal,
                exit_status=event.exit_status,
                wall_s=event.wall_s,
                processes_left_out=event.processes_left_out,
            )
