"""Pauses are counted to within a bucket, in memory that does not grow, and read as they were."""

from __future__ import annotations

import gc
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.optimizer.gc_effect import GcEffect
from memopt_cli.optimizer.gc_pauses import GcPauses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memopt_cli.optimizer.gc_pauses import Callback, Pauses


class FakeCollections:
    """Announces collections, and is the clock that they take time on."""

    def __init__(self) -> None:
        self.callbacks: list[Callback] = []
        self.now_ns = 1

    def clock(self) -> int:
        """Return the time."""
        return self.now_ns

    def collect(self, pause_ns: int, *, generation: int = 0, freed: int = 0) -> None:
        """Take *pause_ns* for a collection."""
        info = {"generation": generation, "collected": freed, "uncollectable": 0}
        for callback in self.callbacks:
            callback("start", info)
        self.now_ns += pause_ns
        for callback in self.callbacks:
            callback("stop", info)


def window(pauses_ns: Iterable[int], *, window_s: int = 10) -> Pauses:
    """Return the statistics of these pauses of the young generation."""
    fake = FakeCollections()
    with GcPauses(announcer=fake, clock=fake.clock) as counting:
        for pause_ns in pauses_ns:
            fake.collect(pause_ns)
        fake.now_ns = 1 + window_s * 10**9
    return counting.statistics()


@given(st.lists(st.integers(0, 2**50), min_size=1), st.floats(0.01, 1))
def test_quantiles_overstate_by_one_bucket_at_most(pauses_ns: list[int], quantile: float) -> None:
    """Count, sum and longest are exact; a quantile is the pause of its rank, or 6.25 % more."""
    found = window(pauses_ns).all

    rank = min(i for i in range(1, len(pauses_ns) + 1) if i >= round(quantile * len(pauses_ns), 9))
    exact_s = sorted(pauses_ns)[rank - 1] * 1e-9
    told_s = found.quantile_s(quantile)
    assert told_s is not None
    assert exact_s * (1 - 1e-9) <= told_s <= exact_s * 1.0625 * (1 + 1e-9)
    assert found.count == len(pauses_ns)
    assert found.total_s == pytest.approx(sum(pauses_ns) * 1e-9)
    assert found.max_s == max(pauses_ns) * 1e-9


def test_a_report_names_each_generation() -> None:
    """One line each, with units; a generation without pauses says so."""
    fake = FakeCollections()
    with GcPauses(announcer=fake, clock=fake.clock) as counting:
        for pause_ns in (1_000_000, 3_000_000):
            fake.collect(pause_ns, freed=7)
        fake.collect(20_000_000, generation=2, freed=1000)
        fake.now_ns += 976 * 10**6

    found = counting.statistics()
    assert str(found) == (
        "collector pauses in 1.00 s\n"
        "  generation 0 2 pauses, p50 1.02 ms, p99 3.00 ms, max 3.00 ms, total 4.00 ms,"
        " freed 14 objects\n"
        "  generation 1 none\n"
        "  generation 2 1 pause, p50 20.0 ms, p99 20.0 ms, max 20.0 ms, total 20.0 ms,"
        " freed 1,000 objects\n"
        "  all          3 pauses, p50 3.00 ms, p99 20.0 ms, max 20.0 ms, total 24.0 ms,"
        " freed 1,014 objects"
    )
    assert found.share == pytest.approx(0.024)


def test_no_pauses_have_no_percentiles() -> None:
    """What was not seen is not zero."""
    found = window([])

    assert (found.all.p50_s, found.all.p99_s, found.all.max_s) == (None, None, None)
    assert found.all.quantile_interval_s(0.99) is None
    assert (found.share, GcPauses().statistics().share) == (0, None)


def test_counting_begins_anew_and_ends() -> None:
    """Entered again it forgets; after the end nothing is counted and the window stands still."""
    fake = FakeCollections()
    counting = GcPauses(announcer=fake, clock=fake.clock)
    with counting:
        fake.collect(10**6)
    with counting:
        fake.collect(10**6, generation=1)
        assert counting.statistics().window_s == pytest.approx(1e-3)
        fake.now_ns += 10**9
    fake.collect(10**6)
    fake.now_ns += 10**9

    found = counting.statistics()
    assert [part.count for part in found.generations] == [0, 1, 0]
    assert found.window_s == pytest.approx(1.001)
    assert fake.callbacks == []


def test_a_counting_that_begins_within_a_collection_counts_only_whole_ones() -> None:
    """A finaliser may enter one: the end of a collection whose start was not seen is no pause."""
    fake = FakeCollections()
    counting = GcPauses(announcer=fake, clock=fake.clock)
    counting.__enter__()
    stop = {"generation": 2, "collected": 0, "uncollectable": 0}
    fake.now_ns = 10**12
    fake.callbacks[0]("stop", stop)
    fake.callbacks.clear()
    counting.__exit__(None, None, None)

    assert counting.statistics().all.count == 0


