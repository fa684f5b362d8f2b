"""The collector is as the user left it, however a tuning ends."""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from itertools import count, permutations
from math import prod
from typing import TYPE_CHECKING

import pytest

from memopt_cli.errors import StateError
from memopt_cli.optimizer import GcProfile, GcTuning, gc_tuning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memopt_cli.optimizer.gc_pauses import Callback


class FakeCollector:
    """Stands in for `gc` and remembers what was asked of it."""

    def __init__(self, *, enabled: bool = True, frozen: int = 0) -> None:
        self.enabled = enabled
        self.frozen = frozen
        self.thresholds = (700, 10, 10)
        self.calls: list[str] = []
        self.callbacks: list[Callback] = []

    def isenabled(self) -> bool:
        """Say whether automatic collection is on."""
        return self.enabled

    def enable(self) -> None:
        """Switch on."""
        self.calls.append("enable")
        self.enabled = True

    def disable(self) -> None:
        """Switch off."""
        self.calls.append("disable")
        self.enabled = False

    def collect(self, generation: int = 2) -> int:
        """Count a collection."""
        self.calls.append(f"collect {generation}")
        return 0

    def freeze(self) -> None:
        """Freeze a hundred objects."""
        self.calls.append("freeze")
        self.frozen += 100

    def unfreeze(self) -> None:
        """Unfreeze all."""
        self.calls.append("unfreeze")
        self.frozen = 0

    def get_freeze_count(self) -> int:
        """Return how many are frozen."""
        return self.frozen

    def get_threshold(self) -> tuple[int, int, int]:
        """Return the thresholds."""
        return self.thresholds

    def set_threshold(self, threshold0: int, threshold1: int, threshold2: int, /) -> None:
        """Set the thresholds."""
        self.calls.append(f"old threshold {threshold2}")
        self.thresholds = (threshold0, threshold1, threshold2)

    def announce(self, generation: int) -> None:
        """Call back as for a collection."""
        info = {"generation": generation, "collected": 0, "uncollectable": 0}
        for callback in self.callbacks:
            callback("start", info)
            callback("stop", info)

    def settings(self) -> tuple[bool, int, tuple[int, int, int]]:
        """Return all that a tuning could change."""
        return self.enabled, self.frozen, self.thresholds


class FakeHeap:
    """Stands in for the allocator and for the clock: each counting takes 2 us."""

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self.now_ns = 0

    def count(self) -> int:
        """Return the blocks in use."""
        self.now_ns += 2000
        return self.blocks

    def clock(self) -> int:
        """Return the time."""
        return self.now_ns


@pytest.fixture(autouse=True)
def untouched_collector() -> Iterator[None]:
    """Fail a test that leaves the real collector, or the record of tunings, changed."""
    before = (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count(), len(gc.callbacks))
    yield
    after = (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count(), len(gc.callbacks))
    assert before == after
    assert gc_tuning._CLAIMS == {}


def test_default_touches_nothing() -> None:
    """Every call is allowed, and none reaches the collector."""
    collector = FakeCollector()

    with GcTuning("default", collector=collector) as tuning:
        tuning.settle()
        tuning.quiet()

    assert collector.calls == []


def test_off_switches_off_and_on_again() -> None:
    """Inside, nothing is collected; afterwards it is as before."""
    collector = FakeCollector()

    with GcTuning("off", collector=collector):
        assert not collector.enabled

    assert collector.enabled


@pytest.mark.parametrize("profile", list(GcProfile))
def test_a_collector_switched_off_by_the_user_stays_off(profile: GcProfile) -> None:
    """No profile ever enables what the user disabled, nor collects in its place."""
    collector = FakeCollector(enabled=False)

    with suppress(ZeroDivisionError), GcTuning(profile, collector=collector) as tuning:
        tuning.settle()
        tuning.quiet()
        raise ZeroDivisionError

    assert not collector.enabled
    assert not {"enable", "collect 0"} & set(collector.calls)


def test_a_threshold_of_zero_stays_zero() -> None:
    """The other way to switch the collector off is respected before and inside."""
    collector = FakeCollector()
    collector.thresholds = (0, 10, 10)
    with GcTuning("adaptive", collector=collector) as tuning:
        tuning.quiet()
    assert (collector.thresholds, collector.calls) == ((0, 10, 10), [])

    collector.thresholds = (700, 10, 10)
    with GcTuning("adaptive", collector=collector) as tuning:
        tuning.quiet()
        collector.thresholds = (0, 10, 100)
        collector.calls.clear()
        tuning.quiet()
        assert collector.calls == []
    assert collector.thresholds == (0, 10, 10)


