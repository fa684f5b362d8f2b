"""The transcript does what the load says: who arrives, speaks and leaves, and when."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memopt_cli.scenario.load import Load
from memopt_cli.workloads.outlook import expected_operations, peak_units
from memopt_cli.workloads.population import WRITES
from memopt_cli.workloads.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memopt_cli.workloads.transcript import Tick

TURNOVER = {
    "arrival_rate": "40/s",
    "message_rate": "2/s",
    "stages": [
        {"name": "ramp-up", "duration": "4s", "units": 203, "plateaus": 7},
        {"name": "steady", "duration": "10s", "units": 203},
        {"name": "ramp-down", "duration": "3s", "units": 11},
        {"name": "drain", "duration": "1s", "units": 0},
    ],
}


def _load(stages: list[dict[str, Any]], **keys: Any) -> Load:
    return Load.model_validate({"stages": stages, **keys})


def _stage(name: str, duration: str, units: int | None = None, **keys: Any) -> dict[str, Any]:
    target = {} if units is None else {"units": units}
    return {"name": name, "duration": duration, **target, **keys}


def _slots(block: bytes) -> list[int]:
    return [int(slot) for slot in np.frombuffer(block, np.uint32)]


def _arrived(ticks: Iterable[Tick]) -> int:
    return sum(len(tick.arrivals) // 4 for tick in ticks)


def _codes(ticks: Iterable[Tick]) -> bytes:
    return b"".join(tick.message_codes for tick in ticks)


def _operations(ticks: Iterable[Tick]) -> int:
    return sum(tick.operations for tick in ticks)


def test_same_seed_same_ticks() -> None:
    """The same load, mix and seed give equal ticks, so every variant gets equal work."""
    load = Load.model_validate(TURNOVER)
    assert list(Transcript(load, seed=3)) == list(Transcript(load, seed=3))


def test_other_seed_other_ticks() -> None:
    """Another seed gives other messages and departures."""
    load = Load.model_validate(TURNOVER)
    assert list(Transcript(load, seed=3)) != list(Transcript(load, seed=4))


def test_targets_are_reached_exactly() -> None:
    """The population is the stage's own at its end, whatever came and went in it."""
    ticks = list(Transcript(Load.model_validate(TURNOVER), seed=1))
    assert [tick.units for tick in ticks if tick.ends_stage] == [203, 203, 11, 0]


def test_plateaus_are_reached_exactly() -> None:
    """Seven plateaus up to 203 are at sevenths of it, each rounded to whole units."""
    ticks = Transcript(Load.model_validate(TURNOVER), seed=1)
    found = [tick.units for tick in ticks if tick.is_plateau and tick.stage == 0]
    assert found == [round(203 * part / 7) for part in range(1, 8)]


def test_scaled_duration_keeps_its_plateaus() -> None:
    """A duration that floats cannot hold exactly still ends its stage at a plateau, once."""
    load = _load([_stage("up", "3s", 10, plateaus=3)])
    stage = load.stages[0].model_copy(update={"duration_s": 3 * 0.1})
    load = load.model_copy(update={"stages": (stage,)})
    ticks = list(Transcript(load, interval_s=0.1, seed=1))
    assert [(tick.units, tick.is_plateau, tick.ends_stage) for tick in ticks] == [
        (3, True, False),
        (7, True, False),
        (10, True, True),
    ]


@pytest.mark.parametrize("interval_s", [0.25, 1.0, 2.5, 10.0])
def test_interval_is_a_whole_number_of_ticks(interval_s: float) -> None:
    """A tick ends at every sampling time, and none is longer than a second."""
    load = _load([_stage("steady", "30s", 100)], arrival_rate="37/s")
    ends = [0.0, *(tick.ends_s for tick in Transcript(load, interval_s=interval_s, seed=1))]
    sampled = [number * interval_s for number in range(1, int(30 / interval_s) + 1)]
    assert [min(ends, key=lambda end: abs(end - at)) for at in sampled] == pytest.approx(sampled)
    assert max(b - a for a, b in itertools.pairwise(ends)) <= 1.0 + 1e-9


