"""The leak verdict: planted leaks are found, what only looks like one is not called a leak."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.analysis import level_shifts
from memopt_cli.analysis.leak import FEWEST_SAMPLES, detect, judge
from memopt_cli.analysis.leak_views import Doubt
from memopt_cli.analysis.results import LeakVerdict
from tests.making import KIB, MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LEVEL = 16e6
SECONDS = range(600)


def noise(seed: int, size: float) -> list[float]:
    """Return ten minutes of seeded noise, one value per second."""
    chance = random.Random(seed)
    return [chance.gauss(0, size) for _ in SECONDS]


def verdict(sizes: Sequence[float]) -> str:
    """Return the verdict on one sample per second."""
    return str(detect(range(len(sizes)), sizes)["verdict"])


HEALTHY: dict[str, Callable[[int], float]] = {
    "flat": lambda _: LEVEL,
    "warm-up, then flat": lambda s: LEVEL + min(s, 100) * 20 * KIB,
    "sawtooth": lambda s: LEVEL + s % 40 * 100 * KIB,
    "slow sawtooth": lambda s: LEVEL + s % 170 * 20 * KIB,
    "one spike": lambda s: LEVEL + 100 * MIB * (s == 300),
    "spike at the end": lambda s: LEVEL + 100 * MIB * (s > 595),
    "one step": lambda s: LEVEL + 8 * MIB * (s > 200),
    "two steps": lambda s: LEVEL + 8 * MIB * ((s > 100) + (s > 250)),
    "ten bytes": lambda s: LEVEL + 10 * (s > 300),
    "a byte a minute": lambda s: LEVEL + s // 60,
    "three pages": lambda s: LEVEL + s // 200 * 4096,
    "shrinking": lambda s: LEVEL - s * KIB,
    "days": lambda s: LEVEL + 5 * MIB * math.sin(s / 30),
    "in a day": lambda s: LEVEL + 5 * MIB * math.sin(s / 170),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_process_is_no_leak(name: str) -> None:
    """What is flat, warms up, is collected, spikes, steps or shrinks is not called a leak."""
    sizes = [HEALTHY[name](second) for second in SECONDS]

    assert "leak" != verdict(sizes)
    assert "leak" != verdict([size + e for size, e in zip(sizes, noise(1, 50 * KIB), strict=True)])


@pytest.mark.parametrize(
    "name", ["flat", "warm-up, then flat", "one spike", "ten bytes", "three pages"]
)
def test_what_is_flat_is_cleared(name: str) -> None:
    """A flat end is "no leak", not merely undecided."""
    assert "no_leak" == verdict([HEALTHY[name](second) for second in SECONDS])


@pytest.mark.parametrize("shape", ["exp", "hyperbola", "root"])
@pytest.mark.parametrize("tau", [0.1, 0.2, 0.4])
def test_what_fills_up_is_no_leak(shape: str, tau: float) -> None:
    """A cache that has not filled yet grows ever more slowly, and that is seen."""
    shapes: dict[str, Callable[[float], float]] = {
        "exp": lambda u: 1 - math.exp(-u / tau),
        "hyperbola": lambda u: u / (u + tau),
        "root": lambda u: math.sqrt(min(u / (2 * tau), 1)),
    }
    grown, errors = shapes[shape], noise(2, 100 * KIB)

    assert "leak" != verdict([LEVEL + 20 * MIB * grown(s / 600) + errors[s] for s in SECONDS])


@pytest.mark.parametrize("per_s", [1 * KIB, 10 * KIB, 1_048_576])
@pytest.mark.parametrize("background", ["flat", "warm-up, then flat", "sawtooth", "one step"])
def test_a_planted_leak_is_found(background: str, per_s: int) -> None:
    """A leak of 1 KiB per operation shows through what is healthy; its slope is in the interval."""
    errors = noise(3, 20 * KIB)
    sizes = [HEALTHY[background](s) + per_s * s + errors[s] for s in SECONDS]

    found = detect(SECONDS, sizes)

    assert "leak" == found["verdict"]
    assert found["ci_low"] <= per_s <= found["ci_high"]
    assert found["slope_bytes_per_s"] == pytest.approx(per_s, rel=0.1)


def test_creep_is_no_leak() -> None:
    """Growth of 200 KiB at 2.4 standard errors, which is harmless, needs more to be called one."""
    chance = random.Random(1)

    found = judge(
        SECONDS, [LEVEL + 200 * KIB * s / 600 + chance.gauss(0, 100 * KIB) for s in SECONDS]
    )

    assert 1.96 < found.z < 4
    assert (LeakVerdict.NO_LEAK, Doubt.CREEP) == (found.verdict, found.doubt)


def test_a_few_steps_are_no_leak() -> None:
    """Four steps of which three come together, with nothing between them, are no leak."""
    steps = {351: 1, 506: 1, 529: 6, 539: 1}
    for seed in range(6):
        chance = random.Random(seed)
        sizes = [
            LEVEL
            + 600 * KIB * sum(size for at, size in steps.items() if s > at)
            + chance.gauss(0, 30 * KIB)
            for s in SECONDS
        ]

        assert Doubt.LUMPS is judge(SECONDS, sizes).doubt


def test_a_leak_that_begins_late_is_found() -> None:
    """Three minutes of nothing, then 10 KiB per second."""
    errors = noise(4, 20 * KIB)

    sizes = [LEVEL + 10 * KIB * max(0, s - 180) + errors[s] for s in SECONDS]

    assert "leak" == verdict(sizes)


def test_ten_bytes_per_event_are_found_in_time() -> None:
    """A thousand events per second that leave 10 bytes each are a leak of 10 kB/s."""
    errors = noise(5, 300 * KIB)

    found = judge(SECONDS, [LEVEL + 1000 * 10 * s + errors[s] for s in SECONDS])

    assert LeakVerdict.LEAK is found.verdict
    assert found.slope == pytest.approx(10_000, rel=0.05)


def test_a_leak_in_a_daily_cycle_is_found() -> None:
    """A cycle that repeats three and a half times is fitted beside the line."""
    errors = noise(6, 100 * KIB)
    sizes = [
        LEVEL + 3 * MIB * math.sin(2 * math.pi * s / 171) + 10 * KIB * s + errors[s]
        for s in SECONDS
    ]

    found = judge(SECONDS, sizes)

    assert LeakVerdict.LEAK is found.verdict
    assert found.cycle_s == pytest.approx(171, rel=0.05)


def test_too_few_samples_are_inconclusive() -> None:
    """23 samples on a steep line are not enough, 24 are."""
    line = [LEVEL + second * MIB for second in range(FEWEST_SAMPLES)]

    few = detect(range(23), line[:23])

    assert ("inconclusive", None, Doubt.FEW) == (
        few["verdict"],
        few["slope_bytes_per_s"],
        few["why"],
    )
    assert "leak" == verdict(line)
    assert "inconclusive" == detect([], [])["verdict"]
    assert "inconclusive" == detect([7.0] * 30, [LEVEL] * 30)["verdict"]


@given(seed=st.integers(0, 2**32))
def test_the_order_of_samples_does_not_matter(seed: int) -> None:
    """Shuffled samples give the very same result."""
    sizes = [LEVEL + 5 * KIB * s + e for s, e in enumerate(noise(7, 100 * KIB))]
    order = list(SECONDS)
    random.Random(seed).shuffle(order)

    assert detect(SECONDS, sizes) == detect(order, [sizes[at] for at in order])


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(24, 400),
    size=st.sampled_from([0.0, 1.0, 4096.0, MIB]),
)
def test_any_series_has_a_verdict_with_its_slope_inside(seed: int, count: int, size: float) -> None:
    """A random walk, however short or flat, is judged; the slope lies in the interval."""
    chance = random.Random(seed)
    sizes, level = [], LEVEL
    for _ in range(count):
        level += chance.choice([-1, 0, 1]) * size
        sizes.append(level)

    found = judge(range(count), sizes)

    assert found.low is not None
    assert found.high is not None
    assert found.slope is not None
    assert found.low <= found.slope <= found.high
    assert math.isfinite(found.high)
    assert found.detectable is not None
    assert found.detectable > 0


def test_flat_noise_is_hardly_ever_a_leak() -> None:
    """Of 200 seeded flat runs with 1 MiB of noise at most 2 are called a leak."""
    wrong = 0
    for seed in range(200):
        chance = random.Random(seed)
        wrong += verdict([64e6 + chance.gauss(0, MIB) for _ in range(200)]) == "leak"

    assert wrong <= 2


def filling(second: int) -> float:
    """Return a cache that fills for the whole run, at a steady pace."""
    return LEVEL + 30 * KIB * second


def test_a_clean_run_as_the_null_takes_away_what_both_do() -> None:
    """A cache that fills looks like a leak alone; beside a clean run that fills it is none."""
    clean = [filling(s) + e for s, e in enumerate(noise(8, 50 * KIB))]
    again = [filling(s) + e for s, e in enumerate(noise(9, 50 * KIB))]

    assert "leak" == verdict(again)
    assert "no_leak" == detect(SECONDS, again, baseline=(SECONDS, clean))["verdict"]


def test_a_leak_beside_a_clean_run_is_the_difference() -> None:
    """Beside a clean run, growth is what this run grows by more."""
    clean = [filling(s) + e for s, e in enumerate(noise(8, 50 * KIB))]
    leaky = [filling(s) + 5 * KIB * s + e for s, e in enumerate(noise(9, 50 * KIB))]

    # Every other sample of the clean run, at other times and in another order, will do.
    found = judge(SECONDS, leaky, baseline=(list(SECONDS)[::-2], clean[::-2]))

    assert LeakVerdict.LEAK is found.verdict
    assert found.slope == pytest.approx(5 * KIB, rel=0.05)


def test_a_short_clean_run_shortens_what_can_be_judged() -> None:
    """Growth is judged while both ran; a clean run of nothing judges nothing."""
    sizes = [filling(second) for second in SECONDS]

    found = judge(SECONDS, sizes, baseline=(SECONDS[:301], sizes[:301]))

    assert (301, 300.0, LeakVerdict.NO_LEAK) == (found.samples, found.over_s, found.verdict)
    assert Doubt.FEW is judge(SECONDS, sizes, baseline=([], [])).doubt


def test_settling_is_found() -> None:
    """A warm-up of 100 seconds is left out, to within the three blocks' width."""
    errors = noise(10, 5 * KIB)
    sizes = [HEALTHY["warm-up, then flat"](s) + errors[s] for s in SECONDS]

    assert judge(SECONDS, sizes).settled_s == pytest.approx(100, abs=50)
    assert judge(SECONDS, errors).settled_s == 0


def test_last_digits_decide_nothing() -> None:
    """Pages of which two steps explain the same, up to the limit, give one line at any level."""
    pages = np.array([0, 1.5, 3, 12.5, 13.5, 14.5]) * 4096
    found = [
        level_shifts.fit(np.linspace(0, 15, 6), level + scale * pages)
        for level in (0, 1e5 / 3, 12_345_678, 16e6, 1e9)
        for scale in (1, 7, 1000 / 3)
    ]

    assert {1.0} == {round(one.degrees, 6) for one in found}
    assert [1706.667] * 5 == [round(one.slope, 3) for one in found[::3]]