def test_frozen_collects_freezes_and_thaws() -> None:
    """What is alive at `settle` is frozen until the tuning ends."""
    collector = FakeCollector()

    with GcTuning("frozen", collector=collector) as tuning:
        assert collector.frozen == 0
        tuning.settle()
        tuning.settle()
        assert collector.frozen == 200

    assert collector.calls == ["collect 2", "freeze", "collect 2", "freeze", "unfreeze"]


def test_what_others_froze_stays_frozen() -> None:
    """Unfreezing has no part: where something was frozen before, nothing is thawed."""
    collector = FakeCollector(frozen=5000)

    with GcTuning("frozen", collector=collector) as tuning:
        tuning.settle()
    assert collector.frozen == 5100

    with GcTuning("adaptive", collector=collector) as tuning:
        tuning.quiet()
    assert collector.calls == ["collect 2", "freeze"]


@pytest.mark.parametrize("profile", ["frozen", "adaptive"])
def test_what_the_interpreter_froze_is_no_obstacle(profile: str) -> None:
    """Python 3.12 freezes a few hundred objects as it starts; tunings are undone all the same."""
    collector = FakeCollector(frozen=375)

    with GcTuning(profile, collector=collector) as tuning:
        tuning.settle()
        tuning.quiet()
        assert collector.frozen == 475

    assert collector.frozen == 0


def test_frozen_without_settling_does_nothing() -> None:
    """Nothing was frozen, so nothing is thawed."""
    collector = FakeCollector()

    with GcTuning("frozen", collector=collector):
        pass

    assert collector.calls == []


def test_adaptive_sets_aside_what_survives_its_youth() -> None:
    """Only the young generation is collected at a quiet moment, and what is left is frozen."""
    collector = FakeCollector()

    with GcTuning("adaptive", collector=collector) as tuning:
        assert collector.settings() == (True, 0, (700, 10, 10))
        tuning.quiet()
        assert collector.settings() == (True, 100, (700, 10, 100))
        tuning.quiet()

    young = ["collect 0", "freeze"]
    assert collector.calls == ["old threshold 100", *young, *young, "unfreeze", "old threshold 10"]


def test_adaptive_looks_at_everything_once_memory_has_grown() -> None:
    """What was set aside is thawed, collected and set aside again; the limit starts from there."""
    collector, heap = FakeCollector(), FakeHeap(blocks=1_000_000)

    with GcTuning("adaptive", collector=collector, blocks=heap.count, clock=heap.clock) as tuning:
        for blocks in (1_350_000, 1_350_001, 1_400_000):
            heap.blocks = blocks
            heap.now_ns += 10**9
            tuning.quiet()

    young, everything = ["collect 0", "freeze"], ["unfreeze", "collect 2", "freeze"]
    assert collector.calls[1:-2] == [*young, *everything, *young]


def test_adaptive_is_nothing_where_blocks_cannot_be_counted() -> None:
    """Without a bound on garbage nothing is set aside."""
    collector = FakeCollector()

    with GcTuning("adaptive", collector=collector, blocks=lambda: 0) as tuning:
        tuning.quiet()

    assert collector.calls == []


def test_adaptive_never_lowers_a_high_threshold() -> None:
    """A user with fewer full collections than the profile has keeps that, and later changes."""
    collector = FakeCollector()
    collector.thresholds = (700, 10, 1000)
    with GcTuning("adaptive", collector=collector) as tuning:
        tuning.quiet()
        assert collector.thresholds == (700, 10, 1000)

    collector.thresholds = (700, 10, 10)
    with GcTuning("adaptive", collector=collector) as tuning:
        tuning.quiet()
        collector.thresholds = (900, 9, 9)
    assert collector.thresholds == (900, 9, 9)


STEP = 500
"""How many knots are made between two quiet moments."""


class Knot:
    """An object that only the collector frees, and that counts how many of it there are."""

    alive = 0
    most = 0

    def __init__(self) -> None:
        Knot.alive += 1
        Knot.most = max(Knot.most, Knot.alive)
        self.itself = self
        self.filling = [[number] for number in range(10)]

    def __del__(self) -> None:
        Knot.alive -= 1