targets = st.fixed_dictionaries(
    {
        "duration": st.integers(1, 6).map("{}s".format),
        "units": st.integers(0, 60),
        "plateaus": st.integers(1, 4),
    }
)
opens = st.fixed_dictionaries(
    {
        "duration": st.integers(1, 6).map("{}s".format),
        "arrival_rate": st.integers(0, 60).map("{}/s".format),
        "pattern": st.sampled_from(["constant", "poisson", "ramp", "burst", "sine", "churn"]),
    }
)


@st.composite
def loads(draw: st.DrawFn) -> Load:
    """Draw a load of a few stages of either kind."""
    stages = draw(st.lists(targets | opens, min_size=1, max_size=4))
    return _load(
        [{"name": f"s{number}", **stage} for number, stage in enumerate(stages)],
        arrival_rate=f"{draw(st.integers(0, 50))}/s",
        message_rate=f"{draw(st.integers(0, 3))}/s",
        lifetime=f"{draw(st.integers(1, 9))}s",
    )


@settings(max_examples=60, deadline=None)
@given(load=loads(), seed=st.integers(0, 9), interval_s=st.sampled_from([0.3, 1.0, 4.0]))
def test_replay(load: Load, seed: int, interval_s: float) -> None:
    """No slot ever holds two units, only the living speak and leave, and the count is right."""
    alive: set[int] = set()
    for tick in Transcript(load, interval_s=interval_s, seed=seed):
        arrivals, departures = _slots(tick.arrivals), _slots(tick.departures)
        assert alive.isdisjoint(arrivals)
        alive.update(arrivals)
        assert alive.issuperset(_slots(tick.message_slots))
        assert alive.issuperset(departures)
        alive.difference_update(departures)
        assert (len(alive), len(set(arrivals)), len(set(departures))) == (
            tick.units,
            len(arrivals),
            len(departures),
        )


@settings(max_examples=60, deadline=None)
@given(load=loads(), seed=st.integers(0, 9))
def test_stage_ends(load: Load, seed: int) -> None:
    """Each stage ends once, at the sum of the durations, and on its target if it has one."""
    ends = [tick for tick in Transcript(load, seed=seed) if tick.ends_stage]
    until = list(itertools.accumulate(stage.duration_s for stage in load.stages))
    wanted = [stage.units for stage in load.stages]
    assert [tick.ends_s for tick in ends] == pytest.approx(until)
    assert [
        None if units is None else tick.units for tick, units in zip(ends, wanted, strict=True)
    ] == wanted


def test_realised_mix() -> None:
    """Of 10,000 messages the sizes and the writes are within two points of the scenario's."""
    load = _load([_stage("up", "1s", 100), _stage("steady", "100s", 100)], message_rate="1/s")
    codes = _codes(Transcript(load, mix=(0.7, 0.25, 0.05), writes=0.3, seed=1))[:10_000]
    sizes = Counter(code & ~WRITES for code in codes)
    assert len(codes) == 10_000
    assert [sizes[kind] / 10_000 for kind in range(3)] == pytest.approx([0.7, 0.25, 0.05], abs=0.02)
    assert sum(bool(code & WRITES) for code in codes) / 10_000 == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("arrival_rate", ["0/s", "100/s", "1000/s"])
def test_messages_follow_the_mean_population(arrival_rate: str) -> None:
    """Units that take turns in a tick do not speak for two: the rate is per unit and time."""
    load = _load(
        [_stage("up", "1s", 1000), _stage("steady", "100s", 1000)],
        arrival_rate=arrival_rate,
        message_rate="1/s",
    )
    said = len(_codes(tick for tick in Transcript(load, seed=1) if tick.stage == 1))
    assert said == pytest.approx(100_000, abs=4 * math.sqrt(100_000))


