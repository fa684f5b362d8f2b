"""The watch stops a run for the thresholds that ask for it, and for no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.analysis.recording import Outcome
from memopt_cli.engine.events import DurationsRecorded, SampleTaken
from memopt_cli.engine.keeping import kept
from memopt_cli.engine.stopping import StopRequest
from memopt_cli.engine.watch import ThresholdWatch
from memopt_cli.profiler.histogram import Histogram
from memopt_cli.store import reader
from memopt_cli.store.writer import RunWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memopt_cli.analysis.recording import Recording
    from memopt_cli.engine.clock import Clock
    from memopt_cli.scenario.model import Scenario
    from tests.engine.conftest import FakeClock, Runner


@pytest.fixture
def watched(
    runner: Runner, small: Callable[..., Scenario], fake_clock: FakeClock, tmp_path: Path
) -> Callable[..., Recording]:
    """Return a function that runs and keeps the small scenario under a watch."""

    def run(
        *,
        clock: Clock = fake_clock,
        fail_fast: bool = False,
        each_sample: bool = False,
        folder: str = "run",
        **changes: Any,
    ) -> Recording:
        scenario, kept_in = small(**changes), tmp_path / folder
        runner.stop = StopRequest()
        with RunWriter(kept_in) as writer:
            watch = ThresholdWatch(
                scenario,
                read=lambda: reader.read(kept_in),
                clock=clock,
                stop=runner.stop,
                fail_fast=fail_fast,
            )
            for event in kept(runner.events(scenario), writer):
                watch.see(event)
                if each_sample and isinstance(event, SampleTaken):
                    # As after each second of a slower machine.
                    watch.see(DurationsRecorded(event.sample.stage, {}, Histogram(), 0, True))
        return reader.read(kept_in)

    return run


def _total(**keys: Any) -> dict[str, Any]:
    return {"memory_total": [{"threshold": "value<1MB", **keys}]}


def test_abort(watched: Callable[..., Recording]) -> None:
    """A crossed threshold with abort_on_fail ends the run after the stage that crossed it."""
    found = watched(thresholds=_total(abort_on_fail=True))
    assert (found.outcome, found.signal) == (Outcome.ABORTED, None)
    assert found.reason == "memory_total: value<1MB was crossed by baseline"
    assert [one.at_s for one in found.variants[0].samples] == [1.0]


def test_no_abort_without_asking(watched: Callable[..., Recording]) -> None:
    """A crossed threshold without abort_on_fail lets the run go on."""
    assert watched(thresholds=_total()).outcome == Outcome.FINISHED


def test_no_abort_without_crossing(watched: Callable[..., Recording]) -> None:
    """A threshold that holds lets the run go on."""
    threshold = [{"threshold": "value<100GB", "abort_on_fail": True}]
    assert watched(thresholds={"memory_total": threshold}).outcome == Outcome.FINISHED


def test_delay(watched: Callable[..., Recording]) -> None:
    """Before the delay is over, in scenario time, nothing is judged."""
    found = watched(thresholds=_total(abort_on_fail=True, delay_abort_eval="7s"))
    assert found.outcome == Outcome.ABORTED
    assert found.variants[0].samples[-1].at_s == 11.0


def test_delay_starts_anew_with_each_variant(
    runner: Runner, small: Callable[..., Scenario], fake_clock: FakeClock
) -> None:
    """The time of the variant before does not count for the delay of the next."""
    times: list[float] = []
    scenario = small(
        variants=[{"name": "one"}, {"name": "two"}],
        thresholds=_total(abort_on_fail=True, delay_abort_eval="99s"),
    )
    watch = ThresholdWatch(
        scenario, read=lambda: pytest.fail("read"), clock=fake_clock, stop=runner.stop
    )
    for event in runner.events(scenario):
        watch.see(event)
        times.append(watch._at_s)
    assert times.index(12.0) < times.index(0.0, times.index(12.0)) < len(times)


def test_unequal_digests_alone_do_not_abort(
    runner: Runner, small: Callable[..., Scenario], fake_clock: FakeClock, tmp_path: Path
) -> None:
    """Only what asks for it aborts: two variants that differ are told at the end."""
    scenario = small(
        variants=[{"name": "one"}, {"name": "two"}, {"name": "three"}],
        thresholds={"memory_total": [{"threshold": "value<100GB", "abort_on_fail": True}]},
    )
    folder = tmp_path / "run"
    with RunWriter(folder) as writer:
        watch = ThresholdWatch(
            scenario, read=lambda: reader.read(folder), clock=fake_clock, stop=runner.stop
        )
        for event in kept(runner.events(scenario), writer):
            writer._update(1, digest="forged")
            watch.see(event)
    assert reader.read(folder).outcome == Outcome.FINISHED


def test_judging_takes_little_of_the_time(
    runner: Runner, small: Callable[..., Scenario], tmp_path: Path
) -> None:
    """After judging for a second the watch is quiet for twenty."""

    class Costly:
        """A clock on which each look takes half a second."""

        at_s = 0.0

        def now(self) -> float:
            self.at_s += 0.5
            return self.at_s

        def sleep(self, duration_s: float) -> None:
            self.at_s += duration_s

    reads: list[int] = []
    folder = tmp_path / "run"
    scenario = small(
        thresholds={"memory_total": [{"threshold": "value<100GB", "abort_on_fail": True}]}
    )

    def read() -> Recording:
        reads.append(1)
        return reader.read(folder)

    with RunWriter(folder) as writer:
        watch = ThresholdWatch(scenario, read=read, clock=Costly(), stop=runner.stop)
        for event in kept(runner.events(scenario), writer):
            watch.see(event)
    assert len(reads) == 1


def test_kept_before_seen(runner: Runner, small: Callable[..., Scenario], tmp_path: Path) -> None:
    """What a listener sees is on disk already."""
    folder = tmp_path / "run"
    with RunWriter(folder) as writer:
        for event in kept(runner.events(small()), writer):
            if isinstance(event, SampleTaken):
                assert reader.read(folder).variants[0].samples[-1] == event.sample


LEAKY: dict[str, Any] = {
    "synthetic": {"bytes_per_unit": "2KiB", "leak_per_operation": "4KiB"},
    "load": {
        "message_rate": "1/s",
        "stages": [
            {"name": "ramp-up", "duration": "5s", "units": 100},
            {"name": "steady", "duration": "100s", "units": 100},
        ],
    },
}
CLEAN = {**LEAKY, "synthetic": {"bytes_per_unit": "2KiB"}}
LIMIT = {"memory_leak_slope": [{"threshold": "value<1MB/h", "abort_on_fail": True}]}


def test_fail_fast(watched: Callable[..., Recording]) -> None:
    """A leak that is settled ends the run before its time; one to be tolerated does not."""
    found = watched(fail_fast=True, **LEAKY)
    limit = {"memory_leak_slope": ["value<1TB/h"]}
    tolerated = watched(folder="tolerated", fail_fast=True, thresholds=limit, **LEAKY)

    assert (found.outcome, found.reason) == (
        Outcome.ABORTED,
        "memory_leak_slope: no leak was crossed by baseline",
    )
    assert 70 <= found.variants[0].samples[-1].at_s < 100
    assert tolerated.outcome == Outcome.FINISHED


def test_fail_fast_lets_a_clean_run_end(watched: Callable[..., Recording]) -> None:
    """However often it is looked at; and a leak nobody asked to end the run for goes on."""
    assert watched(fail_fast=True, **CLEAN).outcome == Outcome.FINISHED
    assert watched(folder="asked", **LEAKY).outcome == Outcome.FINISHED


def test_a_leak_aborts_when_it_is_settled(watched: Callable[..., Recording]) -> None:
    """A threshold on growth is judged about every second, and not as at the end each time."""
    found = watched(thresholds=LIMIT, each_sample=True, **LEAKY)

    assert found.outcome == Outcome.ABORTED
    assert 70 <= found.variants[0].samples[-1].at_s < 100
