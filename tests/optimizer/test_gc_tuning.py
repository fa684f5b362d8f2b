"""The collector is as the user left it, however a tuning ends."""

from __future__ import annotations

import gc
from contextlib import suppress
from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from memopt_cli.errors import StateError
from memopt_cli.optimizer import GcProfile, GcTuning, gc_tuning

if TYPE_CHECKING:
    from collections.abc import Iterator


class FakeCollector:
    """Stands in for `gc` and remembers what was asked of it."""

    def __init__(self, *, enabled: bool = True, frozen: int = 0) -> None:
        self.enabled = enabled
        self.frozen = frozen
        self.thresholds = (700, 10, 10)
        self.calls: list[str] = []

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

    def collect(self) -> int:
        """Count a collection."""
        self.calls.append("collect")
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
        self.calls.append(f"threshold {threshold0}")
        self.thresholds = (threshold0, threshold1, threshold2)

    def settings(self) -> tuple[bool, int, tuple[int, int, int]]:
        """Return all that a tuning could change."""
        return self.enabled, self.frozen, self.thresholds


@pytest.fixture(autouse=True)
def untouched_collector() -> Iterator[None]:
    """Fail a test that leaves the real collector, or the record of tunings, changed."""
    before = (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count())
    yield
    assert before == (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count())
    assert gc_tuning._CLAIMS == {}


def test_default_touches_nothing() -> None:
    """Every call is allowed, and none reaches the collector."""
    collector = FakeCollector()

    with GcTuning("default", collector=collector) as tuning:
        tuning.settle()
        assert tuning.observe(10**6) == 700

    assert collector.calls == []


def test_off_switches_off_and_on_again() -> None:
    """Inside, nothing is collected; afterwards it is as before."""
    collector = FakeCollector()

    with GcTuning("off", collector=collector):
        assert not collector.enabled

    assert collector.enabled


@pytest.mark.parametrize("profile", list(GcProfile))
def test_a_collector_switched_off_by_the_user_stays_off(profile: GcProfile) -> None:
    """No profile ever enables what the user disabled."""
    collector = FakeCollector(enabled=False)

    with suppress(ZeroDivisionError), GcTuning(profile, collector=collector) as tuning:
        tuning.settle()
        tuning.observe(10**6)
        raise ZeroDivisionError

    assert not collector.enabled
    assert "enable" not in collector.calls


def test_a_threshold_of_zero_stays_zero() -> None:
    """The other way to switch the collector off is respected before and inside."""
    collector = FakeCollector()
    collector.thresholds = (0, 10, 10)
    with GcTuning("adaptive", collector=collector) as tuning:
        assert tuning.observe(10**6) == 0
    assert collector.thresholds == (0, 10, 10)

    collector.thresholds = (700, 10, 10)
    with GcTuning("adaptive", collector=collector) as tuning:
        tuning.observe(10**6)
        collector.thresholds = (0, 10, 10)
        assert tuning.observe(10**6) == 0
    assert collector.thresholds == (0, 10, 10)


def test_frozen_collects_freezes_and_thaws() -> None:
    """What is alive at `settle` is frozen until the tuning ends."""
    collector = FakeCollector()

    with GcTuning("frozen", collector=collector) as tuning:
        assert collector.frozen == 0
        tuning.settle()
        tuning.settle()
        assert collector.frozen == 200

    assert collector.calls == ["collect", "freeze", "collect", "freeze", "unfreeze"]


def test_what_others_froze_stays_frozen() -> None:
    """Unfreezing has no part: where something was frozen before, nothing is thawed."""
    collector = FakeCollector(frozen=5)

    with GcTuning("frozen", collector=collector) as tuning:
        tuning.settle()

    assert collector.frozen == 105


def test_frozen_without_settling_does_nothing() -> None:
    """Nothing was frozen, so nothing is thawed."""
    collector = FakeCollector()

    with GcTuning("frozen", collector=collector):
        pass

    assert collector.calls == []


@pytest.mark.parametrize(
    ("live", "threshold"),
    [(0, 700), (7000, 700), (7010, 701), (500_000, 50_000), (10**6, 100_000), (10**9, 100_000)],
)
def test_adaptive_follows_the_population_within_bounds(live: int, threshold: int) -> None:
    """A tenth of the population, never below the user's own and never above 100,000."""
    collector = FakeCollector()

    with GcTuning("adaptive", collector=collector) as tuning:
        assert threshold == tuning.observe(live)
        assert (threshold, 10, 10) == collector.thresholds

    assert collector.thresholds == (700, 10, 10)


def test_adaptive_never_lowers_a_high_threshold() -> None:
    """A user with a threshold above the bound keeps it."""
    collector = FakeCollector()
    collector.thresholds = (500_000, 10, 10)

    with GcTuning("adaptive", collector=collector) as tuning:
        assert tuning.observe(10**9) == 500_000


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
    for size, tuning in enumerate(tunings, start=1):
        tuning.__enter__()
        tuning.settle()
        tuning.observe(size * 100_000)

    for number in order[:-1]:
        tunings[number].__exit__(None, None, None)
        assert before != collector.settings() or (profile == "off" and not enabled)
    tunings[order[-1]].__exit__(None, None, None)

    assert before == collector.settings()


def test_different_profiles_overlap() -> None:
    """Each profile restores its own setting only."""
    collector = FakeCollector()
    before = collector.settings()
    off, adaptive = (GcTuning(name, collector=collector) for name in ("off", "adaptive"))

    off.__enter__()
    adaptive.__enter__()
    adaptive.observe(10**6)
    off.__exit__(None, None, None)
    assert collector.settings() == (True, 0, (100_000, 10, 10))
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
        tuning.observe(10**6)
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
        tuning.observe(1)


def test_an_unknown_profile_names_the_known_ones() -> None:
    """A misspelled profile is an error with the choices as its hint."""
    with pytest.raises(StateError, match="unknown collector profile 'fast'") as caught:
        GcTuning("fast")

    assert caught.value.hint == "Use one of default, off, frozen, adaptive."
    assert GcTuning("off").profile is GcProfile.OFF
