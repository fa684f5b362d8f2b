"""A run tells what happens in the order in which it happens, and ends however it must."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.analysis.recording import Outcome, StageSpan
from memopt_cli.engine.events import (
    DurationsRecorded,
    RunEnded,
    RunStarted,
    SampleTaken,
    StageStarted,
    VariantEnded,
    VariantStarted,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.analysis.recording import Sample
    from memopt_cli.engine.events import Event
    from memopt_cli.scenario.model import Scenario
    from tests.engine.conftest import FakeClock, Runner

TWO = [{"name": "first"}, {"name": "second"}]


def _order(events: list[Event]) -> list[str]:
    """Return the kinds of events, runs of samples and durations as one each."""
    kinds = [type(event).__name__ for event in events]
    return [kind for kind, _ in itertools.groupby(kinds)]


def test_order(runner: Runner) -> None:
    """A run is its variants, a variant its stages, a stage its samples and their durations."""
    stage = ["StageStarted", "SampleTaken", "DurationsRecorded"]
    variant = ["VariantStarted", *(4 * stage), "VariantEnded"]
    assert _order(runner.run(variants=TWO)) == ["RunStarted", *(2 * variant), "RunEnded"]


def test_begin_and_end(runner: Runner) -> None:
    """The first event tells the run, the last how it ended."""
    events = runner.run(variants=TWO)
    first, last = events[0], events[-1]
    assert isinstance(first, RunStarted)
    assert isinstance(last, RunEnded)
    assert (first.started_at, first.clock) == ("2026-01-31T12:00:00Z", "virtual")
    assert first.expected_operations == pytest.approx(2 * 1000)
    assert (last.outcome, last.reason, last.signal) == (Outcome.FINISHED, "", None)


def test_variants_are_told(runner: Runner) -> None:
    """Each variant is told with its name, its unit and whether it has a pool."""
    variants = [{"name": "plain"}, {"name": "pooled", "pool": "on"}]
    events = runner.run(workload="connections", variants=variants)
    told = [one for one in events if isinstance(one, VariantStarted)]
    assert [(one.name, one.unit, one.has_pool, one.cell) for one in told] == [
        ("plain", "connections", False, {}),
        ("pooled", "connections", True, {}),
    ]


def test_equal_work_has_equal_digests(runner: Runner) -> None:
    """Variants did the same, and say so."""
    variants = [{"name": "plain"}, {"name": "all", "pool": "on", "compact": "on"}]
    events = runner.run(workload="connections", variants=variants)
    ends = [one for one in events if isinstance(one, VariantEnded)]
    assert [one.outcome for one in ends] == [Outcome.FINISHED] * 2
    assert (ends[0].digest, ends[0].transcript) == (ends[1].digest, ends[1].transcript)
    assert len(ends[0].digest) == 32


def test_cells(runner: Runner, small: Callable[..., Scenario]) -> None:
    """Each cell runs its own scenario."""
    events = list(runner.events(small(), small(seed=2)))
    cells = [one.cell for one in events if isinstance(one, VariantStarted)]
    ends = [one.transcript for one in events if isinstance(one, VariantEnded)]
    assert cells == [{}, {"cell": "1"}]
    assert ends[0] != ends[1]


def test_spans(runner: Runner) -> None:
    """Stages are told with their place in scenario time."""
    spans = [one.stage for one in runner.run() if isinstance(one, StageStarted)]
    assert spans == [
        StageSpan("baseline", 0.0, 1.0, 0),
        StageSpan("ramp-up", 1.0, 6.0, 100),
        StageSpan("steady", 6.0, 11.0, 100),
        StageSpan("drain", 11.0, 12.0, 0),
    ]


@pytest.mark.parametrize(
    ("interval", "wanted"),
    [
        ("1s", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        ("2s", [1, 2, 3, 4, 5, 6, 8, 10, 11, 12]),
        # The interval counts from the start: a plateau between does not put it off.
        ("2500ms", [1, 2, 2.5, 3, 4, 5, 6, 7.25, 8.5, 11, 12]),
        ("1h", [1, 2, 3, 4, 5, 6, 11, 12]),
    ],
)
def test_sampling_times(
    interval: str, wanted: list[float], runner: Runner, samples: Callable[..., list[Sample]]
) -> None:
    """There is a sample at each interval, each plateau and each end of a stage."""
    found = [one.at_s for one in samples(runner.run(sampling={"interval": interval}))]
    plateaus = [1, 2, 3, 4, 5, 6, 11, 12]
    assert [one for one in found if one in plateaus] == plateaus
    assert len(found) == len(wanted)
    if interval != "2500ms":
        assert found == wanted


def test_plateaus_are_exact(runner: Runner, samples: Callable[..., list[Sample]]) -> None:
    """At a plateau all figures are read; units and operations are those of the moment."""
    found = [one for one in samples(runner.run(load={"message_rate": "0/s"})) if one.is_plateau]
    assert [one.units for one in found] == [0, 20, 40, 60, 80, 100, 100, 0]
    assert [one.operations for one in found] == [0, 20, 40, 60, 80, 100, 100, 200]
    for one in found:
        figures = (one.anonymous_bytes, one.uss_bytes, one.pss_bytes, one.heap_in_use_bytes)
        assert None not in figures


def test_busy_time_adds_up_over_stages(
    runner: Runner, samples: Callable[..., list[Sample]]
) -> None:
    """Busy time, operations and real time never go back, and busy time is within real time."""
    found = samples(runner.run())
    for name in ("busy_s", "operations", "wall_s", "at_s"):
        values = [getattr(one, name) for one in found]
        assert values == sorted(values)
    assert 0 < found[-1].busy_s < found[-1].wall_s


def test_latency_is_of_its_stage(runner: Runner) -> None:
    """The last histograms of the stages hold each operation once."""
    events = runner.run()
    last = {one.stage: one for one in events if isinstance(one, DurationsRecorded)}
    counts = [last[stage].latency.count for stage in range(4)]
    operations = [one.sample for one in events if isinstance(one, SampleTaken)][-1].operations
    assert counts[0] == 0
    assert sum(counts) == operations
    assert {one.recorder_installed for one in last.values()} == {True}


def test_wall_clock_waits(
    runner: Runner,
    small: Callable[..., Scenario],
    fake_clock: FakeClock,
    samples: Callable[..., list[Sample]],
) -> None:
    """On the wall clock the run takes as long as its stages, in waits of a tenth at most."""
    events = list(runner.events(small(load={"clock": "wall"}), clock=fake_clock))
    found = samples(events)
    assert fake_clock.now() == pytest.approx(12.0)
    assert max(fake_clock.slept_s) <= 0.1
    assert [one.wall_s for one in found] == pytest.approx([one.at_s for one in found])


def test_virtual_clock_does_not_wait(
    runner: Runner, small: Callable[..., Scenario], fake_clock: FakeClock
) -> None:
    """On the virtual clock idle time is skipped."""
    assert list(runner.events(small(), clock=fake_clock))
    assert fake_clock.slept_s == []


@pytest.mark.parametrize(
    "changes",
    [
        {"load": {"message_rate": "3/s"}},
        {"load": {"arrival_rate": "60/s"}},
        {"seed": 5},
        {"sampling": {"interval": "500ms"}},
        {"load": {"stages": [{"name": "up", "duration": "3s", "units": 70}]}},
    ],
    ids=str,
)
def test_scenario_changes_the_run(
    changes: dict[str, Any], runner: Runner, samples: Callable[..., list[Sample]]
) -> None:
    """What the scenario says shows in the samples."""

    def shown(**changes: Any) -> list[tuple[float, int, int]]:
        return [(one.at_s, one.units, one.operations) for one in samples(runner.run(**changes))]

    assert shown() == shown()
    assert shown() != shown(**changes)


def test_generator_closed_early(runner: Runner, small: Callable[..., Scenario]) -> None:
    """Whoever stops listening leaves no process behind; the fixture looks for it."""
    stream = runner.events(small())
    assert isinstance(
        next(event for event in stream if isinstance(event, SampleTaken)), SampleTaken
    )
    stream.close()  # type: ignore[attr-defined] # it is a generator