def test_counting_keeps_nothing() -> None:
    """A hundred thousand collections leave no block of memory behind."""
    fake = FakeCollections()
    with GcPauses(announcer=fake, clock=fake.clock) as counting:
        words = [part.buffer_info() for part in counting._words]
        fake.collect(1)
        before = len(gc.get_objects())
        for number in range(100_000):
            fake.collect(number, generation=number % 3)
        assert len(gc.get_objects()) - before < 100
        assert words == [part.buffer_info() for part in counting._words]
    assert counting.statistics().all.count == 100_001


def test_the_real_collector_is_counted() -> None:
    """With `gc` itself: a forced collection is a pause, and what it frees is told."""
    knot: list[object] = []
    knot.append(knot)
    with GcPauses() as counting:
        gc.collect()
        del knot
        gc.collect()

    full = counting.statistics().generations[2]
    assert full.count >= 2
    assert full.freed_objects >= 1
    assert 0 < (full.p50_s or 0) <= (full.max_s or 0) <= full.total_s


@pytest.mark.parametrize(("pauses", "known"), [(380, False), (381, True), (10_000, True)])
def test_p99_has_an_interval_when_there_are_enough_pauses(pauses: int, *, known: bool) -> None:
    """Below 381 pauses the upper rank lies beyond the longest one, and there is no interval."""
    found = window(range(1, pauses + 1)).all

    assert (found.quantile_interval_s(0.99) is not None) == known


def test_the_interval_of_p99_covers_it() -> None:
    """In 95 of 100 samples of a known distribution, give or take, p99 is inside."""
    random_ = random.Random(7)
    covered = 0
    for _ in range(100):
        found = window(round(random_.expovariate(1e-6)) for _ in range(1000)).all
        low_s, high_s = found.quantile_interval_s(0.99) or (0.0, 0.0)
        # -ln(0.01) times the mean of a millisecond; a bucket is 6.25 % wide.
        covered += low_s / 1.0625 <= 4.605e-3 <= high_s
    assert covered >= 92


BEFORE = [1_000_000, 20_000, 20_000, 5_000_000] * 250


def test_an_effect_is_told_in_lines() -> None:
    """Fewer and shorter pauses are said to be, by how much, and with units."""
    effect = GcEffect(window(BEFORE), window([20_000] * 1000))

    assert effect.lines() == [
        "collector pauses      before     during",
        "window                10.0 s     10.0 s",
        "pauses                 1,000      1,000",
        "p50                  20.5 us    20.0 us",
        "p99                  5.00 ms    20.0 us  shorter",
        "longest              5.00 ms    20.0 us  one pause each",
        "collector             15.1 %     0.20 %  13.3 % to 16.5 % of the time less",
    ]


def test_the_reverse_is_told_as_well() -> None:
    """A tuning that makes it worse is not told as none, and not as a gain."""
    effect = GcEffect(window([20_000] * 1000), window(BEFORE))

    assert effect.p99_change() == "longer"
    assert effect.lines()[-1].endswith("13.3 % to 16.5 % of the time more")


@pytest.mark.parametrize(
    ("before", "during", "p99", "share"),
    [
        (BEFORE, BEFORE, "no difference shown", "no difference shown"),
        ([], [], "no difference shown: too few pauses", "no difference shown: too few pauses"),
        (
            [10**6] * 4,
            [10**4] * 4,
            "no difference shown: too few pauses",
            "no difference shown: too few pauses",
        ),
        # Nine against two may be chance.
        (
            [10**6] * 9,
            [10**6] * 2,
            "no difference shown: too few pauses",
            "no difference shown",
        ),
        # One long pause of many: it may as well have come in the other window.
        (
            [10**9] + [10**4] * 99,
            [10**4] * 100,
            "no difference shown: too few pauses",
            "no difference shown",
        ),
    ],
)
def test_no_difference_is_told_where_none_is_shown(
    before: list[int], during: list[int], p99: str, share: str
) -> None:
    """Equal windows, and too little to compare, are never an effect."""
    *_, p99_line, _, share_line = GcEffect(window(before), window(during)).lines()

    assert p99 in p99_line
    assert share in share_line


def test_a_window_without_pauses_is_not_taken_for_certain() -> None:
    """Ten pauses against none show a difference; with a long one among them they do not."""
    shown = GcEffect(window([10**6] * 20), window([]))
    hidden = GcEffect(window([10**6] * 19 + [10**8]), window([]))

    assert "of the time less" in shown.lines()[-1]
    assert "no difference shown" in hidden.lines()[-1]


def test_equal_programs_hardly_ever_show_an_effect() -> None:
    """Of 100 pairs of windows of the same random program at most 10 show a difference."""
    random_ = random.Random(11)

    def some() -> Pauses:
        number = round(random_.gauss(500, 500**0.5))
        return window(round(random_.expovariate(1e-6)) for _ in range(number))

    false = [0, 0]
    for _ in range(100):
        effect = GcEffect(some(), some())
        low, high = effect.share_change or (0.0, 0.0)
        false[0] += not low <= 0 <= high
        false[1] += effect.p99_change() in ("shorter", "longer")
    assert max(false) <= 10
