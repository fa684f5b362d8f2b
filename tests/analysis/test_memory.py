"""Memory per unit is the slope over populations; what the process needs anyway is apart."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from memopt_cli.analysis import memory
from memopt_cli.analysis.results import Estimate, How
from tests.making import DRAIN, KIB, MIB, STEADY, plateau, sample

if TYPE_CHECKING:
    from memopt_cli.analysis.recording import Sample

COUNTS = (2000, 4000, 6000, 8000, 10000)
FIXED = 9 * MIB


def growth(
    per_unit: float,
    counts: tuple[int, ...] = COUNTS,
    *,
    fixed: int = FIXED,
    noise: float = 0.0,
    seed: int = 1,
) -> list[Sample]:
    """Return plateaus of a population whose units cost the same each, heap counted as well."""
    chance = random.Random(seed)
    sizes = [(units, fixed + per_unit * units + chance.gauss(0, noise)) for units in counts]
    return [
        plateau(units, round(size), heap_in_use_bytes=round(size) - MIB, heap_free_bytes=0)
        for units, size in sizes
    ]


def value(found: Estimate | None) -> float:
    """Return the value of a figure that must be there."""
    assert found is not None
    return found.value


def test_slope_and_fixed_cost_are_told_apart() -> None:
    """2 KiB per unit on 9 MiB of process reads as just that, each with its interval."""
    found = memory.per_unit(growth(2048))

    assert (How.FITTED, How.FITTED) == (
        found.per_unit and found.per_unit.how,
        found.fixed and found.fixed.how,
    )
    assert value(found.per_unit) == pytest.approx(2048)
    assert value(found.fixed) == pytest.approx(FIXED)
    assert value(found.cross_check) == pytest.approx(2048)
    assert found.points == tuple((units, FIXED + 2048 * units) for units in COUNTS)


def test_the_interval_contains_the_cost() -> None:
    """With noise in the readings, 95 % of the intervals contain the true cost, 93 % at least."""
    inside = 0
    for seed in range(400):
        found = memory.per_unit(growth(2048, noise=50 * KIB, seed=seed)).per_unit
        assert found is not None
        inside += found.low <= 2048 <= found.high

    assert inside >= 0.93 * 400


def test_what_was_imported_before_does_not_change_the_cost_of_a_unit() -> None:
    """30 MiB more of fixed cost leave the slope as it was."""
    lean, rich = (memory.per_unit(growth(2048, fixed=size)) for size in (FIXED, FIXED + 30 * MIB))

    assert value(lean.per_unit) == pytest.approx(value(rich.per_unit))
    assert value(rich.fixed) - value(lean.fixed) == pytest.approx(30 * MIB)


def test_the_interval_knows_the_resolution_of_the_reading() -> None:
    """A perfect line is still uncertain by two pages over the range it spans."""
    found = memory.per_unit(growth(2048)).per_unit

    assert found is not None
    assert found.high - found.value == pytest.approx(2 * 4096 / 8000)


def test_units_that_a_pool_made_beforehand_are_not_fitted() -> None:
    """Up to the size of the pool a unit costs nothing more, so the line begins beyond it."""
    sizes = [FIXED + 2048 * max(units, 4000) for units in COUNTS]
    samples = [plateau(*each) for each in zip(COUNTS, sizes, strict=True)]

    found = memory.per_unit(samples, preallocated=4000)

    assert found.points == tuple(zip(COUNTS, sizes, strict=True))[2:]
    assert value(found.per_unit) == pytest.approx(2048)
    assert memory.per_unit(samples, preallocated=6000).reason == (
        "2 plateaus were measured, a line needs 3: those with no more units than the 6,000 that "
        "the pool made beforehand do not count, so give the pool a smaller `size`, or a growing "
        "stage more `plateaus`"
    )


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_plateaus_are_no_figure(count: int) -> None:
    """With fewer than three plateaus there is a reason in place of a figure."""
    found = memory.per_unit(growth(2048, COUNTS[:count]))

    assert (None, None, None, ()) == (found.per_unit, found.fixed, found.loaded, found.points)
    assert found.reason == (
        f"{count} plateaus were measured, a line needs 3: give a growing stage more `plateaus`"
    )


def test_the_empty_process_is_not_fitted() -> None:
    """The plateau without units is left out: the first units fill heap that was free already."""
    samples = [plateau(0, FIXED - 5 * MIB), *growth(2048)]

    assert COUNTS == tuple(units for units, _ in memory.per_unit(samples).points)


def test_shrinking_and_growing_again_is_not_fitted() -> None:
    """Plateaus of the way down, and of a second growth, do not enter the line."""
    up = growth(2048)
    down = [plateau(units, FIXED + 30 * MIB, at_s=500.0 - units / 100) for units in (5000, 1000)]
    again = [plateau(units, FIXED + 40 * MIB, at_s=600.0 + units) for units in (15_000, 20_000)]

    assert memory.growth_plateaus([*up, *down, *again]) == up


def test_samples_between_plateaus_are_not_fitted() -> None:
    """Only what was measured at rest counts."""
    up = growth(2048)
    between = [sample(20.0, units=1000, anonymous_bytes=99 * MIB), up[0]]

    assert [up[0]] == memory.growth_plateaus(between)


def test_a_sample_just_before_a_plateau_does_not_hide_it() -> None:
    """A plateau at a population that a plain sample saw first is still one of the growth."""
    up = growth(2048)
    samples = [each for at in up for each in (sample(at.at_s - 0.5, units=at.units), at)]

    assert up == memory.growth_plateaus(samples)


def test_holding_the_peak_adds_no_plateau() -> None:
    """Plateaus of the steady stage have no more units than the last of the growth."""
    up = growth(2048)

    assert up == memory.growth_plateaus([*up, plateau(10_000, 40 * MIB, at_s=300.0)])


@pytest.mark.parametrize(
    ("seen", "counted", "basis"),
    [
        (2000, 2000, "anonymous"),
        (2000, 1000, "anonymous"),
        (2000, 2100, "anonymous"),
        (2000, 2101, "heap_in_use"),
        (MIB / 8000, 3, "anonymous"),
        (MIB / 8000 - 1, 130, "heap_in_use"),
    ],
)
def test_the_outside_is_trusted_from_a_limit_on(seen: float, counted: float, basis: str) -> None:
    """Growth must be 1 MiB, and 20 times what the heap's own count shows beyond it."""
    samples = [
        plateau(
            units,
            FIXED + round(seen * units),
            heap_in_use_bytes=MIB + round(counted * units),
            # Free heap says nothing by itself: an arena that was just mapped raises it.
            heap_free_bytes=MIB * (units % 3),
        )
        for units in COUNTS
    ]

    found = memory.per_unit(samples)

    assert basis == found.basis
    shown, other = (seen, counted) if basis == "anonymous" else (counted, seen)
    assert value(found.per_unit) == pytest.approx(shown, rel=1e-3)
    assert value(found.cross_check) == pytest.approx(other, rel=1e-3)
    if basis == "anonymous" and counted > seen:
        assert found.per_unit is not None
        assert found.per_unit.high >= counted


