"""A steady stage that leaks is found with its slope; what only looks like it is not called one."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.analysis import steady as judging
from memopt_cli.analysis.recording import StageSpan
from memopt_cli.analysis.results import How, Leak, LeakVerdict, Severity
from memopt_cli.units import format_duration
from tests.making import KIB, MIB, STAGES, STEADY, sample, steady

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 64 * MIB
MINUTE = 60
HOUR = 3600


def noise(seed: int, size: float) -> list[float]:
    """Return an hour of seeded noise, one value per second."""
    chance = random.Random(seed)
    return [chance.gauss(0, size) for _ in range(HOUR)]


def judged(sizes: Sequence[float], *, clock: str = "wall") -> Leak:
    """Return the slope of one sample per second, in which each unit works ten times."""
    return judging.growth(steady(sizes, rate=1000), clock=clock)


FLAT = [float(LEVEL)] * HOUR
HEALTHY: dict[str, list[float]] = {
    "flat": FLAT,
    "noisy": [LEVEL + e for e in noise(1, 200 * KIB)],
    "very noisy": [LEVEL + e for e in noise(2, 500 * KIB)],
    "warm-up, then flat": [LEVEL + min(second, 600) * 20 * KIB for second in range(HOUR)],
    "sawtooth": [LEVEL + second % 60 * 100 * KIB for second in range(HOUR)],
    "slow sawtooth": [LEVEL + second % 400 * 2 * KIB for second in range(HOUR)],
    "one spike": [*FLAT[:1800], LEVEL + 500 * MIB, *FLAT[1801:]],
    "spike at the end": [*FLAT[:-5], *[LEVEL + 500 * MIB] * 5],
    "shrinking": [LEVEL - second * KIB for second in range(HOUR)],
    "ten bytes": [*FLAT[:1800], *[LEVEL + 10.0] * 1800],
    "16 MB": [16e6] * HOUR,
    "one page in the middle": [*FLAT[:1800], *[LEVEL + 4096.0] * 1800],
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_process_does_not_leak(name: str) -> None:
    """An hour of memory that does not keep growing is told to be no leak."""
    found = judged(HEALTHY[name])

    assert LeakVerdict.NO_LEAK is found.verdict
    assert found.reason.startswith("no more than ")


@pytest.mark.parametrize("tau_s", [8, 12, 20, 40])
def test_what_fills_up_does_not_leak(tau_s: int) -> None:
    """A window or a cache that fills within the run grows ever more slowly: no leak is claimed."""
    sizes = [LEVEL + 10 * MIB * (1 - math.exp(-second / tau_s)) for second in range(60)]

    assert LeakVerdict.LEAK is not judged(sizes).verdict


def test_steps_that_end_do_not_leak() -> None:
    """Two steps of a buffer that doubles, then nothing: growth that has ended is no leak."""
    sizes = [LEVEL + 8 * MIB * ((second > 20) + (second > 31)) for second in range(60)]

    assert LeakVerdict.LEAK is not judged(sizes).verdict


@pytest.mark.parametrize("clock", ["wall", "virtual"])
@pytest.mark.parametrize("per_s", [1 * KIB, 64 * KIB, 1_048_576])
def test_a_planted_slope_is_found(per_s: int, clock: str) -> None:
    """The true slope is inside the interval, and the clock says how it was obtained."""
    sizes = [LEVEL + per_s * second + e for second, e in enumerate(noise(3, 100 * KIB))]

    found = judged(sizes, clock=clock)

    assert found.verdict is LeakVerdict.LEAK
    assert found.slope_bytes_per_s is not None
    assert found.slope_bytes_per_operation is not None
    assert found.slope_bytes_per_s.low <= per_s <= found.slope_bytes_per_s.high
    assert (How.SIMULATED if clock == "virtual" else How.FITTED) is found.slope_bytes_per_s.how
    per_operation = found.slope_bytes_per_operation
    assert per_operation.low <= per_s / 1000 <= per_operation.high
    assert per_operation.how is How.FITTED


def test_a_straight_line_has_its_slope_exactly() -> None:
    """1 MiB/s without noise reads as 1,048,576 B/s, exactly, and as a critical leak."""
    found = judged([LEVEL + 1_048_576 * second for second in range(100)])

    assert found.slope_bytes_per_s is not None
    assert found.slope_bytes_per_s.value == pytest.approx(1_048_576)
    assert (100, 99.0, 0.0) == (found.samples, found.over_s, found.settled_s)
    assert Severity.CRITICAL is found.severity
    # Growth of four pages or more would have been seen beside a line without noise.
    assert found.detectable_bytes_per_s == pytest.approx(5 * 4096 / 99)


@pytest.mark.parametrize("kind", [5, 30, 60, 77, 100, 120, 240])
def test_a_sawtooth_of_any_period_is_not_a_leak(kind: int) -> None:
    """Growth that a collection takes back, at whatever period, is never called a leak."""
    sizes = [LEVEL + second % kind / kind * 5 * MIB for second in range(HOUR)]

    assert judged(sizes).verdict is not LeakVerdict.LEAK


@given(seed=st.integers(0, 2**32), size=st.sampled_from([10 * KIB, 100 * KIB, MIB]))
def test_noise_is_rarely_a_leak(seed: int, size: int) -> None:
    """A flat series is never told to grow by more than its noise allows."""
    chance = random.Random(seed)
    found = judged([LEVEL + chance.gauss(0, size) for _ in range(600)])

    assert found.slope_bytes_per_s is not None
    assert abs(found.slope_bytes_per_s.value) * found.over_s < size


def test_too_few_samples_are_inconclusive() -> None:
    """23 samples on a steep line give no slope, but the reason; 24 give one."""
    line = [LEVEL + second * MIB for second in range(24)]

    few, enough = judged(line[:23]), judged(line)

    assert few == Leak(
        LeakVerdict.INCONCLUSIVE,
        None,
        None,
        None,
        23,
        0.0,
        "23 samples in the steady part, a slope needs 24: lengthen it or sample more often",
    )
    assert enough.verdict is LeakVerdict.LEAK


def test_samples_of_one_moment_have_no_slope() -> None:
    """Samples that all have the same time are inconclusive."""
    found = judging.growth(steady([LEVEL] * 30, every_s=0.0), clock="virtual")

    assert (LeakVerdict.INCONCLUSIVE, "all samples have the same time") == (
        found.verdict,
        found.reason,
    )


def test_a_process_without_work_has_no_slope_per_operation() -> None:
    """Growth without operations is a leak by time, and not measured by operation."""
    samples = steady([LEVEL + second * MIB for second in range(100)], rate=0)

    found = judging.growth(samples, clock="wall")

    assert (LeakVerdict.LEAK, None) == (found.verdict, found.slope_bytes_per_operation)


@pytest.mark.parametrize(
    ("rate", "verdict"), [(20, LeakVerdict.INCONCLUSIVE), (21, LeakVerdict.LEAK)]
)
def test_growth_of_units_that_hardly_worked_may_be_their_first_filling(
    rate: int, verdict: LeakVerdict
) -> None:
    """A leak needs 20 operations per unit: 100 units at 21/s over 99 s have done 20.8."""
    samples = steady([LEVEL + second * MIB for second in range(100)], rate=rate)

    found = judging.growth(samples, clock="virtual")

    assert verdict is found.verdict
    assert found.slope_bytes_per_s is not None
    if verdict is LeakVerdict.INCONCLUSIVE:
        assert found.reason == (
            "each unit did only 19.8 operations while it was watched: growth may be its first "
            "filling; lengthen the steady stage to 20 or more"
        )


def test_an_interval_that_allows_a_leak_does_not_deny_it() -> None:
    """A short and very noisy run cannot tell, and says how much longer it should go."""
    chance = random.Random(5)
    found = judged([LEVEL + chance.gauss(0, 20 * MIB) for _ in range(30)])

    assert found.verdict is LeakVerdict.INCONCLUSIVE
    assert found.longer_s is not None
    assert found.longer_s > 1.25 * found.over_s
    longer = format_duration(found.longer_s)
    assert f"the interval is too wide to tell: run the steady stage {longer} longer" == found.reason


def test_what_slows_down_is_told_so() -> None:
    """A cache that is filling is inconclusive, with its slowing as the reason."""
    found = judged([LEVEL + 20 * MIB * (1 - math.exp(-second / 60)) for second in range(120)])

    assert LeakVerdict.INCONCLUSIVE is found.verdict
    assert found.reason.startswith("its growth slows down, as of something that fills up: run")


def test_a_leak_fills_the_machine() -> None:
    """The projection is what is left of the limit over the slope; a clean stage has none."""
    line = steady([LEVEL + 1_000_000 * second for second in range(100)])
    flat = steady([LEVEL] * 100)

    leaks = judging.growth(line, clock="wall", limit_bytes=1e9)

    assert leaks.full_in_s == pytest.approx((1e9 - line[-1].rss_bytes) / 1e6)
    assert judging.growth(flat, clock="wall", limit_bytes=1e9).full_in_s is None


def test_a_limit_of_the_user_makes_smaller_growth_matter() -> None:
    """What is harmless by default is inconclusive beside a limit that it might exceed."""
    sizes = [LEVEL + e for e in noise(4, 200 * KIB)]

    assert LeakVerdict.NO_LEAK is judged(sizes).verdict
    strict = judging.growth(steady(sizes), clock="wall", harmless_bytes_per_s=1.0)
    assert LeakVerdict.INCONCLUSIVE is strict.verdict


def test_memory_that_grows_around_a_flat_heap_is_fragmentation() -> None:
    """Where the heap was read often enough, it tells fragmentation from a leak."""
    samples = [
        replace(one, heap_in_use_bytes=20 * MIB)
        for one in steady([LEVEL + second * MIB for second in range(100)])
    ]

    found = judging.growth(samples, clock="wall")

    assert LeakVerdict.NO_LEAK is found.verdict
    assert "anonymous memory grows and heap in use does not: fragmentation, no leak" == found.reason


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        (STAGES, STEADY),
        ((), None),
        (STAGES[:2], None),
        ((StageSpan("empty", 0, 10, 0), StageSpan("still empty", 10, 20, 0)), None),
        ((StageSpan("up", 0, 1, 5), StageSpan("a", 1, 2, 5), StageSpan("b", 2, 9, 5)), 2),
        ((StageSpan("up", 0, 1, 5), StageSpan("a", 1, 2, 5), StageSpan("b", 2, 3, 5)), 1),
        ((StageSpan("open", 0, 9, None), StageSpan("open", 9, 99, None)), None),
        ((StageSpan("open", 0, 9, None), StageSpan("held", 9, 99, 5)), None),
    ],
    ids=["usual", "none", "growing", "empty", "longest", "first of equals", "open", "after open"],
)
def test_the_steady_stage_is_the_longest_that_holds_its_population(
    stages: tuple[StageSpan, ...], expected: int | None
) -> None:
    """A stage is steady if it ends with the population that the one before ended with."""
    assert expected == judging.steady_stage(stages)


def test_the_cheap_counter_is_what_the_slope_is_fitted_to() -> None:
    """Exact readings, which are rare, do not enter the slope."""
    samples = [
        sample(float(second), resident_anonymous_bytes=LEVEL, anonymous_bytes=second * MIB)
        for second in range(30)
    ]

    assert judging.growth(samples, clock="wall").verdict is LeakVerdict.NO_LEAK
