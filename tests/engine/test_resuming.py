"""A run that was cut off and resumed is, but for memory and times, the one that was not."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.analysis.findings import judge
from memopt_cli.analysis.recording import Outcome
from memopt_cli.engine import settling
from memopt_cli.engine.clock import SystemClock
from memopt_cli.engine.events import StageStarted
from memopt_cli.engine.keeping import kept
from memopt_cli.engine.launcher import LocalLauncher
from memopt_cli.engine.serving import LocalServices
from memopt_cli.engine.simulate import simulate
from memopt_cli.engine.stopping import StopRequest
from memopt_cli.errors import StoreError, UsageError
from memopt_cli.scenario.dumping import dump
from memopt_cli.scenario.loading import Cell, Plan
from memopt_cli.scenario.model import Scenario
from memopt_cli.store import layout, reader, resuming
from memopt_cli.store.writer import RunWriter
from tests.engine.conftest import scenario
from tests.exactly import connected_to, exact

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memopt_cli.analysis.recording import Recording, VariantRecording
    from memopt_cli.engine.clock import Clock
    from memopt_cli.engine.events import Event
    from tests.engine.conftest import FakeClock

AGENTS = {
    "version": 1,
    "name": "small",
    "workload": "agents",
    "agents": {"mix": {"G3": "100%"}, "learners": "50%", "probes": 0},
    "variants": [{"name": "only", "agents": {"layout": "batched"}}],
    "load": {
        "arrival_rate": "1/s",
        "message_rate": "2/s",
        "stages": [
            {"name": "ramp-up", "duration": "3s", "agents": 12},
            {"name": "steady", "duration": "5s", "agents": 12},
            {"name": "drain", "duration": "1s", "agents": 0},
        ],
    },
}
FILLING = {
    **AGENTS,
    "agents": {"mix": {"G10": "100%"}, "until": "96MiB", "probes": 0},
    "variants": [{"name": "only"}],
    "load": {
        "message_rate": "1/s",
        "stages": [
            {"name": "empty", "duration": "1s", "agents": 0},
            {"name": "filling", "duration": "4s", "agents": 1000, "plateaus": 2},
            {"name": "drain", "duration": "1s", "agents": 0},
        ],
    },
}
POOLED = {"name": "only", "pool": "on", "compact": "on", "leak": "1KiB"}
WORKLOADS = {
    "connections": scenario(workload="connections", variants=[POOLED]),
    "two variants": scenario(workload="connections", variants=[{"name": "plain"}, POOLED]),
    "synthetic": scenario(synthetic={"bytes_per_unit": "2KiB"}, variants=[{"name": "only"}]),
    "open load": scenario(
        load={
            "arrival_rate": "20/s",
            "lifetime": "4s",
            "pattern": "poisson",
            "stages": [{"name": "open", "duration": "8s", "arrival_rate": "20/s"}],
        },
        variants=[{"name": "only"}],
    ),
    "agents": Scenario.model_validate(AGENTS),
}


def lived(
    folder: Path,
    what: Scenario,
    *,
    events: int | None = None,
    clock: Clock | None = None,
    stop: StopRequest | None = None,
    see: Callable[[Event], None] = lambda _: None,
) -> Recording:
    """Begin a run or go on with it, cut it off after so many events, and read what is there."""
    clock, stop, log = clock or SystemClock(), stop or StopRequest(), folder / layout.TARGET_LOG
    before = resuming.read(folder) if folder.exists() else None
    with RunWriter(folder, resumed=before is not None) as writer:
        if before is None:
            writer.keep_plan([({}, dump(what))])
        stream = simulate(
            Plan(what, (Cell({}, what),)),
            scenario_yaml=dump(what),
            started_at="2026-01-31T12:00:00Z",
            launcher=LocalLauncher(log, clock=SystemClock(), stop=stop),
            clock=clock,
            stop=stop,
            services=LocalServices(log, clock=clock, stop=stop),
            kept=before,
        )
        try:
            for event in islice(kept(stream, writer), events):
                see(event)
        finally:
            # As a kill does: what is not written by now never is.
            stream.close()  # type: ignore[attr-defined] # it is a generator
    return reader.read(folder)


def course(variant: VariantRecording) -> list[tuple[float, int, int, int]]:
    """Return what no interruption may change of a variant's samples."""
    return [(one.at_s, one.stage, one.units, one.operations) for one in variant.samples]