def test_memory_that_the_heap_does_not_count_is_seen() -> None:
    """Units in a mapping of their own cost what the kernel says, however little the heap grew."""
    samples = [
        plateau(units, FIXED + 64 * units, heap_in_use_bytes=MIB, heap_free_bytes=MIB)
        for units in COUNTS
    ]

    found = memory.per_unit(samples)

    assert found.basis == "anonymous"
    assert found.per_unit is not None
    assert found.per_unit.value == pytest.approx(64)
    # Two pages over 8,000 units, and nothing that free heap could have hidden.
    assert found.per_unit.high - found.per_unit.value == pytest.approx(8192 / 8000)


@pytest.mark.parametrize(
    ("pages", "basis", "reach"), [(2, "heap_in_use", 8192 + 16), (3, "anonymous", 8192)]
)
def test_pages_that_the_heap_does_not_explain(pages: int, basis: str, reach: int) -> None:
    """Up to two pages they widen the heap's interval, from the third on they are the figure."""
    first, last = COUNTS[0], COUNTS[-1]
    samples = [
        plateau(
            units,
            FIXED + round(4096 * pages * (units - first) / (last - first)),
            heap_in_use_bytes=MIB,
            heap_free_bytes=MIB,
        )
        for units in COUNTS
    ]

    found = memory.per_unit(samples)

    assert found.basis == basis
    assert found.per_unit is not None
    half = found.per_unit.high - found.per_unit.value
    assert half == pytest.approx(reach / (last - first), rel=0.01)


