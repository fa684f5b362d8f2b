"""Looks at a run that goes on: a leak ends it, and looking often accuses nobody."""

from __future__ import annotations

import random

import pytest

from memopt_cli.analysis import early, leak
from memopt_cli.analysis.early import EarlyLooks
from tests.analysis.leak_corpus import corpus
from tests.benchmarks.bench_early import SHARES, Naive, seen, stopped_at
from tests.making import KIB, MIB

GRID = [0.1 + 0.05 * number for number in range(18)]


def told(zs: dict[float, float | None], usual: float | None = 9.0) -> float | None:
    """Return the share at which looks are settled whose z is *usual* but where given."""
    looks = EarlyLooks()
    for share in GRID:
        if looks.settled(share, z=zs.get(round(share, 2), usual)):
            return round(share, 2)
    return None


def test_a_leak_that_was_always_one_is_settled_after_the_larger_part() -> None:
    """Not before: warm-ups that look like leaks have ended by then."""
    assert 0.65 == told({})


def test_a_leak_must_have_been_said_for_a_third_of_the_time() -> None:
    """One that was doubted at half of the time waits until 0.55 times 1.5."""
    assert 0.85 == told({0.5: None})
    assert None is told({0.65: None})


def test_noise_is_allowed_less_the_earlier_it_is() -> None:
    """What is surer is settled sooner; what is sure enough at the end alone, never early."""
    assert [0.9, 0.75, 0.65] == [told({}, usual=z) for z in (3.7, 4.0, 5.0)]
    assert None is told({}, usual=1.96)


def test_no_more_error_is_spent_than_there_is() -> None:
    """However many looks: what they allow adds up to what is spent by then."""
    shares = [number / 1000 for number in range(1, 1001)]

    allowed = [early.spent(share) for share in shares]

    assert sorted(allowed) == allowed
    assert early.ERROR == pytest.approx(allowed[-1])
    assert allowed[299] < 1e-6


def test_looks_too_soon_after_one_another_are_none() -> None:
    """A thousand looks are eighteen."""
    looks = EarlyLooks()
    made = [
        share / 1000
        for share in range(1000)
        if looks.is_due(share / 1000) and not looks.settled(share / 1000, z=None)
    ]

    assert len(made) == 18


def test_between_two_looks_what_was_settled_stays_while_it_is_said() -> None:
    """A verdict that has changed since the look before is not settled, and no look is spent."""
    looks = EarlyLooks()
    settled = [looks.settled(share, z=9.0) for share in GRID if share < 0.7]

    assert settled[-1]
    assert [True, False, True] == [looks.settled(0.66, z=z) for z in (9.0, None, 9.0)]


def test_flat_noise_is_not_stopped() -> None:
    """Of eight steady runs none is, at eighteen looks each."""
    stopped = 0
    for seed in range(8):
        chance = random.Random(seed)
        sizes = [64 * MIB + chance.gauss(0, MIB) for _ in range(200)]
        found = [leak.judge(range(n), sizes[:n]) for n in (round(200 * s) for s in SHARES)]
        stopped += stopped_at(EarlyLooks(), found) is not None

    assert 0 == stopped


def test_a_planted_leak_is_stopped() -> None:
    """It is settled as soon as anything may be."""
    chance = random.Random(1)
    sizes = [64 * MIB + 20 * KIB * s + chance.gauss(0, 50 * KIB) for s in range(600)]
    found = [leak.judge(range(n), sizes[:n]) for n in (round(600 * s) for s in SHARES)]

    assert stopped_at(EarlyLooks(), found) == pytest.approx(0.65)


def test_clean_programs_are_not_stopped() -> None:
    """A sixteenth of the corpus; saying at each look what is said at the end accuses some."""
    made = [seen(one)[:-1] for one in [one for one in corpus() if one.is_clean][::16]]

    stopped = [
        sum(stopped_at(kind(), each) is not None for each in made) for kind in (EarlyLooks, Naive)
    ]

    assert 0 == stopped[0]
    assert stopped[1] > 0