@pytest.mark.parametrize("name", WORKLOADS)
def test_what_was_cut_off_thrice_is_what_ran_through(name: str, tmp_path: Path) -> None:
    """Samples, digests, transcripts, pool and counts of durations are those of a whole run."""
    whole = lived(tmp_path / "whole", WORKLOADS[name])
    for events in (6, 9, 4):
        cut = lived(tmp_path / "cut", WORKLOADS[name], events=events)
        assert Outcome.RUNNING == cut.outcome
    found = lived(tmp_path / "cut", WORKLOADS[name])

    assert Outcome.FINISHED == found.outcome
    for expected, actual in zip(whole.variants, found.variants, strict=True):
        assert course(expected) == course(actual)
        told = [(one.digest, one.transcript, one.pool) for one in (expected, actual)]
        assert told[0] == told[1]
        assert expected.digest
    first = found.variants[0]
    # A cut that comes while the population is rebuilt leaves no part.
    assert first.breaks
    assert first.breaks == tuple(part.starts_s for part in first.parts[1:])
    before = [max(s.at_s for s in first.samples if s.at_s < at_s) for at_s in first.breaks]
    assert before == [part.ends_s for part in first.parts[:-1]]


def test_times_go_on_from_those_before(tmp_path: Path, fake_clock: FakeClock) -> None:
    """What happens between two parts, and while one is rebuilt, is in no time of the run."""
    what = scenario(load={"clock": "wall"}, variants=[POOLED], workload="connections")
    lived(tmp_path / "run", what, events=14, clock=fake_clock)
    fake_clock.sleep(1000)
    whole = lived(tmp_path / "run", what, clock=fake_clock)
    (found,) = whole.variants

    assert 2 == len(found.parts)
    assert 12 == pytest.approx(whole.wall_s)
    # 12 s of load, in both parts together: none of it is waited for twice.
    assert 1012 == pytest.approx(fake_clock.now())
    assert [one.at_s for one in found.samples] == pytest.approx([s.wall_s for s in found.samples])
    assert sorted(found.samples, key=lambda one: one.busy_s) == list(found.samples)
    assert sorted(found.samples, key=lambda one: one.cpu_s) == list(found.samples)
    count = sum(one.count for one in found.latency.values())
    # Of those in the half second before the kill, the durations may be missing.
    assert 0.8 * found.samples[-1].operations <= count <= found.samples[-1].operations


def test_a_slice_ends_after_a_whole_tick(tmp_path: Path, fake_clock: FakeClock) -> None:
    """The run says that it was stopped, everything up to then is kept, and it goes on."""
    what = scenario(load={"clock": "wall"}, variants=[{"name": "only"}, {"name": "other"}])
    stop = StopRequest()
    stop.give_slice(7.5, fake_clock)
    cut = lived(tmp_path / "run", what, clock=fake_clock, stop=stop)
    found = lived(tmp_path / "run", what, clock=fake_clock)

    assert (Outcome.STOPPED, "the slice of 7.50 s is over") == (cut.outcome, cut.reason)
    assert ["stopped"] == [one.outcome for one in cut.variants]
    assert 8.0 == cut.variants[0].samples[-1].at_s
    assert 75 == judge(cut, what).exit_code
    assert [Outcome.FINISHED] * 2 == [one.outcome for one in found.variants]
    assert [2, 1] == [len(one.parts) for one in found.variants]
    assert found.variants[0].digest == found.variants[1].digest
    assert 24 == pytest.approx(found.wall_s)


def test_another_load_is_refused_and_the_run_stays(tmp_path: Path) -> None:
    """Where the same seed gives other numbers, nothing is gone on with and nothing is spoilt."""
    what = WORKLOADS["synthetic"]
    lived(tmp_path / "run", what, events=12)
    with pytest.raises(UsageError, match="the same seed gives another load"):
        lived(tmp_path / "run", what.model_copy(update={"seed": 2}))
    drawn = "'$.load.random.state.state'"
    with closing(sqlite3.connect(tmp_path / "run" / layout.SAMPLES)) as base:
        (kept_,) = base.execute("SELECT state FROM parts").fetchone()
        base.execute(f"UPDATE parts SET state = json_set(state, {drawn}, 7)")  # noqa: S608 - ours
        base.commit()
    with pytest.raises(UsageError, match="the same seed gives another load"):
        lived(tmp_path / "run", what)
    with closing(sqlite3.connect(tmp_path / "run" / layout.SAMPLES)) as base:
        base.execute("UPDATE parts SET state = ?", (kept_,))
        base.commit()

    assert Outcome.RUNNING == reader.read(tmp_path / "run").outcome
    assert Outcome.FINISHED == lived(tmp_path / "run", what).outcome