def test_message_rate_of_a_stage() -> None:
    """A stage's own message rate takes the place of the load's."""
    load = _load(
        [_stage("up", "1s", 100), _stage("silent", "9s", 100, message_rate="0/s")],
        message_rate="5/s",
    )
    ticks = list(Transcript(load, seed=1))
    assert [bool(_codes(t for t in ticks if t.stage == stage)) for stage in (0, 1)] == [True, False]


@pytest.mark.parametrize(
    ("pattern", "factor"),
    [
        ("constant", 1.0),
        ("ramp", 0.5),
        ({"name": "burst", "period": "10s", "share": "20%"}, 1.0),
        # Three quarters of a wave: its integral is not that of a whole one.
        ({"name": "sine", "period": "40s", "amplitude": "50%"}, 1 + 0.5 * 40 / (2 * math.pi) / 30),
        ("churn", 1.0),
    ],
)
def test_arrivals_are_the_integral(pattern: object, factor: float) -> None:
    """A pattern without chance brings exactly as many as the integral of its rate."""
    load = _load(
        [_stage("up", "1s", 50), _stage("open", "30s", arrival_rate="33/s")],
        pattern=pattern,
        lifetime="20s",
    )
    arrived = _arrived(tick for tick in Transcript(load, seed=1) if tick.stage == 1)
    assert arrived == math.floor(33 * 30 * factor + 1e-6)


def test_poisson_arrivals() -> None:
    """Poisson arrivals are within four deviations of the rate, and as scattered as they must be."""
    load = _load([_stage("open", "400s", arrival_rate="50/s")], pattern="poisson", lifetime="20s")
    counts = [len(tick.arrivals) // 4 for tick in Transcript(load, seed=1)]
    assert sum(counts) == pytest.approx(20_000, abs=4 * math.sqrt(20_000))
    assert np.var(counts) == pytest.approx(np.mean(counts), rel=0.3)


def _shape(pattern: object) -> list[int]:
    """Return the arrivals of each second of a stage of eight, at 100/s."""
    load = _load([_stage("open", "8s", arrival_rate="100/s")], pattern=pattern, lifetime="1h")
    return [len(tick.arrivals) // 4 for tick in Transcript(load, seed=1)]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("constant", [100] * 8),
        ("ramp", [6, 19, 31, 44, 56, 69, 81, 94]),
        ({"name": "burst", "period": "4s", "share": "25%"}, [400, 0, 0, 0, 400, 0, 0, 0]),
        (
            {"name": "sine", "period": "8s", "amplitude": "100%"},
            [137, 190, 190, 137, 63, 10, 10, 63],
        ),
    ],
    ids=str,
)
def test_shape_of_a_pattern(pattern: object, wanted: list[int]) -> None:
    """Second by second, arrivals follow the pattern's curve."""
    assert _shape(pattern) == pytest.approx(wanted, abs=1)


@pytest.mark.parametrize("lifetime_s", [1, 5, 20])
@pytest.mark.parametrize("pattern", ["constant", "poisson"])
def test_little(lifetime_s: int, pattern: str) -> None:
    """Once filled, an open stage holds rate times lifetime, within ten percent."""
    load = _load(
        [_stage("open", "300s", arrival_rate="50/s")], pattern=pattern, lifetime=f"{lifetime_s}s"
    )
    held = [tick.units for tick in Transcript(load, seed=1) if tick.ends_s > 5 * lifetime_s]
    assert np.mean(held) == pytest.approx(50 * lifetime_s, rel=0.1)


def test_little_with_coarse_ticks() -> None:
    """A sampling interval of many lifetimes does not change the population."""
    load = _load([_stage("open", "300s", arrival_rate="200/s")], lifetime="100ms")
    held = [tick.units for tick in Transcript(load, interval_s=10.0, seed=1)][1:]
    assert np.mean(held) == pytest.approx(20, rel=0.1)


