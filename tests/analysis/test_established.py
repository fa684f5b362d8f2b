"""Real connections: what is held, what the kernel takes, and what is kept of closed ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.analysis.connections import ConnectionsRecording, Look
from memopt_cli.analysis.established import checks, established, first_wave
from memopt_cli.analysis.findings import judge
from memopt_cli.analysis.recording import Outcome, Recording, VariantRecording
from memopt_cli.analysis.results import LeakVerdict, RunFindings, Verdict
from memopt_cli.analysis.waves import waves
from memopt_cli.exit_codes import ExitCode
from memopt_cli.profiler.histogram import Histogram
from memopt_cli.scenario.model import Scenario
from tests.making import KIB, MIB, estimate, plateau, sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.recording import Sample

COUNT = 1000
START = 10 * MIB


def of_waves(kept: Sequence[float], *, each: int = 4 * KIB) -> list[Sample]:
    """Return the samples of waves of a thousand connections; *kept* is in bytes per connection."""
    found = [plateau(0, START, at_s=0.0)]
    before = 0.0
    for number, after in enumerate(kept):
        parts = (250, 500, 750, 1000) if not number else (COUNT,)
        for part in parts:
            size = START + round(before * COUNT) + each * part
            found.append(plateau(part, size, at_s=10.0 * number + part / COUNT))
        found.append(plateau(0, START + round(after * COUNT), at_s=10.0 * number + 5))
        before = after
    return found


@pytest.mark.parametrize(
    ("kept", "verdict", "slope"),
    [
        # Sessions that nobody ends; and a kibibyte of each connection.
        ([41 * KIB, 82 * KIB, 123 * KIB, 164 * KIB], LeakVerdict.LEAK, 41 * KIB),
        ([1024, 2048, 3072, 4096, 5120], LeakVerdict.LEAK, 1024),
        # The high water of an allocator; the same from the first wave on; what asyncio keeps.
        ([2114, 2877, 2890, 2860, 2885], LeakVerdict.NO_LEAK, -2.5),
        ([26, 26, 26, 26, 26], LeakVerdict.NO_LEAK, 0),
        ([5500, 6600, 6600, 6700], LeakVerdict.NO_LEAK, 50),
        # It grows each time, by very different amounts.
        ([100, 400, 900, 1200], LeakVerdict.INCONCLUSIVE, 400),
    ],
)
def test_a_leak_goes_on_and_a_level_does_not(
    kept: list[float], verdict: LeakVerdict, slope: float
) -> None:
    """The slope over the last three waves is the figure, and each of them must add to it."""
    found = waves(of_waves(kept), per_unit_bytes=4 * KIB)

    assert (verdict, len(kept)) == (found.verdict, len(found.waves))
    assert found.kept_per_connection is not None
    assert abs(found.kept_per_connection.value - slope) < 1
    assert found.used == 3


def test_what_allocators_take_at_once_is_no_leak() -> None:
    """Two pages more after each wave, on a line as straight as a leak's, show nothing."""
    found = waves(of_waves([1024, 1032.192, 1040.384, 1048.576], each=512), per_unit_bytes=512)

    assert LeakVerdict.INCONCLUSIVE is found.verdict
    assert found.kept_per_connection is not None
    assert found.kept_per_connection.low < 0


def test_two_waves_are_no_slope() -> None:
    """With fewer than three waves nothing is said."""
    found = waves(of_waves([1024, 2048]), per_unit_bytes=4 * KIB)

    assert (LeakVerdict.INCONCLUSIVE, None, 0) == (
        found.verdict,
        found.kept_per_connection,
        found.used,
    )
    assert "2 waves were opened and closed, a slope needs 3" == found.reason


def look(ready: int, **changes: Any) -> Look:
    """Return a look at connections that are all there, with 8 KB of the kernel's for each."""
    values: dict[str, Any] = {
        "at_s": 1.0,
        "stage": 1,
        "asked": ready,
        "ready": ready,
        "accepted": ready,
        "answered": None,
        "settled_s": 1.0,
        "at_rest": True,
        "slab_bytes": 50 * MIB + 8000 * ready,
        "buffers_bytes": 0,
    }
    return Look(**{**values, **changes})


LOOKS = (look(0), look(500), look(COUNT), look(COUNT, answered=COUNT), look(0, at_s=5.0))


def connected(*, runs_already: bool = False, **thresholds: Any) -> Scenario:
    """Return a scenario of a target that is started, or that runs already."""
    stages = [
        {"name": "before", "duration": "1s", "connections": 0},
        {"name": "up", "duration": "1s", "connections": COUNT, "plateaus": 4},
        {"name": "closed", "duration": "1s", "connections": 0},
    ]
    whose = {"pid": 1} if runs_already else {"command": ["true"]}
    return Scenario.model_validate(
        {
            "version": 1,
            "name": "small",
            "workload": "target",
            "target": {"url": "tcp://127.0.0.1:1", **whose},
            "load": {"clock": "wall", "stages": stages},
            "thresholds": thresholds,
        }
    )