def test_an_arena_that_was_mapped_meanwhile_hides_nothing() -> None:
    """Free heap that jumps once, untouched, does not explain what grows at every plateau."""
    first = COUNTS[0]
    samples = [
        plateau(
            units,
            FIXED + 64 * units,
            heap_in_use_bytes=MIB,
            heap_free_bytes=MIB + (MIB if units > first else 0),
        )
        for units in COUNTS
    ]

    found = memory.per_unit(samples)

    assert found.basis == "anonymous"
    assert found.per_unit is not None
    assert found.per_unit.value == pytest.approx(64)


def test_mapped_growth_may_cover_what_free_heap_hid() -> None:
    """Where both happen, all that was taken from the free heap widens the interval."""
    samples = [
        plateau(
            units,
            FIXED + 64 * units,
            heap_in_use_bytes=MIB + 8 * units,
            heap_free_bytes=MIB - 8 * units,
        )
        for units in COUNTS
    ]

    found = memory.per_unit(samples)

    assert found.basis == "anonymous"
    assert found.per_unit is not None
    assert found.per_unit.high - found.per_unit.value == pytest.approx(8 + 8192 / 8000)


def test_free_heap_that_grows_hides_nothing() -> None:
    """Fragmentation is charged by the kernel, rightly, and does not change the basis."""
    samples = [
        plateau(units, FIXED + 2048 * units, heap_in_use_bytes=units, heap_free_bytes=1000 * units)
        for units in COUNTS
    ]

    assert memory.per_unit(samples).basis == "anonymous"


def test_without_a_counted_heap_the_outside_is_taken() -> None:
    """A stranger's server does not count its heap; there is no cross-check then."""
    found = memory.per_unit([plateau(units, FIXED + 2048 * units) for units in COUNTS])

    assert ("anonymous", None, "the subject does not count its heap") == (
        found.basis,
        found.cross_check,
        found.reason,
    )
    assert value(found.per_unit) == pytest.approx(2048)


def test_without_the_outside_the_counted_heap_is_taken() -> None:
    """Where anonymous memory could not be read, the counted heap stands in, and it is said."""
    found = memory.per_unit(
        [plateau(units, None, heap_in_use_bytes=MIB + 100 * units) for units in COUNTS]
    )

    assert ("heap_in_use", None, "anonymous memory could not be read") == (
        found.basis,
        found.cross_check,
        found.reason,
    )
    assert value(found.per_unit) == pytest.approx(100)


def test_plateaus_without_any_reading_are_no_figure() -> None:
    """Memory that was not read is not measured, whatever the number of plateaus."""
    found = memory.per_unit([plateau(units, None) for units in COUNTS])

    assert (None, None) == (found.per_unit, found.fixed)
    assert "use more units" in found.reason


def test_loaded_is_what_the_steady_load_added() -> None:
    """Memory at the last plateau of the peak, above the fixed cost, divided by the units."""
    after = [
        plateau(10_000, FIXED + 4096 * 10_000, at_s=200.0, stage=STEADY),
        plateau(10_000, FIXED + 6144 * 10_000, at_s=300.0, stage=STEADY),
    ]

    found = memory.per_unit([*growth(2048), *after])

    assert value(found.per_unit) == pytest.approx(2048)
    assert value(found.loaded) == pytest.approx(6144)
    assert found.loaded is not None
    assert found.fixed is not None
    width = found.fixed.high - found.fixed.low
    assert found.loaded.high - found.loaded.low == pytest.approx(width / 10_000)