def test_a_slice_may_end_while_a_population_is_rebuilt(
    tmp_path: Path, fake_clock: FakeClock
) -> None:
    """It is not lived again to the end first, and the next one goes on where this one would."""
    what = WORKLOADS["synthetic"]
    before = lived(tmp_path / "run", what, events=12).variants[0]
    stop, stages = StopRequest(), list[int]()
    stop.give_slice(500.0, fake_clock)

    def see(event: Event) -> None:
        if isinstance(event, StageStarted):
            stages.append(event.number)
            fake_clock.sleep(1000)

    cut = lived(tmp_path / "run", what, clock=fake_clock, stop=stop, see=see)
    found = lived(tmp_path / "run", what)

    assert (Outcome.STOPPED, Outcome.FINISHED) == (cut.outcome, found.outcome)
    assert (course(before), before.parts) == (course(cut.variants[0]), cut.variants[0].parts)
    assert [0] == stages
    assert 2 == len(found.variants[0].parts)


def test_two_cannot_write_in_one_folder(tmp_path: Path) -> None:
    """A run that still runs is not resumed beside itself."""
    lived(tmp_path / "run", WORKLOADS["synthetic"], events=6)
    with (
        RunWriter(tmp_path / "run", resumed=True),
        pytest.raises(StoreError, match="another memopt writes"),
    ):
        RunWriter(tmp_path / "run", resumed=True)


def test_real_connections_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is another one; what was asked, and held at each plateau, is as it would be."""
    monkeypatch.setattr(settling, "WINDOW_S", 0.2)
    command = exact("python", 16 * 1024)
    what = connected_to(command, 40, plateaus=4)
    (whole,) = lived(tmp_path / "whole", what).variants
    for events in (12, 12):
        lived(tmp_path / "cut", what, events=events)
    (found,) = lived(tmp_path / "cut", what).variants

    assert (Outcome.FINISHED, whole.transcript) == (found.outcome, found.transcript)
    assert (3, 2, "") == (len(found.parts), len(found.breaks), found.digest)
    looks = [one.connections.looks if one.connections else () for one in (whole, found)]
    ready = [[(one.asked, one.ready, one.accepted) for one in each] for each in looks]
    assert ready[0][-1] == ready[1][-1]
    assert set(ready[0]) == set(ready[1])
    (judged,) = judge(replace(reader.read(tmp_path / "cut"), scenario=""), what).variants
    assert judged.retained is None


def test_state_is_plain(tmp_path: Path) -> None:
    """A checkpoint is small: its state is a few hundred bytes, whatever the population."""
    lived(tmp_path / "run", WORKLOADS["connections"], events=12)
    (begun,) = resuming.read(tmp_path / "run").variants
    assert begun.checkpoint is not None
    state: dict[str, Any] = dict(begun.checkpoint.state)
    assert len(repr(state)) < 1000
    names = {"ticks", "stage", "wall_s", "cpu_s", "busy_s", "operations", "load", "room"}
    assert names == set(state)


def test_what_fills_its_memory_is_filled_again(tmp_path: Path) -> None:
    """Who came in before the cut comes in again, and the others until the memory is full."""
    what = Scenario.model_validate(FILLING)
    cut = lived(tmp_path / "run", what, events=8)
    (found,) = lived(tmp_path / "run", what).variants

    there = course(cut.variants[0])
    assert 0 < there[-1][2] < max(one.units for one in found.samples)
    assert there == course(found)[: len(there)]
    assert (Outcome.FINISHED, 2) == (found.outcome, len(found.parts))
    assert found.density is not None
    assert (True, True) == (found.density.stopped, found.density.held)
    assert found.density.agents == max(one.units for one in found.samples)


def test_what_fills_its_memory_repeats_who_came_in(tmp_path: Path) -> None:
    """As it was kept, and not by what fits now: with one agent less it would be another run."""
    what = Scenario.model_validate(FILLING)
    lived(tmp_path / "run", what, events=8)
    with closing(sqlite3.connect(tmp_path / "run" / layout.SAMPLES)) as base:
        (taken_in,) = base.execute(
            "SELECT json_extract(state, '$.room.fewer') FROM parts"
        ).fetchone()
        first, number = next(iter(json.loads(taken_in).items()))
        query = "UPDATE parts SET state = json_set(state, ?, ?)"
        base.execute(query, (f'$.room.fewer."{first}"', number - 1))
        base.commit()

    with pytest.raises(UsageError, match="the same seed gives another load"):
        lived(tmp_path / "run", what)