def _most_knots() -> int:
    """
    Return how many knots may be alive where the collector runs as it does by default.

    It looks at everything when each threshold has been passed, the one of the generation
    below so often, and a quarter of all objects is new. Of a knot it counts eleven lists.
    """
    young, *older = gc.get_threshold()
    new = young * prod(each + 1 for each in older)
    return (new + len(gc.get_objects()) // 4) // 11 + 2 * STEP


@pytest.mark.parametrize(
    ("profile", "bounded"),
    [("default", True), ("frozen", True), ("adaptive", True), ("off", False)],
)
def test_cycles_are_freed(profile: str, *, bounded: bool) -> None:
    """A program that makes cycles all the time, and drops them late, keeps within bounds."""
    gc.collect()
    Knot.alive = Knot.most = 0
    most = _most_knots()
    clock = count(step=10**9).__next__
    others = sys.getallocatedblocks()
    kept: list[Knot] = []

    # The other tests' objects are not this program's: it may grow by a share of its own.
    own = GcTuning(profile, clock=clock, blocks=lambda: sys.getallocatedblocks() - others + 10_000)
    with own as tuning:
        for step in range(200):
            # Those of the step before have been set aside as alive, and become garbage here.
            kept = [Knot() for _ in range(STEP)]
            if step == 0:
                tuning.settle()
            tuning.quiet(len(kept))
    kept.clear()
    gc.collect()

    assert Knot.alive == 0
    assert (Knot.most <= most) == bounded
    assert bounded or Knot.most == 200 * STEP


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("profile", ["off", "frozen", "adaptive"])
def test_overlapping_tunings_end_in_any_order(
    profile: str, order: tuple[int, ...], enabled: bool
) -> None:
    """The settings stay until the last one ends, and then they are the user's."""
    collector = FakeCollector(enabled=enabled)
    before = collector.settings()
    tunings = [GcTuning(profile, collector=collector) for _ in range(3)]
    for tuning in tunings:
        tuning.__enter__()
        tuning.settle()
        tuning.quiet()

    for number in order[:-1]:
        tunings[number].__exit__(None, None, None)
        assert before != collector.settings() or (profile != "frozen" and not enabled)
    tunings[order[-1]].__exit__(None, None, None)

    assert before == collector.settings()


def test_different_profiles_overlap() -> None:
    """Each profile restores its own setting only."""
    collector = FakeCollector()
    before = collector.settings()
    off, adaptive = (GcTuning(name, collector=collector) for name in ("off", "adaptive"))

    adaptive.__enter__()
    adaptive.quiet()
    off.__enter__()
    off.__exit__(None, None, None)
    assert collector.settings() == (True, 100, (700, 10, 100))
    adaptive.__exit__(None, None, None)

    assert before == collector.settings()


@pytest.mark.parametrize("profile", list(GcProfile))
def test_the_real_collector_is_restored_after_an_exception(profile: GcProfile) -> None:
    """With `gc` itself, whatever is raised inside."""
    if gc.get_freeze_count():
        pytest.skip("something else in this process has frozen objects")
    before = (gc.isenabled(), gc.get_threshold())

    with suppress(ZeroDivisionError), GcTuning(profile) as tuning:
        tuning.settle()
        tuning.quiet()
        raise ZeroDivisionError

    assert before == (gc.isenabled(), gc.get_threshold())
    assert gc.get_freeze_count() == 0


def test_a_tuning_is_used_inside_its_block() -> None:
    """Before, after, and twice at once are errors."""
    tuning = GcTuning("frozen", collector=FakeCollector())

    with pytest.raises(StateError, match="not active"):
        tuning.settle()
    with tuning, pytest.raises(StateError, match="active already"):
        tuning.__enter__()
    with pytest.raises(StateError, match="not active"):
        tuning.quiet()


def test_an_unknown_profile_names_the_known_ones() -> None:
    """A misspelled profile is an error with the choices as its hint."""
    with pytest.raises(StateError, match="unknown collector profile 'fast'") as caught:
        GcTuning("fast")

    assert caught.value.hint == "Use one of default, off, frozen, adaptive."
    assert GcTuning("off").profile is GcProfile.OFF


def test_pauses_are_counted_while_the_tuning_lasts() -> None:
    """Each collection is in the statistics of its generation, until the end and not after it."""
    collector = FakeCollector()
    tuning = GcTuning("off", collector=collector)

    with tuning:
        for generation in (0, 0, 2):
            collector.announce(generation)
    collector.announce(1)

    assert [part.count for part in tuning.pauses().generations] == [2, 0, 1]
    assert collector.callbacks == []


def test_pauses_that_were_not_wanted_are_an_error() -> None:
    """Without counting there is no callback, and no statistics that would read as none."""
    collector = FakeCollector()

    with GcTuning("default", count_pauses=False, collector=collector) as tuning:
        assert collector.callbacks == []
        with pytest.raises(StateError, match="no pauses were counted"):
            tuning.pauses()