def found(
    recording: ConnectionsRecording,
    kept: Sequence[float] = (0,),
    *,
    runs_already: bool = False,
    **thresholds: Any,
) -> RunFindings:
    """Return what is found of a target that ran to its end."""
    run = Recording(
        "", "", Outcome.FINISHED, "", None, "wall", {}, 1.0, (variant(recording, of_waves(kept)),)
    )
    return judge(run, connected(runs_already=runs_already, **thresholds))


def variant(
    recording: ConnectionsRecording, samples: Sequence[Sample], *, breaks: tuple[float, ...] = ()
) -> VariantRecording:
    """Return what was recorded of a target that ran to its end."""
    return VariantRecording(
        cell={},
        name="baseline",
        unit="connections",
        has_pool=False,
        outcome=Outcome.FINISHED,
        failure="",
        digest="",
        transcript="",
        pool=None,
        stages=(),
        samples=(*samples, sample(99.0)),
        pauses={},
        pauses_lost=0,
        recorder_installed=False,
        latency={0: Histogram()},
        connections=recording,
        breaks=breaks,
    )


WELL = ConnectionsRecording(
    servers=1,
    drivers=1,
    looks=LOOKS,
    connect_s=2.0,
    connected=COUNT,
    sockets_before=0,
    sockets_after=0,
)


def test_all_is_well() -> None:
    """The connections were held, answered and closed; the kernel's part is a figure of its own."""
    run = found(WELL, connect_time=["value<3s"], kernel_memory_per_connection=["value<9kB"])
    real = run.variants[0].connections

    assert (Verdict.PASSED, ExitCode.PASSED) == (run.verdict, run.exit_code)
    assert real is not None
    assert real.kernel_per_connection is not None
    assert abs(8000 - real.kernel_per_connection.value) < 1
    # Sixty-four pages of the rest of the machine may come or go at either end of the line.
    assert real.kernel_per_connection.high - 8000 == pytest.approx(64 * 4096 / COUNT, abs=1)
    assert real.buffers_per_connection is not None
    assert real.buffers_per_connection.value == pytest.approx(0, abs=1)
    assert {"connections", "closed", "connect_time", "kernel_memory_per_connection"} == {
        result.metric for result in run.thresholds
    }


@pytest.mark.parametrize(
    ("changes", "metric", "verdict"),
    [
        ({"looks": (*LOOKS[:3], look(COUNT, answered=990))}, "connections", Verdict.CROSSED),
        ({"looks": (*LOOKS[:2], look(COUNT, accepted=256))}, "connections", Verdict.CROSSED),
        ({"looks": LOOKS[:2]}, "connections", Verdict.INCONCLUSIVE),
        ({"sockets_after": 5}, "closed", Verdict.CROSSED),
        ({"limited_by": "a driver was at work 97%"}, "drivers", Verdict.INCONCLUSIVE),
    ],
)
def test_what_is_not_well(changes: dict[str, Any], metric: str, verdict: Verdict) -> None:
    """Too few replies, connections, closes, or a driver that was the bottleneck are told."""
    run = found(replace(WELL, **changes))

    assert {metric: verdict} == {
        result.metric: result.verdict
        for result in run.thresholds
        if result.verdict is not Verdict.PASSED
    }


def test_a_leak_over_waves_fails_the_run() -> None:
    """No scenario has to ask for it; a limit in the scenario takes its place."""
    kept = [1024, 2048, 3072, 4096]
    unasked = found(WELL, kept)
    asked = found(WELL, kept, memory_kept_per_connection=["value<2KiB"])
    below = found(WELL, kept, memory_kept_per_connection=["value<512B"])

    assert ExitCode.THRESHOLDS_CROSSED == unasked.exit_code
    assert LeakVerdict.LEAK is unasked.variants[0].leak.verdict
    assert (ExitCode.PASSED, ExitCode.THRESHOLDS_CROSSED) == (asked.exit_code, below.exit_code)


def test_only_what_is_compared_leaks_unasked() -> None:
    """The first of several variants is there to compare with: its waves are no check."""
    one = found(WELL, [1024, 2048, 3072, 4096]).variants[0]
    scenario = connected()

    assert ["memory_kept_per_connection"] == [
        check.metric for check in checks(one, scenario, judged=True) if check.verdict != "passed"
    ]
    assert [] == [
        check.metric for check in checks(one, scenario, judged=False) if check.verdict != "passed"
    ]