def test_little_with_lifetimes_as_short_as_a_tick() -> None:
    """Those who come and go within one tick are counted for the time they were there."""
    load = _load([_stage("open", "30s", arrival_rate="2000/s")], lifetime="10ms")
    held = [tick.units for tick in Transcript(load, seed=1)][5:]
    assert np.mean(held) == pytest.approx(20, rel=0.1)


def test_churn_keeps_the_population() -> None:
    """With churn each arrival takes the place of one that leaves."""
    load = _load(
        [
            _stage("up", "1s", 80),
            _stage("churn", "10s", arrival_rate="30/s", pattern="churn"),
        ]
    )
    ticks = [tick for tick in Transcript(load, seed=1) if tick.stage == 1]
    assert {tick.units for tick in ticks} == {80}
    assert (_arrived(ticks), sum(len(tick.departures) // 4 for tick in ticks)) == (300, 300)


@pytest.mark.parametrize("units", [40, 100, 5000])
def test_turnover_is_the_arrival_rate(units: int) -> None:
    """A steady stage replaces units at the arrival rate, also several times within a second."""
    load = _load([_stage("up", "1s", units), _stage("steady", "20s", units)], arrival_rate="90/s")
    ticks = [tick for tick in Transcript(load, seed=1) if tick.stage == 1]
    assert _arrived(ticks) == pytest.approx(20 * 90, abs=1)


@pytest.mark.parametrize("arrival_rate", ["0/s", "90/s"])
def test_no_arrivals_into_an_empty_stage(arrival_rate: str) -> None:
    """A stage with no population has none, whatever the arrival rate is."""
    load = _load([_stage("baseline", "5s", 0)], arrival_rate=arrival_rate)
    assert _operations(Transcript(load, seed=1)) == 0


LOADS = {
    "turnover": Load.model_validate(TURNOVER),
    "growth above the rate": _load(
        [_stage("up", "5s", 1000), _stage("down", "5s", 0)], arrival_rate="7/s", message_rate="1/s"
    ),
    "rate above the population": _load(
        [_stage("up", "1s", 20), _stage("steady", "20s", 20)], arrival_rate="500/s"
    ),
    "lifetime": _load(
        [_stage("open", "60s", arrival_rate="50/s"), _stage("down", "5s", 0)],
        lifetime="20s",
        message_rate="1/s",
    ),
    "bursts": _load(
        [
            _stage("up", "5s", 100),
            _stage(
                "open",
                "65s",
                arrival_rate="50/s",
                pattern={"name": "burst", "period": "20s", "share": "10%"},
            ),
            _stage("down", "5s", 0),
        ],
        lifetime="20s",
        message_rate="1/s",
    ),
    "sine": _load(
        [_stage("open", "60s", arrival_rate="50/s")],
        lifetime="5s",
        message_rate="1/s",
        pattern={"name": "sine", "period": "30s", "amplitude": "80%"},
    ),
    "ramp": _load([_stage("open", "60s", arrival_rate="50/s")], lifetime="5s", pattern="ramp"),
    "churn": _load(
        [_stage("up", "5s", 100), _stage("churn", "30s", arrival_rate="90/s", pattern="churn")],
        message_rate="2/s",
    ),
}


@pytest.mark.parametrize("name", LOADS)
def test_expected_operations(name: str) -> None:
    """The estimate that progress is shown by is within ten percent."""
    load = LOADS[name]
    assert expected_operations(load) == pytest.approx(
        _operations(Transcript(load, seed=1)), rel=0.1
    )


@pytest.mark.parametrize("name", LOADS)
def test_peak_units_holds_every_slot(name: str) -> None:
    """Structures made for the peak never grow, and are not made twice as large either."""
    load = LOADS[name]
    slots = max(max(_slots(tick.arrivals), default=0) for tick in Transcript(load, seed=1)) + 1
    assert slots <= peak_units(load) <= 2 * slots + 20


def test_peak_units_of_targets() -> None:
    """Without turnover the peak is the largest target."""
    assert peak_units(_load([_stage("up", "5s", 70), _stage("down", "5s", 30)])) == 70
