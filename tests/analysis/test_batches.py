"""Growth per batch of operations, and what it means."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest

from memopt_cli.analysis.batches import Growth, Round, judge
from memopt_cli.analysis.results import LeakVerdict

BATCHES = 20
QUIET = (0,) * 6


def one(grown: list[int], *, size: int = 50, idle: tuple[int, ...] = QUIET) -> Round:
    """Return a round in which batches of 50 operations grew so much."""
    return Round(size, tuple(grown), idle)


def found(*rounds: Round, is_last: bool = True) -> Growth:
    """Return what the rounds say, with a tolerance of a byte per operation."""
    return judge(rounds, tolerance_bytes=1.0, is_last=is_last)


LEAK, NO_LEAK, OPEN = LeakVerdict.LEAK, LeakVerdict.NO_LEAK, LeakVerdict.INCONCLUSIVE
EVEN = one([1200] * BATCHES)
RESIZED = one([1200] * 12 + [80_000] + [1200] * 7)
LEAPS = one([0, 0, 3000, 0] * 5)
JUMP = one([0] * 12 + [40_000] + [0] * 7)
JUMPS = one([0] * 5 + [40_000] + [0] * 7 + [40_000] + [0] * 6)
SLOW = one([40, 60] * 10)
FILLED = one([9000, 4000, 4000, 4000, 4000, 4000] + [0] * 14)
SAWTOOTH = one([30_000, 30_000, 30_000, -90_000] * 5)


@pytest.mark.parametrize(
    ("rounds", "verdict"),
    [
        ((EVEN, EVEN), LEAK),
        ((RESIZED, EVEN), LEAK),
        ((EVEN, RESIZED), LEAK),
        ((LEAPS, LEAPS), LEAK),
        ((FILLED, EVEN, EVEN), LEAK),
        ((one([0] * BATCHES),), NO_LEAK),
        ((JUMP,), NO_LEAK),
        ((JUMPS, JUMPS), OPEN),
        ((SLOW, SLOW), OPEN),
        ((FILLED,), NO_LEAK),
        ((EVEN, FILLED), NO_LEAK),
        ((EVEN,), OPEN),
        ((JUMP, EVEN), OPEN),
        ((EVEN, one([1000] * BATCHES, size=100)), OPEN),
        ((one([-500] * BATCHES),), NO_LEAK),
        ((SAWTOOTH,), OPEN),
    ],
)
def test_shapes(rounds: tuple[Round, ...], verdict: LeakVerdict) -> None:
    """Even growth, leaps and doubling tables are leaks once they go on; what stops is none."""
    assert verdict is found(*rounds).verdict


def test_a_leak_is_as_large_as_it_is() -> None:
    """24 bytes per operation read 24, and one doubled table among 20 batches does not blur it."""
    even, resized = found(EVEN, EVEN).per_operation, found(EVEN, RESIZED).per_operation

    assert (24, 24, 24) == (even.low, even.value, even.high)
    assert (24, 24, 24) == (resized.low, resized.value, resized.high)


@pytest.mark.parametrize(
    ("grown", "verdict"), [(50, NO_LEAK), (51, LEAK)], ids=["at the tolerance", "above it"]
)
def test_both_sides_of_the_tolerance(grown: int, verdict: LeakVerdict) -> None:
    """Growth of exactly the tolerance is let pass, a fiftieth of a byte more is not."""
    rounds = [one([grown] * BATCHES)] * 2

    assert verdict is judge(rounds, tolerance_bytes=1.0, is_last=False).verdict


def test_what_measuring_takes_is_subtracted() -> None:
    """Where idle batches grow by 100 bytes, batches that grow by 100 bytes keep nothing."""
    dear = one([100] * BATCHES, idle=(100,) * 6)
    result = found(dear, dear)

    assert (NO_LEAK, 0, 1.0) == (result.verdict, result.per_operation.high, result.tolerance_bytes)


def test_what_measuring_differs_by_is_let_pass() -> None:
    """Where idle batches differ by 100 bytes, 1.9 bytes per operation of 50 are no leak."""
    noisy = one([145] * BATCHES, idle=(0, 100) * 3)
    result = found(noisy, noisy)

    assert (NO_LEAK, 2.0) == (result.verdict, result.tolerance_bytes)


def test_only_the_last_round_is_generous() -> None:
    """What one jump leaves open is asked again while that is possible, and cleared at the end."""
    for rounds in ((one([0] * 12 + [800] + [0] * 7),), (JUMP,)):
        assert OPEN is found(*rounds, is_last=False).verdict
        assert NO_LEAK is found(*rounds, is_last=True).verdict

    assert "but for one batch that grew" in found(JUMP).said_of("operation")


def test_warm_up_is_measured() -> None:
    """The batches in which a cache filled are left out, and no others."""
    assert (6 * 50, 0) == (found(FILLED).warm_up, found(EVEN, EVEN).warm_up)


def test_too_few_batches_for_an_interval_of_the_median() -> None:
    """Five batches bound no median; their mean still tells a leak."""
    few = Round(20, (640,) * 5, (0,) * 3)

    assert LEAK is found(few, few).verdict


def test_words() -> None:
    """Each verdict is one sentence, with its interval or its bound."""
    assert [
        "each operation leaks 24 B (24 B to 24 B), seen over 2,000 operations",
        "no operation leaks more than 1 B, seen over 1,000 operations",
        (
            "whether operations leak is not clear: 24 B (24 B to 24 B) each, "
            "seen over 1,000 operations; it grew in the only round: raise patience"
        ),
    ] == [
        found(*rounds).said_of("operation")
        for rounds in ((EVEN, EVEN), (one([0] * BATCHES),), (EVEN,))
    ]


@pytest.mark.parametrize("seed", range(5))
def test_levels_that_only_go_up_and_down_are_not_accused(seed: int) -> None:
    """Of 200 operations that keep their last result, of random size, none is a leak."""
    random_ = random.Random(seed)

    def wobbling(size: int) -> Round:
        levels = [random_.randrange(10_000) for _ in range(BATCHES + 1)]
        return one([b - a for a, b in pairwise(levels)], size=size)

    verdicts = [
        found(wobbling(50), wobbling(50), wobbling(100), wobbling(200)).verdict for _ in range(200)
    ]

    assert 0 == verdicts.count(LEAK)
    assert verdicts.count(NO_LEAK) > 150
    assert math.isfinite(found(wobbling(50)).per_operation.high)