def test_each_process_has_an_allocator() -> None:
    """A kibibyte of each of 2,000 connections is a leak in one process, and no figure in 200."""
    kept = [1024, 2048, 3072, 4096]
    verdicts = [
        real.waves.verdict
        for servers in (1, 200)
        if (real := found(replace(WELL, servers=servers), kept).variants[0].connections)
    ]

    assert [LeakVerdict.LEAK, LeakVerdict.INCONCLUSIVE] == verdicts


def test_waves_are_those_of_the_server_at_the_end() -> None:
    """One that was lost took along what it had kept."""
    samples = of_waves([1024, 2048, 3072, 4096])
    real = established(variant(WELL, samples, breaks=(20.0,)), per_unit=None)

    assert real is not None
    assert 2 == len(real.waves.waves)


def test_others_may_have_connected_to_what_goes_on() -> None:
    """More connections than before show nothing of a server that is not ours."""
    left = replace(WELL, sockets_after=5)
    told = [found(left, runs_already=already).thresholds for already in (False, True)]

    assert [Verdict.CROSSED, Verdict.INCONCLUSIVE] == [
        check.verdict for checks_ in told for check in checks_ if check.metric == "closed"
    ]


@pytest.mark.parametrize(
    ("half_bytes", "at_rest", "told"), [(300, False, True), (300, True, False), (100, False, False)]
)
def test_a_wide_interval_is_told_where_memory_never_rested(
    half_bytes: int, told: bool, *, at_rest: bool
) -> None:
    """Of 4 KiB a connection 300 B are more than a twentieth, 100 B are less."""
    one = found(replace(WELL, looks=(*LOOKS, look(0, at_rest=at_rest)))).variants[0]
    memory = replace(one.memory, per_unit=estimate(4096.0, half_bytes))
    results = checks(replace(one, memory=memory), connected(), judged=True)

    assert told == ("at_rest" in [check.metric for check in results])


@pytest.mark.parametrize(
    ("others_s", "verdict"),
    [
        # Of two processors, for two seconds: alone it would have taken 2 s, 1.8 s, 1.4 s.
        (0.0, Verdict.CROSSED),
        (0.4, Verdict.CROSSED),
        (1.2, Verdict.INCONCLUSIVE),
        (None, Verdict.CROSSED),
    ],
)
def test_connecting_that_others_slowed_crosses_nothing(
    others_s: float | None, verdict: Verdict
) -> None:
    """Two seconds are too long, unless they would not have been without other programs."""
    recording = replace(WELL, connect_s=2.0, connect_others_s=others_s, connect_available_s=4.0)
    run = found(recording, connect_time=["value<1.5s"])
    (judged,) = [result for result in run.thresholds if result.metric == "connect_time"]

    assert verdict is judged.verdict
    assert ("30% of the processors" in judged.reason) == (verdict is Verdict.INCONCLUSIVE)


@pytest.mark.parametrize("metric", ["memory_kept_per_connection", "connect_time"])
def test_nothing_passes_that_was_not_measured(metric: str) -> None:
    """Without connections each metric of theirs is inconclusive."""
    limit = {"memory_kept_per_connection": "value<1B", "connect_time": "value<1s"}
    asked: dict[str, Any] = {metric: [limit[metric]]}
    run = found(ConnectionsRecording(), (0,), **asked)
    (judged,) = [result for result in run.thresholds if result.metric == metric]

    assert (Verdict.INCONCLUSIVE, None) == (judged.verdict, judged.observed)


@pytest.mark.parametrize(
    ("breaks", "at_s"),
    [
        ((), [0.0, 1.0, 2.0, 3.0, 4.0]),
        # The second server has more plateaus; the first one has; both have as many.
        ((1.5,), [2.0, 3.0, 4.0]),
        ((3.5,), [0.0, 1.0, 2.0, 3.0]),
        ((2.5,), [0.0, 1.0, 2.0]),
        # One that was lost before it had any connection.
        ((0.5, 0.75), [1.0, 2.0, 3.0, 4.0]),
    ],
)
def test_one_server_is_fitted(breaks: tuple[float, ...], at_s: list[float]) -> None:
    """Of servers that came one after the other, no line goes through two; nor past the growth."""
    samples = [
        plateau(units, START + 4 * KIB * units, at_s=at)
        for at, units in enumerate((0, 250, 500, 750, 1000, 999, 1000))
    ]

    found = first_wave(variant(WELL, samples, breaks=breaks))

    assert at_s == [sample.at_s for sample in found]


def test_the_recording_comes_back_as_it_was() -> None:
    """As it is stored, nothing of it is lost."""
    assert WELL == ConnectionsRecording.from_values(WELL.to_values())
