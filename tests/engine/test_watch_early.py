"""A watch ends when its verdict is settled, and for nothing that may still change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from memopt_cli.analysis.readings import Readings
from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.watch_limits import limits_of
from memopt_cli.engine.stopping import StopRequest
from memopt_cli.engine.watch_early import FailFast
from memopt_cli.engine.watch_events import ReadingTaken
from tests.watchings import caching, flat, leaking, process, readings, watching

if TYPE_CHECKING:
    from memopt_cli.analysis.watching import ProcessRecording, WatchRecording


def until(whole: WatchRecording, now_s: float) -> WatchRecording:
    """Return what had been recorded of a watch by then."""
    processes = tuple(
        replace(one, readings=Readings(each for each in one.readings if each.at_s <= now_s))
        for one in whole.processes
        if one.began_s <= now_s
    )
    return replace(whole, processes=processes, wall_s=now_s)


def ended(
    *processes: ProcessRecording, thresholds: tuple[str, ...] = (), tolerate: str | None = None
) -> tuple[float, str]:
    """Return the share of an hour at which a watch is ended, and why; 1 if it is not."""
    whole, now_s, stop = watching(*processes), [0.0], StopRequest()
    early = FailFast(
        limits_of(leak=tolerate, thresholds=thresholds),
        duration_s=3600.0,
        read=lambda: until(whole, now_s[0]),
        stop=stop,
    )
    for one in whole.processes[0].readings:
        now_s[0] = one.at_s
        early.see(ReadingTaken(0, one))
        if stop.outcome is not None:
            assert Outcome.ABORTED == stop.outcome
            return one.at_s / 3600, stop.reason
    return 1.0, ""


def test_a_leak_ends_a_watch() -> None:
    """After the larger part; healthy ones, and one that is tolerated, go on."""
    share, reason = ended(leaking())

    assert 0.65 <= share <= 0.75
    assert reason.startswith("leak: none is settled: python app.py")
    assert (1.0, "") == ended(flat())
    assert (1.0, "") == ended(caching())
    assert (1.0, "") == ended(leaking(), tolerate="1GB/h")


def test_a_worker_has_the_time_since_it_began() -> None:
    """One that comes for the last quarter of the watch waits for its own larger part."""
    late = leaking(pid=4712, parent_pid=4711, command="worker")
    late = replace(
        late,
        began_s=2700.0,
        readings=Readings(
            replace(one, at_s=2700 + one.at_s / 4, operations=None) for one in late.readings
        ),
    )

    share, _ = ended(flat(), late)

    assert 0.9 <= share < 1


def test_only_what_stays_crossed_ends_a_watch() -> None:
    """A peak does; a share or a percentile may fall again."""
    paused = process(readings())

    assert 0.1 == pytest.approx(ended(flat(), thresholds=("memory_total: value<1MB",))[0], abs=0.01)
    assert 0.1 == pytest.approx(ended(paused, thresholds=("gc_pause: max<1ms",))[0], abs=0.01)
    assert (1.0, "") == ended(paused, thresholds=("gc_pause: p(50)<1ms",))
    assert (1.0, "") == ended(flat(), thresholds=("memory_total: value>1GB",))