@pytest.mark.parametrize(
    "after",
    [
        [],
        [plateau(9000, 99 * MIB, at_s=300.0)],
        [plateau(10_000, None, at_s=300.0)],
        [sample(300.0, units=10_000, anonymous_bytes=99 * MIB)],
    ],
    ids=["nothing", "fewer units", "not read", "not at rest"],
)
def test_without_a_reading_under_load_loaded_is_none(after: list[Sample]) -> None:
    """There is no loaded figure unless the peak was held and read at rest."""
    assert memory.per_unit([*growth(2048), *after]).loaded is None


def test_retained_is_the_difference_of_two_empty_processes() -> None:
    """The value is last minus last; the interval the spread on both sides, and two pages."""
    samples = [
        plateau(0, 1000),
        plateau(0, 1200, at_s=4.0),
        *growth(2048),
        plateau(0, 5000, at_s=400.0, stage=DRAIN),
        plateau(0, 4000, at_s=401.0, stage=DRAIN),
    ]

    assert memory.retained(samples) == Estimate(2800, 2800 - 8192, 4000 + 8192, How.MEASURED)


def test_memory_that_was_given_back_and_more_is_negative() -> None:
    """A process that ends smaller than it began retained less than nothing."""
    samples = [plateau(0, 5000), *growth(2048), plateau(0, 4000, at_s=400.0)]

    assert memory.retained(samples) == Estimate(-1000, -9192, 7192, How.MEASURED)


@pytest.mark.parametrize(
    "samples",
    [
        [],
        [plateau(0, 1000), plateau(0, 2000)],
        [*growth(2048), plateau(0, 2000, at_s=400.0)],
        [plateau(0, 1000), *growth(2048)],
        [plateau(0, 1000), *growth(2048), plateau(0, None, at_s=400.0)],
    ],
    ids=["nothing", "no units", "not before", "not emptied", "not read"],
)
def test_without_both_empty_processes_nothing_is_known_to_be_retained(
    samples: list[Sample],
) -> None:
    """A population that was not emptied, or not read, has no retained memory, not zero."""
    assert memory.retained(samples) is None


def test_all_units_are_what_the_peak_added_to_the_empty_process() -> None:
    """By the last plateau that held the peak, and the last one before the first unit."""
    samples = [
        plateau(0, 900),
        plateau(0, 1000, at_s=4.0),
        plateau(50, 3_000),
        plateau(100, 50_000),
        plateau(100, 60_000, at_s=70.0, stage=STEADY),
        plateau(0, 40_000, at_s=400.0, stage=DRAIN),
    ]

    assert memory.total(samples) == Estimate(59_000, 59_000 - 8192, 59_000 + 8192, How.MEASURED)


def test_all_units_may_have_taken_what_was_free() -> None:
    """Free heap that shrank is in the interval; free heap that grew is in the value already."""
    before = plateau(0, 1000, heap_free_bytes=700_000)
    for free, hidden in ((500_000, 200_000), (900_000, 0)):
        after = plateau(100, 60_000, heap_free_bytes=free)
        most = 59_000 + 8192 + hidden
        assert memory.total([before, after]) == Estimate(59_000, 50_808, most, How.MEASURED)


@pytest.mark.parametrize(
    "samples",
    [
        [],
        [plateau(0, 1000)],
        [plateau(100, 50_000)],
        [plateau(0, None), plateau(100, 50_000)],
        [plateau(0, 1000), plateau(100, None)],
        [plateau(0, 1000), plateau(50, 3000), sample(9.0, units=100)],
    ],
)
def test_all_units_are_not_known_without_both_readings(samples: list[Sample]) -> None:
    """Nor at another population than the peak."""
    assert memory.total(samples) is None
